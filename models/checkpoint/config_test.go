package checkpoint

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pema/internal/shared"
)

const bertJSON = `{"model_type":"bert","vocab_size":100,"hidden_size":8,"num_hidden_layers":2,"num_attention_heads":2,"intermediate_size":16,"max_position_embeddings":32,"type_vocab_size":2}`

// with replaces keys of a config; a nil value takes the key away.
func with(t *testing.T, config string, changes map[string]any) []byte {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(config), &m); err != nil {
		t.Fatal(err)
	}
	for k, v := range changes {
		if m[k] = v; v == nil {
			delete(m, k)
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestConfigDefaults(t *testing.T) {
	c, err := parseConfig([]byte(bertJSON))
	if err != nil {
		t.Fatal(err)
	}
	if c.LayerNormEps != 1e-12 || c.Activation != "gelu" || c.HiddenDropout != 0.1 || c.AttentionDropout != 0.1 || c.ClassifierDropout != nil ||
		c.InitializerRange != 0.02 || c.PadTokenID != 0 || c.PositionEmbedding != "absolute" || !c.TieWordEmbeddings || c.ID2Label != nil || c.Disentangled != nil {
		t.Errorf("%+v", c)
	}
	for model, pad := range map[string]int{"bert": 0, "roberta": 1, "xlm-roberta": 1} {
		if c, err := parseConfig(with(t, bertJSON, map[string]any{"model_type": model})); err != nil || c.PadTokenID != pad {
			t.Errorf("%s: pad %d, %v", model, c.PadTokenID, err)
		}
	}
	if c, err = parseConfig(with(t, bertJSON, map[string]any{"pad_token_id": json.RawMessage("null"), "classifier_dropout": 0.3,
		"id2label": map[string]string{"1": "yes", "0": "no"}})); err != nil || c.PadTokenID != -1 || *c.ClassifierDropout != 0.3 || !slices.Equal(c.ID2Label, []string{"no", "yes"}) {
		t.Errorf("%+v %v", c, err)
	}
	d, err := parseConfig([]byte(`{"model_type":"distilbert","vocab_size":100,"dim":8,"n_layers":2,"n_heads":2,"hidden_dim":16,"max_position_embeddings":32,"dropout":0.3,"attention_dropout":0.4,"activation":"relu"}`))
	if err != nil || d.HiddenSize != 8 || d.Layers != 2 || d.Heads != 2 || d.Intermediate != 16 || d.HiddenDropout != 0.3 || d.AttentionDropout != 0.4 ||
		*d.ClassifierDropout != 0.2 || d.Activation != "relu" || d.LayerNormEps != 1e-12 || d.TypeVocab != 0 {
		t.Errorf("%+v %v", d, err)
	}
	g, err := parseConfig([]byte(`{"model_type":"gpt2","vocab_size":100,"n_embd":8,"n_layer":2,"n_head":2,"n_positions":32}`))
	if err != nil || g.Intermediate != 32 || g.PadTokenID != -1 || g.LayerNormEps != 1e-5 || g.Activation != "gelu_new" {
		t.Errorf("%+v %v", g, err)
	}
	x, err := parseConfig([]byte(`{"model_type":"t5","vocab_size":32128}`))
	if err != nil || x.VocabSize != 32128 || x.Architecture() != "" {
		t.Errorf("%+v %v", x, err)
	}
}

func TestConfigDeBERTa(t *testing.T) {
	v3 := with(t, bertJSON, map[string]any{"model_type": "deberta-v2", "type_vocab_size": nil, "relative_attention": true, "position_buckets": 256,
		"max_relative_positions": -1, "norm_rel_ebd": "layer_norm", "share_att_key": true, "pos_att_type": "p2c|c2p", "position_biased_input": false, "cls_dropout": 0.4})
	c, err := parseConfig(v3)
	if err != nil {
		t.Fatal(err)
	}
	want := Disentangled{RelativeAttention: true, PositionBuckets: 256, MaxRelativePositions: 32, NormRelEmbeddings: true, ShareAttentionKey: true,
		ContentToPosition: true, PositionToContent: true, EmbeddingSize: 8, PoolerHidden: 8, PoolerActivation: "gelu"}
	if *c.Disentangled != want || c.Disentangled.RelativeRows() != 512 || c.LayerNormEps != 1e-7 || *c.ClassifierDropout != 0.4 || c.TypeVocab != 0 {
		t.Errorf("%+v %+v", c, c.Disentangled)
	}
	if c, err = parseConfig(with(t, string(v3), map[string]any{"pos_att_type": []string{"c2p"}, "position_buckets": -1})); err != nil ||
		!c.Disentangled.ContentToPosition || c.Disentangled.PositionToContent || c.Disentangled.RelativeRows() != 64 {
		t.Errorf("%+v %v", c, err)
	}
	if _, err := parseConfig(with(t, string(v3), map[string]any{"pos_att_type": "p2p"})); err == nil || !strings.Contains(err.Error(), "p2p") {
		t.Error(err)
	}
}

func TestHostileConfig(t *testing.T) {
	for want, changes := range map[string]map[string]any{
		"key model_type is missing":             {"model_type": nil},
		"key vocab_size is missing":             {"vocab_size": nil},
		"key hidden_size is missing":            {"hidden_size": nil},
		"key num_hidden_layers is missing":      {"num_hidden_layers": nil, "Num_Hidden_Layers": 2},
		"key type_vocab_size is missing":        {"type_vocab_size": nil},
		"key vocab_size is not in":              {"vocab_size": 1 << 40},
		"key max_position_embeddings is not in": {"max_position_embeddings": json.RawMessage("null")},
		"key hidden_size is not in":             {"hidden_size": -8},
		"key intermediate_size is not in":       {"intermediate_size": 0},
		"key hidden_size:":                      {"hidden_size": "8"},
		"key num_attention_heads:":              {"num_attention_heads": json.RawMessage("1e400")},
		"no multiple of num_attention_heads":    {"num_attention_heads": 3},
		"key hidden_dropout_prob is not in":     {"hidden_dropout_prob": 1.5},
		"key layer_norm_eps is not in":          {"layer_norm_eps": -1},
		"key id2label: its 2 ids":               {"id2label": map[string]string{"0": "a", "7": "b"}},
		"key id2label:":                         {"id2label": []string{"a"}},
		"key pad_token_id is not in":            {"pad_token_id": -7},
		"key architectures":                     {"architectures": "x"},
	} {
		if _, err := parseConfig(with(t, bertJSON, changes)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for _, bad := range []string{"", "[]", "null", "{", `{"model_type":"bert"} x`} {
		if _, err := parseConfig([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	path := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(path, make([]byte, maxConfig+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadConfig(path); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Error(err)
	}
	if _, err := ReadConfig(filepath.Dir(path)); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Error(err)
	}
	if _, err := ReadConfig(path + "x"); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
}

func TestConfigWriteKeepsTheRest(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.json"), filepath.Join(dir, "out.json")
	source := `{"model_type":"bert","vocab_size":100,"hidden_size":8,"num_hidden_layers":2,"num_attention_heads":2,"intermediate_size":16,"max_position_embeddings":32,
		"type_vocab_size":2,"layer_norm_eps":1e-12,"zeta":{"a":[1.50,null]},"name":"a<b>&","num_labels":9,"id2label":{"0":"x"}}`
	if err := os.WriteFile(in, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := ReadConfig(in)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Write(out, Changes{VocabSize: 7, Labels: []string{"no", "yes"}, Architectures: []string{c.Architecture()}, ProblemType: "single_label_classification"}); err != nil {
		t.Fatal(err)
	}
	want := `{
  "architectures": [
    "BertForSequenceClassification"
  ],
  "hidden_size": 8,
  "id2label": {
    "0": "no",
    "1": "yes"
  },
  "intermediate_size": 16,
  "label2id": {
    "no": 0,
    "yes": 1
  },
  "layer_norm_eps": 1e-12,
  "max_position_embeddings": 32,
  "model_type": "bert",
  "name": "a<b>&",
  "num_attention_heads": 2,
  "num_hidden_layers": 2,
  "problem_type": "single_label_classification",
  "type_vocab_size": 2,
  "vocab_size": 7,
  "zeta": {
    "a": [
      1.50,
      null
    ]
  }
}
`
	got, _ := os.ReadFile(out)
	if string(got) != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	d, err := ReadConfig(out)
	if err != nil || d.VocabSize != 7 || !slices.Equal(d.ID2Label, []string{"no", "yes"}) || !slices.Equal(d.Architectures, []string{"BertForSequenceClassification"}) {
		t.Errorf("%+v %v", d, err)
	}
	for source, want := range map[string]string{`"torch_dtype":"float16"`: `"torch_dtype": "float32"`, `"dtype":"float16"`: `"dtype": "float32"`, `"x":1`: `"torch_dtype": "float32"`} {
		if err := os.WriteFile(in, []byte(strings.Replace(bertJSON, "{", "{"+source+",", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := ReadConfig(in)
		if err == nil {
			err = c.Write(out, Changes{DType: "float32"})
		}
		if b, _ := os.ReadFile(out); err != nil || !strings.Contains(string(b), want) || strings.Contains(string(b), "float16") {
			t.Errorf("%s: %v\n%s", source, err, b)
		}
	}
	if err := c.Write(out, Changes{Labels: []string{"a", "a"}}); err == nil {
		t.Error("equal labels were written")
	}
	if err := (&Config{}).Write(out, Changes{}); err == nil {
		t.Error("a config from nowhere was written")
	}
}

// Every config that the hub's models have is read.
func TestHubConfigs(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(shared.Dir(t), "hub", "models", "*", "*", "config.json"))
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, p := range paths {
		c, err := ReadConfig(p)
		if err != nil {
			t.Error(err)
			continue
		}
		if _, _, err := c.Parameters(2); err != nil && c.ModelType != "albert" {
			t.Error(p, err)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(bertJSON))
	for _, name := range []string{"models.json", "counts.json"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		var list []struct{ Config json.RawMessage }
		if err := json.Unmarshal(b, &list); err != nil {
			f.Fatal(err)
		}
		for _, x := range list {
			f.Add([]byte(x.Config))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseConfig(b)
		if err != nil {
			return
		}
		if e, n, err := c.Parameters(2); err == nil && (e < 1 || n <= e) {
			t.Fatalf("%+v: %d of %d", c, e, n)
		}
	})
}
