package results

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"

	"golang.org/x/sync/errgroup"

	"pema/internal/wholefile"
)

// Store keeps the records of an output folder as runs/<id>.json. Several processes may share a folder: a record appears
// whole or not at all, and the last writer of an identity wins. That holds where rename is atomic, so on local disks; a
// network file system may promise less.
type Store struct {
	dir string
}

// Open makes the folder and its runs/ where they are missing.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(filepath.Join(dir, "runs"), 0o755); err != nil {
		return nil, fmt.Errorf("open results: %w", err)
	}
	return &Store{dir: dir}, nil
}

// Dir is the output folder.
func (s *Store) Dir() string { return s.dir }

// Path is the file of a record, there or not.
func (s *Store) Path(id string) string { return filepath.Join(s.dir, "runs", id+".json") }

// Write puts the record on disk: on return it survives a power cut. A record that Validate refuses is not written.
func (s *Store) Write(r *Record) error {
	data, err := Encode(r)
	if err != nil {
		return err
	}
	if err := WriteFile(s.Path(r.ID), data); err != nil {
		return fmt.Errorf("write record %s: %w", r.ID, err)
	}
	return nil
}

// Read returns the record of an identity; errors.Is(err, fs.ErrNotExist) when there is none.
func (s *Store) Read(id string) (*Record, error) {
	if err := checkID(id); err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	data, err := os.ReadFile(s.Path(id))
	if err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	r, err := Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Path(id), err)
	}
	if r.ID != id {
		return nil, fmt.Errorf("%s: holds the record of %s", s.Path(id), r.ID)
	}
	return r, nil
}

// Has says whether the run needs no repeating: its record is whole and it ended as done or as not fitting. A failed run, or one
// whose inputs were absent, is tried again.
func (s *Store) Has(id string) bool {
	r, err := s.Read(id)
	return err == nil && (r.State == Done || r.State == OutOfMemory)
}

// All reads every record, in the order of Less. A record that cannot be read is named in broken and left out; err is
// for a folder that cannot be read at all.
func (s *Store) All() (records []*Record, broken []error, err error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, "runs"))
	if err != nil {
		return nil, nil, fmt.Errorf("read results: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), ".json"); ok && !e.IsDir() && checkID(id) == nil {
			ids = append(ids, id)
		}
	}
	read, errs := make([]*Record, len(ids)), make([]error, len(ids))
	var all errgroup.Group
	all.SetLimit(runtime.GOMAXPROCS(0))
	for i, id := range ids {
		all.Go(func() error {
			read[i], errs[i] = s.Read(id)
			return nil
		})
	}
	_ = all.Wait() // each record's error is its own
	for i, err := range errs {
		switch {
		case errors.Is(err, fs.ErrNotExist): // taken away since the folder was listed
		case err != nil:
			broken = append(broken, err)
		default:
			records = append(records, read[i])
		}
	}
	sort.SliceStable(records, func(i, j int) bool { return Less(records[i], records[j]) })
	return records, broken, nil
}

// Less orders records by spec, model, dataset, variant, seed, then end time and identity.
func Less(a, b *Record) bool {
	for _, p := range [][2]string{{a.Spec.Name, b.Spec.Name}, {a.Model, b.Model}, {a.Dataset, b.Dataset}, {a.Variant, b.Variant}} {
		if p[0] != p[1] {
			return p[0] < p[1]
		}
	}
	if a.Seed != b.Seed {
		return a.Seed < b.Seed
	}
	if !a.Finished.Equal(b.Finished) {
		return a.Finished.Before(b.Finished)
	}
	return a.ID < b.ID
}

// WriteFile replaces a file as a whole: see wholefile.
func WriteFile(path string, data []byte) error {
	return wholefile.Write(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}
