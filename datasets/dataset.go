// Package datasets holds what is read: the registry of GLUE and XNLI, local CSV, TSV, JSON Lines and Parquet files, and
// the way from their rows to examples and on to token ids. Everything is streamed; a file is never in memory as a whole.
//
// A Dataset names splits; each Split gives a stream of examples and the files it came from, by size and SHA-256, so
// that a record can name its inputs. Encode turns one split into an Encoded through a Tokenizer, on all cores, and
// keeps the outcome on disk under a hash of everything that can change it.
package datasets

import (
	"context"
	"fmt"
	"iter"
	"strings"
)

// Hidden is the label of an example whose label is not known: the hidden test sets of GLUE, or a file without labels.
const Hidden = -1

// Example is one row. Label is the index of the class, or the score of a regression task, or Hidden.
type Example struct {
	Text  string
	Pair  string // second text; only meaningful where the dataset's Columns name one
	Label float32
}

// Columns names the columns of text, second text (empty: single texts) and label (empty: no labels). In a file
// without a header they are numbers counted from 1.
type Columns struct {
	Text, Pair, Label string
}

// names lists the columns that are asked for, in order.
func (c Columns) names() []string {
	var names []string
	for _, n := range []string{c.Text, c.Pair, c.Label} {
		if n != "" {
			names = append(names, n)
		}
	}
	return names
}

// File is one source file by content.
type File struct {
	Name   string // as a record should show it: nyu-mll/glue/cola/train-00000-of-00001.parquet, or a local base name
	Path   string // where it lies
	Size   int64  // bytes
	SHA256 string // hex
}

// Dataset is a named set of splits over the same columns and labels.
type Dataset struct {
	Name      string
	Columns   Columns
	Labels    []string // names of the classes in order; nil for a regression or without labels
	NumLabels int      // classes; 1 = regression; 0 = no labels
	Metrics   []string // what the task is scored by: accuracy, f1, matthews_correlation, pearson, spearmanr
	Splits    []*Split

	labelRule string // how labels were made from the column, part of the identity of the encoded form
}

// Regression reports whether the label is a score.
func (d *Dataset) Regression() bool { return d.NumLabels == 1 }

// HasPair reports whether examples are pairs of texts.
func (d *Dataset) HasPair() bool { return d.Columns.Pair != "" }

// Split returns a split by name; the error names the splits that there are.
func (d *Dataset) Split(name string) (*Split, error) {
	for _, s := range d.Splits {
		if s.Name == name {
			return s, nil
		}
	}
	return nil, fmt.Errorf("dataset %s has no split %q; it has %s", d.Name, name, strings.Join(d.SplitNames(), ", "))
}

// SplitNames lists the splits in order.
func (d *Dataset) SplitNames() []string {
	names := make([]string, len(d.Splits))
	for i, s := range d.Splits {
		names[i] = s.Name
	}
	return names
}

// Split is one part of a dataset.
type Split struct {
	Name     string
	Rows     int64 // examples
	Labelled bool  // false: every label is Hidden
	Partial  bool  // fewer rows than the published split has: to be said beside every result
	Files    []File

	rule     string // how rows of Files were chosen, part of the identity of the encoded form
	examples func(context.Context) iter.Seq2[Example, error]
}

// Examples streams the split in the order of its files. The first error ends the stream. The stream can be taken again.
func (s *Split) Examples(ctx context.Context) iter.Seq2[Example, error] { return s.examples(ctx) }
