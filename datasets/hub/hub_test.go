package hub

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestConfigFrom(t *testing.T) {
	home := t.TempDir()
	token := filepath.Join(home, ".cache", "huggingface", "token")
	if err := os.MkdirAll(filepath.Dir(token), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(token, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		env  map[string]string
		want Config
	}{
		{"nothing set", nil, Config{Endpoint: DefaultEndpoint, CacheDir: home + "/.cache/huggingface/hub", Token: "from-file"}},
		{"all set", map[string]string{"HF_ENDPOINT": "http://mirror:8080/", "HF_HUB_CACHE": "/c", "HF_HOME": "/h", "XDG_CACHE_HOME": "/x",
			"HF_TOKEN": "t", "HF_HUB_OFFLINE": "yes", "HF_HUB_DISABLE_SYMLINKS": "ON", "HF_HUB_DOWNLOAD_TIMEOUT": "30"},
			Config{Endpoint: "http://mirror:8080", CacheDir: "/c", Token: "t", Offline: true, Copies: true, Timeout: 30 * time.Second}},
		{"home", map[string]string{"HF_HOME": "~/hf", "XDG_CACHE_HOME": "/x"}, Config{Endpoint: DefaultEndpoint, CacheDir: home + "/hf/hub"}},
		{"xdg", map[string]string{"XDG_CACHE_HOME": "/x", "HF_HUB_OFFLINE": "0"}, Config{Endpoint: DefaultEndpoint, CacheDir: "/x/huggingface/hub"}},
		{"token path", map[string]string{"HF_TOKEN_PATH": token, "HF_HUB_CACHE": "~"}, Config{Endpoint: DefaultEndpoint, CacheDir: home, Token: "from-file"}},
	}
	for _, test := range tests {
		got, err := ConfigFrom(func(k string) string { return test.env[k] }, home)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		got.Progress, got.Sleep = nil, nil
		if got.Endpoint != test.want.Endpoint || got.CacheDir != test.want.CacheDir || got.Token != test.want.Token ||
			got.Offline != test.want.Offline || got.Copies != test.want.Copies || got.Timeout != test.want.Timeout {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
	for _, env := range []map[string]string{{"HF_ENDPOINT": "mirror"}, {"HF_ENDPOINT": "ftp://x"}, {"HF_HUB_DOWNLOAD_TIMEOUT": "x"}} {
		if _, err := ConfigFrom(func(k string) string { return env[k] }, home); err == nil {
			t.Errorf("%v: no error", env)
		}
	}
}

// noNetwork is a transport that fails the test when it is used.
func noNetwork(t *testing.T) http.RoundTripper {
	return &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		t.Error("a socket was opened")
		return nil, errors.New("no network")
	}}
}

func TestCacheLayout(t *testing.T) {
	w := newWorld(t)
	f, err := w.client().File(t.Context(), testRepo, "sub/config.json", Pin{})
	w.want(f, err, []byte(`{"a": 1}`))
	root := filepath.Join(w.cfg.CacheDir, "datasets--org--name")
	// printf 'blob 8\0{"a": 1}' | sha1sum
	const etag = "4a036f56bb619924ec4189bd84ed716c766971ae"
	if f.ETag != etag {
		t.Errorf("etag %s, want %s", f.ETag, etag)
	}
	if want := filepath.Join(root, "snapshots", f.Commit, "sub", "config.json"); f.Path != want {
		t.Errorf("path %s, want %s", f.Path, want)
	}
	if to, err := os.Readlink(f.Path); err != nil || to != "../../../blobs/"+f.ETag {
		t.Errorf("link to %s: %v", to, err)
	}
	if ref, err := os.ReadFile(filepath.Join(root, "refs", "main")); err != nil || string(ref) != f.Commit {
		t.Errorf("ref %q: %v", ref, err)
	}

	_, err = w.client().File(t.Context(), testRepo, "tokenizer.json", Pin{})
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("missing file: %v", err)
	}
	w.cfg.Transport = noNetwork(t)
	if _, err = w.client().File(t.Context(), testRepo, "tokenizer.json", Pin{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("missing file, from memory: %v", err)
	}
	again, err := w.client().File(t.Context(), testRepo, "sub/config.json", Pin{})
	if diff := cmp.Diff(f, again); err != nil || diff != "" {
		t.Errorf("second call: %v %s", err, diff)
	}
	if byCommit, err := w.client().File(t.Context(), Repo{Dataset, "org/name", f.Commit}, "sub/config.json", Pin{}); err != nil || byCommit.Path != f.Path {
		t.Errorf("by commit: %v %+v", err, byCommit)
	}
	w.cfg.Offline = true
	_, err = w.client().File(t.Context(), testRepo, "data.parquet", Pin{})
	for _, part := range []string{"data.parquet", "datasets/org/name", "HF_HUB_OFFLINE", "pema fetch", w.cfg.CacheDir} {
		if !errors.Is(err, ErrOffline) || !strings.Contains(err.Error(), part) {
			t.Errorf("offline: %v lacks %s", err, part)
		}
	}
	if !w.client().Cached(testRepo, "sub/config.json") || w.client().Cached(testRepo, "data.parquet") {
		t.Error("Cached is wrong")
	}
}

func TestCopiesInsteadOfLinks(t *testing.T) {
	w := newWorld(t)
	w.cfg.Copies = true
	f, err := w.client().File(t.Context(), testRepo, "data.parquet", Pin{})
	w.want(f, err, large)
	if info, err := os.Lstat(f.Path); err != nil || !info.Mode().IsRegular() {
		t.Errorf("%v %v", info, err)
	}
	w.cfg.Transport = noNetwork(t)
	again, err := w.client().File(t.Context(), testRepo, "data.parquet", Pin{})
	w.want(again, err, large)
}

func TestLostBlobIsFetchedAgain(t *testing.T) {
	w := newWorld(t)
	f, err := w.client().File(t.Context(), testRepo, "data.parquet", Pin{})
	w.want(f, err, large)
	if err := os.Remove(filepath.Join(w.cfg.CacheDir, "datasets--org--name", "blobs", f.ETag)); err != nil {
		t.Fatal(err)
	}
	f, err = w.client().File(t.Context(), testRepo, "data.parquet", Pin{})
	w.want(f, err, large)
}

func TestInfoAndErrors(t *testing.T) {
	w := newWorld(t)
	info, err := w.client().Info(t.Context(), testRepo)
	if err != nil {
		t.Fatal(err)
	}
	_, sum, _ := hashFile(writeTemp(t, large), "")
	if len(info.Files) != 2 || info.Files[0].Path != "data.parquet" || info.Files[0].SHA256 != sum || info.Files[0].Size != int64(len(large)) ||
		info.Files[1].Path != "sub/config.json" || info.Files[1].SHA256 != "" || !isHex(info.Files[1].BlobID, 40) {
		t.Errorf("%+v", info)
	}
	if _, err := w.client().Info(t.Context(), Repo{Model, "org/none", ""}); !errors.Is(err, ErrNotFound) {
		t.Errorf("no such repository: %v", err)
	}
	w.cfg.Offline = true
	w.cfg.Transport = noNetwork(t)
	if _, err := w.client().Info(t.Context(), testRepo); !errors.Is(err, ErrOffline) {
		t.Errorf("offline: %v", err)
	}
}

func TestFullDisk(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.free = func(string) (uint64, error) { return 600_000, nil }
	_, err := c.File(t.Context(), testRepo, "data.parquet", Pin{})
	w.never(err, "MiB free")
	if w.gets > 0 {
		t.Error("a download was begun")
	}
	f, err := c.File(t.Context(), testRepo, "sub/config.json", Pin{})
	w.want(f, err, []byte(`{"a": 1}`))
}

func TestFilesInParallelWithProgress(t *testing.T) {
	w := newWorld(t)
	done := make(chan Progress, 1000)
	w.cfg.Progress = func(p Progress) { done <- p }
	files, err := w.client().Files(t.Context(), []Want{{testRepo, "data.parquet", Pin{}}, {testRepo, "sub/config.json", Pin{}}})
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	w.want(files[0], nil, large)
	last := map[string]int64{}
	close(done)
	for p := range done {
		if p.Done <= last[p.Path] || p.Done > p.Total || p.Repo != "datasets/org/name" {
			t.Errorf("%+v after %d", p, last[p.Path])
		}
		last[p.Path] = p.Done
	}
	if last["data.parquet"] != int64(len(large)) || last["sub/config.json"] != 8 {
		t.Errorf("%v", last)
	}
	_, err = w.client().Files(t.Context(), []Want{{testRepo, "none", Pin{}}, {testRepo, "data.parquet", Pin{}}})
	if !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestCollectFeedsAMirror(t *testing.T) {
	w := newWorld(t)
	to := t.TempDir()
	want := []Want{{testRepo, "data.parquet", Pin{}}, {testRepo, "sub/config.json", Pin{}}}
	for range 2 { // the second time finds all there
		if err := w.client().Collect(t.Context(), to, want); err != nil {
			t.Fatal(err)
		}
	}
	first, err := w.client().Info(t.Context(), testRepo)
	if err != nil {
		t.Fatal(err)
	}
	second := newWorld(t)
	if second.mirror, err = NewMirror(to); err != nil {
		t.Fatal(err)
	}
	got, err := second.client().Info(t.Context(), testRepo)
	if diff := cmp.Diff(first, got); err != nil || diff != "" {
		t.Errorf("the mirror of the mirror: %v %s", err, diff)
	}
	repos, err := second.mirror.Repos()
	if diff := cmp.Diff([]Repo{testRepo}, repos); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

func TestMirrorAnswers(t *testing.T) {
	w := newWorld(t)
	w.put("sub/deep/x.txt", []byte("x"))
	if err := os.WriteFile(filepath.Join(w.dir, "secret"), []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(w.dir, "datasets/org/name/link")); err != nil {
		t.Fatal(err)
	}
	ask := func(method, path, body string) (int, http.Header, string) {
		t.Helper()
		req, _ := http.NewRequest(method, w.url+path, strings.NewReader(body))
		if body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, resp.Header, string(b)
	}
	for path, code := range map[string]string{
		"/datasets/org/name/resolve/main/none":                  "EntryNotFound",
		"/datasets/org/name/resolve/main/sub":                   "EntryNotFound",
		"/datasets/org/name/resolve/main/.commit":               "EntryNotFound",
		"/datasets/org/name/resolve/main/%2e%2e/%2e%2e/secret":  "EntryNotFound",
		"/datasets/org/name/resolve/main/..%2f..%2f..%2fsecret": "EntryNotFound",
		"/datasets/org/name/resolve/main/link":                  "EntryNotFound",
		"/datasets/org/none/resolve/main/x":                     "RepoNotFound",
		"/org/name/resolve/main/data.parquet":                   "RepoNotFound",
		"/api/models/org/name":                                  "RepoNotFound",
		"/api/datasets/%2e%2e/secret":                           "RepoNotFound",
	} {
		if status, h, body := ask("GET", path, ""); status != 404 || h.Get("X-Error-Code") != code || strings.Contains(body, "secret\n") {
			t.Errorf("%s: %d %s %s", path, status, h.Get("X-Error-Code"), body)
		}
	}
	status, h, body := ask("HEAD", "/datasets/org/name/resolve/main/data.parquet", "")
	if status != 200 || body != "" || h.Get("Content-Length") != "640000" || h.Get("X-Linked-Size") != "640000" ||
		h.Get("X-Linked-Etag") != h.Get("ETag") || !isHex(h.Get("X-Repo-Commit"), 40) || h.Get("Accept-Ranges") != "bytes" {
		t.Errorf("HEAD: %d %v", status, h)
	}
	var entries []struct{ Type, Path string }
	for path, want := range map[string]string{
		"/api/datasets/org/name/tree/main":                   "file data.parquet,directory sub",
		"/api/datasets/org/name/tree/main?recursive=True":    "file data.parquet,directory sub,file sub/config.json,directory sub/deep,file sub/deep/x.txt",
		"/api/datasets/org/name/tree/main/sub":               "file sub/config.json,directory sub/deep",
		"/api/datasets/org/name/tree/refs%2Fpr%2F1/sub/deep": "file sub/deep/x.txt",
	} {
		_, _, body := ask("GET", path, "")
		if err := json.Unmarshal([]byte(body), &entries); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range entries {
			if e.Path != "link" {
				got = append(got, e.Type+" "+e.Path)
			}
		}
		if s := strings.Join(got, ","); s != want {
			t.Errorf("%s: %s", path, s)
		}
	}
	_, _, body = ask("POST", "/api/datasets/org/name/paths-info/main", `{"paths": ["sub", "data.parquet", "../x", "none"]}`)
	if err := json.Unmarshal([]byte(body), &entries); err != nil || len(entries) != 2 || entries[0].Type != "directory" || entries[1].Path != "data.parquet" {
		t.Errorf("paths-info: %s", body)
	}
}

func FuzzParseInfo(f *testing.F) {
	commit := strings.Repeat("a", 40)
	f.Add([]byte(`{"sha":"` + commit + `","siblings":[{"rfilename":"a/b.parquet","size":3,"blobId":"` + commit + `","lfs":{"sha256":"` + strings.Repeat("0", 64) + `","size":3}}]}`))
	f.Add([]byte(`{"sha":"` + commit + `","siblings":[{"rfilename":"../x"}]}`))
	f.Add([]byte(`{"sha":"` + commit + `","siblings":[{"rfilename":"x","size":-5}]}`))
	f.Add([]byte(`{"sha":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		info, err := parseInfo(b)
		if err != nil {
			return
		}
		if !isHex(info.Commit, 40) {
			t.Errorf("commit %q", info.Commit)
		}
		for _, file := range info.Files {
			if !filepath.IsLocal(filepath.FromSlash(file.Path)) || file.Size < -1 || (file.SHA256 != "" && !isHex(file.SHA256, 64)) {
				t.Errorf("%+v", file)
			}
		}
	})
}
