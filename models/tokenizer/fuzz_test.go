package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// tiny are tokenizers in a few bytes, one of each family.
var tiny = []string{
	`{"added_tokens":[{"id":0,"content":"[UNK]","special":true}],"normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"},"post_processor":{"type":"BertProcessing","sep":["[UNK]",0],"cls":["[UNK]",0]},"model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{"[UNK]":0,"a":1,"##b":2,"é":3}}}`,
	`{"normalizer":null,"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":true},"model":{"vocab":{"a":0,"b":1,"ab":2,"Ġ":3,"abab":4},"merges":["a b",["ab","ab"]]}}`,
	`{"added_tokens":[{"id":2,"content":"<m>","lstrip":true,"rstrip":true,"single_word":true},{"id":3,"content":" x","normalized":true}],"normalizer":{"type":"Sequence","normalizers":[{"type":"NFKD"},{"type":"StripAccents"},{"type":"Lowercase"},{"type":"Strip","strip_left":true,"strip_right":true},{"type":"Replace","pattern":{"Regex":" {2,}"},"content":" "},{"type":"Replace","pattern":{"String":"q"},"content":"qq"}]},"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},{"type":"Metaspace","replacement":"▁","prepend_scheme":"always"}]},"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"s","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],"special_tokens":{"s":{"id":"s","ids":[0],"tokens":["s"]}}},"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["▁a",-1.5e0]]}}`,
}

// FuzzParse: no tokenizer.json makes the package panic, not even when one that was accepted then encodes.
func FuzzParse(f *testing.F) {
	for _, s := range tiny {
		f.Add([]byte(s))
	}
	for _, family := range families {
		b, err := os.ReadFile(filepath.Join("testdata", family, "tokenizer.json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tok, err := parse(b)
		if err != nil {
			return
		}
		sameAsJSON(t, tok, b)
		tok.Size()
		pair := "ab  <m> ÀÉ x\u0301\xff 你 1/2 ﬁ"
		e := tok.NewEncoder()
		for _, limit := range []int{0, 1, 5} {
			check(t, tok, e, "a ab<m>"+string(b[:min(len(b), 100)]), &pair, limit)
		}
	})
}

// sameAsJSON: what was accepted is JSON, and encoding/json finds the same vocabulary there.
func sameAsJSON(t *testing.T, tok *Tokenizer, b []byte) {
	if !json.Valid(b) {
		t.Fatalf("accepted, but not JSON: %q", b)
	}
	var d, m map[string]json.RawMessage
	if json.Unmarshal(b, &d) != nil || json.Unmarshal(d["model"], &m) != nil {
		t.Fatalf("no model in %q", b)
	}
	var ids map[string]int32
	if json.Unmarshal(m["vocab"], &ids) == nil {
		n := 0
		for text, id := range ids {
			if got, ok := tok.vocab.lookup(text); !ok || got != id {
				t.Fatalf("token %q: id %d, want %d", text, got, id)
			}
			n++
		}
		if n != tok.vocab.size() {
			t.Fatalf("%d tokens, want %d", tok.vocab.size(), n)
		}
		return
	}
	var pieces [][2]any
	if err := json.Unmarshal(m["vocab"], &pieces); err != nil || len(pieces) != tok.vocab.size() {
		t.Fatalf("%d pieces, want %d; %v", tok.vocab.size(), len(pieces), err)
	}
	last := map[string]int32{}
	for i, p := range pieces {
		last[p[0].(string)] = int32(i)
	}
	for text, id := range last {
		if got, ok := tok.vocab.lookup(text); !ok || got != id {
			t.Fatalf("piece %q: id %d, want %d", text, got, id)
		}
	}
}

// FuzzSentencePiece: the same for SentencePiece models.
func FuzzSentencePiece(f *testing.F) {
	for _, file := range []string{"albert/spiece.model", "deberta/spm.model", "xlmr/sentencepiece.bpe.model"} {
		b, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("\x0a\x08\x0a\x01a\x15\x00\x00\x80\xbf\x0a\x09\x0a\x05[CLS]\x18\x03\x0a\x09\x0a\x05[SEP]\x18\x03"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, class := range []string{"Albert", "DebertaV2", "XLMRoberta"} {
			how := conversions[class]
			tok, err := how.convert((&config{}).with(how.tokens), [][]byte{b})
			if err == nil {
				check(t, tok, tok.NewEncoder(), "a <mask> ab\u0301ﬁ "+string(b[:min(len(b), 50)]), nil, 0)
			}
		}
	})
}

// FuzzEncode: any bytes can be encoded, cut to any length, and a warm cache changes nothing.
func FuzzEncode(f *testing.F) {
	f.Add("Hello world! [MASK]", "<mask> it's", 8)
	f.Add("a\u0301\u0323 \xff\xe2\x82 \u1100\u1161\u11a8각", "\x00\u200d👩‍👩‍👧‍👦🇫🇷", 0)
	f.Add("````'' ((  ))--", "  \n\n x", 3)
	var all []*Tokenizer
	for _, family := range families {
		tok, err := Load(filepath.Join("testdata", family))
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, tok)
	}
	warm := make([]*Encoder, len(all))
	for i, tok := range all {
		warm[i] = tok.NewEncoder()
	}
	f.Fuzz(func(t *testing.T, text, pair string, limit int) {
		for i, tok := range all {
			ids, second := check(t, tok, warm[i], text, &pair, limit)
			cold, coldSecond := tok.NewEncoder().Encode(nil, text, &pair, limit)
			if !slices.Equal(ids, cold) || second != coldSecond {
				t.Errorf("%s: warm %v, cold %v", families[i], ids, cold)
			}
		}
	})
}

// check encodes and holds the result against what is true of any: ids are tokens, and truncation never adds any.
func check(t *testing.T, tok *Tokenizer, e *Encoder, text string, pair *string, limit int) ([]int32, int) {
	t.Helper()
	whole, _ := e.Encode(nil, text, pair, 0)
	ids, second := e.Encode(nil, text, pair, limit)
	if second < 0 || second > len(ids) {
		t.Fatalf("type 1 begins at %d of %d", second, len(ids))
	}
	if len(ids) > len(whole) {
		t.Fatalf("truncation to %d made %d ids of %d", limit, len(ids), len(whole))
	}
	if k := tok.templates[1].special; limit > k && len(ids) > max(limit, tok.templates[0].special) {
		t.Fatalf("%d ids for a limit of %d", len(ids), limit)
	}
	for _, id := range ids {
		if id < 0 {
			t.Fatalf("id %d", id)
		}
	}
	return ids, second
}
