package tokenizer

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	librarymodel "github.com/sugarme/tokenizer/model"
	library "github.com/sugarme/tokenizer/model/wordpiece"
	"pgregory.net/rapid"
)

func TestInvalidUTF8(t *testing.T) {
	for in, want := range map[string]string{
		"a\xffb":                   "a\ufffdb",
		"\xff\xfe":                 "\ufffd\ufffd",
		"\xe2\x82":                 "\ufffd",             // a truncated €: one
		"\xe2\x82x\xe2":            "\ufffdx\ufffd",      //
		"\xf0\x9f\x98":             "\ufffd",             //
		"\xf0\x80\x80":             "\ufffd\ufffd\ufffd", // overlong: each byte
		"\xed\xa0\x80":             "\ufffd\ufffd\ufffd", // a surrogate
		"\xf4\x90\x80\x80":         "\ufffd\ufffd\ufffd\ufffd",
		"\xc0\xaf":                 "\ufffd\ufffd",
		"é\xe2\x82é\ufffd\x80\x80": "é\ufffdé\ufffd\ufffd\ufffd",
	} {
		if got := string(appendValid(nil, in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestLongestFirst(t *testing.T) {
	for _, c := range [][5]int{ // lengths, limit, wanted lengths
		{100, 50, 125, 75, 50}, {50, 100, 125, 50, 75}, {600, 100, 125, 63, 62}, {100, 600, 125, 62, 63},
		{600, 600, 125, 62, 63}, {10, 20, 30, 10, 20}, {10, 21, 30, 10, 20}, {5, 5, 0, 0, 0}, {5, 5, 1, 0, 1}, {0, 9, 4, 0, 4},
	} {
		if a, b := longestFirst(c[0], c[1], true, c[2]); a != c[3] || b != c[4] {
			t.Errorf("%v: %d, %d", c, a, b)
		}
	}
	if a, _ := longestFirst(9, 0, false, 4); a != 4 {
		t.Errorf("a single sequence of 9 was cut to %d, not 4", a)
	}
}

// The heap finds the merges that looking for the best pair again and again would.
func TestBPEAgainstNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vocab := map[string]int32{"a": 0, "b": 1, "c": 2}
		tokens := []string{"a", "b", "c"}
		var pairs [][2]string
		for range rapid.IntRange(0, 30).Draw(t, "merges") {
			l, r := rapid.SampledFrom(tokens).Draw(t, "left"), rapid.SampledFrom(tokens).Draw(t, "right")
			if _, ok := vocab[l+r]; !ok {
				vocab[l+r] = int32(len(vocab))
				tokens = append(tokens, l+r)
			}
			if !slices.Contains(pairs, [2]string{l, r}) {
				pairs = append(pairs, [2]string{l, r})
			}
		}
		var list []token
		for text, id := range vocab {
			list = append(list, token{text, id})
		}
		all, err := newTokens(list)
		if err != nil {
			t.Fatal(err)
		}
		m, err := newBPE(all, pairs, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		word := rapid.StringMatching(`[abcd]{0,40}`).Draw(t, "word")
		parts := strings.Split(strings.ReplaceAll(word, "d", ""), "")
		for {
			best, at := len(pairs), -1
			for i := range len(parts) - 1 {
				if rank := slices.Index(pairs, [2]string{parts[i], parts[i+1]}); rank >= 0 && rank < best {
					best, at = rank, i
				}
			}
			if at < 0 {
				break
			}
			parts[at] += parts[at+1]
			parts = slices.Delete(parts, at+1, at+2)
		}
		var want []int32
		for _, p := range parts {
			if p != "" {
				want = append(want, vocab[p])
			}
		}
		if got := m.tokenize(&scratch{}, nil, []byte(word)); !slices.Equal(got, want) {
			t.Fatalf("%q: %v, want %v", word, got, want)
		}
	})
}

// The score of the way that the Unigram model takes is the highest there is.
func TestUnigramIsBest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := []scored{{"<unk>", 0}}
		for _, p := range rapid.SliceOfNDistinct(rapid.StringMatching(`[aéb]{1,4}`), 1, 12, rapid.ID).Draw(t, "pieces") {
			pieces = append(pieces, scored{p, -float64(rapid.IntRange(1, 1000).Draw(t, "score"))})
		}
		m, err := newUnigram(pieces, 0, false)
		if err != nil {
			t.Fatal(err)
		}
		word := rapid.StringMatching(`[aéb]{1,12}`).Draw(t, "word")
		best := make([]float64, len(word)+1) // from each byte to the end
		for i := len(word) - 1; i >= 0; i-- {
			best[i] = -1e18
			for _, p := range pieces {
				if strings.HasPrefix(word[i:], p.piece) {
					best[i] = max(best[i], p.score+best[i+len(p.piece)])
				}
			}
			if _, n := decode([]byte(word[i:])); word[i]&0xc0 != 0x80 && lookedUp(m, word[i:i+n]) == 0 {
				best[i] = max(best[i], m.unkScore+best[i+n])
			}
		}
		got, unknown := 0.0, false
		for _, id := range m.tokenize(&scratch{}, nil, []byte(word)) {
			got += m.score[id]
			unknown = unknown || id == 0
		}
		if !unknown && got != best[0] { // unknown characters are fused, so their number is not to be seen
			t.Fatalf("%q: score %v, best is %v", word, got, best[0])
		}
	})
}

func lookedUp(m *unigram, piece string) int32 {
	id, _ := m.lookup(piece)
	return id
}

// sugarme/tokenizer's WordPiece was written independently and is exact: both must agree.
func TestWordpieceAgainstLibrary(t *testing.T) {
	tok, err := Load("testdata/bert-uncased")
	if err != nil {
		t.Fatal(err)
	}
	vocab := librarymodel.Vocab{}
	tok.vocab.each(func(token string, id int32) { vocab[token] = int(id) })
	lib := library.NewWordPieceBuilder().Vocab(&vocab).UnkToken("[UNK]").Build()
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[a-zéпростйы你#]{1,25}`).Draw(t, "word")
		tokens, err := lib.Tokenize(word)
		if err != nil {
			t.Fatal(err)
		}
		var want []int32
		for _, x := range tokens {
			want = append(want, int32(x.Id))
		}
		if got := tok.model.tokenize(&scratch{}, nil, []byte(word)); !slices.Equal(got, want) {
			t.Fatalf("%q: %v, the library has %v", word, got, want)
		}
	})
}

// Long inputs of any kind take work in proportion to their length: twice the text makes the models take about twice the steps, and a
// text of 1 MiB comes to an end.
func TestLongInput(t *testing.T) {
	units := []string{"a", "ab", "the ", " ", "é", "\u0301", "你", "!", "\xff", "[MASK]", "<mask>", "<mas", "가", "🇫", "x\u0301\u0323"}
	for _, family := range families {
		tok, err := Load(filepath.Join("testdata", family))
		if err != nil {
			t.Fatal(err)
		}
		for i, u := range units {
			sizes := []int{1 << 15, 1 << 16}
			if i < 2 {
				sizes = []int{1 << 19, 1 << 20}
			}
			var steps [2]int
			for j, size := range sizes {
				text := strings.Repeat(u, size/len(u))
				e := tok.NewEncoder()
				ids, _ := e.Encode(nil, text, nil, 0)
				steps[j] = e.scratch.steps
				if len(ids) > 3*len(text)+8 { // U+FFFD has three bytes
					t.Errorf("%s: %q gave %d ids", family, u, len(ids))
				}
			}
			if steps[1] > 5*steps[0]/2+100 { // the heap's depth adds a little
				t.Errorf("%s: %q over %d bytes takes %d steps, over twice as many %d", family, u, sizes[0], steps[0], steps[1])
			}
		}
	}
}

// Truncation takes ids away and adds none; what an encoder has seen before changes nothing.
func TestEncodeProperties(t *testing.T) {
	var all []*Tokenizer
	var used []*Encoder
	for _, family := range families {
		tok, err := Load(filepath.Join("testdata", family))
		if err != nil {
			t.Fatal(err)
		}
		all, used = append(all, tok), append(used, tok.NewEncoder())
	}
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`([a-zA-Zéß'.,0-9你]{0,9}[ \t\x{a0}]{0,2}){0,12}`), rapid.SampledFrom([]string{"", " ", "the same", "\xff<mask> [MASK]"}))
	rapid.Check(t, func(t *rapid.T) {
		i := rapid.IntRange(0, len(all)-1).Draw(t, "family")
		first := text.Draw(t, "text")
		var pair *string
		special := all[i].templates[0].special
		if rapid.Bool().Draw(t, "is a pair") {
			pair, special = new(text.Draw(t, "pair")), all[i].templates[1].special
		}
		limit := rapid.IntRange(1, 40).Draw(t, "limit")
		whole, _ := used[i].Encode(nil, first, pair, 0)
		short, second := used[i].Encode(nil, first, pair, limit)
		if len(short) > len(whole) || len(short) > max(limit, special) || len(whole) <= limit && !slices.Equal(short, whole) {
			t.Fatalf("%s: %q cut to %d: %v of %v", families[i], first, limit, short, whole)
		}
		rest := slices.Clone(whole) // short is what is left of whole
		for _, id := range short {
			at := slices.Index(rest, id)
			if at < 0 {
				t.Fatalf("%s: %q cut to %d: id %d is new: %v of %v", families[i], first, limit, id, short, whole)
			}
			rest = rest[at+1:]
		}
		again, freshSecond := all[i].NewEncoder().Encode(nil, first, pair, limit)
		if !slices.Equal(short, again) || second != freshSecond {
			t.Fatalf("%s: %q: %v, with a new encoder %v", families[i], first, short, again)
		}
	})
}

// A full cache starts anew and changes no ids.
func TestCacheOverflow(t *testing.T) {
	tok, err := Load("testdata/roberta")
	if err != nil {
		t.Fatal(err)
	}
	e := tok.NewEncoder()
	r := rand.New(rand.NewPCG(1, 2))
	var words []string
	for range maxCached + 5000 {
		word := make([]byte, 12)
		for i := range word {
			word[i] = byte('a' + r.IntN(26))
		}
		words = append(words, string(word))
	}
	e.Encode(nil, strings.Join(words, " "), nil, 0)
	if e.cache.count < 4000 || e.cache.count > 6000 {
		t.Errorf("the cache holds %d words, not those since it was full", e.cache.count)
	}
	for _, w := range words[:3000] {
		got, _ := e.Encode(nil, w, nil, 0)
		want, _ := tok.NewEncoder().Encode(nil, w, nil, 0)
		if !slices.Equal(got, want) {
			t.Fatalf("%q: %v, want %v", w, got, want)
		}
	}
}

// What is not supported is refused by name.
func TestRefused(t *testing.T) {
	bert, bpe, uni := tiny[0], tiny[1], tiny[2]
	for _, c := range []struct{ in, old, new, want string }{
		{bert, `"type":"BertNormalizer"`, `"type":"Nmt"`, `normalizer "Nmt" is not supported`},
		{bert, `"clean_text":true`, `"clean_text":true,"novel":1`, `unknown field "novel"`},
		{bert, `"type":"BertPreTokenizer"`, `"type":"Digits"`, `pre_tokenizer "Digits" is not supported`},
		{bert, `{"type":"BertPreTokenizer"}`, `null`, `without a pre_tokenizer`},
		{bert, `"type":"BertProcessing"`, `"type":"Novel"`, `post_processor "Novel" is not supported`},
		{bert, `"type":"WordPiece"`, `"type":"WordLevel"`, `model "WordLevel" is not supported`},
		{bert, `"unk_token":"[UNK]"`, `"unk_token":"?"`, `unknown token "?" is not in the vocabulary`},
		{bert, `"[UNK]":0,"a"`, `"[UNK]":-1,"a"`, `id -1 is not one`},
		{bert, `{"id":0,"content":"[UNK]"`, `{"id":9,"content":"[UNK]"`, `added token "[UNK]" has id 9`},
		{bert, `"sep":["[UNK]",0]`, `"sep":["[UNK]",-3]`, `negative`},
		{bert, `{"added_tokens"`, `{"version":"2.0","added_tokens"`, `version "2.0"`},
		{bert, `{"added_tokens"`, `{"extra":1,"added_tokens"`, `unknown field "extra"`},
		{bert, `"type":"BertPreTokenizer"`, `"type":"ByteLevel"`, `BPE model without a ByteLevel`},
		{bpe, `["ab","ab"]`, `["ab","x"]`, `"x" is not in the vocabulary`},
		{bpe, `"a b"`, `"a  b"`, `is not a pair`},
		{bpe, `"vocab":{"a"`, `"dropout":0.1,"vocab":{"a"`, `dropout 0.1`},
		{bpe, `"vocab":{"a"`, `"byte_fallback":true,"vocab":{"a"`, `byte_fallback`},
		{bpe, `"add_prefix_space":true`, `"use_regex":false`, `use_regex false`},
		{uni, `" {2,}"`, `"\\s+"`, `regular expression "\\s+"`},
		{uni, `"unk_id":0`, `"unk_id":7`, `unk_id 7 is outside`},
		{uni, `"unk_id":0,`, ``, `without unk_id`},
		{uni, `["▁a",-1.5e0]`, `["▁a"]`, `not a piece and a score`},
		{bert, `"[UNK]":0,"a"`, `"[UNK]":00,"a"`, `invalid character '0'`},
		{bert, `"[UNK]":0,"a"`, "\"[UNK]\":0,\"\x01\":5,\"a\"", `invalid character '\x01' in string`},
		{bert, `"[UNK]":0,"a"`, `"[UNK]":0,"\q":5,"a"`, `invalid character 'q'`},
		{bert, `"vocab":{`, `"vocab":null,"vocab":{`, `vocab`},
		{bert, `"vocab":{`, `"vocab":{},"vocab":{`, `given twice`},
		{bert, `"vocab":{"[UNK]":0,"a":1,"##b":2,"é":3}`, `"vocab":[["a",0]]`, `not an object of ids`},
		{bpe, `"merges":["a b",["ab","ab"]]`, `"type":"BPE"`, `merges: not a list`},
		{uni, `-1.5e0`, `-1.5e`, `invalid character ']'`},
		{uni, `-1.5e0`, `.5`, `invalid character '.'`},
		{uni, `-1.5e0`, `NaN`, `invalid character 'N'`},
		{uni, `[["<unk>",0],["▁a",-1.5e0]]`, `{"a":1}`, `not a list of pieces`},
		{uni, `"prepend_scheme":"always"`, `"prepend_scheme":"first"`, `prepend_scheme "first"`},
		{uni, `"type_id":1`, `"type_id":2`, `token type 2`},
		{uni, `{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B"`, `{"Sequence":{"id":"B","type_id":0}},{"Sequence":{"id":"A"`, `not expected`},
		{uni, `{"SpecialToken":{"id":"s"`, `{"SpecialToken":{"id":"t"`, `"t" has no ids`},
	} {
		if !strings.Contains(c.in, c.old) {
			t.Fatalf("%q is not there", c.old)
		}
		_, err := parse([]byte(strings.Replace(c.in, c.old, c.new, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s for %s: error %v, want %q", c.new, c.old, err, c.want)
		}
	}
	for i, s := range tiny {
		if _, err := parse([]byte(s)); err != nil {
			t.Errorf("tiny %d: %v", i, err)
		}
	}
}

// Loading a folder that lacks what its class needs says what that is.
func TestLoadErrors(t *testing.T) {
	for want, files := range map[string]map[string]string{
		"neither tokenizer_config.json nor config.json": {},
		`model type "llama" cannot be converted`:        {"config.json": `{"model_type":"llama"}`},
		"a LlamaTokenizer cannot be converted":          {"tokenizer_config.json": `{"tokenizer_class":"LlamaTokenizerFast"}`},
		"neither tokenizer.json nor vocab.txt":          {"config.json": `{"model_type":"distilbert"}`},
		"split_by_punct":                                {"tokenizer_config.json": `{"tokenizer_class":"DebertaV2Tokenizer","split_by_punct":true}`, "spm.model": string(read(t, "testdata/deberta/spm.model"))},
		`added token "extra" with id 7`:                 {"tokenizer_config.json": `{"tokenizer_class":"BertTokenizer"}`, "vocab.txt": "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", "added_tokens.json": `{"extra":7}`},
		"truncation_side":                               {"tokenizer_config.json": `{"truncation_side":"up"}`, "tokenizer.json": tiny[0]},
	} {
		_, err := Load(folder(t, files))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, s := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestSpecials(t *testing.T) {
	for family, want := range map[string]Specials{
		"bert-cased": {Pad: 0, Unk: 1, CLS: 2, SEP: 3, Mask: 4},
		"roberta":    {CLS: 0, Pad: 1, SEP: 2, Unk: 3, Mask: 4},
		"gpt2":       {CLS: 0, SEP: 0, Unk: 0, Pad: -1, Mask: -1},
	} {
		for _, dir := range []string{"testdata/" + family, without(t, "testdata/"+family, "tokenizer.json")} {
			tok, err := Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			if got := tok.Specials(); got != want {
				t.Errorf("%s: %+v, want %+v", family, got, want)
			}
		}
	}
	// The older file names them first; an object is as good as a string; an unknown name is none.
	dir := folder(t, map[string]string{
		"tokenizer.json":          string(read(t, "testdata/bert-cased/tokenizer.json")),
		"tokenizer_config.json":   `{"pad_token":"[MASK]","cls_token":{"content":"[SEP]"},"mask_token":"nowhere","unk_token":null}`,
		"special_tokens_map.json": `{"pad_token":"[CLS]"}`,
	})
	tok, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := tok.Specials(), (Specials{Pad: 2, Unk: 1, CLS: 3, SEP: 3, Mask: 4}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if len(tok.Files()) != 3 {
		t.Errorf("files: %q", tok.Files())
	}
}

// The fingerprint moves with what determines ids, and only with that.
func TestFingerprint(t *testing.T) {
	files := map[string]string{"tokenizer.json": tiny[0]}
	first, err := Load(folder(t, files))
	if err != nil {
		t.Fatal(err)
	}
	files["config.json"] = `{"hidden_size":3}`
	second, err := Load(folder(t, files))
	if err != nil {
		t.Fatal(err)
	}
	files["tokenizer.json"] = strings.Replace(tiny[0], `"a":1`, `"x":1`, 1)
	third, err := Load(folder(t, files))
	if err != nil {
		t.Fatal(err)
	}
	if first.Fingerprint() != second.Fingerprint() || len(first.Fingerprint()) != 64 {
		t.Errorf("%s and %s for the same tokenizer", first.Fingerprint(), second.Fingerprint())
	}
	if first.Fingerprint() == third.Fingerprint() {
		t.Error("another vocabulary has the same fingerprint")
	}
}

func TestTruncationSide(t *testing.T) {
	files := map[string]string{"tokenizer.json": tiny[1], "tokenizer_config.json": `{"truncation_side":"left"}`}
	tok, err := Load(folder(t, files))
	if err != nil {
		t.Fatal(err)
	}
	if ids, _ := tok.NewEncoder().Encode(nil, "aab", nil, 1); !slices.Equal(ids, []int32{2}) {
		t.Errorf("%v is left of aab, want ab", ids)
	}
}

func TestSerdeFloat(t *testing.T) {
	for in, want := range map[string]float64{
		"0": 0, "-0.0": 0, "-1.5": -1.5, "1e3": 1000, "1E-2": 0.01, "-12.25e1": -122.5, "1e400": inf(), "1e-400": 0,
		// As the reference prints them after reading them: the nearest numbers are others.
		"-7.4715776443481445": -7.471577644348144, "123456789012345678901": 123456789012345670000,
	} {
		if got := serdeFloat(in); got != want {
			t.Errorf("%s: %v, want %v", in, got, want)
		}
	}
}

func inf() float64 { var zero float64; return 1 / zero }

// Canonical ordering of more marks than package norm would keep together.
func TestDecomposeLongRun(t *testing.T) {
	in := "a" + strings.Repeat("\u0301", 40) + "\u0323"
	got := decompose{0}.normalize(nil, []byte(in)) // NFC's tables are NFD's
	if want := "a\u0323" + strings.Repeat("\u0301", 40); !bytes.Equal(got, []byte(want)) {
		t.Errorf("%+q", got)
	}
}
