// Package encoder builds the encoders of the paper for sequence classification, each as its transformers class computes it.
// One file per family over the shared blocks; a new family is one file and one line in families.
package encoder

import (
	"fmt"
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
}

// Model is an encoder with a classification head.
type Model struct {
	Config  *checkpoint.Config
	Labels  int // 1: regression
	Params  []Param
	Padding int64    // row of the padding token in the embedding matrix as loaded
	Fresh   []string // parameters that the checkpoint does not have and that were initialised

	forward func(s *torch.Scope, b Batch) *torch.Tensor
}

// Forward returns the logits (batch, labels) and drops the batch: what autograd needs of it stays.
func (m *Model) Forward(s *torch.Scope, b Batch) *torch.Tensor {
	logits := m.forward(s, b)
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

// Close frees the parameters.
func (m *Model) Close() {
	for _, p := range m.Params {
		p.Tensor.Drop()
	}
	m.Params = nil
}

// Weights gives the published tensor of a name as a CPU float32 tensor that the caller owns, or nil where there is none.
type Weights interface {
	Tensor(name string) (*torch.Tensor, error)
}

// Options say how a model is built.
type Options struct {
	Labels   int
	Device   torch.Device
	HeadSeed int64 // of every parameter that the checkpoint does not have
	Rows     int64 // rows of the embedding matrix as loaded (with PEMA fewer than the config's)
	Padding  int64 // row of the padding token among them
}

type family struct {
	prefix string // of the backbone's names in a checkpoint with a head
	build  func(b *builder) (func(s *torch.Scope, x Batch) *torch.Tensor, error)
}

var families = map[string]family{
	"bert": {"bert.", buildBERT},
}

// New builds the model of a config over its weights.
func New(cfg *checkpoint.Config, w Weights, o Options) (*Model, error) {
	f, ok := families[cfg.ModelType]
	if !ok {
		return nil, fmt.Errorf("model type %q cannot be fine-tuned yet: known are bert", cfg.ModelType)
	}
	if o.Labels < 1 {
		return nil, fmt.Errorf("a classification head needs at least one label, not %d", o.Labels)
	}
	if o.Device != torch.Meta { // nothing is drawn there
		if err := torch.Seed(o.HeadSeed); err != nil {
			return nil, err
		}
	}
	b := &builder{cfg: cfg, weights: w, opt: o, prefix: f.prefix, model: &Model{Config: cfg, Labels: o.Labels, Padding: o.Padding}}
	forward, err := f.build(b)
	if err == nil {
		err = b.err
	}
	if err != nil {
		b.model.Close()
		return nil, err
	}
	b.model.forward = forward
	return b.model, nil
}

// builder loads or initialises parameters; the first error sticks.
type builder struct {
	cfg     *checkpoint.Config
	weights Weights
	opt     Options
	prefix  string
	model   *Model
	err     error
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
	if b.opt.Device == torch.Meta { // the shape is enough
		t, b.err = torch.Meta.Empty(shape, torch.Float32)
	}
	for _, n := range []string{name, strings.TrimPrefix(name, b.prefix), old, strings.TrimPrefix(old, b.prefix)} {
		if t != nil || b.err != nil {
			break
		}
		t, b.err = b.weights.Tensor(n)
	}
	switch {
	case b.err != nil:
		return nil
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
	p, err := d.Parameter()
	if err != nil {
		b.err = err
		return nil
	}
	b.model.Params = append(b.model.Params, Param{Name: name, Tensor: p})
	return p
}

type linear struct{ w, b *torch.Tensor }

func (b *builder) linear(name string, missing start, out, in int64) linear {
	bias := missing
	if missing == normal {
		bias = zeros
	}
	return linear{b.param(name+".weight", missing, out, in), b.param(name+".bias", bias, out)}
}

func (l linear) on(s *torch.Scope, x *torch.Tensor) *torch.Tensor { return s.Linear(x, l.w, l.b) }

type norm struct {
	w, b *torch.Tensor
	eps  float64
}

func (b *builder) norm(name string, width int64) norm {
	return norm{b.param(name+".weight", required, width), b.param(name+".bias", required, width), b.cfg.LayerNormEps}
}

func (n norm) on(s *torch.Scope, x *torch.Tensor) *torch.Tensor {
	return s.LayerNorm(x, n.w, n.b, n.eps)
}
