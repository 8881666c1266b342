package encoder

import "pema/models/torch"

var distilbertNames = layerNames{
	query: "attention.q_lin", key: "attention.k_lin", value: "attention.v_lin", output: "attention.out_lin",
	attentionNorm: "sa_layer_norm", up: "ffn.lin1", down: "ffn.lin2", outputNorm: "output_layer_norm",
}

// buildDistilBERT is transformers' DistilBertForSequenceClassification: BERT without token types, without dropout after the
// attention's output matrix, and with a ReLU layer over the first token in place of the pooler.
func buildDistilBERT(b *builder) forward {
	c := b.cfg
	h := int64(c.HiddenSize)
	if c.Text("sinusoidal_pos_embds") == "true" {
		b.fail("sinusoidal_pos_embds is not supported: position embeddings are trained here")
	}
	emb := b.prefix + "embeddings."
	word := b.words(emb+"word_embeddings.weight", h)
	position := b.param(emb+"position_embeddings.weight", required, int64(c.MaxPositions), h)
	norm := b.norm(emb+"LayerNorm", h)
	layers := b.layers("transformer.layer.", distilbertNames, b.selfAttention(distilbertNames))
	for i := range layers {
		layers[i].attentionDropout = 0
	}
	dense := b.linear("pre_classifier", normal, h, h)
	head := b.linear("classifier", normal, int64(b.opt.Labels), h)
	dropout := b.headDropout()

	return func(s *torch.Scope, x Batch) *torch.Tensor {
		_, length, ok := fits(s, x, c.MaxPositions)
		if !ok {
			return nil
		}
		y := word.on(s, x.IDs)
		y = s.Add(y.Last(), s.Narrow(position, 0, 0, length).Last())
		y = s.Dropout(norm.on(s, y.Last()).Last(), c.HiddenDropout)
		y = b.stack(s, layers, y, pass{mask: x.Mask})
		y = s.Relu(dense.on(s, first(s, y).Last()).Last())
		return head.on(s, s.Dropout(y.Last(), dropout).Last())
	}
}
