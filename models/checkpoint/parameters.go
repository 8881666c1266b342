package checkpoint

import "fmt"

// Parameters counts the parameters of the transformers class for sequence classification with numLabels labels: of the input
// embedding matrix, and of the whole model.
func (c *Config) Parameters(numLabels int) (embedding, total int64, err error) {
	if numLabels < 1 || numLabels > maxLabels {
		return 0, 0, fmt.Errorf("count parameters: %d labels", numLabels)
	}
	if _, ok := families[c.ModelType]; !ok {
		return 0, 0, fmt.Errorf("count parameters: model type %q is not known", c.ModelType)
	}
	d, i, labels := int64(c.HiddenSize), int64(c.Intermediate), int64(numLabels)
	linear := func(out, in int64) int64 { return out*in + out }
	norm := 2 * d
	// BERT's layer, which the others share but for the names: four projections, two matrices of the feed-forward part, two norms.
	layer := 4*linear(d, d) + linear(i, d) + linear(d, i) + 2*norm
	positions, types := int64(c.MaxPositions)*d, int64(c.TypeVocab)*d
	head := linear(d, d) + linear(labels, d) // dense or pooler, then the classifier

	embedding = int64(c.VocabSize) * d
	switch x := c.Disentangled; {
	case x != nil:
		e := int64(x.EmbeddingSize)
		embedding = int64(c.VocabSize) * e
		total = embedding + int64(c.TypeVocab)*e + norm
		if x.PositionBiasedInput {
			total += int64(c.MaxPositions) * e
		}
		if e != d {
			total += e * d
		}
		if x.NormRelEmbeddings {
			total += norm
		}
		if x.RelativeAttention {
			total += int64(x.RelativeRows()) * d
			if !x.ShareAttentionKey && x.ContentToPosition {
				layer += linear(d, d)
			}
			if !x.ShareAttentionKey && x.PositionToContent {
				layer += linear(d, d)
			}
		}
		if x.ConvolutionKernel > 0 {
			total += d*d*int64(x.ConvolutionKernel) + d + norm
		}
		pooler := int64(x.PoolerHidden)
		head = linear(pooler, pooler) + linear(labels, d)
	case c.ModelType == "gpt2":
		total = embedding + positions + norm
		head = labels * d
	default:
		total = embedding + positions + types + norm
	}
	return embedding, total + int64(c.Layers)*layer + head, nil
}
