package checkpoint

import (
	"encoding/json"
	"fmt"
	"os"
)

// Config is a config.json in terms that all families share.
type Config struct {
	ModelType         string   `json:"model_type"`
	VocabSize         int      `json:"vocab_size"` // rows of the embedding matrix
	HiddenSize        int      `json:"hidden_size"`
	Layers            int      `json:"num_hidden_layers"`
	Heads             int      `json:"num_attention_heads"`
	Intermediate      int      `json:"intermediate_size"`
	MaxPositions      int      `json:"max_position_embeddings"`
	TypeVocab         int      `json:"type_vocab_size"`
	PadTokenID        int      `json:"pad_token_id"`
	LayerNormEps      float64  `json:"layer_norm_eps"`
	Activation        string   `json:"hidden_act"`
	HiddenDropout     float64  `json:"hidden_dropout_prob"`
	AttentionDropout  float64  `json:"attention_probs_dropout_prob"`
	ClassifierDropout *float64 `json:"classifier_dropout"`
	InitializerRange  float64  `json:"initializer_range"`
}

// ReadConfig reads a config.json and checks that its sizes are there and sane.
func ReadConfig(path string) (*Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := &Config{LayerNormEps: 1e-12, Activation: "gelu", HiddenDropout: 0.1, AttentionDropout: 0.1, InitializerRange: 0.02}
	if err := json.Unmarshal(b, c); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if c.ModelType == "" {
		return nil, fmt.Errorf("%s: key model_type is missing", path)
	}
	for _, x := range []struct {
		key        string
		value, max int
	}{
		{"vocab_size", c.VocabSize, 1 << 24}, {"hidden_size", c.HiddenSize, 1 << 16}, {"num_hidden_layers", c.Layers, 1 << 10},
		{"num_attention_heads", c.Heads, 1 << 10}, {"intermediate_size", c.Intermediate, 1 << 20},
		{"max_position_embeddings", c.MaxPositions, 1 << 20}, {"type_vocab_size", c.TypeVocab, 1 << 10},
	} {
		if x.value < 1 || x.value > x.max {
			return nil, fmt.Errorf("%s: %s is missing or not in 1..%d", path, x.key, x.max)
		}
	}
	if c.HiddenSize%c.Heads != 0 {
		return nil, fmt.Errorf("%s: hidden_size %d is no multiple of num_attention_heads %d", path, c.HiddenSize, c.Heads)
	}
	return c, nil
}
