package tokenizer

import (
	"bytes"
	"slices"
	"unicode"
	"unicode/utf8"
	"unsafe"

	"golang.org/x/text/unicode/norm"
)

// normalizer is one step of the normalization of a text.
type normalizer interface {
	// normalize appends the normalized src, which is UTF-8, to dst; the two do not overlap.
	normalize(dst, src []byte) []byte
}

// strip removes white space at the ends.
type strip struct{ left, right bool }

func (n strip) normalize(dst, src []byte) []byte {
	if n.left {
		src = bytes.TrimLeftFunc(src, isSpace)
	}
	if n.right {
		src = bytes.TrimRightFunc(src, isSpace)
	}
	return append(dst, src...)
}

// replace puts content in the place of a string.
type replace struct{ pattern, content []byte }

func (n replace) normalize(dst, src []byte) []byte {
	for {
		i := bytes.Index(src, n.pattern)
		if i < 0 {
			return append(dst, src...)
		}
		dst = append(append(dst, src[:i]...), n.content...)
		src = src[i+len(n.pattern):]
	}
}

// replaceSpaces puts content in the place of two or more spaces: the regular expression " {2,}".
type replaceSpaces struct{ content []byte }

func (n replaceSpaces) normalize(dst, src []byte) []byte {
	for {
		i := bytes.Index(src, []byte("  "))
		if i < 0 {
			return append(dst, src...)
		}
		dst = append(append(dst, src[:i]...), n.content...)
		src = bytes.TrimLeft(src[i:], " ")
	}
}

// lowercase turns each character into its lower case, by itself: a final sigma is like any other.
type lowercase struct{}

func (lowercase) normalize(dst, src []byte) []byte {
	for i := 0; i < len(src); {
		r, n := decode(src[i:])
		dst = appendLower(dst, r)
		i += n
	}
	return dst
}

// stripMarks removes characters of a class: the piece StripAccents.
type stripMarks struct{ of class }

func (n stripMarks) normalize(dst, src []byte) []byte {
	for i := 0; i < len(src); {
		r, size := decode(src[i:])
		if classOf(r)&n.of == 0 {
			dst = append(dst, src[i:i+size]...)
		}
		i += size
	}
	return dst
}

// decompose is NFD or NFKD. The package norm's own way of doing it would break long runs of marks up with U+034F.
type decompose struct{ form norm.Form }

func (n decompose) normalize(dst, src []byte) []byte {
	ordered := len(dst) // marks before this need no ordering
	unordered := false
	settle := func() {
		if unordered {
			order(dst[ordered:])
			unordered = false
		}
	}
	for i := 0; i < len(src); {
		if src[i] < utf8.RuneSelf {
			settle()
			dst = append(dst, src[i])
			ordered = len(dst)
			i++
			continue
		}
		r, size := utf8.DecodeRune(src[i:])
		part := src[i : i+size]
		i += size
		if 0xac00 <= r && r <= 0xd7a3 {
			settle()
			dst = appendJamo(dst, r)
			ordered = len(dst)
			continue
		}
		if d := n.form.Properties(part).Decomposition(); d != nil && unicode.Is(hfDecomposed, r) {
			part = d
		}
		for len(part) > 0 {
			r, size := utf8.DecodeRune(part)
			if combining(r, part) == 0 {
				settle()
				dst = append(dst, part[:size]...)
				ordered = len(dst)
			} else {
				unordered = unordered || ordered < len(dst)
				dst = append(dst, part[:size]...)
			}
			part = part[size:]
		}
	}
	settle()
	return dst
}

// combining is the canonical combining class of r, whose bytes are s.
func combining(r rune, s []byte) uint8 {
	if r < 0x300 || !unicode.Is(hfNonstarter, r) {
		return 0
	}
	return norm.NFD.Properties(s).CCC()
}

// order sorts a run of combining marks by class, and otherwise leaves them as they stand.
func order(run []byte) {
	type ranked struct {
		r     rune
		class uint8
	}
	var marks []ranked
	for i := 0; i < len(run); {
		r, n := utf8.DecodeRune(run[i:])
		marks = append(marks, ranked{r, combining(r, run[i:])})
		i += n
	}
	slices.SortStableFunc(marks, func(a, b ranked) int { return int(a.class) - int(b.class) })
	run = run[:0]
	for _, m := range marks {
		run = utf8.AppendRune(run, m.r)
	}
}

// appendJamo appends the parts of a Hangul syllable.
func appendJamo(dst []byte, r rune) []byte {
	s := r - 0xac00
	dst = utf8.AppendRune(dst, 0x1100+s/588)
	dst = utf8.AppendRune(dst, 0x1161+s%588/28)
	if t := s % 28; t != 0 {
		dst = utf8.AppendRune(dst, 0x11a7+t)
	}
	return dst
}

// view shows bytes as a string, for as long as they stay as they are.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// decode is utf8.DecodeRune with a short way for ASCII.
func decode(s []byte) (rune, int) {
	if s[0] < utf8.RuneSelf {
		return rune(s[0]), 1
	}
	return utf8.DecodeRune(s)
}
