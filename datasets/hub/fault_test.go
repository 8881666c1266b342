package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// world is a mirror behind a server that a test can make misbehave, and a client with an empty cache.
type world struct {
	t      *testing.T
	dir    string // of the mirror
	url    string
	mu     sync.Mutex
	log    []*http.Request
	fault  func(n int, w http.ResponseWriter, r *http.Request) bool // of the n-th GET of a file, from 1; true: answered
	gets   int
	mirror *Mirror
	sleeps []time.Duration
	cfg    Config
}

var (
	testRepo = Repo{Kind: Dataset, ID: "org/name"}
	large    = bytes.Repeat([]byte("0123456789abcdef"), 40_000) // 640 kB
)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	w.put("data.parquet", large)
	w.put("sub/config.json", []byte(`{"a": 1}`))
	var err error
	if w.mirror, err = NewMirror(w.dir); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(w)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close(); w.mirror.Close() })
	w.url = server.URL
	w.cfg = Config{Endpoint: server.URL, CacheDir: t.TempDir(), Token: "secret", Timeout: 300 * time.Millisecond,
		Sleep: func(_ context.Context, d time.Duration) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.sleeps = append(w.sleeps, d)
			return nil
		}}
	return w
}

// misbehave sets the fault; a server's goroutine that answers another process sees it only through the lock.
func (w *world) misbehave(fault func(n int, w http.ResponseWriter, r *http.Request) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = fault
}

func (w *world) put(name string, b []byte) {
	w.t.Helper()
	path := filepath.Join(w.dir, "datasets", "org", "name", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.log = append(w.log, r)
	fault, n := w.fault, 0
	if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/resolve/") {
		w.gets++
		n = w.gets
	}
	w.mu.Unlock()
	if n > 0 && fault != nil && fault(n, rw, r) {
		return
	}
	w.mirror.ServeHTTP(rw, r)
}

func (w *world) client() *Client {
	w.t.Helper()
	c, err := New(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// blobs lists what is in the cache's blob folder.
func (w *world) blobs() (names []string) {
	paths, _ := filepath.Glob(filepath.Join(w.cfg.CacheDir, "datasets--org--name", "blobs", "*"))
	for _, p := range paths {
		names = append(names, filepath.Base(p))
	}
	return names
}

// ranges lists the Range headers of the GETs of files.
func (w *world) ranges() (out []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.log {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/resolve/") {
			out = append(out, r.Header.Get("Range"))
		}
	}
	return out
}

func (w *world) want(f LocalFile, err error, content []byte) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	got, err := os.ReadFile(f.Path)
	if err != nil || !bytes.Equal(got, content) {
		w.t.Fatalf("%s: %d bytes, %v; want %d", f.Path, len(got), err, len(content))
	}
}

// never checks that no file came to be under a good name.
func (w *world) never(err error, want string) {
	w.t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		w.t.Errorf("error %v lacks %q", err, want)
	}
	for _, b := range w.blobs() {
		if !strings.HasSuffix(b, ".incomplete") {
			w.t.Errorf("blob %s came to be", b)
		}
	}
	if s, _ := filepath.Glob(filepath.Join(w.cfg.CacheDir, "datasets--org--name", "snapshots", "*", "*")); len(s) > 0 {
		w.t.Errorf("snapshots came to be: %v", s)
	}
}

// send answers 200 with a body of its own, and the length announced.
func send(w http.ResponseWriter, body []byte, announced int) {
	w.Header().Set("Content-Length", strconv.Itoa(announced))
	w.WriteHeader(http.StatusOK)
	w.Write(body)
	w.(http.Flusher).Flush()
	if len(body) < announced {
		panic(http.ErrAbortHandler)
	}
}

func TestFaultsThatPass(t *testing.T) {
	flipped := bytes.Clone(large)
	flipped[1000] ^= 1
	half := len(large) / 2
	tests := []struct {
		name   string
		fault  func(n int, w http.ResponseWriter, r *http.Request) bool
		ranges string // of the GETs, joined by ;
		sleeps string
	}{
		{"cut off in mid-body", func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n == 1 {
				send(w, large[:half], len(large))
			}
			return false
		}, fmt.Sprintf(";bytes=%d-", half), "[1s]"},
		{"stall", func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				w.Header().Set("Content-Length", strconv.Itoa(len(large)))
				w.Write(large[:half])
				w.(http.Flusher).Flush()
				<-r.Context().Done()
				return true
			}
			return false
		}, fmt.Sprintf(";bytes=%d-", half), "[1s]"},
		{"stall before the header", func(n int, _ http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				<-r.Context().Done()
			}
			return n == 1
		}, ";", "[1s]"},
		{"too many requests", func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n == 1 {
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(http.StatusTooManyRequests)
			}
			return n == 1
		}, ";", "[7s]"},
		{"server errors", func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n <= 3 {
				w.WriteHeader(500 + n)
			}
			return n <= 3
		}, ";;;", "[1s 2s 4s]"},
		{"whole file instead of a range", func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n == 1 {
				send(w, large[:half], len(large))
			}
			send(w, large, len(large))
			return true
		}, fmt.Sprintf(";bytes=%d-", half), "[1s]"},
		{"another range than asked for", func(n int, w http.ResponseWriter, _ *http.Request) bool {
			switch n {
			case 1:
				send(w, large[:half], len(large))
			case 2:
				w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(large)-1, len(large)))
				w.WriteHeader(http.StatusPartialContent)
				w.Write(large)
			default:
				return false
			}
			return true
		}, fmt.Sprintf(";bytes=%d-;", half), "[1s 2s]"},
		{"one flipped byte once", func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n == 1 {
				send(w, flipped, len(large))
			}
			return n == 1
		}, ";", "[1s]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.misbehave(test.fault)
			f, err := w.client().File(t.Context(), testRepo, "data.parquet", Pin{})
			w.want(f, err, large)
			if got := strings.Join(w.ranges(), ";"); got != test.ranges {
				t.Errorf("ranges %q, want %q", got, test.ranges)
			}
			if got := fmt.Sprint(w.sleeps); got != test.sleeps {
				t.Errorf("waits %s, want %s", got, test.sleeps)
			}
			if b := w.blobs(); len(b) != 1 || b[0] != f.ETag {
				t.Errorf("blobs %v", b)
			}
		})
	}
}

func TestFaultsThatStay(t *testing.T) {
	flipped := bytes.Clone(large)
	flipped[len(flipped)-1] ^= 0x80
	always := func(f func(http.ResponseWriter)) func(int, http.ResponseWriter, *http.Request) bool {
		return func(_ int, w http.ResponseWriter, _ *http.Request) bool { f(w); return true }
	}
	tests := []struct {
		name  string
		fault func(n int, w http.ResponseWriter, r *http.Request) bool
		want  string
	}{
		{"one flipped byte", always(func(w http.ResponseWriter) { send(w, flipped, len(large)) }), "damaged in transit"},
		{"announced shorter", always(func(w http.ResponseWriter) { send(w, large[:100], 100) }), "HEAD said 640000 bytes, GET says 100"},
		{"announced longer", always(func(w http.ResponseWriter) { send(w, append(large, 1), len(large)+1) }), "GET says 640001"},
		{"longer than announced", always(func(w http.ResponseWriter) {
			w.(http.Flusher).Flush() // chunked: no length
			w.Write(large)
			w.Write([]byte("and more"))
		}), "goes on after"},
		{"shorter without a length", always(func(w http.ResponseWriter) {
			w.(http.Flusher).Flush()
			w.Write(large[:9])
		}), "ends after"},
		{"errors for ever", always(func(w http.ResponseWriter) { w.WriteHeader(503) }), "given up after 6 tries"},
		{"asked to wait for hours", always(func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "7200")
			w.WriteHeader(429)
		}), "asks to wait 2h0m0s"},
		{"gated", always(func(w http.ResponseWriter) { w.WriteHeader(403) }), "HF_TOKEN"},
		{"endless redirects", func(_ int, w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
			return true
		}, "redirects"},
		{"redirect to a file", always(func(w http.ResponseWriter) {
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(302)
		}), "not followed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.misbehave(test.fault)
			_, err := w.client().File(t.Context(), testRepo, "data.parquet", Pin{})
			w.never(err, test.want)
		})
	}
}

func TestNames(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"../x", "a/../../x", "/etc/passwd", "a//b", "", ".", "a\\b", "a\x00b", "..", "a/./b"} {
		_, err := w.client().File(t.Context(), testRepo, name, Pin{})
		w.never(err, "not a safe file name")
	}
	for _, repo := range []Repo{{Dataset, "../x", ""}, {Dataset, "a/b/c", ""}, {Model, "a--b/c", ""}, {"spaces", "a/b", ""}, {Model, "a/b", "../../x"}} {
		_, err := w.client().File(t.Context(), repo, "a", Pin{})
		w.never(err, "hub repository")
	}
	if len(w.log) > 0 {
		t.Error("a request was sent")
	}
}

func TestTokenStaysAtHome(t *testing.T) {
	w := newWorld(t)
	var away []*http.Request
	other := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		away = append(away, r)
		send(rw, large, len(large))
	}))
	defer other.Close()
	cdn := strings.Replace(other.URL, "127.0.0.1", "localhost", 1) // another port and another name
	w.misbehave(func(_ int, rw http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") != "Bearer secret" {
			t.Error("the endpoint does not get the token")
		}
		http.Redirect(rw, r, cdn+"/blob", http.StatusFound)
		return true
	})
	f, err := w.client().File(t.Context(), testRepo, "data.parquet", Pin{})
	w.want(f, err, large)
	if len(away) != 1 || away[0].Header.Get("Authorization") != "" || away[0].Header.Get("Cookie") != "" {
		t.Errorf("%d requests elsewhere: %v", len(away), away)
	}
}

// TestHeadIsNotRedirected: what the hub says of a file it says in the redirecting answer itself.
func TestHeadIsNotRedirected(t *testing.T) {
	w := newWorld(t)
	handler := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodHead {
			w.ServeHTTP(rw, r)
			return
		}
		rec := httptest.NewRecorder()
		w.mirror.ServeHTTP(rec, r)
		for k, v := range rec.Header() {
			rw.Header()[k] = v
		}
		rw.Header().Set("Content-Length", "0")
		rw.Header().Set("ETag", `"of-the-redirect"`)
		http.Redirect(rw, r, "https://cdn.invalid/x", http.StatusFound)
	})
	server := httptest.NewServer(handler)
	defer server.Close()
	w.cfg.Endpoint = server.URL
	f, err := w.client().File(t.Context(), testRepo, "data.parquet", Pin{})
	w.want(f, err, large)
}

func TestChangeBetweenHeadAndGet(t *testing.T) {
	w := newWorld(t)
	other := bytes.Repeat([]byte("new!"), 160_000) // of the same length
	w.misbehave(func(n int, _ http.ResponseWriter, _ *http.Request) bool {
		if n == 1 {
			w.put("data.parquet", other)
			os.Chtimes(filepath.Join(w.dir, "datasets/org/name/data.parquet"), time.Time{}, time.Unix(1, 0))
		}
		return false
	})
	f, err := w.client().File(t.Context(), testRepo, "data.parquet", Pin{})
	w.want(f, err, other)
}

func TestPins(t *testing.T) {
	right, _, err := hashFile(writeTemp(t, large), "")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	for _, pin := range []Pin{{Size: 5}, {SHA256: strings.Repeat("0", 64)}} {
		_, err := w.client().File(t.Context(), testRepo, "data.parquet", pin)
		w.never(err, "update-pins")
		if !errors.Is(err, ErrChanged) || w.gets > 0 {
			t.Errorf("%v after %d downloads", err, w.gets)
		}
	}
	_, err = w.client().File(t.Context(), testRepo, "sub/config.json", Pin{SHA256: strings.Repeat("0", 64)}) // named by git's hash
	if !errors.Is(err, ErrChanged) {
		t.Error(err)
	}
	f, err := w.client().File(t.Context(), testRepo, "data.parquet", Pin{int64(len(large)), right})
	w.want(f, err, large)
	if _, err = w.client().File(t.Context(), testRepo, "data.parquet", Pin{SHA256: strings.Repeat("0", 64)}); !errors.Is(err, ErrChanged) {
		t.Errorf("a cached file that is not the pinned one: %v", err)
	}
}

func writeTemp(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWithoutLocksNothingIsDamaged(t *testing.T) {
	w := newWorld(t)
	w.cfg.CacheDir = t.TempDir()
	if err := os.WriteFile(filepath.Join(w.cfg.CacheDir, ".locks"), nil, 0o600); err != nil { // where a folder should be
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			f, err := w.client().File(t.Context(), testRepo, "data.parquet", Pin{})
			if err != nil {
				t.Error(err)
				return
			}
			if b, err := os.ReadFile(f.Path); err != nil || !bytes.Equal(b, large) {
				t.Errorf("%d bytes, %v", len(b), err)
			}
		})
	}
	group.Wait()
	if b := w.blobs(); len(b) != 1 {
		t.Errorf("blobs %v", b)
	}
}

func TestWatchdogLetsASlowBodyThrough(t *testing.T) {
	w := newWorld(t)
	w.cfg.Timeout = 200 * time.Millisecond
	w.misbehave(func(_ int, rw http.ResponseWriter, _ *http.Request) bool {
		rw.Header().Set("Content-Length", strconv.Itoa(len(large)))
		for i := 0; i < len(large); i += len(large) / 8 {
			rw.Write(large[i : i+len(large)/8])
			rw.(http.Flusher).Flush()
			time.Sleep(50 * time.Millisecond)
		}
		return true
	})
	f, err := w.client().File(t.Context(), testRepo, "data.parquet", Pin{})
	w.want(f, err, large)
	if len(w.sleeps) > 0 {
		t.Error("a body that comes slowly was taken for a stall")
	}
}
