package hub

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
)

// Kind is the kind of a repository.
type Kind string

const (
	Model   Kind = "models"
	Dataset Kind = "datasets"
)

// Repo names a repository at a revision.
type Repo struct {
	Kind     Kind
	ID       string // org/name, or name alone
	Revision string // branch, tag or commit; empty = main
}

// Pin is what a file must be. Zero fields are not checked.
type Pin struct {
	Size   int64
	SHA256 string // hex
}

// Errors that callers tell apart.
var (
	ErrNotFound = errors.New("not found")            // no such file, revision or repository
	ErrDenied   = errors.New("access denied")        // gated or private
	ErrOffline  = errors.New("offline")              // not in the cache, and the network is not to be used
	ErrChanged  = errors.New("not the pinned bytes") // the hub has other bytes than the pin
	errCorrupt  = errors.New("damaged in transit")   // size or hash is wrong
)

func (r Repo) revision() string {
	if r.Revision == "" {
		return "main"
	}
	return r.Revision
}

// String is kind-free for models, as in addresses.
func (r Repo) String() string {
	if r.Kind == Dataset {
		return "datasets/" + r.ID
	}
	return r.ID
}

// folder is the repository's folder in a cache.
func (r Repo) folder() string { return string(r.Kind) + "--" + strings.ReplaceAll(r.ID, "/", "--") }

func (r Repo) check() error {
	if r.Kind != Model && r.Kind != Dataset {
		return fmt.Errorf("hub repository %q: kind %q is neither models nor datasets", r.ID, r.Kind)
	}
	if strings.Count(r.ID, "/") > 1 || strings.Contains(r.ID, "--") || !safePath(r.ID) {
		return fmt.Errorf("hub repository %q: the id is not org/name", r.ID)
	}
	if !safePath(r.revision()) {
		return fmt.Errorf("hub repository %s: revision %q is not a name", r.ID, r.Revision)
	}
	return nil
}

// safePath reports whether p is a relative path that stays below its root and means the same on every system.
func safePath(p string) bool {
	if p == "" || len(p) > 1024 || path.Clean(p) != p || path.IsAbs(p) || strings.ContainsAny(p, "\\:*?\"<>|\x00") {
		return false
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == "." || part == ".." {
			return false
		}
	}
	for _, c := range p {
		if c < 0x20 || c == 0x7f {
			return false
		}
	}
	return true
}

// isHex reports whether s is n lower-case hex digits: a commit (40), a git blob (40), a SHA-256 (64).
func isHex(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}

// escape escapes each part of a path for a URL.
func escape(p string) string {
	parts := strings.Split(p, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

// resolveURL is the address of a file. A revision with a slash, such as refs/pr/1, is one escaped part.
func (c *Client) resolveURL(r Repo, file string) string {
	prefix := ""
	if r.Kind == Dataset {
		prefix = "datasets/"
	}
	return c.cfg.Endpoint + "/" + prefix + escape(r.ID) + "/resolve/" + url.PathEscape(r.revision()) + "/" + escape(file)
}

func (c *Client) infoURL(r Repo) string {
	return c.cfg.Endpoint + "/api/" + string(r.Kind) + "/" + escape(r.ID) + "/revision/" + url.PathEscape(r.revision()) + "?blobs=true"
}
