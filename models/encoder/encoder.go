// Package encoder builds the encoders of the paper for sequence classification, each as its transformers class computes it.
// One file per family over the shared blocks; a new family is one file and one line in families.
//
// Dropout draws in PyTorch's order: on the CPU the losses from one seed are those of transformers 5.23 in every family (testdata has
// them). They are not on CUDA, where the draws depend on the kernels, nor after a head was initialised here, whose values are the
// same distribution's but not the same.
package encoder

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"pema/models/checkpoint"
	"pema/models/torch"
)

// Batch is one batch on the model's device: IDs and Types (batch, length) int64, Mask (batch, 1, 1, length) float32 that is 0 at
// tokens and the lowest float at padding.
type Batch struct{ IDs, Types, Mask *torch.Tensor }

// Param is one parameter under its Hugging Face name.
type Param struct {
	Name      string
	Tensor    *torch.Tensor // leaf on the model's device
	Embedding bool          // the input word embedding matrix
	Frozen    bool          // it gets no gradient
}

// Model is an encoder with a classification head.
type Model struct {
	Config  *checkpoint.Config
	Labels  int // 1: regression
	Params  []Param
	Padding int64    // row of the token that batches are padded with, in the embedding matrix as loaded
	Fresh   []string // parameters that the checkpoint does not have and that were initialised

	device    torch.Device
	recompute bool
	forward   forward
	adapters  map[string]*adapter // by the name of the weight that they are added to
}

// Forward returns the logits (batch, labels) and drops the batch: what autograd needs of it stays. With Recompute the backward pass
// needs it once more, and it stays the scope's.
func (m *Model) Forward(s *torch.Scope, b Batch) *torch.Tensor {
	logits := m.forward(s, b)
	if m.recompute && s.Training() {
		return logits
	}
	b.IDs.Drop()
	b.Types.Drop()
	b.Mask.Drop()
	return logits
}

// Embedding is the input word embedding matrix.
func (m *Model) Embedding() *Param {
	for i := range m.Params {
		if m.Params[i].Embedding {
			return &m.Params[i]
		}
	}
	return nil
}

// Device is where the model is.
func (m *Model) Device() torch.Device { return m.device }

// Close frees the parameters.
func (m *Model) Close() {
	for _, p := range m.Params {
		p.Tensor.Drop()
	}
	m.Params = nil
}

// Weights are where a model's parameters begin.
type Weights interface {
	// Tensor gives the tensor of a name as a CPU float32 tensor that the caller owns, or nil where there is none. shape is what the
	// config asks for; a source that holds another gives what it holds.
	Tensor(name string, shape []int64) (*torch.Tensor, error)
	// Selected are the rows of the embedding matrix that Tensor gives, ascending; nil: all.
	Selected() []int32
}

// Options say how a model is built.
type Options struct {
	Labels   int
	Device   torch.Device
	HeadSeed int64 // of every parameter that the checkpoint does not have
	Rows     int64 // rows of the embedding matrix as loaded (with PEMA fewer than the config's)
	Padding  int64 // row of the padding token among them

	Frozen    bool  // the embedding matrix is not trained
	LoRA      *LoRA // nil: every other weight is trained
	Recompute bool  // gradient checkpointing: each layer's activations are computed again in the backward pass
}

type family struct {
	prefix string // of the backbone's names in a checkpoint with a head
	build  func(b *builder) forward
}

type forward func(s *torch.Scope, x Batch) *torch.Tensor

var families = map[string]family{
	"bert":        {"bert.", buildBERT},
	"camembert":   {"roberta.", buildRoBERTa},
	"deberta-v2":  {"deberta.", buildDeBERTa},
	"distilbert":  {"distilbert.", buildDistilBERT},
	"roberta":     {"roberta.", buildRoBERTa},
	"xlm-roberta": {"roberta.", buildRoBERTa},
}

// Known says whether models of a config's type can be fine-tuned, and if not, why.
func Known(cfg *checkpoint.Config) error {
	if _, ok := families[cfg.ModelType]; ok {
		return nil
	}
	if cfg.ModelType == "gpt2" {
		return errors.New("model type gpt2 is known for counting only: its causal decoder and the head on the last token are missing here")
	}
	return fmt.Errorf("model type %q cannot be fine-tuned: known are %s", cfg.ModelType, strings.Join(slices.Sorted(maps.Keys(families)), ", "))
}

// Reducible says whether PEMA may leave rows out of a model's embedding matrix, and if not, why. The classes for sequence
// classification have no output matrix, so that it may in all that can be fine-tuned.
func Reducible(cfg *checkpoint.Config) error {
	if _, ok := families[cfg.ModelType]; !ok && cfg.TieWordEmbeddings {
		return fmt.Errorf("model type %q has an output matrix that is tied to the embeddings (tie_word_embeddings): "+
			"it scores every token of the vocabulary, so that no row may be left out", cfg.ModelType)
	}
	return nil
}

// New builds the model of a config over its weights.
func New(cfg *checkpoint.Config, w Weights, o Options) (*Model, error) {
	err := Known(cfg)
	if err != nil && o.Rows < int64(cfg.VocabSize) {
		err = errors.Join(err, Reducible(cfg))
	}
	if err != nil {
		return nil, err
	}
	f := families[cfg.ModelType]
	if o.Labels < 1 {
		return nil, fmt.Errorf("a classification head needs at least one label, not %d", o.Labels)
	}
	if o.Device != torch.Meta { // nothing is drawn there
		if err := torch.Seed(o.HeadSeed); err != nil {
			return nil, err
		}
	}
	b := &builder{cfg: cfg, weights: w, opt: o, prefix: f.prefix, model: &Model{Config: cfg, Labels: o.Labels, Padding: o.Padding, recompute: o.Recompute, device: o.Device, adapters: map[string]*adapter{}}}
	b.frozen = int64(cfg.PadTokenID)
	if w != nil {
		b.frozen = row(w.Selected(), cfg.PadTokenID)
	}
	b.model.forward = f.build(b)
	if b.err != nil {
		b.model.Close()
		return nil, b.err
	}
	return b.model, nil
}

// row is the row of an id in the matrix of the selected ids (nil: all), -1: none.
func row(selected []int32, id int) int64 {
	if selected == nil {
		return int64(id)
	}
	if i, ok := slices.BinarySearch(selected, int32(id)); ok {
		return int64(i)
	}
	return -1
}

// builder loads or initialises parameters; the first error sticks.
type builder struct {
	cfg     *checkpoint.Config
	weights Weights
	opt     Options
	prefix  string
	frozen  int64 // row of the config's padding token in the embedding matrix as loaded, -1: none
	model   *Model
	err     error

	embedding bool // the next parameter is the embedding matrix
}

func (b *builder) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
	}
}

// start is how a parameter begins that a checkpoint does not have.
type start int

const (
	required start = iota // missing is an error
	normal                // normal with the config's initializer_range
	zeros
)

// param loads name (or the same without the family's prefix, or with LayerNorm's old gamma and beta) and checks its shape.
func (b *builder) param(name string, missing start, shape ...int64) *torch.Tensor {
	if b.err != nil {
		return nil
	}
	old := strings.NewReplacer("LayerNorm.weight", "LayerNorm.gamma", "LayerNorm.bias", "LayerNorm.beta").Replace(name)
	var t *torch.Tensor
	for _, n := range []string{name, strings.TrimPrefix(name, b.prefix), old, strings.TrimPrefix(old, b.prefix)} {
		if t, b.err = b.weights.Tensor(n, shape); b.err != nil {
			return nil
		}
		if t != nil {
			break
		}
	}
	switch {
	case t == nil && missing == required:
		b.err = fmt.Errorf("the checkpoint has no tensor %s", name)
		return nil
	case t == nil:
		if t, b.err = torch.Empty(shape, torch.Float32); b.err != nil {
			return nil
		}
		if missing == normal {
			b.err = t.Normal(0, b.cfg.InitializerRange)
		} else {
			b.err = t.Fill(0)
		}
		b.model.Fresh = append(b.model.Fresh, name)
	}
	defer t.Drop()
	if b.err != nil {
		return nil
	}
	if got := t.Shape(); fmt.Sprint(got) != fmt.Sprint(shape) {
		b.err = fmt.Errorf("tensor %s has shape %v, the config asks for %v", name, got, shape)
		return nil
	}
	d, err := t.To(b.opt.Device)
	if err != nil {
		b.err = err
		return nil
	}
	defer d.Drop()
	x := Param{Name: name, Embedding: b.embedding}
	x.Frozen = b.embedding && b.opt.Frozen || b.opt.LoRA != nil && !b.adapts(name)
	if x.Frozen {
		x.Tensor, b.err = d.Detach(false)
	} else {
		x.Tensor, b.err = d.Parameter()
	}
	if b.err != nil {
		return nil
	}
	b.model.Params = append(b.model.Params, x)
	return x.Tensor
}
