package encoder

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pema/internal/tiny"
	"pema/models/checkpoint"
	"pema/models/torch"
)

// Every distance has the row that transformers gives it.
func TestBuckets(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "buckets.json"))
	if err != nil {
		t.Fatal(err)
	}
	var tables []struct {
		Buckets, Longest int
		Rows             []int
	}
	if err := json.Unmarshal(b, &tables); err != nil || len(tables) != 4 {
		t.Fatal(len(tables), err)
	}
	for _, x := range tables {
		for i, want := range x.Rows {
			if d := i - x.Longest - 9; bucket(d, x.Buckets, x.Longest) != want {
				t.Errorf("distance %d of %d in %d buckets: row %d, want %d", d, x.Longest, x.Buckets, bucket(d, x.Buckets, x.Longest), want)
			}
		}
	}
}

// What a config asks for and no code here computes is refused by its key.
func TestUnsupportedKeys(t *testing.T) {
	for _, c := range []struct {
		family, key string
		value       any
	}{
		{"deberta-v2", "conv_kernel_size", 3}, {"deberta-v2", "z_steps", 2}, {"deberta-v2", "attention_head_size", 5}, {"deberta-v2", "pooler_hidden_size", 64},
		{"deberta-v2", "pooler_hidden_act", "mish"}, {"distilbert", "sinusoidal_pos_embds", true}, {"bert", "position_embedding_type", "relative_key"},
		{"roberta", "position_embedding_type", "relative_key_query"}, {"bert", "hidden_act", "gelu_new"}, {"xlm-roberta", "pad_token_id", nil},
	} {
		dir := t.TempDir()
		tiny.Model(t, dir, c.family)
		path := filepath.Join(dir, "config.json")
		var config map[string]any
		b, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(b, &config)
		}
		config[c.key] = c.value
		if b, _ = json.Marshal(config); err == nil {
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := checkpoint.ReadConfig(path)
		if err != nil {
			t.Fatal(err)
		}
		m, err := New(cfg, &Random{Config: cfg}, Options{Labels: 2, Device: torch.CPU, Rows: int64(cfg.VocabSize)})
		want := c.key
		if strings.HasSuffix(c.key, "_act") {
			want = "activation"
		}
		if err == nil {
			m.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s with %s %v: %v", c.family, c.key, c.value, err)
		}
	}
}
