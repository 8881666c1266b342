package encoder

import (
	"fmt"

	"pema/models/torch"
)

type linear struct {
	w, b *torch.Tensor
	low  *adapter // nil: none
}

func (b *builder) linear(name string, missing start, out, in int64) linear {
	bias := missing
	if missing == normal {
		bias = zeros
	}
	return linear{w: b.param(name+".weight", missing, out, in), b: b.param(name+".bias", bias, out)}
}

func (l linear) on(s *torch.Scope, x *torch.Tensor) *torch.Tensor {
	if l.low == nil {
		return s.Linear(x, l.w, l.b)
	}
	y := s.Linear(x, l.w, l.b)
	return s.Add(y.Last(), l.low.on(s, x).Last())
}

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

// words is the embedding matrix, at the height that is loaded. The row of the config's padding token gets no gradient.
type words struct {
	w      *torch.Tensor
	frozen int64 // -1: none
}

func (b *builder) words(name string, width int64) words {
	b.embedding = true
	defer func() { b.embedding = false }()
	return words{b.param(name, required, b.opt.Rows, width), b.frozen}
}

func (w words) on(s *torch.Scope, ids *torch.Tensor) *torch.Tensor {
	return s.Embedding(w.w, ids, w.frozen)
}

// layer is a post-norm transformer layer: attention, then a feed-forward part, each with dropout, residual and norm.
type layer struct {
	attention                 attention
	output, up, down          linear
	attentionNorm, outputNorm norm
	attentionDropout, dropout float64 // after the attention's output matrix and after the feed-forward part
	act                       activation
}

// attention maps (batch, length, hidden) to the heads' contexts side by side, before the output matrix. It does not consume x.
type attention func(s *torch.Scope, x *torch.Tensor, p pass) *torch.Tensor

// pass is what the layers of one forward pass share.
type pass struct {
	mask     *torch.Tensor // what Batch.Mask is; DeBERTa: bool, true at padding
	relation *relation     // DeBERTa only
}

// layerNames are a family's names of a layer's parts; query, key and value are the attention's.
type layerNames struct{ query, key, value, output, attentionNorm, up, down, outputNorm string }

var bertNames = layerNames{
	query: "attention.self.query", key: "attention.self.key", value: "attention.self.value", output: "attention.output.dense",
	attentionNorm: "attention.output.LayerNorm", up: "intermediate.dense", down: "output.dense", outputNorm: "output.LayerNorm",
}

// layers builds the config's layers under prefix0., prefix1. and so on; attend makes the attention of one.
func (b *builder) layers(prefix string, n layerNames, attend func(name string) attention) []layer {
	c := b.cfg
	h, inner := int64(c.HiddenSize), int64(c.Intermediate)
	act := b.activation(c.Activation)
	out := make([]layer, c.Layers)
	for i := range out {
		name := fmt.Sprintf("%s%s%d.", b.prefix, prefix, i)
		out[i] = layer{
			attention: attend(name), output: b.linear(name+n.output, required, h, h), attentionNorm: b.norm(name+n.attentionNorm, h),
			up: b.linear(name+n.up, required, inner, h), down: b.linear(name+n.down, required, h, inner), outputNorm: b.norm(name+n.outputNorm, h),
			attentionDropout: c.HiddenDropout, dropout: c.HiddenDropout, act: act,
		}
	}
	return out
}

// on consumes x (batch, length, hidden).
func (l *layer) on(s *torch.Scope, x *torch.Tensor, p pass) *torch.Tensor {
	y := l.attention(s, x, p)
	y = s.Dropout(l.output.on(s, y.Last()).Last(), l.attentionDropout)
	y = l.attentionNorm.on(s, s.Add(y.Last(), x.Last()).Last())
	z := l.act(s, l.up.on(s, y).Last())
	z = s.Dropout(l.down.on(s, z.Last()).Last(), l.dropout)
	return l.outputNorm.on(s, s.Add(z.Last(), y.Last()).Last())
}

// stack runs the layers one after the other, consuming y.
func (b *builder) stack(s *torch.Scope, layers []layer, y *torch.Tensor, p pass) *torch.Tensor {
	recompute := b.opt.Recompute && s.Training()
	if recompute && p.relation != nil {
		p.relation.rows = s.Cut(p.relation.rows)
	}
	for i := range layers {
		if !recompute {
			y = layers[i].on(s, y, p)
			continue
		}
		y = s.Recompute(b.opt.Device, y, func(s *torch.Scope, x *torch.Tensor) *torch.Tensor { return layers[i].on(s, x, p) })
	}
	return y
}

// selfAttention is BERT's, as libtorch's scaled-dot-product attention.
func (b *builder) selfAttention(n layerNames) func(name string) attention {
	h, heads := int64(b.cfg.HiddenSize), int64(b.cfg.Heads)
	dropout := b.cfg.AttentionDropout
	return func(name string) attention {
		query, key, value := b.adapted(name+n.query, h, h), b.linear(name+n.key, required, h, h), b.adapted(name+n.value, h, h)
		split := func(s *torch.Scope, x *torch.Tensor) *torch.Tensor {
			if s.Err() != nil {
				return nil
			}
			n := x.Shape()
			return s.Transpose(s.View(x.Last(), n[0], n[1], heads, h/heads).Last(), 1, 2)
		}
		return func(s *torch.Scope, x *torch.Tensor, p pass) *torch.Tensor {
			if s.Err() != nil {
				return nil
			}
			n := x.Shape()
			q, k, v := split(s, query.on(s, x)), split(s, key.on(s, x)), split(s, value.on(s, x))
			y := s.Attention(q.Last(), k.Last(), v.Last(), p.mask, dropout)
			return s.Reshape(s.Transpose(y.Last(), 1, 2).Last(), n[0], n[1], h)
		}
	}
}

// first is the hidden state of each text's first token, consuming x (batch, length, hidden).
func first(s *torch.Scope, x *torch.Tensor) *torch.Tensor { return s.Select(x.Last(), 1, 0) }

// headDropout is the classifier's.
func (b *builder) headDropout() float64 {
	if b.cfg.ClassifierDropout != nil {
		return *b.cfg.ClassifierDropout
	}
	return b.cfg.HiddenDropout
}

type activation func(*torch.Scope, *torch.Tensor) *torch.Tensor

func (b *builder) activation(name string) activation {
	switch name {
	case "gelu":
		return (*torch.Scope).Gelu
	case "relu":
		return (*torch.Scope).Relu
	case "tanh":
		return (*torch.Scope).Tanh
	}
	b.fail("activation %q is not known: gelu, relu and tanh are", name)
	return nil
}

// fits says whether a batch has positions in the model, and its shape.
func fits(s *torch.Scope, x Batch, positions int) (batch, length int64, ok bool) {
	if s.Err() != nil {
		return 0, 0, false
	}
	n := x.IDs.Shape()
	if n[1] > int64(positions) {
		s.Fail(fmt.Errorf("batch is %d tokens long, the model has %d positions", n[1], positions))
		return 0, 0, false
	}
	return n[0], n[1], true
}
