package encoder

import "pema/models/torch"

// buildBERT is transformers' BertForSequenceClassification: word + token type + position embeddings, post-norm layers, a
// tanh pooler over the first token, dropout and a linear head.
func buildBERT(b *builder) forward {
	c := b.cfg
	h := int64(c.HiddenSize)
	b.absolutePositions()
	emb := b.prefix + "embeddings."
	word := b.words(emb+"word_embeddings.weight", h)
	position := b.param(emb+"position_embeddings.weight", required, int64(c.MaxPositions), h)
	types := b.param(emb+"token_type_embeddings.weight", required, int64(c.TypeVocab), h)
	norm := b.norm(emb+"LayerNorm", h)
	layers := b.layers("encoder.layer.", bertNames, b.selfAttention(bertNames))
	pooler := b.linear(b.prefix+"pooler.dense", normal, h, h)
	head := b.linear("classifier", normal, int64(b.opt.Labels), h)
	dropout := b.headDropout()

	return func(s *torch.Scope, x Batch) *torch.Tensor {
		_, length, ok := fits(s, x, c.MaxPositions)
		if !ok {
			return nil
		}
		y := word.on(s, x.IDs)
		y = s.Add(y.Last(), s.Embedding(types, x.Types, -1).Last())
		y = s.Add(y.Last(), s.Narrow(position, 0, 0, length).Last())
		y = s.Dropout(norm.on(s, y.Last()).Last(), c.HiddenDropout)
		y = b.stack(s, layers, y, pass{mask: x.Mask})
		y = s.Tanh(pooler.on(s, first(s, y).Last()).Last())
		return head.on(s, s.Dropout(y.Last(), dropout).Last())
	}
}

// absolutePositions refuses BERT's relative variants.
func (b *builder) absolutePositions() {
	if p := b.cfg.PositionEmbedding; p != "absolute" && p != "" {
		b.fail("position_embedding_type %q is not supported: absolute is", p)
	}
}
