// Package tiny makes small but whole inputs for tests: a model folder of any family with its own WordPiece vocabulary, and a
// labelled text file. The same call makes the same bytes.
package tiny

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Rows, Hidden, Layers and Inner are the model's sizes.
const (
	Rows   = 400
	Hidden = 32
	Layers = 2
	Inner  = 64
)

// BERT writes the folder of a BERT: see Model.
func BERT(t testing.TB, dir string) { Model(t, dir, "bert") }

// Model writes a model folder of a family that Families names: config.json, tokenizer.json, tokenizer_config.json and
// model.safetensors (names with the backbone's prefix, no pooler and no head, as an encoder trained for something else has). All
// families have the same WordPiece tokenizer, but RoBERTa's pads with id 1.
func Model(t testing.TB, dir, family string) {
	t.Helper()
	f, ok := families[family]
	if !ok {
		t.Fatalf("no tiny model of type %q", family)
	}
	config := map[string]any{"model_type": family, "vocab_size": Rows, "pad_token_id": f.pad, "initializer_range": 0.02}
	maps.Copy(config, sizes)
	if family == "distilbert" {
		config = map[string]any{"model_type": family, "vocab_size": Rows, "pad_token_id": f.pad, "initializer_range": 0.02, "dim": Hidden, "n_layers": Layers,
			"n_heads": 4, "hidden_dim": Inner, "max_position_embeddings": positions, "activation": "gelu", "dropout": 0.1, "attention_dropout": 0.1}
	}
	maps.Copy(config, f.config)
	write(t, dir, "config.json", config)
	specials := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
	specials[0], specials[f.pad] = specials[f.pad], specials[0]
	write(t, dir, "tokenizer_config.json", map[string]any{"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"})
	vocab := map[string]int{}
	var added []any
	for i, s := range specials {
		vocab[s] = i
		added = append(added, map[string]any{"id": i, "content": s, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})
	}
	for i := len(vocab); i < Rows; i++ {
		vocab[Word(i)] = i
	}
	special := func(name string, typ int) any {
		return map[string]any{"SpecialToken": map[string]any{"id": name, "type_id": typ}}
	}
	sequence := func(name string, typ int) any {
		return map[string]any{"Sequence": map[string]any{"id": name, "type_id": typ}}
	}
	write(t, dir, "tokenizer.json", map[string]any{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added,
		"normalizer":    map[string]any{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": nil, "lowercase": true},
		"pre_tokenizer": map[string]any{"type": "BertPreTokenizer"},
		"post_processor": map[string]any{"type": "TemplateProcessing",
			"single": []any{special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0)},
			"pair":   []any{special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0), sequence("B", 1), special("[SEP]", 1)},
			"special_tokens": map[string]any{"[CLS]": map[string]any{"id": "[CLS]", "ids": []int{2}, "tokens": []string{"[CLS]"}},
				"[SEP]": map[string]any{"id": "[SEP]", "ids": []int{3}, "tokens": []string{"[SEP]"}}}},
		"decoder": map[string]any{"type": "WordPiece", "prefix": "##", "cleanup": true},
		"model":   map[string]any{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocab},
	})
	weights(t, filepath.Join(dir, "model.safetensors"), f)
}

const positions = 32

var sizes = map[string]any{"hidden_size": Hidden, "num_hidden_layers": Layers, "num_attention_heads": 4, "intermediate_size": Inner,
	"max_position_embeddings": positions, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}

// family is what sets a model type's folder apart.
type family struct {
	pad      int
	config   map[string]any
	prefix   string
	extra    map[string][]int // tensors outside the layers, beside the word embeddings and their norm
	layers   string
	projects [4]string // query, key, value, output
	up, down string
	norms    [2]string
}

func bertLike(prefix string, pad, types int, eps float64) family {
	return family{
		pad: pad, config: map[string]any{"type_vocab_size": types, "layer_norm_eps": eps}, prefix: prefix,
		extra:  map[string][]int{"embeddings.position_embeddings.weight": {positions, Hidden}, "embeddings.token_type_embeddings.weight": {types, Hidden}},
		layers: "encoder.layer.", projects: [4]string{"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"},
		up: "intermediate.dense", down: "output.dense", norms: [2]string{"attention.output.LayerNorm", "output.LayerNorm"},
	}
}

var families = func() map[string]family {
	out := map[string]family{"bert": bertLike("bert.", 0, 2, 1e-12), "roberta": bertLike("roberta.", 1, 1, 1e-5), "xlm-roberta": bertLike("roberta.", 1, 1, 1e-5)}
	d := bertLike("deberta.", 0, 0, 1e-7)
	maps.Copy(d.config, map[string]any{"relative_attention": true, "position_buckets": 8, "max_relative_positions": -1, "norm_rel_ebd": "layer_norm",
		"share_att_key": true, "pos_att_type": "p2c|c2p", "position_biased_input": false, "pooler_hidden_size": Hidden})
	d.extra = map[string][]int{"encoder.rel_embeddings.weight": {16, Hidden}, "encoder.LayerNorm.weight": {Hidden}, "encoder.LayerNorm.bias": {Hidden}}
	d.projects = [4]string{"attention.self.query_proj", "attention.self.key_proj", "attention.self.value_proj", "attention.output.dense"}
	out["deberta-v2"] = d
	out["distilbert"] = family{
		prefix: "distilbert.", extra: map[string][]int{"embeddings.position_embeddings.weight": {positions, Hidden}}, layers: "transformer.layer.",
		projects: [4]string{"attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"},
		up:       "ffn.lin1", down: "ffn.lin2", norms: [2]string{"sa_layer_norm", "output_layer_norm"},
	}
	return out
}()

// Families are the model types that Model knows.
func Families() []string { return slices.Sorted(maps.Keys(families)) }

// Word is the text of a row.
func Word(row int) string { return fmt.Sprintf("w%c%c", 'a'+row/26, 'a'+row%26) }

// CSV writes n labelled sentences with columns text and label; they use every third row of the vocabulary.
func CSV(t testing.TB, path string, n int) {
	t.Helper()
	r := rand.New(rand.NewPCG(5, 5))
	var b strings.Builder
	b.WriteString("text,label\n")
	for range n {
		label := r.IntN(2)
		for range 3 + r.IntN(8) {
			b.WriteString(Word(6+3*r.IntN(60)+90*label) + " ")
		}
		fmt.Fprintf(&b, ",%d\n", label)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, dir, name string, v any) {
	t.Helper()
	b, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func weights(t testing.TB, path string, f family) {
	t.Helper()
	shapes := map[string][]int{"embeddings.word_embeddings.weight": {Rows, Hidden}, "embeddings.LayerNorm.weight": {Hidden}, "embeddings.LayerNorm.bias": {Hidden}}
	maps.Copy(shapes, f.extra)
	for i := range Layers {
		l := fmt.Sprintf("%s%d.", f.layers, i)
		linear := func(name string, out, in int) {
			shapes[l+name+".weight"], shapes[l+name+".bias"] = []int{out, in}, []int{out}
		}
		for _, name := range f.projects {
			linear(name, Hidden, Hidden)
		}
		linear(f.up, Inner, Hidden)
		linear(f.down, Hidden, Inner)
		for _, name := range f.norms {
			shapes[l+name+".weight"], shapes[l+name+".bias"] = []int{Hidden}, []int{Hidden}
		}
	}
	var names []string
	for n := range shapes {
		names = append(names, n)
	}
	slices.Sort(names)
	header, data := map[string]any{}, []byte{}
	r := rand.New(rand.NewPCG(3, 3))
	for _, n := range names {
		count, begin := 1, len(data)
		for _, d := range shapes[n] {
			count *= d
		}
		for range count {
			v := r.NormFloat64() * 0.1
			if len(shapes[n]) == 1 && strings.HasSuffix(n, ".weight") {
				v++
			}
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(v)))
		}
		header[f.prefix+n] = map[string]any{"dtype": "F32", "shape": shapes[n], "data_offsets": []int{begin, len(data)}}
	}
	h, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	for len(h)%8 != 0 {
		h = append(h, ' ')
	}
	b := append(binary.LittleEndian.AppendUint64(nil, uint64(len(h))), h...)
	if err := os.WriteFile(path, append(b, data...), 0o600); err != nil {
		t.Fatal(err)
	}
}
