package results

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// Lock takes a run for this process, so that runners on one folder share the work. A nil unlock says that another one holds it.
// The system frees it when the process ends, however it ends.
func (s *Store) Lock(id string) (unlock func(), err error) {
	dir := filepath.Join(s.dir, "locks")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("lock run %s: %w", id, err)
	}
	l := flock.New(filepath.Join(dir, id))
	ok, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock run %s: %w", id, err)
	}
	if !ok {
		return nil, nil
	}
	return func() { _ = l.Unlock() }, nil
}

// Writable finds before a run starts that the folder takes no record.
func (s *Store) Writable() error {
	f, err := os.CreateTemp(filepath.Join(s.dir, "runs"), ".probe")
	if err != nil {
		return fmt.Errorf("the output folder takes no records: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(make([]byte, 64<<10)) // more than a record, so that a full disk shows
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("the output folder takes no records: %w", err)
	}
	return nil
}
