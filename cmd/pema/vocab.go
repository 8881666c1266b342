package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"pema/datasets"
	"pema/datasets/vocabulary"
	"pema/experiments"
	"pema/models/checkpoint"
	"pema/models/tokenizer"
)

// corpus is a text under a model's tokenizer, ready to be counted.
type corpus struct {
	config    *checkpoint.Config
	tokenizer *tokenizer.Tokenizer
	dataset   *datasets.Dataset
	splits    []string
}

// corpus fetches and opens what is needed.
func (t *text) corpus(c *cobra.Command, model string) (*corpus, error) {
	src, done, err := source(c)
	if err != nil {
		return nil, err
	}
	defer done()
	dir, _, err := src.Model(c.Context(), model, experiments.Tokenize)
	if err != nil {
		return nil, err
	}
	x := &corpus{}
	if x.config, err = checkpoint.ReadConfig(filepath.Join(dir, "config.json")); err != nil {
		return nil, err
	}
	if x.tokenizer, err = tokenizer.Load(dir); err != nil {
		return nil, err
	}
	x.dataset, x.splits, err = t.open(c.Context(), src)
	return x, err
}

// options are those of encoding it, with a bar on w.
func (x *corpus) options(w io.Writer, maxLength int) (datasets.EncodeOptions, func()) {
	if !isTerminal(w) {
		return datasets.EncodeOptions{MaxLength: maxLength}, func() {}
	}
	b := &slowBar{w: w, name: x.dataset.Name, start: time.Now()}
	for _, name := range x.splits {
		if s, err := x.dataset.Split(name); err == nil { // counting will report it
			b.total += s.Rows
		}
	}
	return datasets.EncodeOptions{MaxLength: maxLength, Progress: b.update}, b.close
}

// counted is the vocabulary that a text uses under a model's tokenizer.
type counted struct {
	*vocabulary.Usage
	config    *checkpoint.Config
	tokenizer *tokenizer.Tokenizer
}

func (t *text) count(c *cobra.Command, model string, maxLength int) (*counted, error) {
	x, err := t.corpus(c, model)
	if err != nil {
		return nil, err
	}
	opt, done := x.options(c.ErrOrStderr(), maxLength)
	defer done()
	u, err := vocabulary.Stream(c.Context(), x.dataset, x.splits, experiments.Tokens{Tokenizer: x.tokenizer}, x.config.VocabSize, opt)
	if err != nil {
		return nil, err
	}
	return &counted{u, x.config, x.tokenizer}, nil
}

// usage is what `pema vocab --json` prints.
type usage struct {
	Model      string   `json:"model"`
	Dataset    string   `json:"dataset"`
	Splits     []string `json:"splits"`
	MaxLength  int      `json:"max_length"`
	Examples   int64    `json:"examples"`
	Tokens     int64    `json:"tokens"`
	Rows       int      `json:"rows"`
	Used       int      `json:"used"`
	UsedSHA256 string   `json:"used_sha256"`
	*growth
}

// growth is what --growth adds.
type growth struct {
	Orders int                `json:"orders"`
	Seed   uint64             `json:"seed"`
	Points []vocabulary.Point `json:"points"`
	Heaps  *vocabulary.Heaps  `json:"heaps"` // null where there is too little to fit
}

func vocabCommand() *cobra.Command {
	var t text
	var model string
	var maxLength, orders int
	var seed uint64
	var asJSON, grow bool
	c := &cobra.Command{Use: "vocab", Short: "which rows of the embedding matrix a dataset uses", Args: cobra.NoArgs}
	c.Flags().StringVar(&model, "model", "", "hub id or folder")
	t.flags(c)
	c.Flags().IntVar(&maxLength, "max-length", 128, "truncation in tokens; 0: none")
	c.Flags().BoolVar(&grow, "growth", false, "how the used rows grow with the examples seen, and Heaps' law fitted to it")
	c.Flags().IntVar(&orders, "orders", 10, "random orders of the examples that the growth is the mean and the band of")
	c.Flags().Uint64Var(&seed, "seed", 1, "of these orders")
	c.Flags().BoolVar(&asJSON, "json", false, "for programs")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if model == "" {
			return usageError{errors.New("--model is needed")}
		}
		if maxLength < 0 || orders < 1 {
			return usageError{errors.New("--max-length is at least 0, --orders at least 1")}
		}
		x, err := t.corpus(c, model)
		if err != nil {
			return err
		}
		u := usage{Model: model, Dataset: x.dataset.Name, Splits: x.splits, MaxLength: maxLength, Rows: x.config.VocabSize}
		tokens := experiments.Tokens{Tokenizer: x.tokenizer}
		opt, done := x.options(c.ErrOrStderr(), maxLength)
		defer done()
		var ids []int32
		var g *vocabulary.Growth
		if grow {
			if g, err = vocabulary.StreamGrowth(c.Context(), x.dataset, x.splits, tokens, u.Rows, orders, seed, opt); err != nil {
				return err
			}
			ids, u.Examples, u.Tokens = g.Used(), g.Examples(), g.Tokens()
		} else {
			counts, err := vocabulary.Stream(c.Context(), x.dataset, x.splits, tokens, u.Rows, opt)
			if err != nil {
				return err
			}
			ids, u.Examples, u.Tokens = counts.Used(), counts.Examples(), counts.Tokens()
		}
		done()
		u.Used, u.UsedSHA256 = len(ids), vocabulary.HashIDs(ids)
		if asJSON {
			if grow {
				curve, err := g.Curve(60)
				if err != nil {
					return err
				}
				u.growth = &growth{orders, seed, curve.Points, &curve.Heaps}
				if math.IsNaN(curve.Heaps.Beta) {
					u.Heaps = nil
				}
			}
			return json.NewEncoder(c.OutOrStdout()).Encode(u)
		}
		fmt.Fprintf(c.OutOrStdout(), "%d of %d rows used (%.1f %%) by %d examples, %d tokens: PEMA leaves out %.1f %% of the embedding matrix\n",
			u.Used, u.Rows, 100*float64(u.Used)/float64(u.Rows), u.Examples, u.Tokens, 100*(1-float64(u.Used)/float64(u.Rows)))
		if grow {
			return printGrowth(c.OutOrStdout(), g)
		}
		return nil
	}
	return c
}

// printGrowth shows a dozen points of the curve.
func printGrowth(w io.Writer, g *vocabulary.Growth) error {
	curve, err := g.Curve(12)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%10s %12s %10s %10s %10s %7s\n", "examples", "tokens", "used", "lowest", "highest", "used %")
	for _, p := range curve.Points {
		fmt.Fprintf(w, "%10d %12.0f %10.0f %10d %10d %7.2f\n", p.Examples, p.Tokens, p.Used, p.Low, p.High, 100*p.Used/float64(curve.Rows))
	}
	fmt.Fprintf(w, "\nmean, lowest and highest of %d random orders of the examples\n", curve.Orders)
	if fine, err := g.Curve(60); err == nil && !math.IsNaN(fine.Heaps.Beta) {
		fmt.Fprintf(w, "Heaps' law: used = %.3g * tokens^%.3f (R² %.4f of the logarithms)\n", fine.Heaps.K, fine.Heaps.Beta, fine.Heaps.R2)
	}
	return nil
}

// slowBar shows the examples of some splits as they are encoded, when that takes longer than two seconds.
type slowBar struct {
	w             io.Writer
	name          string
	start         time.Time
	before, total int64 // examples of the splits that are through; of all
	p             *mpb.Progress
	bar           *mpb.Bar
}

const slow = 2 * time.Second

func (b *slowBar) update(done, ofSplit int64) {
	at := b.before + done
	if done == ofSplit {
		b.before = at
	}
	if b.p == nil && time.Since(b.start) > slow {
		b.p = terminal(b.w)
		b.bar = b.p.AddBar(b.total, mpb.BarRemoveOnComplete(), mpb.PrependDecorators(decor.Name(b.name+" "), decor.CountersNoUnit("%d/%d examples")),
			mpb.AppendDecorators(decor.AverageETA(decor.ET_STYLE_GO)))
	}
	if b.bar != nil {
		b.bar.SetCurrent(at)
	}
}

func (b *slowBar) close() {
	if b.p == nil {
		return
	}
	if !b.bar.Completed() {
		b.bar.Abort(true)
	}
	b.p.Wait()
	b.p = nil
}
