package checkpoint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// Config is a config.json in terms that all families share. Families differ in the names of their keys and in their defaults;
// what a key does not say is what transformers assumes.
type Config struct {
	ModelType         string
	VocabSize         int // rows of the embedding matrix
	HiddenSize        int
	Layers            int
	Heads             int
	Intermediate      int
	MaxPositions      int // rows of the position matrix: for RoBERTa two more than a text may have tokens
	TypeVocab         int // rows of the token type matrix; 0: none
	PadTokenID        int // -1: none
	LayerNormEps      float64
	Activation        string
	HiddenDropout     float64
	AttentionDropout  float64
	ClassifierDropout *float64 // nil: as HiddenDropout
	InitializerRange  float64
	PositionEmbedding string // "absolute" but for old BERT variants; DeBERTa: see Disentangled
	TieWordEmbeddings bool   // of the output matrix, in classes that have one
	Architectures     []string
	ID2Label          []string // names of the classes; nil: not said
	ProblemType       string   // "regression", "single_label_classification" or not said
	Disentangled      *Disentangled

	raw map[string]json.RawMessage
}

// Disentangled is what DeBERTa's attention has beside.
type Disentangled struct {
	RelativeAttention    bool
	PositionBuckets      int // 0: none
	MaxRelativePositions int // where the file says less than 1, MaxPositions, as the model takes it
	NormRelEmbeddings    bool
	ShareAttentionKey    bool
	ContentToPosition    bool
	PositionToContent    bool
	PositionBiasedInput  bool // absolute positions are added to the input
	EmbeddingSize        int
	PoolerHidden         int
	PoolerDropout        float64
	PoolerActivation     string
	ConvolutionKernel    int // of the convolution beside the first layer; 0: none
}

// Text is a key as the file writes it, "" where it is absent or null: for what only one family asks for.
func (c *Config) Text(key string) string {
	if v := string(c.raw[key]); v != "null" {
		return v
	}
	return ""
}

// RelativeRows is the height of the matrix of relative positions.
func (d *Disentangled) RelativeRows() int {
	if d.PositionBuckets > 0 {
		return 2 * d.PositionBuckets
	}
	return 2 * d.MaxRelativePositions
}

// Bounds of a config's sizes: far above any known model, far below what would overflow a product of them.
const (
	maxConfig       = 4 << 20
	maxRows         = 1 << 24
	maxWidth        = 1 << 16
	maxIntermediate = 1 << 20
	maxLayers       = 1 << 10
	maxPositions    = 1 << 20
	maxLabels       = 1 << 16
)

// ReadConfig reads a config.json and checks that its sizes are there and sane. Of a model type that this package does not know
// only vocab_size is asked for.
func ReadConfig(path string) (*Config, error) {
	b, err := readSmall(path, maxConfig)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	c, err := parseConfig(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func parseConfig(b []byte) (*Config, error) {
	k := &keys{}
	if err := json.Unmarshal(b, &k.raw); err != nil {
		return nil, err
	}
	c := &Config{raw: k.raw, ModelType: k.text("model_type", "")}
	if c.ModelType == "" && k.err == nil {
		return nil, fmt.Errorf("key model_type is missing")
	}
	f, known := families[c.ModelType]
	if !known {
		f = family{names: bert.names, read: readOther}
	}
	c.VocabSize = k.size("vocab_size", 1, maxRows)
	c.HiddenDropout = k.fraction(f.names.hiddenDropout, 0.1)
	c.AttentionDropout = k.fraction(f.names.attentionDropout, 0.1)
	c.ClassifierDropout = k.optionalFraction(f.names.classifierDropout)
	c.Activation = k.text(f.names.activation, f.activation)
	c.LayerNormEps = k.float(f.names.eps, f.eps, 0, 1)
	c.InitializerRange = k.float("initializer_range", 0.02, 0, 100)
	c.PositionEmbedding = k.text("position_embedding_type", "absolute")
	c.TieWordEmbeddings = k.flag("tie_word_embeddings", true)
	c.PadTokenID = k.sizeOr("pad_token_id", f.pad, -1, maxRows)
	if k.null("pad_token_id") {
		c.PadTokenID = -1
	}
	c.ProblemType = k.text("problem_type", "")
	k.value("architectures", &c.Architectures)
	c.ID2Label = k.labels()
	f.read(k, c, f.names)
	if k.err == nil && known && c.HiddenSize%c.Heads != 0 {
		k.err = fmt.Errorf("%s %d is no multiple of %s %d", f.names.hidden, c.HiddenSize, f.names.heads, c.Heads)
	}
	if k.err != nil {
		return nil, k.err
	}
	return c, nil
}

// Changes are what fine-tuning makes different in a config.json. Zero values leave a key as it is.
type Changes struct {
	VocabSize     int
	Labels        []string // names of the classes; sets id2label, label2id and num_labels
	Architectures []string
	ProblemType   string
	DType         string // of the weights by PyTorch's name, "float32": recent transformers loads a model in the type named here
}

// Write writes the config.json that c was read from with changes; every other key stays as it was. The form is that of
// transformers: sorted keys, two spaces.
func (c *Config) Write(path string, x Changes) error {
	if c.raw == nil {
		return fmt.Errorf("write %s: the config was not read from a file", path)
	}
	out := map[string]any{}
	for key, v := range c.raw {
		out[key] = v
	}
	if x.VocabSize != 0 {
		out["vocab_size"] = x.VocabSize
	}
	if x.Architectures != nil {
		out["architectures"] = x.Architectures
	}
	if x.ProblemType != "" {
		out["problem_type"] = x.ProblemType
	}
	if x.DType != "" {
		key := "torch_dtype"
		if _, ok := c.raw["dtype"]; ok { // its name since transformers 5
			key = "dtype"
			delete(out, "torch_dtype")
		}
		out[key] = x.DType
	}
	if x.Labels != nil {
		names, ids := map[string]string{}, map[string]int{}
		for i, l := range x.Labels {
			names[strconv.Itoa(i)], ids[l] = l, i
		}
		if len(ids) != len(x.Labels) {
			return fmt.Errorf("write %s: two of the labels %q are equal", path, x.Labels)
		}
		out["id2label"], out["label2id"] = names, ids
		delete(out, "num_labels") // transformers derives it from id2label
	}
	return writeJSON(path, out)
}

// keys reads values of a JSON object; the first error sticks.
type keys struct {
	raw map[string]json.RawMessage
	err error
}

// value decodes a key into v and says whether it is there and not null.
func (k *keys) value(key string, v any) bool {
	r, ok := k.raw[key]
	if k.err != nil || !ok || k.null(key) {
		return false
	}
	if err := json.Unmarshal(r, v); err != nil {
		k.err = fmt.Errorf("key %s: %w", key, err)
		return false
	}
	return true
}

func (k *keys) null(key string) bool { return bytes.Equal(k.raw[key], []byte("null")) }

func (k *keys) size(key string, low, high int) int {
	if _, ok := k.raw[key]; !ok && k.err == nil {
		k.err = fmt.Errorf("key %s is missing", key)
	}
	return k.sizeOr(key, low-1, low, high) // null becomes an error too
}

func (k *keys) sizeOr(key string, missing, low, high int) int {
	n := missing
	there := k.value(key, &n)
	if k.err == nil && (there || missing < low) && (n < low || n > high) {
		k.err = fmt.Errorf("key %s is not in %d..%d", key, low, high)
	}
	return n
}

func (k *keys) float(key string, missing, low, high float64) float64 {
	v := missing
	if k.value(key, &v) && !(v >= low && v <= high) {
		k.err = fmt.Errorf("key %s is not in %g..%g", key, low, high)
	}
	return v
}

func (k *keys) fraction(key string, missing float64) float64 { return k.float(key, missing, 0, 1) }

func (k *keys) optionalFraction(key string) *float64 {
	v := k.float(key, -1, 0, 1)
	if v < 0 {
		return nil
	}
	return &v
}

func (k *keys) text(key, missing string) string {
	s := missing
	k.value(key, &s)
	return s
}

func (k *keys) flag(key string, missing bool) bool {
	b := missing
	k.value(key, &b)
	return b
}

// labels reads id2label, whose keys must be 0..n-1.
func (k *keys) labels() []string {
	var names map[string]string
	if !k.value("id2label", &names) || len(names) == 0 {
		return nil
	}
	if len(names) > maxLabels {
		k.err = fmt.Errorf("key id2label has %d entries, at most %d are read", len(names), maxLabels)
		return nil
	}
	out := make([]string, len(names))
	for id, name := range names {
		i, err := strconv.Atoi(id)
		if err != nil || i < 0 || i >= len(out) || strconv.Itoa(i) != id {
			k.err = fmt.Errorf("key id2label: its %d ids are not 0..%d", len(names), len(names)-1)
			return nil
		}
		out[i] = name
	}
	return out
}
