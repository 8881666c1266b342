package pema

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pema/models/checkpoint"
)

const config = `{"model_type":"bert","vocab_size":3,"hidden_size":8,"num_hidden_layers":1,"num_attention_heads":2,"intermediate_size":16,
	"max_position_embeddings":32,"type_vocab_size":2,"pad_token_id":0,"extra":[1,2]}`

// folders makes an original model of 10 x 8 embeddings in the given type, under short or long names, and a reduced one that was
// trained on rows 0, 3 and 7.
func folders(t *testing.T, dtype checkpoint.DType, name string) (original, reduced string, full []byte) {
	t.Helper()
	original, reduced = t.TempDir(), t.TempDir()
	r := rand.New(rand.NewPCG(1, 2))
	write := func(dir string, list ...checkpoint.Source) {
		if err := checkpoint.Write(filepath.Join(dir, "model.safetensors"), map[string]string{"format": "pt"}, list); err != nil {
			t.Fatal(err)
		}
	}
	matrix := make([]byte, 80*dtype.Size())
	for i := range matrix {
		matrix[i] = byte(r.IntN(0x3c)) // no NaN
	}
	write(original, tensor(t, name, dtype, []int64{10, 8}, matrix), tensor(t, "cls.bias", checkpoint.F32, []int64{10}, make([]byte, 40)))
	trained := make([]float32, 24)
	for i := range trained {
		trained[i] = r.Float32()
	}
	write(reduced, tensor(t, "bert.embeddings.word_embeddings.weight", checkpoint.F32, []int64{3, 8}, floats(trained...)),
		tensor(t, "classifier.weight", checkpoint.F32, []int64{2, 8}, floats(trained[:16]...)))
	for file, text := range map[string]string{"config.json": config, "tokenizer.json": `{"a":1}`, "vocab.txt": "x\n", "notes.txt": "private"} {
		if err := os.WriteFile(filepath.Join(reduced, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	full = make([]byte, 320)
	if err := checkpoint.Widen(full, checkpoint.F32, matrix, dtype); err != nil {
		t.Fatal(err)
	}
	for i, id := range []int{0, 3, 7} {
		copy(full[id*32:], floats(trained[i*8:i*8+8]...))
	}
	return original, reduced, full
}

func open(t *testing.T, dir string) *checkpoint.Checkpoint {
	t.Helper()
	c, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func manifest(t *testing.T, original *checkpoint.Checkpoint) *Manifest {
	t.Helper()
	s, err := Select([]int32{7, 3}, []int32{0}, 10)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := original.SHA256()
	if err != nil {
		t.Fatal(err)
	}
	return &Manifest{Model: "org/model", Revision: "abc", Weights: sum, Tensor: "bert.embeddings.word_embeddings.weight", Selection: *s}
}

func TestRestore(t *testing.T) {
	for _, x := range []struct {
		dtype checkpoint.DType
		name  string
	}{
		{checkpoint.F32, "bert.embeddings.word_embeddings.weight"},
		{checkpoint.F32, "embeddings.word_embeddings.weight"},
		{checkpoint.F16, "embeddings.word_embeddings.weight"},
		{checkpoint.BF16, "bert.embeddings.word_embeddings.weight"},
	} {
		originalDir, reducedDir, full := folders(t, x.dtype, x.name)
		original, reduced := open(t, originalDir), open(t, reducedDir)
		if err := manifest(t, original).Write(reducedDir); err != nil {
			t.Fatal(err)
		}
		m, err := ReadManifest(reducedDir)
		if err != nil {
			t.Fatal(err)
		}
		if m.Model != "org/model" || m.Revision != "abc" || m.Used != 2 || len(m.IDs) != 3 {
			t.Errorf("%+v", m)
		}
		out := filepath.Join(t.TempDir(), "new")
		var done, total int64
		if err := Restore(t.Context(), reduced, m, original, out, func(d, n int64) { done, total = d, n }); err != nil {
			t.Fatal(err)
		}
		if done != 384 || total != 384 {
			t.Errorf("progress ended at %d of %d", done, total)
		}
		got := open(t, out)
		e, _ := got.Tensor("bert.embeddings.word_embeddings.weight")
		if !bytes.Equal(e.Bytes(), full) || e.Shape[0] != 10 {
			t.Errorf("%s %s: the matrix differs", x.dtype, x.name)
		}
		a, _ := got.Tensor("classifier.weight")
		b, _ := reduced.Tensor("classifier.weight")
		if !bytes.Equal(a.Bytes(), b.Bytes()) || len(got.Names()) != 2 || got.Metadata()["format"] != "pt" {
			t.Errorf("%q %v", got.Names(), got.Metadata())
		}
		cfg, err := checkpoint.ReadConfig(filepath.Join(out, "config.json"))
		if err != nil || cfg.VocabSize != 10 {
			t.Errorf("%+v %v", cfg, err)
		}
		for name, want := range map[string]bool{"tokenizer.json": true, "vocab.txt": true, "notes.txt": false, ManifestFile: false} {
			if _, err := os.Stat(filepath.Join(out, name)); (err == nil) != want {
				t.Errorf("%s: %v", name, err)
			}
		}
		// The same comparison without a file: by hash.
		parts := []checkpoint.Source{tensor(t, "classifier.weight", checkpoint.F32, []int64{2, 8}, b.Bytes())}
		kept, _ := reduced.Tensor(m.Tensor)
		matrix, err := Original(original, m.Tensor)
		if err != nil {
			t.Fatal(err)
		}
		restored, err := Restored(append(parts, kept), m.Tensor, &m.Selection, matrix)
		if err != nil {
			t.Fatal(err)
		}
		h1, err1 := checkpoint.Hash(restored)
		h2, err2 := checkpoint.Hash(append(parts, tensor(t, m.Tensor, checkpoint.F32, []int64{10, 8}, full)))
		if h1 != h2 || err1 != nil || err2 != nil {
			t.Error(h1, h2, err1, err2)
		}
	}
}

func TestRestoreRefuses(t *testing.T) {
	originalDir, reducedDir, _ := folders(t, checkpoint.F32, "embeddings.word_embeddings.weight")
	if err := os.WriteFile(filepath.Join(originalDir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	original, reduced := open(t, originalDir), open(t, reducedDir)
	good := *manifest(t, original)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	change := func(f func(m *Manifest)) *Manifest {
		m := good
		f(&m)
		return &m
	}
	eleven, err := Select([]int32{0, 3, 7}, nil, 11)
	if err != nil {
		t.Fatal(err)
	}
	for want, f := range map[string]func(out string) error{
		"context canceled": func(out string) error { return Restore(gone, reduced, &good, original, out, nil) },
		"the manifest names": func(out string) error {
			return Restore(t.Context(), reduced, change(func(m *Manifest) { m.Weights = strings.Repeat("0", 64) }), original, out, nil)
		},
		"no tensor is called": func(out string) error {
			return Restore(t.Context(), reduced, change(func(m *Manifest) { m.Tensor = "embeddings.word_embeddings.weight" }), original, out, nil)
		},
		"with or without a prefix": func(out string) error {
			return Restore(t.Context(), reduced, change(func(m *Manifest) { m.Tensor = "x.y" }), original, out, nil)
		},
		"of 11": func(out string) error {
			return Restore(t.Context(), reduced, change(func(m *Manifest) { m.Selection = *eleven }), original, out, nil)
		},
		"10 rows for 3 kept ids": func(out string) error { // the original is no reduced model
			return Restore(t.Context(), original, change(func(m *Manifest) { m.Tensor = "embeddings.word_embeddings.weight" }), original, out, nil)
		},
	} {
		out := t.TempDir()
		if err := f(out); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if _, err := os.Stat(filepath.Join(out, "model.safetensors")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: weights were left behind", want)
		}
	}
	for _, out := range []string{originalDir, reducedDir} {
		if err := Restore(t.Context(), reduced, &good, original, out, nil); err == nil || !strings.Contains(err.Error(), "holds an input") {
			t.Error(err)
		}
	}
}

func TestHostileManifest(t *testing.T) {
	sum := "87fa498592c87cce6f973bfd6aeb542c8d045f18160697c2628b158cb4a3a123" // of 0, 1, 3
	good := `{"version":1,"model":"m","tensor":"e","rows":5,"used":2,"kept":3,"kept_ids":"0-1,3","kept_ids_sha256":"` + sum + `"}`
	if m, err := parseManifest([]byte(good)); err != nil || m.Rows != 5 || m.SHA256() != sum {
		t.Fatal(m, err)
	}
	for _, x := range [][3]string{
		{`"version":1`, `"version":2`, "version 2"},
		{`"rows":5`, `"rows":3`, "ascending order below 3"},
		{`"rows":5`, `"rows":0`, "rows is not in"},
		{`"rows":5`, `"rows":99999999999`, "rows is not in"},
		{`"used":2`, `"used":4`, "not possible"},
		{`"kept":3`, `"kept":4`, "announced"},
		{`"kept":3`, `"kept":2`, "more than 2"},
		{`"kept":3`, `"kept":6`, "not possible"},
		{`"tensor":"e"`, `"tensor":""`, "tensor is missing"},
		{`0-1,3`, `3,0-1`, "ascending"},
		{`0-1,3`, `0-1,1`, "ascending"},
		{`0-1,3`, `1-0,3`, "ascending"},
		{`0-1,3`, `0-1,-3`, "ascending"},
		{`0-1,3`, ``, "ascending"},
		{`0-1,3`, `0-1,2`, "kept_ids_sha256"},
		{`0-1,3`, `0-4294967295`, "ascending"},
		{`"model":"m"`, `"model":"m","x":1`, "unknown field"},
		{`"model":"m"`, `"model":"m","weights_sha256":"12"`, "no SHA-256"},
		{good, good + "{}", "text after"},
		{good, "", "EOF"},
	} {
		if _, err := parseManifest([]byte(strings.Replace(good, x[0], x[1], 1))); err == nil || !strings.Contains(err.Error(), x[2]) {
			t.Errorf("%s: %v, want %q", x[1], err, x[2])
		}
	}
	if _, err := ReadManifest(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a reduced checkpoint") {
		t.Error(err)
	}
	if err := (&Manifest{Tensor: "e"}).Write(t.TempDir()); err == nil {
		t.Error("an empty manifest was written")
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"version":1,"model":"m","tensor":"e","rows":5,"used":2,"kept":3,"kept_ids":"0-1,3","kept_ids_sha256":"87fa498592c87cce6f973bfd6aeb542c8d045f18160697c2628b158cb4a3a123"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseManifest(b)
		if err != nil {
			return
		}
		if err := m.Write(t.TempDir()); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzRanges has no hash to guess, so it gets further than FuzzManifest.
func FuzzRanges(f *testing.F) {
	f.Add("0-3,7", 5, int64(9))
	f.Add("", 1, int64(1))
	f.Fuzz(func(t *testing.T, s string, count int, rows int64) {
		if count < 1 || count > 1<<12 || rows > maxRows {
			return
		}
		ids, err := parseRanges(s, count, rows)
		if err != nil {
			return
		}
		var b []byte
		for _, id := range ids {
			b = binary.LittleEndian.AppendUint32(b, uint32(id))
		}
		again, err := parseRanges(formatRanges(ids), count, rows)
		if err != nil || len(again) != count {
			t.Fatal(err)
		}
		for i := range ids {
			if again[i] != ids[i] || int64(ids[i]) >= rows || i > 0 && ids[i] <= ids[i-1] {
				t.Fatalf("%q: %v, %v", s, ids, again)
			}
		}
	})
}
