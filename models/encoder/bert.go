package encoder

import (
	"fmt"

	"pema/models/torch"
)

// buildBERT is transformers' BertForSequenceClassification: word + token type + position embeddings, post-norm layers, a
// tanh pooler over the first token, dropout and a linear head.
func buildBERT(b *builder) (func(*torch.Scope, Batch) *torch.Tensor, error) {
	c := b.cfg
	h := int64(c.HiddenSize)
	emb := b.prefix + "embeddings."
	word := b.param(emb+"word_embeddings.weight", required, b.opt.Rows, h)
	if word != nil {
		b.model.Params[len(b.model.Params)-1].Embedding = true
	}
	position := b.param(emb+"position_embeddings.weight", required, int64(c.MaxPositions), h)
	types := b.param(emb+"token_type_embeddings.weight", required, int64(c.TypeVocab), h)
	first := b.norm(emb+"LayerNorm", h)
	act, err := activation(c.Activation)
	if err != nil {
		return nil, err
	}
	layers := make([]layer, c.Layers)
	for i := range layers {
		layers[i] = b.bertLayer(fmt.Sprintf("%sencoder.layer.%d.", b.prefix, i), act)
	}
	pooler := b.linear(b.prefix+"pooler.dense", normal, h, h)
	head := b.linear("classifier", normal, int64(b.opt.Labels), h)
	headDropout := c.HiddenDropout
	if c.ClassifierDropout != nil {
		headDropout = *c.ClassifierDropout
	}
	padding := b.opt.Padding

	return func(s *torch.Scope, x Batch) *torch.Tensor {
		length := x.IDs.Shape()[1]
		if length > int64(c.MaxPositions) {
			s.Fail(fmt.Errorf("batch is %d tokens long, the model has %d positions", length, c.MaxPositions))
			return nil
		}
		y := s.Embedding(word, x.IDs, padding)
		y = s.Add(y.Last(), s.Embedding(types, x.Types, -1).Last())
		y = s.Add(y.Last(), s.Narrow(position, 0, 0, length).Last())
		y = s.Dropout(first.on(s, y.Last()).Last(), c.HiddenDropout)
		for i := range layers {
			y = layers[i].on(s, y, x.Mask)
		}
		y = s.Tanh(pooler.on(s, s.Select(y.Last(), 1, 0).Last()).Last())
		return head.on(s, s.Dropout(y.Last(), headDropout).Last())
	}, nil
}

// layer is a post-norm transformer layer: self-attention, then a feed-forward part, each with dropout and residual.
type layer struct {
	query, key, value, output linear
	up, down                  linear
	attentionNorm, outputNorm norm
	heads, width              int64
	dropout, attentionDropout float64
	act                       func(*torch.Scope, *torch.Tensor) *torch.Tensor
}

func (b *builder) bertLayer(name string, act func(*torch.Scope, *torch.Tensor) *torch.Tensor) layer {
	c := b.cfg
	h, inner := int64(c.HiddenSize), int64(c.Intermediate)
	return layer{
		query: b.linear(name+"attention.self.query", required, h, h), key: b.linear(name+"attention.self.key", required, h, h),
		value: b.linear(name+"attention.self.value", required, h, h), output: b.linear(name+"attention.output.dense", required, h, h),
		attentionNorm: b.norm(name+"attention.output.LayerNorm", h),
		up:            b.linear(name+"intermediate.dense", required, inner, h), down: b.linear(name+"output.dense", required, h, inner),
		outputNorm: b.norm(name+"output.LayerNorm", h),
		heads:      int64(c.Heads), width: h / int64(c.Heads),
		dropout: c.HiddenDropout, attentionDropout: c.AttentionDropout, act: act,
	}
}

func (l *layer) split(s *torch.Scope, x *torch.Tensor) *torch.Tensor {
	if s.Err() != nil {
		return nil
	}
	n := x.Shape()
	return s.Transpose(s.View(x.Last(), n[0], n[1], l.heads, l.width).Last(), 1, 2)
}

// on consumes x (batch, length, hidden).
func (l *layer) on(s *torch.Scope, x, mask *torch.Tensor) *torch.Tensor {
	if s.Err() != nil {
		return nil
	}
	n := x.Shape()
	q, k, v := l.split(s, l.query.on(s, x)), l.split(s, l.key.on(s, x)), l.split(s, l.value.on(s, x))
	y := s.Attention(q.Last(), k.Last(), v.Last(), mask, l.attentionDropout)
	y = s.Reshape(s.Transpose(y.Last(), 1, 2).Last(), n[0], n[1], l.heads*l.width)
	y = s.Dropout(l.output.on(s, y.Last()).Last(), l.dropout)
	y = l.attentionNorm.on(s, s.Add(y.Last(), x.Last()).Last())
	z := l.act(s, l.up.on(s, y).Last())
	z = s.Dropout(l.down.on(s, z.Last()).Last(), l.dropout)
	return l.outputNorm.on(s, s.Add(z.Last(), y.Last()).Last())
}

func activation(name string) (func(*torch.Scope, *torch.Tensor) *torch.Tensor, error) {
	switch name {
	case "gelu":
		return (*torch.Scope).Gelu, nil
	case "relu":
		return (*torch.Scope).Relu, nil
	}
	return nil, fmt.Errorf("activation %q is not known: gelu and relu are", name)
}
