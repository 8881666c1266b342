package report

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"pema/results"
)

// News says what Watch has just done.
type News struct {
	Records, Added int
	States         map[results.State]int
	Broken         []error // records that cannot be read
	Took           time.Duration
	Err            error // the report could not be made; the next change tries again
}

func (n News) String() string {
	if n.Err != nil {
		return "no report: " + n.Err.Error()
	}
	if n.Records == 0 {
		return "no records yet"
	}
	parts := []string{plural(n.Records, "record")}
	if n.Added != 0 && n.Added != n.Records {
		parts[0] += fmt.Sprintf(" (%+d)", n.Added)
	}
	for _, s := range []struct {
		state results.State
		words string
	}{{results.Done, "done"}, {results.OutOfMemory, "do not fit"}, {results.Failed, "failed"}} {
		if k := n.States[s.state]; k > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", k, s.words))
		}
	}
	if len(n.Broken) > 0 {
		parts = append(parts, fmt.Sprintf("%d unreadable", len(n.Broken)))
	}
	return strings.Join(parts, ", ") + fmt.Sprintf("; report made in %.1f s", n.Took.Seconds())
}

// Watch makes the report in the store's folder, and makes it anew after its records change, until the context ends. It looks
// every so often, and rests ten times as long as the last making took, so that a sweep on the same machine keeps its cores.
// A report that cannot be made is news and no end.
func Watch(ctx context.Context, store *results.Store, every time.Duration, tell func(News)) error {
	last, before := "never looked", 0
	for {
		rest := every
		now, err := stamp(store.Dir())
		if err != nil {
			return err
		}
		if now != last {
			start := time.Now()
			n := remake(store)
			n.Took = time.Since(start)
			n.Added, before, last = n.Records-before, n.Records, now
			rest = max(every, 10*n.Took)
			tell(n)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(rest):
		}
	}
}

func remake(store *results.Store) (n News) {
	records, broken, err := store.All()
	n = News{Records: len(records), Broken: broken, States: map[results.State]int{}, Err: err}
	for _, r := range records {
		n.States[r.State]++
	}
	if n.Err != nil || n.Records == 0 {
		return n
	}
	r, err := Build(records)
	if err == nil {
		err = Write(store.Dir(), r)
	}
	n.Err = err
	return n
}

// stamp changes when a record is added, replaced or taken away.
func stamp(dir string) (string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "runs"))
	if err != nil {
		return "", fmt.Errorf("watch results: %w", err)
	}
	var b strings.Builder
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if st, err := e.Info(); err == nil {
			fmt.Fprintln(&b, e.Name(), st.Size(), st.ModTime().UnixNano())
		}
	}
	return b.String(), nil
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
