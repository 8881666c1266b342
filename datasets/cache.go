package datasets

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// cacheVersion is the version of the encoded form: raised when the same inputs would give other bytes.
const cacheVersion = "pema encoded 1"

// encodedCache is the place of one encoded split. Its name is a hash of all inputs; the file is the canonical bytes and
// their SHA-256, so a truncated or changed file is noticed and made again. Two processes may write it at once: each
// renames a complete file of the same content.
type encodedCache struct{ path string }

func newEncodedCache(dir string, ds *Dataset, s *Split, fingerprint string, maxLength int) encodedCache {
	type source struct {
		Size   int64
		SHA256 string
	}
	var sources []source
	for _, f := range s.Files {
		sources = append(sources, source{f.Size, f.SHA256})
	}
	key, err := json.Marshal(struct {
		Version, LabelRule, SplitRule, Tokenizer string
		Columns                                  Columns
		Labels                                   []string
		NumLabels, MaxLength                     int
		Sources                                  []source
	}{cacheVersion, ds.labelRule, s.rule, fingerprint, ds.Columns, ds.Labels, ds.NumLabels, maxLength, sources})
	if err != nil {
		panic("datasets: cache key: " + err.Error()) // strings and integers always marshal
	}
	sum := sha256.Sum256(key)
	return encodedCache{filepath.Join(dir, hex.EncodeToString(sum[:16])+".encoded")}
}

// read returns the cached form, or nil where there is none or it is damaged.
func (c encodedCache) read() *Encoded {
	b, err := os.ReadFile(c.path)
	if err != nil || len(b) < sha256.Size {
		return nil
	}
	body := b[:len(b)-sha256.Size]
	if sha256.Sum256(body) != [sha256.Size]byte(b[len(body):]) {
		return nil
	}
	e, _ := parseEncoded(body)
	return e
}

func (c encodedCache) write(e *Encoded) error {
	err := writeAtomic(c.path, func(w io.Writer) error {
		h := sha256.New()
		if err := e.writeTo(io.MultiWriter(w, h)); err != nil {
			return err
		}
		_, err := w.Write(h.Sum(nil))
		return err
	})
	if err != nil {
		return fmt.Errorf("write encoded cache: %w", err)
	}
	return nil
}

// writeAtomic makes the file at path by temp, fsync and rename; its folder is made if need be. On an error nothing is
// left behind and an older file stays.
func writeAtomic(path string, write func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp*")
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	if err = write(w); err == nil {
		err = w.Flush()
	}
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
