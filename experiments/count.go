package experiments

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"pema/datasets"
	"pema/datasets/vocabulary"
	"pema/models/checkpoint"
	"pema/models/pema"
	"pema/models/tokenizer"
	"pema/results"
)

// count executes a run that trains nothing: a model's parameters, and the vocabulary that a dataset uses.
func (x *Runner) count(ctx context.Context, r *Run, rec *results.Record) error {
	c := &clock{x.Now, x.Now()}
	need := Tokenize
	if r.Dataset == "" {
		need = Describe
	}
	dir, err := x.folder(ctx, r, rec, need)
	if err != nil {
		return err
	}
	cfg, err := checkpoint.ReadConfig(filepath.Join(dir, "config.json"))
	if err != nil {
		return err
	}
	v := &rec.Vocabulary
	v.Rows = int64(cfg.VocabSize)
	if r.Dataset == "" {
		rec.Data.NumLabels = 2 // as published totals of classifiers have
		return parameters(rec, cfg, rec.Data.NumLabels, v.Rows)
	}
	tok, err := x.tokenizer(dir)
	if err != nil {
		return err
	}
	data, err := x.dataset(ctx, r, r.Splits)
	if err != nil {
		return err
	}
	if r.Splits == nil {
		r.Splits = data.SplitNames()
	}
	rec.Time.Load = c.lap()

	opt := datasets.EncodeOptions{MaxLength: r.Training.MaxLength}
	usage, err := vocabulary.Stream(ctx, data, r.Splits, Tokens{tok}, cfg.VocabSize, opt)
	if err != nil {
		return err
	}
	for _, s := range usage.Splits {
		rec.Data.Splits = append(rec.Data.Splits, results.Split{Name: s.Name, Examples: s.Examples, Tokens: s.Tokens})
	}
	rec.Data.NumLabels = data.NumLabels
	rec.Time.Count = c.lap()
	sel, err := pema.Select(usage.Used(), Kept(tok), v.Rows)
	if err != nil {
		return err
	}
	v.Splits, v.Used, v.UsedSHA256, v.Kept = r.Splits, int64(len(usage.Used())), usage.UsedSHA256(), int64(len(sel.IDs))
	if len(r.Without) > 0 {
		rec.Notes = append(rec.Notes, "partial data: the hub has not all files of "+strings.Join(r.Without, ", "))
	}
	rec.Time.Select = c.lap()
	if g := r.Spec.Growth; g != nil {
		grown, err := vocabulary.StreamGrowth(ctx, data, r.Splits, Tokens{tok}, cfg.VocabSize, g.Shuffles, uint64(r.Seed), opt)
		if err != nil {
			return err
		}
		curve, err := grown.Curve(g.Points)
		if err != nil {
			return err
		}
		for _, p := range curve.Points {
			v.Growth = append(v.Growth, results.Growth{Examples: p.Examples, Tokens: int64(math.Round(p.Tokens)), Used: int64(math.Round(p.Used)), Low: p.Low, High: p.High})
		}
		v.Shuffles, v.Heaps = curve.Orders, &results.Heaps{K: curve.Heaps.K, Beta: curve.Heaps.Beta, R2: curve.Heaps.R2}
		rec.Time.Count += c.lap()
	}
	kept := v.Rows
	if r.Variant == "pema" {
		kept = v.Kept
	}
	return parameters(rec, cfg, data.NumLabels, kept)
}

// parameters counts a model's parameters from its config, with so many rows of the embedding matrix kept.
func parameters(rec *results.Record, cfg *checkpoint.Config, labels int, kept int64) error {
	embedding, total, err := cfg.Parameters(labels)
	if err != nil {
		rec.Notes = append(rec.Notes, err.Error()) // a family that is only counted
		return nil
	}
	p := &rec.Parameters
	p.FullEmbedding, p.FullTotal = embedding, total
	p.Embedding = embedding / int64(cfg.VocabSize) * kept
	p.Total = total - embedding + p.Embedding
	return nil
}

// folder is where a run's model lies; of the hub, what is needed is fetched, and its files become inputs of the record.
func (x *Runner) folder(ctx context.Context, r *Run, rec *results.Record, need int) (string, error) {
	if r.ModelDir != "" {
		return r.ModelDir, nil
	}
	id, _, _ := strings.Cut(r.Model, "@")
	dir, _, err := x.Source.Model(ctx, id+"@"+r.Commit, need)
	if err != nil {
		return "", err
	}
	key := fmt.Sprint(need, dir)
	if x.fetched[key] == nil {
		files, err := fetched(dir)
		if err != nil {
			return "", err
		}
		if x.fetched == nil {
			x.fetched = map[string][]results.Input{}
		}
		x.fetched[key] = files
	}
	rec.Inputs = slices.Concat(rec.Inputs, x.fetched[key])
	return dir, nil
}

// tokenizer loads a model's tokenizer; the last one is kept, since runs of one model follow each other.
func (x *Runner) tokenizer(dir string) (*tokenizer.Tokenizer, error) {
	if x.lastDir == dir && x.lastTokenizer != nil {
		return x.lastTokenizer, nil
	}
	t, err := tokenizer.Load(dir)
	if err == nil {
		x.lastDir, x.lastTokenizer = dir, t
	}
	return t, err
}
