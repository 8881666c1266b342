package tokenizer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"pema/internal/shared"
)

// models with a tokenizer.json in the shared folder, one of each pipeline.
var shapes = []string{
	"google-bert/bert-base-uncased", "google-bert/bert-base-cased", "google-bert/bert-base-multilingual-cased", "FacebookAI/roberta-base", "openai-community/gpt2",
	"FacebookAI/xlm-roberta-base", "microsoft/deberta-v3-base", "albert/albert-base-v2",
}

// BenchmarkEncode encodes SST-2's training sentences: cold with a new encoder each time, warm with one that has seen them.
func BenchmarkEncode(b *testing.B) {
	dir := shared.Dir(b)
	texts := column(b, filepath.Join(dir, "hub/datasets/nyu-mll/glue/sst2/train-00000-of-00001.parquet"), "sentence")
	size := 0
	for _, s := range texts {
		size += len(s)
	}
	for _, name := range shapes {
		tok, err := Load(filepath.Join(dir, "hub/models", name))
		if err != nil {
			b.Fatal(err)
		}
		warm := tok.NewEncoder()
		var ids []int32
		run := func(b *testing.B, encoder func() *Encoder) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				e := encoder()
				for _, s := range texts {
					ids, _ = e.Encode(ids[:0], s, nil, 0)
				}
			}
			b.ReportMetric(float64(len(texts)*b.N)/b.Elapsed().Seconds(), "lines/s")
		}
		b.Run(filepath.Base(name)+"/cold", func(b *testing.B) { run(b, tok.NewEncoder) })
		b.Run(filepath.Base(name)+"/warm", func(b *testing.B) { run(b, func() *Encoder { return warm }) })
	}
}

// BenchmarkTiny needs no shared data: a tiny vocabulary, and so many pieces to a word.
func BenchmarkTiny(b *testing.B) {
	text := strings.Repeat("the quick brown fox, été 1/2 unbelievable! ", 20)
	for _, family := range families {
		tok, err := Load(filepath.Join("testdata", family))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(family, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			var ids []int32
			for b.Loop() {
				ids, _ = tok.NewEncoder().Encode(ids[:0], text, nil, 0)
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	dir := shared.Dir(b)
	for _, name := range shapes {
		b.Run(filepath.Base(name), func(b *testing.B) {
			for b.Loop() {
				if _, err := Load(filepath.Join(dir, "hub/models", name)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// column reads a text column of a parquet file.
func column(t testing.TB, path, name string) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	p, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	leaf, ok := p.Schema().Lookup(name)
	if !ok {
		return nil
	}
	var out []string
	for _, g := range p.RowGroups() {
		pages := g.ColumnChunks()[leaf.ColumnIndex].Pages()
		values := make([]parquet.Value, 1000)
		for {
			page, err := pages.ReadPage()
			if err != nil {
				break
			}
			r := page.Values()
			for {
				n, err := r.ReadValues(values)
				for _, v := range values[:n] {
					out = append(out, v.Clone().String())
				}
				if err != nil {
					break
				}
			}
		}
		if err := pages.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}
