package encoder

import "pema/models/torch"

var debertaNames = layerNames{
	query: "attention.self.query_proj", key: "attention.self.key_proj", value: "attention.self.value_proj", output: bertNames.output,
	attentionNorm: bertNames.attentionNorm, up: bertNames.up, down: bertNames.down, outputNorm: bertNames.outputNorm,
}

// buildDeBERTa is transformers' DebertaV2ForSequenceClassification (DeBERTa-v2 and v3): word embeddings that are zero at padding,
// layers with disentangled attention over shared embeddings of relative positions, and a pooler with its own dropout and activation.
func buildDeBERTa(b *builder) forward {
	c, d := b.cfg, b.cfg.Disentangled
	h, e := int64(c.HiddenSize), int64(d.EmbeddingSize)
	if d.ConvolutionKernel > 0 {
		b.fail("conv_kernel_size %d: the convolution beside the first layer is not supported", d.ConvolutionKernel)
	}
	if z := c.Text("z_steps"); z != "" && z != "0" {
		b.fail("z_steps %s: the enhanced mask decoder's repeated layers are not supported", z)
	}
	if d.PoolerHidden != c.HiddenSize {
		b.fail("pooler_hidden_size %d differs from hidden_size %d: transformers cannot run such a head", d.PoolerHidden, c.HiddenSize)
	}
	emb := b.prefix + "embeddings."
	word := b.words(emb+"word_embeddings.weight", e)
	var position, types, project *torch.Tensor
	if d.PositionBiasedInput {
		position = b.param(emb+"position_embeddings.weight", required, int64(c.MaxPositions), e)
	}
	if c.TypeVocab > 0 {
		types = b.param(emb+"token_type_embeddings.weight", required, int64(c.TypeVocab), e)
	}
	if e != h {
		project = b.param(emb+"embed_proj.weight", required, h, e)
	}
	inputNorm := b.norm(emb+"LayerNorm", h)
	r := b.relative()
	layers := b.layers("encoder.layer.", debertaNames, b.disentangled)
	dense := b.linear("pooler.dense", normal, h, h)
	poolerAct := b.activation(d.PoolerActivation)
	head := b.linear("classifier", normal, int64(b.opt.Labels), h)
	dropout := b.headDropout()

	return func(s *torch.Scope, x Batch) *torch.Tensor {
		batch, length, ok := fits(s, x, c.MaxPositions)
		if !ok {
			return nil
		}
		padding := s.NotEqual(x.Mask, 0)
		token := s.Convert(s.View(s.Equal(x.Mask, 0).Last(), batch, length, 1).Last(), torch.Float32)
		y := word.on(s, x.IDs)
		if position != nil {
			y = s.Add(y.Last(), s.Narrow(position, 0, 0, length).Last())
		}
		if types != nil {
			y = s.Add(y.Last(), s.Embedding(types, x.Types, -1).Last())
		}
		if project != nil {
			y = s.Project(y.Last(), project)
		}
		y = s.Mul(inputNorm.on(s, y.Last()).Last(), token.Last())
		y = s.Dropout(y.Last(), c.HiddenDropout)
		p := pass{mask: padding, relation: r.on(s, length)}
		y = b.stack(s, layers, y, p)
		if !b.opt.Recompute { // else the backward pass needs them
			p.relation.drop()
			padding.Drop()
		}
		y = s.Dropout(first(s, y).Last(), d.PoolerDropout)
		y = poolerAct(s, dense.on(s, y.Last()).Last())
		return head.on(s, s.Dropout(y.Last(), dropout).Last())
	}
}
