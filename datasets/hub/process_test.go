package hub

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// TestMain lets the test binary be a second process that fetches a file.
func TestMain(m *testing.M) {
	if endpoint := os.Getenv("HUB_TEST_ENDPOINT"); endpoint != "" {
		c, err := New(Config{Endpoint: endpoint, CacheDir: os.Getenv("HUB_TEST_CACHE")})
		if err == nil {
			var f LocalFile
			if f, err = c.File(context.Background(), testRepo, "data.parquet", Pin{}); err == nil {
				fmt.Print(f.Path)
				os.Exit(0)
			}
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func (w *world) process() *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HUB_TEST_ENDPOINT="+w.url, "HUB_TEST_CACHE="+w.cfg.CacheDir)
	cmd.Stderr = os.Stderr
	return cmd
}

func TestTwoProcessesFetchTheSameFile(t *testing.T) {
	w := newWorld(t)
	w.misbehave(func(_ int, rw http.ResponseWriter, _ *http.Request) bool { // slowly
		rw.Header().Set("Content-Length", strconv.Itoa(len(large)))
		for i := 0; i < len(large); i += len(large) / 8 {
			rw.Write(large[i : i+len(large)/8])
			rw.(http.Flusher).Flush()
			time.Sleep(20 * time.Millisecond)
		}
		return true
	})
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			out, err := w.process().Output()
			if err != nil {
				t.Error(err)
				return
			}
			if b, err := os.ReadFile(string(out)); err != nil || !bytes.Equal(b, large) {
				t.Errorf("%s: %d bytes, %v", out, len(b), err)
			}
		})
	}
	group.Wait()
	if len(w.ranges()) != 1 {
		t.Errorf("fetched %d times", len(w.ranges()))
	}
}

func TestKilledInMidDownload(t *testing.T) {
	w := newWorld(t)
	half := len(large) / 2
	sent := make(chan struct{})
	w.misbehave(func(n int, rw http.ResponseWriter, r *http.Request) bool {
		if n > 1 {
			return false
		}
		rw.Header().Set("Content-Length", strconv.Itoa(len(large)))
		rw.Write(large[:half])
		rw.(http.Flusher).Flush()
		close(sent)
		<-r.Context().Done()
		return true
	})
	cmd := w.process()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-sent
	partial := func() int64 {
		for _, b := range w.blobs() {
			info, err := os.Stat(filepath.Join(w.cfg.CacheDir, "datasets--org--name", "blobs", b))
			if err == nil {
				return info.Size()
			}
		}
		return 0
	}
	for i := 0; partial() < int64(half) && i < 500; i++ {
		time.Sleep(10 * time.Millisecond)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	have := partial()
	if have == 0 {
		t.Fatal("nothing was written before the kill")
	}
	f, err := w.client().File(t.Context(), testRepo, "data.parquet", Pin{})
	w.want(f, err, large)
	if got, want := w.ranges(), fmt.Sprintf("bytes=%d-", have); len(got) != 2 || got[1] != want {
		t.Errorf("ranges %q, want the second %q", got, want)
	}
}
