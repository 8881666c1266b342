package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// remote is what the hub says of a file.
type remote struct {
	commit string
	etag   string
	size   int64
}

// head asks the hub for a file's commit, etag and size, without its bytes.
func (c *Client) head(ctx context.Context, repo Repo, file string) (remote, error) {
	var r remote
	err := c.retry(ctx, func() error {
		resp, cancel, err := c.fetch(ctx, http.MethodHead, c.resolveURL(repo, file), nil, false)
		if err != nil {
			return err
		}
		defer cancel()
		defer resp.Body.Close()
		if redirect(resp) == "" {
			if err := statusError(resp); err != nil {
				if commit := resp.Header.Get("X-Repo-Commit"); isHex(commit, 40) && resp.Header.Get("X-Error-Code") == "EntryNotFound" {
					c.cache.markMissing(repo, commit, file)
				}
				return err
			}
		}
		r, err = remoteOf(resp)
		return err
	})
	return r, err
}

func remoteOf(resp *http.Response) (remote, error) {
	r := remote{commit: resp.Header.Get("X-Repo-Commit"), etag: etagOf(resp)}
	if !isHex(r.commit, 40) {
		return r, fmt.Errorf("the answer names no commit (X-Repo-Commit is %.60q): is the endpoint a hub?", r.commit)
	}
	if !isHex(r.etag, 40) && !isHex(r.etag, 64) {
		return r, fmt.Errorf("the answer's etag %.80q is neither a SHA-256 nor a git SHA-1: the file could not be verified", r.etag)
	}
	size := resp.Header.Get("X-Linked-Size")
	if size == "" && redirect(resp) == "" { // a redirect's own length says nothing
		size = resp.Header.Get("Content-Length")
	}
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || n < 0 {
		return r, fmt.Errorf("the answer gives no size")
	}
	r.size = n
	return r, nil
}

func etagOf(resp *http.Response) string {
	etag := resp.Header.Get("X-Linked-Etag")
	if etag == "" {
		etag = resp.Header.Get("ETag")
	}
	return strings.Trim(strings.TrimPrefix(etag, "W/"), `"`)
}

// download brings a file into the cache. A file that changes between HEAD and GET is looked up anew.
func (c *Client) download(ctx context.Context, repo Repo, file string, pin Pin) (LocalFile, error) {
	const rounds = 3
	for round := 1; ; round++ {
		r, err := c.head(ctx, repo, file)
		if err != nil {
			return LocalFile{}, err
		}
		if isHex(repo.revision(), 40) && r.commit != repo.revision() {
			return LocalFile{}, fmt.Errorf("the hub answers with commit %s", r.commit)
		}
		if (pin.Size != 0 && r.size != pin.Size) || (pin.SHA256 != "" && isHex(r.etag, 64) && r.etag != pin.SHA256) {
			return LocalFile{}, changed(repo, file, pin, r.size, r.etag)
		}
		f, err := c.store(ctx, repo, file, r, pin)
		if errors.Is(err, errMoved) && round < rounds {
			continue
		}
		return f, err
	}
}

var errMoved = errors.New("the file changed while it was fetched")

// store makes the blob, if it is not there, and the snapshot entry.
func (c *Client) store(ctx context.Context, repo Repo, file string, r remote, pin Pin) (LocalFile, error) {
	blob := c.cache.blob(repo, r.etag)
	if !hasSize(blob, r.size) {
		unlock, locked, err := c.cache.lock(ctx, repo, r.etag)
		if err != nil {
			return LocalFile{}, err
		}
		defer unlock()
		if !hasSize(blob, r.size) { // another process may have made it meanwhile
			if err := c.fill(ctx, repo, file, r, pin, blob, locked); err != nil {
				return LocalFile{}, err
			}
		}
	}
	path, err := c.cache.publish(repo, r.commit, file, blob)
	if err != nil {
		return LocalFile{}, fmt.Errorf("place it in the cache: %w", err)
	}
	return LocalFile{Path: path, Commit: r.commit, Size: r.size, ETag: r.etag}, nil
}

func hasSize(path string, size int64) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Size() == size
}

// fill downloads a blob: into a partial file named by the etag, which another process goes on with if this one dies; the
// blob appears by rename once size and hashes are right. A complete partial with a wrong hash is thrown away. Without a
// lock the partial is this process's own, and nobody goes on with it.
func (c *Client) fill(ctx context.Context, repo Repo, file string, r remote, pin Pin, blob string, locked bool) error {
	if err := os.MkdirAll(filepath.Dir(blob), 0o777); err != nil {
		return err
	}
	partial := blob + ".incomplete"
	if !locked {
		f, err := os.CreateTemp(filepath.Dir(blob), filepath.Base(blob)+".*.incomplete")
		if err != nil {
			return err
		}
		f.Close()
		partial = f.Name()
		defer os.Remove(partial)
	}
	corrupt := 0
	return c.retry(ctx, func() error {
		err := c.transfer(ctx, repo, file, r, partial)
		if err == nil {
			err = c.finish(repo, file, r, pin, partial, blob)
		}
		if errors.Is(err, errCorrupt) {
			os.Remove(partial)
			if corrupt++; corrupt < 3 {
				return again(err)
			}
			var r *retryable
			if errors.As(err, &r) {
				return r.err
			}
		}
		return err
	})
}

// transfer appends what is missing to the partial file. Bytes that are there are never cut off or written over in place:
// where locks do nothing, another process may have the file open, or have given it its name already. To begin anew is to
// begin a new file.
func (c *Client) transfer(ctx context.Context, repo Repo, file string, r remote, partial string) error {
	have := int64(0)
	if info, err := os.Stat(partial); err == nil {
		have = info.Size()
	}
	if have == r.size && have > 0 {
		return nil
	}
	if have > r.size {
		have = 0
	}
	if free, err := c.free(filepath.Dir(partial)); err == nil && free < uint64(r.size-have) {
		return fmt.Errorf("the disk of %s has %d MiB free, %d are needed", filepath.Dir(partial), free>>20, uint64(r.size-have)>>20+1)
	}
	header := http.Header{}
	if have > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	at := Repo{repo.Kind, repo.ID, r.commit} // the commit that HEAD named, whatever the branch does meanwhile
	resp, cancel, err := c.fetch(ctx, http.MethodGet, c.resolveURL(at, file), header, true)
	if err != nil {
		return err
	}
	defer cancel()
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusPartialContent && have > 0:
		if start, total, ok := contentRange(resp); !ok || start != have || (total >= 0 && total != r.size) {
			os.Remove(partial)
			return again(fmt.Errorf("the answer's range %.60q does not go on at %d of %d bytes", resp.Header.Get("Content-Range"), have, r.size))
		}
	case resp.StatusCode == http.StatusOK:
		have = 0 // the whole file, whatever was asked for
		if n := resp.ContentLength; n >= 0 && n != r.size {
			return fmt.Errorf("%w: HEAD said %d bytes, GET says %d", errMoved, r.size, n)
		}
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		os.Remove(partial)
		return again(errors.New("the hub cannot go on where the download stopped"))
	default:
		if err := statusError(resp); err != nil {
			return err
		}
		return fmt.Errorf("the hub answers %d to a download", resp.StatusCode)
	}
	if etag := etagOf(resp); (isHex(etag, 40) || isHex(etag, 64)) && len(etag) == len(r.etag) && etag != r.etag {
		return errMoved
	}
	if have == 0 {
		if err := os.Remove(partial); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	f, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(have, io.SeekStart); err != nil {
		return err
	}
	body := io.LimitReader(resp.Body, r.size-have+1)
	n, err := io.CopyBuffer(struct{ io.Writer }{f}, &progressReader{body, c.cfg.Progress, Progress{repo.String(), file, have, r.size}}, make([]byte, 256<<10))
	if errors.As(err, new(*os.PathError)) {
		return err // the disk, not the network
	}
	switch {
	case err != nil:
		return again(fmt.Errorf("after %d of %d bytes: %w", have+n, r.size, err))
	case have+n < r.size:
		return again(fmt.Errorf("the answer ends after %d of %d bytes", have+n, r.size))
	case have+n > r.size:
		return again(fmt.Errorf("the answer goes on after the %d bytes announced: %w", r.size, errCorrupt))
	}
	return f.Sync()
}

// contentRange reads "bytes start-end/total"; total is -1 where it is not told.
func contentRange(resp *http.Response) (start, total int64, ok bool) {
	s, ok := strings.CutPrefix(resp.Header.Get("Content-Range"), "bytes ")
	if !ok {
		return 0, 0, false
	}
	span, size, ok := strings.Cut(s, "/")
	if !ok {
		return 0, 0, false
	}
	first, _, ok := strings.Cut(span, "-")
	start, err := strconv.ParseInt(first, 10, 64)
	if err != nil || !ok {
		return 0, 0, false
	}
	if size == "*" {
		return start, -1, true
	}
	total, err = strconv.ParseInt(size, 10, 64)
	return start, total, err == nil
}

// finish verifies a complete partial file and gives it its name.
func (c *Client) finish(repo Repo, file string, r remote, pin Pin, partial, blob string) error {
	etag, sum, err := hashFile(partial, r.etag)
	if errors.Is(err, os.ErrNotExist) {
		if hasSize(blob, r.size) { // another process was faster
			return nil
		}
		return again(err)
	}
	if err != nil {
		return err
	}
	if etag != r.etag {
		return fmt.Errorf("the bytes hash to %s, the hub names %s: %w", etag, r.etag, errCorrupt)
	}
	if pin.SHA256 != "" && sum != pin.SHA256 {
		os.Remove(partial)
		return changed(repo, file, pin, r.size, sum)
	}
	return os.Rename(partial, blob)
}

// hashFile returns the hash of a file in the form of an etag, git's SHA-1 or SHA-256, and its SHA-256 in any case.
func hashFile(path, like string) (etag, sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", "", err
	}
	large := sha256.New()
	var small hash.Hash
	w := io.Writer(large)
	if len(like) == 40 {
		small = sha1.New()
		fmt.Fprintf(small, "blob %d\x00", info.Size())
		w = io.MultiWriter(large, small)
	}
	if _, err := io.CopyBuffer(w, struct{ io.Reader }{f}, make([]byte, 1<<20)); err != nil {
		return "", "", err
	}
	sum = hex.EncodeToString(large.Sum(nil))
	if small != nil {
		return hex.EncodeToString(small.Sum(nil)), sum, nil
	}
	return sum, sum, nil
}

type progressReader struct {
	r    io.Reader
	tell func(Progress)
	p    Progress
}

func (r *progressReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	if n > 0 && r.tell != nil {
		r.p.Done += int64(n)
		r.tell(r.p)
	}
	return n, err
}
