package checkpoint

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"pema/internal/shared"
)

// The totals are the published ones, or follow from them: see the sources of the models table.
func TestParametersEqualPublishedTotals(t *testing.T) {
	b, err := os.ReadFile("testdata/models.json")
	if err != nil {
		t.Fatal(err)
	}
	var models []struct {
		Model            string
		Embedding, Total int64
		Config           json.RawMessage
	}
	if err := json.Unmarshal(b, &models); err != nil {
		t.Fatal(err)
	}
	if len(models) != 22 {
		t.Fatalf("%d models", len(models))
	}
	for _, m := range models {
		c, err := parseConfig(m.Config)
		if err != nil {
			t.Errorf("%s: %v", m.Model, err)
			continue
		}
		embedding, total, err := c.Parameters(2)
		if err != nil || embedding != m.Embedding || total != m.Total {
			t.Errorf("%s: %d of %d, %v; published: %d of %d", m.Model, embedding, total, err, m.Embedding, m.Total)
		}
		if m.Model == "facebook/xlm-v-base" { // published with three labels
			if _, total, _ := c.Parameters(3); total != 778_495_491 {
				t.Errorf("%s with 3 labels: %d", m.Model, total)
			}
		}
	}
}

// Small random models of every family, among them DeBERTa's rare variants, as transformers builds them.
func TestParametersEqualTransformers(t *testing.T) {
	b, err := os.ReadFile("testdata/counts.json")
	if err != nil {
		t.Fatal(err)
	}
	var models []struct {
		Cls              string
		Labels           int
		Embedding, Total int64
		Config           json.RawMessage
	}
	if err := json.Unmarshal(b, &models); err != nil || len(models) != 42 {
		t.Fatal(len(models), err)
	}
	for _, m := range models {
		c, err := parseConfig(m.Config)
		if err != nil {
			t.Errorf("%s: %v", m.Cls, err)
			continue
		}
		embedding, total, err := c.Parameters(m.Labels)
		if err != nil || embedding != m.Embedding || total != m.Total || c.Architecture() != m.Cls {
			t.Errorf("%s: %d of %d, %v; transformers: %d of %d: %s", m.Cls, embedding, total, err, m.Embedding, m.Total, m.Config)
		}
	}
}

// What is counted from a config equals what is in the file that transformers made of it.
func TestParametersEqualWeights(t *testing.T) {
	dir := filepath.Join(shared.Dir(t), "parity")
	for _, name := range []string{"bert", "distilbert", "roberta", "xlm-roberta", "deberta-v2"} {
		cfg, err := ReadConfig(filepath.Join(dir, name, "config.json"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		sum := int64(0)
		for _, n := range c.Names() {
			x, _ := c.Tensor(n)
			sum += x.Numel()
		}
		if _, total, err := cfg.Parameters(len(cfg.ID2Label)); err != nil || total != sum {
			t.Errorf("%s: counted %d, %v; in the file %d", name, total, err, sum)
		}
	}
}

func TestParametersRefuses(t *testing.T) {
	if _, _, err := (&Config{ModelType: "albert"}).Parameters(2); err == nil {
		t.Error("an unknown family was counted")
	}
	if _, _, err := (&Config{ModelType: "bert"}).Parameters(0); err == nil {
		t.Error("no labels were counted")
	}
}
