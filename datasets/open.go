package datasets

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go/format"
	"golang.org/x/sync/errgroup"
)

// OpenOptions says what of a registered dataset is opened.
type OpenOptions struct {
	Splits  []string // splits to fetch; nil = all
	Partial bool     // accept files with fewer rows than published; such splits are marked Partial
}

// Open opens a dataset of the registry: glue/cola, xnli/de, xnli/de+fr, xnli/all. Its files are fetched through src,
// hashed, and their columns and row counts checked against what is published; labels are checked while they are read.
func Open(ctx context.Context, name string, src Source, opt OpenOptions) (*Dataset, error) {
	t, err := find(name)
	if err != nil {
		return nil, err
	}
	splits, err := t.choose(opt.Splits)
	if err != nil {
		return nil, err
	}
	ds := &Dataset{Name: name, Columns: t.columns, Labels: t.labels, NumLabels: max(1, len(t.labels)), Metrics: t.metrics, labelRule: "registry"}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for _, s := range splits {
		split := &Split{Name: s.name, Labelled: !s.hidden, Files: make([]File, len(s.files))}
		ds.Splits = append(ds.Splits, split)
		for i, path := range s.files {
			group.Go(func() (err error) {
				split.Files[i], err = src.Fetch(gctx, t.repo, path)
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	for i, s := range splits {
		split := ds.Splits[i]
		for _, f := range split.Files {
			rows, err := t.check(f)
			if err == nil && rows != s.rows {
				if rows > s.rows || rows == 0 || !opt.Partial {
					err = fmt.Errorf("expected %d rows, found %d", s.rows, rows)
				}
				split.Partial = true
			}
			if err != nil {
				return nil, fmt.Errorf("open %s, split %s: %s: %w", name, s.name, f.Path, err)
			}
			split.Rows += rows
		}
		split.examples = func(ctx context.Context) iter.Seq2[Example, error] { return t.examples(ctx, split.Files, s.hidden) }
	}
	return ds, nil
}

// choose returns the named splits in the order of the registry.
func (t *task) choose(names []string) ([]taskSplit, error) {
	if names == nil {
		return t.splits, nil
	}
	var have []string
	for _, s := range t.splits {
		have = append(have, s.name)
	}
	for _, n := range names {
		if !slices.Contains(have, n) {
			return nil, fmt.Errorf("dataset %s has no split %q; it has %s", t.name, n, strings.Join(have, ", "))
		}
	}
	var chosen []taskSplit
	for _, s := range t.splits {
		if slices.Contains(names, s.name) {
			chosen = append(chosen, s)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("dataset %s: no split is named", t.name)
	}
	return chosen, nil
}

// check compares a file's schema with the registry and returns its rows.
func (t *task) check(f File) (rows int64, err error) {
	rows, cols, err := parquetInfo(f.Path)
	if err != nil {
		return 0, err
	}
	have := make([]string, len(cols))
	for i, c := range cols {
		have[i] = c.name
	}
	for _, name := range t.columns.names() {
		i := slices.Index(have, name)
		if i < 0 {
			return 0, missingColumn(name, have)
		}
		expected, ok := "a string", cols[i].kind == format.ByteArray && cols[i].text
		if name == t.columns.Label {
			expected, ok = "an integer", cols[i].kind == format.Int64 || cols[i].kind == format.Int32
			if t.labels == nil {
				expected, ok = "a float", cols[i].kind == format.Float || cols[i].kind == format.Double
			}
		}
		if !ok || cols[i].nested {
			return 0, fmt.Errorf("column %q: expected %s, found %v", name, expected, cols[i].kind)
		}
	}
	return rows, nil
}

func (t *task) examples(ctx context.Context, files []File, hidden bool) iter.Seq2[Example, error] {
	return func(yield func(Example, error) bool) {
		for _, f := range files {
			for row, err := range parquetRows(ctx, f.Path, t.columns) {
				ex := Example{Text: row.text, Pair: row.pair}
				if err == nil {
					ex.Label, err = t.label(row.label, hidden)
				}
				if err != nil {
					yield(Example{}, rowError(f.Path, row.n, err))
					return
				}
				if !yield(ex, nil) {
					return
				}
			}
		}
	}
}

// label checks a label against the registry: -1 where labels are hidden, else a class or a score from 0 to 5.
func (t *task) label(v value, hidden bool) (float32, error) {
	switch {
	case v.kind == noValue:
		return 0, errors.New("label is empty")
	case hidden && v.num != Hidden:
		return 0, fmt.Errorf("label %v where hidden ones (-1) are expected", v)
	case hidden:
	case t.labels == nil && !(v.num >= 0 && v.num <= 5):
		return 0, fmt.Errorf("score %v is out of range: expected 0 to 5", v)
	case t.labels != nil && (v.num < 0 || v.num >= float64(len(t.labels))):
		return 0, fmt.Errorf("label %v is out of range: there are %d classes, 0 to %d", v, len(t.labels), len(t.labels)-1)
	}
	return float32(v.num), nil
}
