package checkpoint

import (
	"encoding/json"
	"fmt"
	"strings"
)

// family is how a model type writes its config.json: the names of the shared keys, its defaults, and its own keys.
type family struct {
	names      names
	class      string // of sequence classification in transformers
	eps        float64
	activation string
	pad        int // -1: none
	read       func(k *keys, c *Config, n names)
}

type names struct {
	hidden, layers, heads, intermediate, positions     string
	hiddenDropout, attentionDropout, classifierDropout string
	activation, eps                                    string
}

var bert = family{
	names: names{
		hidden: "hidden_size", layers: "num_hidden_layers", heads: "num_attention_heads", intermediate: "intermediate_size",
		positions: "max_position_embeddings", hiddenDropout: "hidden_dropout_prob", attentionDropout: "attention_probs_dropout_prob",
		classifierDropout: "classifier_dropout", activation: "hidden_act", eps: "layer_norm_eps",
	},
	class: "BertForSequenceClassification", eps: 1e-12, activation: "gelu", read: readBERT,
}

var families = map[string]family{
	"bert":           bert,
	"camembert":      bert.like("CamembertForSequenceClassification", 1),
	"roberta":        bert.like("RobertaForSequenceClassification", 1),
	"xlm-roberta":    bert.like("XLMRobertaForSequenceClassification", 1),
	"xlm-roberta-xl": xlmRobertaXL(),
	"distilbert": {
		names: names{
			hidden: "dim", layers: "n_layers", heads: "n_heads", intermediate: "hidden_dim", positions: "max_position_embeddings",
			hiddenDropout: "dropout", attentionDropout: "attention_dropout", classifierDropout: "seq_classif_dropout", activation: "activation",
			eps: "", // fixed in the class
		},
		class: "DistilBertForSequenceClassification", eps: 1e-12, activation: "gelu", read: readDistilBERT,
	},
	"deberta-v2": deberta(),
	"gpt2": {
		names: names{
			hidden: "n_embd", layers: "n_layer", heads: "n_head", intermediate: "n_inner", positions: "n_positions",
			hiddenDropout: "resid_pdrop", attentionDropout: "attn_pdrop", activation: "activation_function", eps: "layer_norm_epsilon",
		},
		class: "GPT2ForSequenceClassification", eps: 1e-5, activation: "gelu_new", pad: -1, read: readGPT2,
	},
}

// like is a family whose config.json differs in defaults only.
func (f family) like(class string, pad int) family {
	f.class, f.pad = class, pad
	return f
}

func xlmRobertaXL() family {
	f := bert.like("XLMRobertaXLForSequenceClassification", 1)
	f.eps = 1e-5
	return f
}

func deberta() family {
	f := bert.like("DebertaV2ForSequenceClassification", 0)
	f.names.classifierDropout, f.eps, f.read = "cls_dropout", 1e-7, readDeBERTa
	return f
}

// Architecture is the name of the transformers class for sequence classification, "" where the model type is not known.
func (c *Config) Architecture() string { return families[c.ModelType].class }

func (k *keys) sizes(c *Config, n names) {
	c.HiddenSize = k.size(n.hidden, 1, maxWidth)
	c.Layers = k.size(n.layers, 1, maxLayers)
	c.Heads = k.size(n.heads, 1, maxWidth)
	c.MaxPositions = k.size(n.positions, 1, maxPositions)
}

func readBERT(k *keys, c *Config, n names) {
	k.sizes(c, n)
	c.Intermediate = k.size(n.intermediate, 1, maxIntermediate)
	c.TypeVocab = k.size("type_vocab_size", 1, maxWidth)
}

func readDistilBERT(k *keys, c *Config, n names) {
	k.sizes(c, n)
	c.Intermediate = k.size(n.intermediate, 1, maxIntermediate)
	if c.ClassifierDropout == nil {
		d := 0.2
		c.ClassifierDropout = &d
	}
}

func readGPT2(k *keys, c *Config, n names) {
	k.sizes(c, n)
	c.Intermediate = k.sizeOr(n.intermediate, 4*c.HiddenSize, 1, maxIntermediate)
}

func readDeBERTa(k *keys, c *Config, n names) {
	k.sizes(c, n)
	c.Intermediate = k.size(n.intermediate, 1, maxIntermediate)
	c.TypeVocab = k.sizeOr("type_vocab_size", 0, 0, maxWidth)
	d := &Disentangled{
		RelativeAttention:    k.flag("relative_attention", false),
		PositionBuckets:      max(0, k.sizeOr("position_buckets", -1, -1, maxPositions)),
		MaxRelativePositions: k.sizeOr("max_relative_positions", -1, -1, maxPositions),
		ShareAttentionKey:    k.flag("share_att_key", false),
		PositionBiasedInput:  k.flag("position_biased_input", true),
		EmbeddingSize:        k.sizeOr("embedding_size", c.HiddenSize, 1, maxWidth),
		PoolerHidden:         k.sizeOr("pooler_hidden_size", c.HiddenSize, 1, maxWidth),
		PoolerDropout:        k.fraction("pooler_dropout", 0),
		PoolerActivation:     k.text("pooler_hidden_act", "gelu"),
		ConvolutionKernel:    k.sizeOr("conv_kernel_size", 0, 0, maxWidth),
	}
	if d.MaxRelativePositions < 1 {
		d.MaxRelativePositions = c.MaxPositions
	}
	for _, s := range k.words("norm_rel_ebd") {
		d.NormRelEmbeddings = d.NormRelEmbeddings || s == "layer_norm"
	}
	for _, s := range k.words("pos_att_type") {
		switch s {
		case "c2p":
			d.ContentToPosition = true
		case "p2c":
			d.PositionToContent = true
		default:
			k.err = fmt.Errorf("key pos_att_type: %.20q is neither c2p nor p2c", s)
		}
	}
	c.Disentangled = d
}

// words reads a list of words, which DeBERTa also writes as one string: "p2c|c2p".
func (k *keys) words(key string) []string {
	var v json.RawMessage
	if !k.value(key, &v) {
		return nil
	}
	if v[0] != '"' {
		var list []string
		k.value(key, &list)
		return list
	}
	var list []string
	for s := range strings.SplitSeq(strings.ToLower(k.text(key, "")), "|") {
		list = append(list, strings.TrimSpace(s))
	}
	return list
}

// readOther takes what a family that is not known says under BERT's names, for those who only count its vocabulary.
func readOther(k *keys, c *Config, n names) {
	c.HiddenSize = k.sizeOr(n.hidden, 0, 0, maxWidth)
	c.Layers = k.sizeOr(n.layers, 0, 0, maxLayers)
	c.Heads = k.sizeOr(n.heads, 0, 0, maxWidth)
	c.Intermediate = k.sizeOr(n.intermediate, 0, 0, maxIntermediate)
	c.MaxPositions = k.sizeOr(n.positions, 0, 0, maxPositions)
	c.TypeVocab = k.sizeOr("type_vocab_size", 0, 0, maxWidth)
}
