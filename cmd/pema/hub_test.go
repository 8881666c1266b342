package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pema/datasets/hub"
	"pema/internal/shared"
	"pema/internal/tiny"
)

// GLUE from a mirror: single sentences, pairs and a regression are trained on and scored by their own metrics, with the same
// bits in both variants; afterwards no network is needed.
func TestGLUEFromAMirror(t *testing.T) {
	mirror, err := hub.NewMirror(filepath.Join(shared.Dir(t), "hub"))
	if err != nil {
		t.Fatal(err)
	}
	defer mirror.Close()
	server := httptest.NewServer(mirror)
	defer server.Close()
	dir := t.TempDir()
	t.Setenv("PEMA_CACHE", filepath.Join(dir, "cache"))
	t.Setenv("HF_HOME", filepath.Join(dir, "hf"))
	t.Setenv("HF_ENDPOINT", server.URL)
	tiny.BERT(t, filepath.Join(dir, "model"))
	spec := filepath.Join(dir, "spec.yaml")
	if err := os.WriteFile(spec, []byte(`name: glue
measure: accuracy
models: [small]
datasets: [glue/cola, glue/mrpc, glue/stsb]
variants: [baseline, pema]
seeds: [1]
training: {batch_size: 16, eval_batch_size: 64, max_length: 32, max_steps: 4, learning_rate: 1e-3}
local: {models: {small: model}}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	if code, verdict, log := call(t, "", "verify", spec, "--out", out, "--device", "cpu"); code != 0 || strings.Count(verdict, "the same bits") != 3 {
		t.Fatalf("exit %d\n%s%s", code, verdict, log)
	}
	metrics := map[string][]string{"glue/cola": {"matthews_correlation"}, "glue/mrpc": {"accuracy", "f1"}, "glue/stsb": {"pearson", "spearmanr"}}
	for _, r := range all(t, out) {
		for _, name := range metrics[r.Dataset] {
			if _, ok := r.Metrics[name]; !ok && !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, name+" is not defined") }) {
				t.Errorf("%s: no %s in %v, and no note", r.Dataset, name, r.Metrics)
			}
		}
		if r.Dataset == "glue/stsb" && r.Data.NumLabels != 1 {
			t.Errorf("stsb has %d labels", r.Data.NumLabels)
		}
	}
	server.Close()
	t.Setenv("HF_HUB_OFFLINE", "1")
	code, list, log := call(t, "", "plan", spec, "--out", out)
	if code != 0 || strings.Count(list, " done    ") < 6 {
		t.Errorf("offline: exit %d\n%s%s", code, list, log)
	}
	if code, _, log := call(t, "", "vocab", "--model", filepath.Join(dir, "model"), "--dataset", "glue/rte"); code != exitFailure || !strings.Contains(log, "pema fetch") {
		t.Errorf("offline, not fetched: exit %d\n%s", code, log)
	}
	if code, _, log := call(t, "", "vocab", "--model", filepath.Join(dir, "model"), "--dataset", "glue/mrpc", "--splits", "train,validation"); code != 0 {
		t.Errorf("offline, fetched: exit %d\n%s", code, log)
	}
}

// Counts that an independent program made of the same files: padding left out, cut at 128.
func TestVocabEqualsIndependentCounts(t *testing.T) {
	mirror, err := hub.NewMirror(filepath.Join(shared.Dir(t), "hub"))
	if err != nil {
		t.Fatal(err)
	}
	defer mirror.Close()
	server := httptest.NewServer(mirror)
	defer server.Close()
	t.Setenv("HF_HOME", t.TempDir())
	t.Setenv("HF_ENDPOINT", server.URL)
	for _, c := range []struct {
		model, dataset string
		used           int
	}{
		{"google-bert/bert-base-cased", "glue/cola", 6249}, {"google-bert/bert-base-uncased", "glue/mrpc", 12064}, {"FacebookAI/roberta-base", "glue/rte", 18332},
		{"microsoft/deberta-v3-base", "glue/sst2", 14613}, {"FacebookAI/xlm-roberta-base", "glue/stsb", 12206}, {"google-bert/bert-base-multilingual-cased", "glue/wnli", 1577},
	} {
		code, text, log := call(t, "", "vocab", "--model", c.model, "--dataset", c.dataset, "--splits", "train,validation", "--json")
		if code != 0 || !strings.Contains(text, fmt.Sprintf(`"used":%d,`, c.used-1)) {
			t.Errorf("%s on %s: exit %d, want %d without padding\n%s%s", c.model, c.dataset, code, c.used-1, text, log)
		}
	}
}
