package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// cache is the layout that huggingface_hub uses:
//
//	models--org--name/blobs/<etag>                     contents
//	models--org--name/snapshots/<commit>/<path>        relative links to the blobs, or copies
//	models--org--name/refs/<branch>                    commit of a branch
//	models--org--name/.no_exist/<commit>/<path>        files that are known not to be there
//	.locks/models--org--name/<etag>.lock
type cache struct {
	root   string
	copies bool
}

func (c cache) blob(r Repo, etag string) string {
	return filepath.Join(c.root, r.folder(), "blobs", etag)
}

func (c cache) snapshot(r Repo, commit, file string) string {
	return filepath.Join(c.root, r.folder(), "snapshots", commit, filepath.FromSlash(file))
}

// commit resolves the revision by the cache alone; empty where it does not know.
func (c cache) commit(r Repo) string {
	if isHex(r.revision(), 40) {
		return r.revision()
	}
	b, err := os.ReadFile(filepath.Join(c.root, r.folder(), "refs", filepath.FromSlash(r.revision())))
	if commit := strings.TrimSpace(string(b)); err == nil && isHex(commit, 40) {
		return commit
	}
	return ""
}

var errNotCached = errors.New("not in the cache")

// lookup finds a file in the cache. ErrNotFound: the commit is known not to have it. A link to a blob that is gone counts
// as nothing.
func (c cache) lookup(r Repo, file string) (LocalFile, error) {
	commit := c.commit(r)
	if commit == "" {
		return LocalFile{}, errNotCached
	}
	path := c.snapshot(r, commit, file)
	info, err := os.Stat(path)
	if err == nil && info.Mode().IsRegular() {
		f := LocalFile{Path: path, Commit: commit, Size: info.Size()}
		if to, err := os.Readlink(path); err == nil {
			if name := filepath.Base(to); isHex(name, 40) || isHex(name, 64) {
				f.ETag = name
			}
		}
		return f, nil
	}
	if _, err := os.Stat(filepath.Join(c.root, r.folder(), ".no_exist", commit, filepath.FromSlash(file))); err == nil {
		return LocalFile{}, fmt.Errorf("the repository has no such file at %s: %w", commit, ErrNotFound)
	}
	return LocalFile{}, errNotCached
}

// markMissing remembers that a commit does not have a file. It is a help only: an error is of no matter.
func (c cache) markMissing(r Repo, commit, file string) {
	path := filepath.Join(c.root, r.folder(), ".no_exist", commit, filepath.FromSlash(file))
	if os.MkdirAll(filepath.Dir(path), 0o777) == nil {
		if f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644); err == nil {
			f.Close()
		}
	}
	c.writeRef(r, commit)
}

// publish makes the snapshot entry of a blob and the branch's ref, and returns the entry's path.
func (c cache) publish(r Repo, commit, file, blob string) (string, error) {
	path := c.snapshot(r, commit, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return "", err
	}
	if err := c.link(blob, path); err != nil {
		return "", err
	}
	return path, c.writeRef(r, commit)
}

// link places blob at path: a relative link made beside and renamed, so that two processes may do it at once; a copy
// where links do not work.
func (c cache) link(blob, path string) error {
	if !c.copies {
		target, err := filepath.Rel(filepath.Dir(path), blob)
		if err != nil {
			return err
		}
		if to, err := os.Readlink(path); err == nil && to == target {
			return nil
		}
		temp, err := tempName(path)
		if err != nil {
			return err
		}
		if os.Symlink(target, temp) == nil {
			if err := os.Rename(temp, path); err != nil {
				os.Remove(temp)
				return err
			}
			return nil
		}
	}
	return copyFile(blob, path)
}

// tempName reserves nothing: it returns a name beside path that no other process uses.
func tempName(path string) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp*")
	if err != nil {
		return "", err
	}
	f.Close()
	return f.Name(), os.Remove(f.Name())
}

func (c cache) writeRef(r Repo, commit string) error {
	if isHex(r.revision(), 40) || c.commit(r) == commit {
		return nil
	}
	path := filepath.Join(c.root, r.folder(), "refs", filepath.FromSlash(r.revision()))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return writeAtomic(path, strings.NewReader(commit))
}

// lock keeps other processes from the same blob. It degrades: on file systems without locks, locked is false; where locks
// only seem to work, the check of every blob before its rename is what keeps the cache whole.
func (c cache) lock(ctx context.Context, r Repo, etag string) (unlock func(), locked bool, err error) {
	path := filepath.Join(c.root, ".locks", r.folder(), etag+".lock")
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return func() {}, false, nil
	}
	l := flock.New(path)
	if _, err := l.TryLockContext(ctx, 50*time.Millisecond); err != nil {
		return func() {}, false, ctx.Err()
	}
	return func() { l.Unlock() }, true, nil
}

func copyFile(from, to string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	return writeAtomic(to, f)
}

// writeAtomic makes a file by temp, fsync and rename.
func writeAtomic(path string, r io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp*")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
