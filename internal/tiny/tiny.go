// Package tiny makes small but whole inputs for tests: a BERT folder with its own WordPiece vocabulary, and a labelled text
// file. The same call makes the same bytes.
package tiny

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
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

// BERT writes a model folder: config.json, tokenizer.json, tokenizer_config.json and model.safetensors (names with the bert.
// prefix, no pooler and no head, as an encoder trained for something else has).
func BERT(t testing.TB, dir string) {
	t.Helper()
	write(t, dir, "config.json", map[string]any{
		"model_type": "bert", "vocab_size": Rows, "hidden_size": Hidden, "num_hidden_layers": Layers, "num_attention_heads": 4, "intermediate_size": Inner,
		"max_position_embeddings": 32, "type_vocab_size": 2, "pad_token_id": 0, "layer_norm_eps": 1e-12, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
		"attention_probs_dropout_prob": 0.1, "initializer_range": 0.02,
	})
	write(t, dir, "tokenizer_config.json", map[string]any{"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"})
	vocab := map[string]int{}
	var added []any
	for i, s := range []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"} {
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
	weights(t, filepath.Join(dir, "model.safetensors"))
}

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

func weights(t testing.TB, path string) {
	t.Helper()
	shapes := map[string][]int{
		"bert.embeddings.word_embeddings.weight": {Rows, Hidden}, "bert.embeddings.position_embeddings.weight": {32, Hidden},
		"bert.embeddings.token_type_embeddings.weight": {2, Hidden}, "bert.embeddings.LayerNorm.weight": {Hidden}, "bert.embeddings.LayerNorm.bias": {Hidden},
	}
	for i := range Layers {
		l := fmt.Sprintf("bert.encoder.layer.%d.", i)
		for name, d := range map[string][2]int{"attention.self.query": {Hidden, Hidden}, "attention.self.key": {Hidden, Hidden}, "attention.self.value": {Hidden, Hidden},
			"attention.output.dense": {Hidden, Hidden}, "intermediate.dense": {Inner, Hidden}, "output.dense": {Hidden, Inner}} {
			shapes[l+name+".weight"], shapes[l+name+".bias"] = []int{d[0], d[1]}, []int{d[0]}
		}
		for _, name := range []string{"attention.output.LayerNorm", "output.LayerNorm"} {
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
			if strings.HasSuffix(n, "LayerNorm.weight") {
				v++
			}
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(v)))
		}
		header[n] = map[string]any{"dtype": "F32", "shape": shapes[n], "data_offsets": []int{begin, len(data)}}
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
