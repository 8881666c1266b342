package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Client fetches files. It may be used by several goroutines.
type Client struct {
	cfg   Config
	cache cache
	http  *http.Client
	host  *url.URL
	free  func(dir string) (uint64, error) // bytes that may still be written
}

// New makes a client. Nothing is opened before the first call.
func New(cfg Config) (*Client, error) {
	u, err := url.Parse(cfg.Endpoint)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("hub endpoint %q is not an address", cfg.Endpoint)
	}
	if cfg.CacheDir == "" {
		return nil, errors.New("hub client: no cache folder")
	}
	cfg.Endpoint = strings.TrimRight(cfg.Endpoint, "/")
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.Attempts <= 0 {
		cfg.Attempts = 6
	}
	if cfg.Parallel <= 0 {
		cfg.Parallel = 4
	}
	if cfg.Sleep == nil {
		cfg.Sleep = sleep
	}
	transport := cfg.Transport
	if transport == nil {
		transport = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: cfg.Timeout}).DialContext,
			TLSHandshakeTimeout:   cfg.Timeout,
			ResponseHeaderTimeout: cfg.Timeout,
			MaxIdleConnsPerHost:   cfg.Parallel,
			DisableCompression:    true, // bytes as they are: sizes and hashes are of these
			ForceAttemptHTTP2:     true,
		}
	}
	return &Client{
		cfg:   cfg,
		cache: cache{root: cfg.CacheDir, copies: cfg.Copies},
		host:  u,
		free:  FreeSpace,
		http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // redirects are followed by fetch, which knows what may be sent where
		}},
	}, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Info is a repository at one commit.
type Info struct {
	Commit string
	Files  []FileInfo
}

// FileInfo is one file of a repository as the hub describes it.
type FileInfo struct {
	Path   string
	Size   int64  // -1 where the hub does not say
	SHA256 string // of large files; empty for others
	BlobID string // git's SHA-1 of small files; of large ones that of the pointer
}

// maxInfo bounds the hub's JSON.
const maxInfo = 64 << 20

// Info asks the hub for the commit and the files of a repository.
func (c *Client) Info(ctx context.Context, repo Repo) (*Info, error) {
	if err := repo.check(); err != nil {
		return nil, err
	}
	if c.cfg.Offline {
		return nil, fmt.Errorf("list %s: %w", repo, ErrOffline)
	}
	var info *Info
	err := c.retry(ctx, func() error {
		resp, cancel, err := c.fetch(ctx, http.MethodGet, c.infoURL(repo), nil, true)
		if err != nil {
			return err
		}
		defer cancel()
		defer resp.Body.Close()
		if err := statusError(resp); err != nil {
			return err
		}
		b, err := io.ReadAll(io.LimitReader(resp.Body, maxInfo+1))
		if err != nil {
			return again(err)
		}
		info, err = parseInfo(b)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list %s at %s: %w", repo, repo.revision(), err)
	}
	return info, nil
}

// parseInfo reads the hub's description of a repository. Names that could leave a folder are an error.
func parseInfo(b []byte) (*Info, error) {
	if len(b) > maxInfo {
		return nil, fmt.Errorf("the hub's answer is longer than %d MiB", maxInfo>>20)
	}
	var raw struct {
		SHA      string `json:"sha"`
		Siblings []struct {
			Name   string `json:"rfilename"`
			Size   *int64 `json:"size"`
			BlobID string `json:"blobId"`
			LFS    *struct {
				SHA256 string `json:"sha256"`
				Size   int64  `json:"size"`
			} `json:"lfs"`
		} `json:"siblings"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return nil, fmt.Errorf("the hub's answer is not understood: %w", err)
	}
	if !isHex(raw.SHA, 40) {
		return nil, fmt.Errorf("the hub's answer names no commit: sha is %.60q", raw.SHA)
	}
	info := &Info{Commit: raw.SHA}
	for _, s := range raw.Siblings {
		if !safePath(s.Name) {
			return nil, fmt.Errorf("the hub lists a file of unsafe name %.200q", s.Name)
		}
		f := FileInfo{Path: s.Name, Size: -1, BlobID: s.BlobID}
		if s.Size != nil {
			f.Size = *s.Size
		}
		if s.LFS != nil {
			if !isHex(s.LFS.SHA256, 64) {
				return nil, fmt.Errorf("the hub gives no SHA-256 for %s", s.Name)
			}
			f.SHA256, f.Size = s.LFS.SHA256, s.LFS.Size
		}
		if f.Size < -1 || (f.BlobID != "" && !isHex(f.BlobID, 40)) {
			return nil, fmt.Errorf("the hub describes %s with size %d and blob %.60q", s.Name, f.Size, f.BlobID)
		}
		info.Files = append(info.Files, f)
	}
	return info, nil
}

// LocalFile is a file in the cache.
type LocalFile struct {
	Path   string // in the snapshot of its commit
	Commit string
	Size   int64
	ETag   string // SHA-256 (64 hex digits) or git's SHA-1 (40); empty where the cache does not tell
}

// File returns a file of a repository, from the cache or fetched. A branch that was resolved before is not asked for
// again: what the cache has for it is used, so a second call opens no socket.
func (c *Client) File(ctx context.Context, repo Repo, file string, pin Pin) (LocalFile, error) {
	if err := repo.check(); err != nil {
		return LocalFile{}, err
	}
	if !safePath(file) {
		return LocalFile{}, fmt.Errorf("fetch from %s: %q is not a safe file name", repo, file)
	}
	if f, err := c.cache.lookup(repo, file); err == nil {
		if pin.Size != 0 && f.Size != pin.Size {
			return LocalFile{}, fmt.Errorf("%s in the cache has %d bytes, pinned are %d: delete %s to fetch it again: %w",
				file, f.Size, pin.Size, f.Path, ErrChanged)
		}
		if pin.SHA256 != "" && isHex(f.ETag, 64) && f.ETag != pin.SHA256 {
			return LocalFile{}, changed(repo, file, pin, f.Size, f.ETag)
		}
		return f, nil
	} else if errors.Is(err, ErrNotFound) {
		return LocalFile{}, fmt.Errorf("fetch %s from %s: %w", file, repo, err)
	}
	if c.cfg.Offline {
		return LocalFile{}, fmt.Errorf("%s of %s at %s is not in the cache %s: %w; fetch it while there is a network "+
			"(unset HF_HUB_OFFLINE, then pema fetch or hf download), or point HF_ENDPOINT to a mirror",
			file, repo, repo.revision(), c.cfg.CacheDir, ErrOffline)
	}
	f, err := c.download(ctx, repo, file, pin)
	if err != nil {
		return LocalFile{}, fmt.Errorf("fetch %s from %s at %s: %w", file, repo, repo.revision(), err)
	}
	return f, nil
}

// Want is one file to fetch.
type Want struct {
	Repo Repo
	Path string
	Pin  Pin
}

// Files fetches several files at once and returns them in the order asked for. The first error ends the others.
func (c *Client) Files(ctx context.Context, want []Want) ([]LocalFile, error) {
	out := make([]LocalFile, len(want))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.cfg.Parallel)
	for i, w := range want {
		group.Go(func() (err error) {
			out[i], err = c.File(ctx, w.Repo, w.Path, w.Pin)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// Cached reports whether a file can be had without network.
func (c *Client) Cached(repo Repo, file string) bool {
	if repo.check() != nil || !safePath(file) {
		return false
	}
	_, err := c.cache.lookup(repo, file)
	return err == nil
}

func changed(repo Repo, file string, pin Pin, size int64, hash string) error {
	return fmt.Errorf("%s of %s has %d bytes and SHA-256 %s; pinned are %d bytes and %s: %w; if the change is wanted, "+
		"update the pins (pema fetch --update-pins) and say so beside results",
		file, repo, size, hash, pin.Size, pin.SHA256, ErrChanged)
}
