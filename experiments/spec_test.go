package experiments

import (
	"strings"
	"testing"
)

const good = `name: x
measure: memory
models: [m]
datasets: [d]
variants: [baseline, pema]
seeds: [1]
`

func TestSpecIsStrict(t *testing.T) {
	if _, err := Parse("s.yaml", []byte(good)); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		good + "epoch: 3\n":                         "s.yaml:7:1: unknown field",
		good + "training: {batch_sise: 3}\n":        "s.yaml:7:",
		good + "training: {epochs: many}\n":         "s.yaml:7:",
		strings.Replace(good, "[1]", "[]", 1):       "seeds",
		strings.Replace(good, "pema", "pemma", 1):   "variant",
		strings.Replace(good, "memory", "speed", 1): "measure",
		"name: [\n": "s.yaml:",
	} {
		_, err := Parse("s.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestEmbeddedSampleIsValid(t *testing.T) {
	s, err := Load("sample")
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Models) != 2 || s.SHA256 == "" {
		t.Error(s)
	}
	if _, err := Plan(t.Context(), s, t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("a model folder without files: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("a: &x [*x]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := Parse("f", b); err == nil && s.Name == "" {
			t.Error("a spec without a name")
		}
	})
}
