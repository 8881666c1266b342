package tokenizer

import (
	"slices"
	"unicode/utf8"
	"unsafe"
)

// Encoder turns texts into ids. It is not safe for concurrent use: each goroutine takes its own from Tokenizer.NewEncoder.
type Encoder struct {
	t     *Tokenizer
	cache wordCache

	valid, norm, spare, word []byte
	a, b                     lastText
	scratch                  scratch
}

// lastText is the text that was encoded last, and its ids: many a data set repeats one of the two texts in the rows that follow.
type lastText struct {
	text string
	ids  []int32
}

// Encode appends the ids of text, or of text and pair, with the special tokens of the tokenizer's template, and returns the
// longer slice. With a maxLength > 0 the sequences are first cut to it, longest first, as the reference does it; 0 leaves them
// whole. second is the index, counted from the first appended id, where the ids of token type 1 begin: the number of appended ids
// when all are of type 0, as with a single text or in the RoBERTa family. Bytes that are not UTF-8 are read as U+FFFD.
func (e *Encoder) Encode(dst []int32, text string, pair *string, maxLength int) (ids []int32, second int) {
	a, b := e.encodeText(&e.a, text), []int32(nil)
	tmpl := &e.t.templates[0]
	if pair != nil {
		tmpl = &e.t.templates[1]
		b = e.encodeText(&e.b, *pair)
	}
	if maxLength > 0 {
		na, nb := longestFirst(len(a), len(b), pair != nil, max(maxLength-tmpl.special, 0))
		a, b = cut(a, na, e.t.left), cut(b, nb, e.t.left)
	}
	return tmpl.fill(dst, a, b)
}

// encodeText returns the ids of one text, without special tokens of the template.
func (e *Encoder) encodeText(last *lastText, text string) []int32 {
	if text != last.text { // as at first: no text has no ids
		last.ids = e.appendText(last.ids[:0], text)
		last.text = text
	}
	return last.ids
}

func (e *Encoder) appendText(dst []int32, text string) []int32 {
	var s []byte
	if utf8.ValidString(text) {
		s = unsafe.Slice(unsafe.StringData(text), len(text)) // only read
	} else {
		e.valid = appendValid(e.valid[:0], text)
		s = e.valid
	}
	if e.t.raw.empty() {
		return e.segment(dst, s)
	}
	for m := (matches{of: &e.t.raw, text: s}); m.next(); {
		if m.hit != nil {
			dst = append(dst, m.hit.id)
		} else {
			dst = e.segment(dst, m.gap)
		}
	}
	return dst
}

// segment appends the ids of a stretch of text between added tokens.
func (e *Encoder) segment(dst []int32, s []byte) []int32 {
	for _, n := range e.t.normalizers {
		e.norm, e.spare = n.normalize(e.spare[:0], s), e.norm
		s = e.norm
	}
	if len(s) == 0 {
		return dst
	}
	if e.t.normalized.empty() {
		return e.t.split.split(e, dst, s)
	}
	for m := (matches{of: &e.t.normalized, text: s}); m.next(); {
		if m.hit != nil {
			dst = append(dst, m.hit.id)
		} else {
			dst = e.t.split.split(e, dst, m.gap)
		}
	}
	return dst
}

// emit appends the ids of one word.
func (e *Encoder) emit(dst []int32, word []byte) []int32 {
	from := len(dst)
	dst, ok := e.cache.find(dst, word, false)
	if !ok {
		dst = e.t.model.tokenize(&e.scratch, dst, word)
		e.cache.add(word, false, dst[from:])
	}
	return dst
}

// emitMarked appends the ids of a mark and a word.
func (e *Encoder) emitMarked(dst []int32, mark, word []byte) []int32 {
	from := len(dst)
	dst, ok := e.cache.find(dst, word, true)
	if !ok {
		e.word = append(append(e.word[:0], mark...), word...)
		dst = e.t.model.tokenize(&e.scratch, dst, e.word)
		e.cache.add(word, true, dst[from:])
	}
	return dst
}

// appendValid appends text with each maximal part that is not UTF-8 replaced by U+FFFD, as Python and Rust decode.
func appendValid(dst []byte, text string) []byte {
	dst = slices.Grow(dst, len(text))
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && n == 1 {
			n = badLength(text[i:])
		}
		dst = utf8.AppendRune(dst, r)
		i += n
	}
	return dst
}

// badLength is the length of the ill-formed sequence that s begins with: the longest beginning of a well-formed one, at least 1.
func badLength(s string) int {
	lo, hi, need := byte(0x80), byte(0xbf), 0
	switch c := s[0]; {
	case c >= 0xc2 && c <= 0xdf:
		need = 1
	case c >= 0xe0 && c <= 0xef:
		need = 2
		if c == 0xe0 {
			lo = 0xa0
		} else if c == 0xed {
			hi = 0x9f
		}
	case c >= 0xf0 && c <= 0xf4:
		need = 3
		if c == 0xf0 {
			lo = 0x90
		} else if c == 0xf4 {
			hi = 0x8f
		}
	}
	n := 1
	for n <= need && n < len(s) && s[n] >= lo && s[n] <= hi {
		n++
		lo, hi = 0x80, 0xbf
	}
	return n
}
