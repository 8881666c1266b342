// Package hub fetches files from the Hugging Face hub, or a mirror of it, into the cache that Hugging Face's own tools
// use: a cache filled by huggingface_hub is used as it is, and the reverse.
//
// What it promises: a file appears under its name only when its size and hash (SHA-256 of large files, git's SHA-1 of
// small ones, and the pin where there is one) are right; a download that was cut off goes on where it stopped, also
// in another process; two processes never damage each other's files, even where locks do nothing; the token is sent to
// the endpoint's host only; offline opens no socket.
package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// DefaultEndpoint is the hub itself.
const DefaultEndpoint = "https://huggingface.co"

// Config is everything that a client depends on. The zero values of the lower part are sensible.
type Config struct {
	Endpoint string // without a trailing slash
	CacheDir string // root of the hub cache, such as ~/.cache/huggingface/hub
	Token    string // sent to the endpoint's host only; may be empty
	Offline  bool   // use what is in the cache and open no socket
	Copies   bool   // plain copies in snapshots instead of links

	Timeout  time.Duration // longest wait for an answer or for the next byte; 0 = 10 s
	Attempts int           // tries of a request that may succeed later; 0 = 6
	Parallel int           // files at once; 0 = 4

	Progress  func(Progress)                                   // called from several goroutines; may be nil
	Sleep     func(ctx context.Context, d time.Duration) error // waits between tries; nil = a timer
	Transport http.RoundTripper                                // nil = one of the client's own that honours proxies
}

// Progress is the state of one download.
type Progress struct {
	Repo, Path  string
	Done, Total int64 // bytes
}

// ConfigFrom reads the variables that Hugging Face's tools obey: HF_ENDPOINT; HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME;
// HF_TOKEN, HF_TOKEN_PATH; HF_HUB_OFFLINE; HF_HUB_DISABLE_SYMLINKS; HF_HUB_DOWNLOAD_TIMEOUT. home is the user's home
// folder. A token file is read when no token is given.
func ConfigFrom(getenv func(string) string, home string) (Config, error) {
	c := Config{Endpoint: DefaultEndpoint, Offline: truth(getenv("HF_HUB_OFFLINE")), Copies: truth(getenv("HF_HUB_DISABLE_SYMLINKS"))}
	if e := strings.TrimRight(strings.TrimSpace(getenv("HF_ENDPOINT")), "/"); e != "" {
		c.Endpoint = e
	}
	if u, err := url.Parse(c.Endpoint); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return c, fmt.Errorf("HF_ENDPOINT %q is not an http or https address", c.Endpoint)
	}
	hfHome := expand(getenv("HF_HOME"), home)
	if hfHome == "" {
		cache := getenv("XDG_CACHE_HOME")
		if cache == "" {
			cache = filepath.Join(home, ".cache")
		}
		hfHome = filepath.Join(cache, "huggingface")
	}
	if c.CacheDir = expand(getenv("HF_HUB_CACHE"), home); c.CacheDir == "" {
		c.CacheDir = filepath.Join(hfHome, "hub")
	}
	if c.Token = strings.TrimSpace(getenv("HF_TOKEN")); c.Token == "" {
		path := expand(getenv("HF_TOKEN_PATH"), home)
		if path == "" {
			path = filepath.Join(hfHome, "token")
		}
		b, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return c, fmt.Errorf("read hub token: %w", err)
		}
		c.Token = strings.TrimSpace(string(b))
	}
	if s := getenv("HF_HUB_DOWNLOAD_TIMEOUT"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return c, fmt.Errorf("HF_HUB_DOWNLOAD_TIMEOUT %q is not a number of seconds", s)
		}
		c.Timeout = time.Duration(n) * time.Second
	}
	return c, nil
}

// truth reads a switch as huggingface_hub does.
func truth(s string) bool {
	switch strings.ToUpper(s) {
	case "1", "ON", "YES", "TRUE":
		return true
	}
	return false
}

func expand(path, home string) string {
	if path == "~" || strings.HasPrefix(path, "~/") {
		return filepath.Join(home, path[1:])
	}
	return path
}
