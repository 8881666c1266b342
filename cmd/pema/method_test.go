package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pema/experiments"
	"pema/internal/tiny"
	"pema/models/checkpoint"
)

// A reduced checkpoint, restored, equals the baseline's in every byte of every tensor; unused rows are the original's.
func TestReducedCheckpointRestoresToTheBaseline(t *testing.T) {
	dir := project(t, 1)
	spec, out := filepath.Join(dir, "spec.yaml"), filepath.Join(dir, "out")
	text, err := os.ReadFile(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(spec, append(text, "save: reduced\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	code, verdict, log := call(t, "", "verify", spec, "--out", out, "--device", "cpu")
	if code != 0 || strings.Count(verdict, "the same bits") != 2 {
		t.Fatalf("verify: exit %d\n%s%s", code, verdict, log)
	}
	r := records(t, out)
	reduced, restored := experiments.ModelDir(out, r["pema1"].ID), filepath.Join(dir, "restored")
	if code, _, log := call(t, "", "restore", "--reduced", reduced, "--original", filepath.Join(dir, "model"), "--out", restored); code != 0 {
		t.Fatal(log)
	}
	open := func(dir string) *checkpoint.Checkpoint {
		c, err := checkpoint.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	base, back, small, original := open(experiments.ModelDir(out, r["baseline1"].ID)), open(restored), open(reduced), open(filepath.Join(dir, "model"))
	if len(base.Names()) != len(back.Names()) || len(base.Names()) < 30 {
		t.Fatalf("%d tensors and %d", len(base.Names()), len(back.Names()))
	}
	for _, name := range base.Names() {
		a, _ := base.Tensor(name)
		b, ok := back.Tensor(name)
		if !ok || !bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Errorf("%s differs", name)
		}
	}
	const word = "bert.embeddings.word_embeddings.weight"
	s, _ := small.Tensor(word)
	if s.Shape[0] != r["pema1"].Vocabulary.Kept {
		t.Errorf("the reduced matrix has %d rows, %d were kept", s.Shape[0], r["pema1"].Vocabulary.Kept)
	}
	full, _ := back.Tensor(word)
	from, _ := original.Tensor(word)
	same := 0
	for i := range tiny.Rows {
		if bytes.Equal(full.Bytes()[i*tiny.Hidden*4:(i+1)*tiny.Hidden*4], from.Bytes()[i*tiny.Hidden*4:(i+1)*tiny.Hidden*4]) {
			same++
		}
	}
	if same < int(tiny.Rows-r["pema1"].Vocabulary.Kept) || same == tiny.Rows {
		t.Errorf("%d rows are as they were", same)
	}
	cfg, err := checkpoint.ReadConfig(filepath.Join(restored, "config.json"))
	if err != nil || cfg.VocabSize != tiny.Rows || len(cfg.ID2Label) != 2 {
		t.Errorf("restored config: %+v %v", cfg, err)
	}
}

func TestVerifyExitsThreeWhenRunsDiffer(t *testing.T) {
	dir := project(t, 1)
	spec, out := filepath.Join(dir, "spec.yaml"), filepath.Join(dir, "out")
	text, err := os.ReadFile(spec)
	if err != nil {
		t.Fatal(err)
	}
	// Weight decay shrinks unused rows: only the baseline has them.
	if err := os.WriteFile(spec, bytes.Replace(text, []byte("epochs: 1"), []byte("epochs: 1, weight_decay: 0.1"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, verdict, log := call(t, "", "verify", spec, "--out", out, "--device", "cpu"); code != exitMissed || !strings.Contains(verdict, "weight decay") {
		t.Errorf("exit %d\n%s%s", code, verdict, log)
	}
}

func TestEstimate(t *testing.T) {
	dir := project(t, 1)
	code, text, log := call(t, "", "estimate", "--model", filepath.Join(dir, "model"), "--file", filepath.Join(dir, "data.csv"), "--columns", "text", "--max-length", "16")
	if code != 0 || !strings.Contains(text, "of 400 kept") || !strings.Contains(text, "% saved") {
		t.Errorf("exit %d\n%s%s", code, text, log)
	}
}

// A folder without weights is trained from random ones: PEMA's rows are the baseline's, down to the restored matrix.
func TestRandomWeights(t *testing.T) {
	dir := project(t, 1)
	tiny.Model(t, filepath.Join(dir, "model"), "roberta")
	if err := os.Remove(filepath.Join(dir, "model", "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	spec, out := filepath.Join(dir, "spec.yaml"), filepath.Join(dir, "out")
	text, err := os.ReadFile(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(spec, append(text, "weights: random\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	code, verdict, log := call(t, "", "verify", spec, "--out", out, "--device", "cpu")
	if code != 0 || strings.Count(verdict, "the same bits") != 2 {
		t.Fatalf("verify: exit %d\n%s%s", code, verdict, log)
	}
	r := records(t, out)
	if b := r["baseline1"]; b.Parameters.Embedding != tiny.Rows*tiny.Hidden || b.Training.Weights != "random" || b.FinalWeights != r["pema1"].FinalWeights {
		t.Errorf("record of the baseline: %+v, %+v, final weights %s and %s", b.Parameters, b.Training, b.FinalWeights, r["pema1"].FinalWeights)
	}
}
