package datasets

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
)

// FileOptions says how labels and splits are made from local files. The zero value discovers the labels and splits a
// single file by hash.
type FileOptions struct {
	Labels     []string // names of the classes in order; nil: discovered
	LabelAbove *float64 // two classes: 0, and 1 for scores above this threshold
	Regression bool     // the label is a score

	// Split makes one split of this name from the whole file; empty: train and validation by a fixed hash.
	Split string
	// Validation is the share of the validation split made by hash; 0 = 0.1.
	Validation float64
}

// SplitFile is a local file that is one split.
type SplitFile struct{ Split, Path string }

// OpenFile opens a local file of examples: .csv, .tsv (also .txt), .jsonl (also .ndjson) or .parquet.
//
// CSV follows RFC 4180. In TSV a field is quoted only where it begins with a quote and ends with one before the next
// tab; any other quote belongs to the text. A byte order mark is skipped. Columns that are numbers ("1", "2") mean a
// CSV or TSV file without a header.
//
// Labels: with LabelAbove or Regression they are numbers. Else they are classes: Labels names them, by name or by index;
// without Labels the distinct values in ascending order (numbers by value) are the classes, and a column with numbers
// that are not integers is a regression, as in the Hugging Face examples.
//
// Without opt.Split the file becomes two splits: an example is in validation when the first eight bytes of the SHA-256
// of its text (for pairs: text, a zero byte, pair), as a big-endian fraction of 2^64, are below the share. So the split
// depends on nothing but the example itself, and equal examples are never on both sides.
//
// The file is read once now: for its hash, its rows, its labels. Errors name the row, counted from 1 without header.
func OpenFile(ctx context.Context, path string, cols Columns, opt FileOptions) (*Dataset, error) {
	if opt.Split != "" {
		return OpenFiles(ctx, []SplitFile{{opt.Split, path}}, cols, opt)
	}
	share := opt.Validation
	if share == 0 {
		share = 0.1
	}
	if !(share > 0 && share < 1) {
		return nil, fmt.Errorf("open %s: share of validation %v is not between 0 and 1", path, share)
	}
	parts := []localPart{{path: path, splits: []string{"train", "validation"}, share: share}}
	return openLocal(ctx, filepath.Base(path), parts, cols, opt)
}

// OpenFiles opens several local files, each of which is one split. opt.Split and opt.Validation have no meaning here.
func OpenFiles(ctx context.Context, files []SplitFile, cols Columns, opt FileOptions) (*Dataset, error) {
	if len(files) == 0 {
		return nil, errors.New("open files: no file given")
	}
	var parts []localPart
	var names []string
	for _, f := range files {
		parts = append(parts, localPart{path: f.Path, splits: []string{f.Split}})
		names = append(names, filepath.Base(f.Path))
	}
	return openLocal(ctx, strings.Join(names, "+"), parts, cols, opt)
}

// localPart is one file and the one or two splits that its rows go to.
type localPart struct {
	path   string
	splits []string
	share  float64 // of the second split
}

// side is the index in p.splits of an example.
func (p *localPart) side(text, pair string, hasPair bool) int {
	if len(p.splits) == 1 {
		return 0
	}
	if fraction(text, pair, hasPair) < p.share {
		return 1
	}
	return 0
}

// fraction maps an example to [0,1).
func fraction(text, pair string, hasPair bool) float64 {
	b := append(make([]byte, 0, 512), text...)
	if hasPair {
		b = append(append(b, 0), pair...)
	}
	sum := sha256.Sum256(b)
	return float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
}

func openLocal(ctx context.Context, name string, parts []localPart, cols Columns, opt FileOptions) (*Dataset, error) {
	if cols.Text == "" {
		return nil, fmt.Errorf("open %s: no text column named", name)
	}
	labels, err := newLabelMaker(cols, opt)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	ds := &Dataset{Name: name, Columns: cols}
	for i := range parts {
		p := &parts[i]
		file, err := statFile(filepath.Base(p.path), p.path)
		if err != nil {
			return nil, err
		}
		counts := make([]int64, len(p.splits))
		for row, err := range openRows(ctx, p.path, cols) {
			if err == nil && cols.Label != "" {
				err = labels.see(row.label)
			}
			if err != nil {
				return nil, rowError(p.path, row.n, err)
			}
			counts[p.side(row.text, row.pair, cols.Pair != "")]++
		}
		for k, split := range p.splits {
			if counts[k] == 0 {
				return nil, fmt.Errorf("open %s: split %s is empty%s", p.path, split, emptyHint(p, counts))
			}
			s := &Split{Name: split, Rows: counts[k], Labelled: cols.Label != "", Files: []File{file}}
			if len(p.splits) > 1 {
				s.rule = fmt.Sprintf("sha256 fraction %v part %d", p.share, k)
			}
			ds.Splits = append(ds.Splits, s)
		}
	}
	if err := labels.finish(); err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	ds.Labels, ds.NumLabels, ds.labelRule = labels.names, labels.num, labels.rule()
	ds.Metrics = []string{"accuracy"}
	if ds.Regression() {
		ds.Metrics = []string{"pearson", "spearmanr"}
	}
	for i := range parts {
		p := &parts[i]
		for k, split := range p.splits {
			s, err := ds.Split(split)
			if err != nil {
				return nil, err
			}
			s.examples = func(ctx context.Context) iter.Seq2[Example, error] { return localExamples(ctx, p, k, cols, labels) }
		}
	}
	return ds, nil
}

func emptyHint(p *localPart, counts []int64) string {
	total := int64(0)
	for _, n := range counts {
		total += n
	}
	if total == 0 {
		return ": the file has no rows"
	}
	return fmt.Sprintf(": the hash put all %d rows into the other split; give a file of its own for each split, or another share", total)
}

func localExamples(ctx context.Context, p *localPart, side int, cols Columns, labels *labelMaker) iter.Seq2[Example, error] {
	return func(yield func(Example, error) bool) {
		for row, err := range openRows(ctx, p.path, cols) {
			if err == nil && p.side(row.text, row.pair, cols.Pair != "") != side {
				continue
			}
			ex := Example{Text: row.text, Pair: row.pair, Label: Hidden}
			if err == nil && cols.Label != "" {
				ex.Label, err = labels.label(row.label)
			}
			if err != nil {
				yield(Example{}, rowError(p.path, row.n, err))
				return
			}
			if !yield(ex, nil) {
				return
			}
		}
	}
}

// row is one row of any format.
type row struct {
	n          int64 // counted from 1, without header
	text, pair string
	label      value
}

// rowError adds the file and, where there is one, the row.
func rowError(path string, n int64, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if n > 0 {
		return fmt.Errorf("%s: row %d: %w", path, n, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// openRows streams the rows of a file by its extension.
func openRows(ctx context.Context, path string, cols Columns) iter.Seq2[row, error] {
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".csv":
		return textRows(ctx, path, func(r io.Reader, yield func(row, error) bool) { readCSV(r, cols, yield) })
	case ".tsv", ".txt":
		return textRows(ctx, path, func(r io.Reader, yield func(row, error) bool) { readTSV(r, cols, yield) })
	case ".jsonl", ".ndjson":
		return textRows(ctx, path, func(r io.Reader, yield func(row, error) bool) { readJSONL(r, cols, yield) })
	case ".parquet":
		return parquetRows(ctx, path, cols)
	default:
		return func(yield func(row, error) bool) {
			yield(row{}, fmt.Errorf("extension %q is not known: use .csv, .tsv, .txt, .jsonl, .ndjson or .parquet", ext))
		}
	}
}

// missingColumn is the error for a column that a file does not have.
func missingColumn(name string, have []string) error {
	return fmt.Errorf("no column %q; there are %s", name, strings.Join(have, ", "))
}

// statFile hashes a file.
func statFile(name, path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, fmt.Errorf("open data: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.CopyBuffer(h, struct{ io.Reader }{f}, make([]byte, 1<<20))
	if err != nil {
		return File{}, fmt.Errorf("read data: %w", err)
	}
	return File{Name: name, Path: path, Size: n, SHA256: hex.EncodeToString(h.Sum(nil))}, nil
}
