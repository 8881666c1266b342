package vocabulary_test

import (
	"math"
	"path/filepath"
	"testing"

	"pema/datasets"
	"pema/datasets/vocabulary"
	"pema/internal/shared"
	"pema/models/tokenizer"
)

// published is the share of unused rows, in percent, by an independent project (transformer-smaller-training-vocab, its
// README): all splits, no truncation, special tokens always kept. Rows are of the embedding matrix.
var published = []struct {
	model  string
	rows   int
	unused map[string]float64
}{
	{"google-bert/bert-base-cased", 28996, map[string]float64{"cola": 77.67, "sst2": 62.39, "mrpc": 49.93, "stsb": 51.35, "rte": 34.68, "wnli": 93.66}},
	{"FacebookAI/roberta-base", 50265, map[string]float64{"cola": 86.08, "sst2": 68.60, "mrpc": 64.02, "stsb": 64.37, "rte": 50.49, "wnli": 96.03}},
	{"FacebookAI/xlm-roberta-base", 250002, map[string]float64{"cola": 97.79, "sst2": 96.25, "mrpc": 94.88, "stsb": 94.88, "rte": 93.10, "wnli": 99.25}},
}

func TestPublishedShares(t *testing.T) {
	dir := filepath.Join(shared.Dir(t), "hub")
	for _, p := range published {
		tok, err := tokenizer.Load(filepath.Join(dir, "models", p.model))
		if err != nil {
			t.Fatal(err)
		}
		for task, want := range p.unused {
			ds, err := datasets.Open(t.Context(), "glue/"+task, datasets.Folder(dir), datasets.OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			u, err := vocabulary.Stream(t.Context(), ds, nil, datasets.Adapt(tok), p.rows, datasets.EncodeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			kept := map[int32]bool{}
			for _, id := range u.Used() {
				kept[id] = true
			}
			s := tok.Specials()
			for _, id := range []int32{s.Pad, s.CLS, s.SEP, s.Unk, s.Mask} {
				if id >= 0 {
					kept[id] = true
				}
			}
			if got := 100 * (1 - float64(len(kept))/float64(p.rows)); math.Abs(got-want) > 0.01 {
				t.Errorf("%s on %s: %.3f %% unused, published %.2f %%", p.model, task, got, want)
			}
		}
	}
}
