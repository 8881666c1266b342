package vocabulary_test

import (
	"path/filepath"
	"strings"
	"testing"

	"pema/datasets"
	"pema/datasets/vocabulary"
	"pema/internal/shared"
	"pema/models/checkpoint"
	"pema/models/tokenizer"
)

// BenchmarkStream is the way from Parquet files to used ids, with a word cache that knows nothing each time.
func BenchmarkStream(b *testing.B) {
	dir := filepath.Join(shared.Dir(b), "hub")
	for _, model := range []string{"google-bert/bert-base-uncased", "FacebookAI/roberta-base", "FacebookAI/xlm-roberta-base"} {
		for _, name := range []string{"glue/sst2", "xnli/all"} {
			var splits []string
			if strings.HasPrefix(name, "xnli") {
				splits = []string{"validation", "test"}
			}
			b.Run(filepath.Base(model)+"/"+strings.ReplaceAll(name, "/", "-"), func(b *testing.B) {
				folder := filepath.Join(dir, "models", model)
				tok, err := tokenizer.Load(folder)
				if err != nil {
					b.Fatal(err)
				}
				cfg, err := checkpoint.ReadConfig(filepath.Join(folder, "config.json"))
				if err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					ds, err := datasets.Open(b.Context(), name, datasets.Folder(dir), datasets.OpenOptions{Splits: splits})
					if err != nil {
						b.Fatal(err)
					}
					u, err := vocabulary.Stream(b.Context(), ds, nil, datasets.Adapt(tok), cfg.VocabSize, datasets.EncodeOptions{MaxLength: 128})
					if err != nil || len(u.Used()) == 0 {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
