package encoder

import "pema/models/torch"

// buildRoBERTa is transformers' RobertaForSequenceClassification, which XLM-R, XLM-V and CamemBERT share: BERT's layers over positions
// that count from the padding token's id + 1 and leave padding out, one token type for all tokens, and a head of two layers over <s>.
//
// A position counts a token that is not the config's padding token, wherever it stands. With PEMA that token has another row,
// but the numbers still begin at its published id: they are rows of the position matrix, which is not reduced.
func buildRoBERTa(b *builder) forward {
	c := b.cfg
	h := int64(c.HiddenSize)
	b.absolutePositions()
	start := int64(c.PadTokenID)
	if start < 0 {
		b.fail("pad_token_id is missing: positions are counted from it")
	}
	emb := b.prefix + "embeddings."
	word := b.words(emb+"word_embeddings.weight", h)
	position := b.param(emb+"position_embeddings.weight", required, int64(c.MaxPositions), h)
	types := b.param(emb+"token_type_embeddings.weight", required, int64(c.TypeVocab), h)
	norm := b.norm(emb+"LayerNorm", h)
	layers := b.layers("encoder.layer.", bertNames, b.selfAttention(bertNames))
	dense := b.linear("classifier.dense", normal, h, h)
	head := b.linear("classifier.out_proj", normal, int64(b.opt.Labels), h)
	dropout := b.headDropout()

	return func(s *torch.Scope, x Batch) *torch.Tensor {
		if _, _, ok := fits(s, x, c.MaxPositions-c.PadTokenID-1); !ok {
			return nil
		}
		y := word.on(s, x.IDs)
		y = s.Add(y.Last(), s.Narrow(types, 0, 0, 1).Last())
		y = s.Add(y.Last(), s.Embedding(position, s.Positions(x.IDs, word.frozen, start).Last(), start).Last())
		y = s.Dropout(norm.on(s, y.Last()).Last(), c.HiddenDropout)
		y = b.stack(s, layers, y, pass{mask: x.Mask})
		y = s.Dropout(first(s, y).Last(), dropout)
		y = s.Tanh(dense.on(s, y.Last()).Last())
		return head.on(s, s.Dropout(y.Last(), dropout).Last())
	}
}
