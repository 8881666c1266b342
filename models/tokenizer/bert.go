package tokenizer

import (
	"slices"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// bertNormalizer is the piece BertNormalizer.
type bertNormalizer struct {
	clean   bool // drops control characters, makes all white space a space
	chinese bool // sets Chinese characters apart
	strip   bool // removes accents
	lower   bool
}

func (n bertNormalizer) normalize(dst, src []byte) []byte {
	i := 0
	dst = slices.Grow(dst, len(src))
	for ; i < len(src) && src[i] < utf8.RuneSelf; i++ { // as long as it is ASCII, all in one pass
		c := src[i]
		switch k := ascii[c]; {
		case k&(white|dropped) != 0 && n.clean:
			if k&dropped != 0 {
				continue
			}
			c = ' '
		case n.lower && 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	if i == len(src) {
		return dst
	}
	// An accent can change the ASCII letter before it only by being removed, so the pass above was right.
	src = src[i:]
	if !n.strip {
		return n.simple(dst, src)
	}
	// Each step appends to what the last one made; then the result moves to the front.
	front := len(dst)
	dst = bertNormalizer{clean: n.clean, chinese: n.chinese}.simple(dst, src)
	middle := len(dst)
	dst = decompose{norm.NFD}.normalize(dst, dst[front:middle])
	apart := dst[middle:]
	back := len(dst)
	for i := 0; i < len(apart); {
		r, size := decode(apart[i:])
		i += size
		if classOf(r)&nonspacing != 0 {
			continue
		}
		if n.lower {
			dst = appendLower(dst, r)
		} else {
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst[:front+copy(dst[front:], dst[back:])]
}

// simple does all but the removal of accents.
func (n bertNormalizer) simple(dst, src []byte) []byte {
	for i := 0; i < len(src); {
		r, size := decode(src[i:])
		i += size
		c := classOf(r)
		if n.clean {
			if c&dropped != 0 {
				continue
			}
			if c&white != 0 {
				r = ' '
			}
		}
		apart := n.chinese && c&chinese != 0
		if apart {
			dst = append(dst, ' ')
		}
		if n.lower {
			dst = appendLower(dst, r)
		} else {
			dst = utf8.AppendRune(dst, r)
		}
		if apart {
			dst = append(dst, ' ')
		}
	}
	return dst
}

// bertSplitter is the piece BertPreTokenizer: words are parted by white space, and each punctuation mark is a word.
type bertSplitter struct{}

func (bertSplitter) split(e *Encoder, dst []int32, s []byte) []int32 {
	start := 0
	for i := 0; i < len(s); {
		for i < len(s) && s[i] < utf8.RuneSelf && ascii[s[i]]&(white|punctuation) == 0 {
			i++
		}
		if i == len(s) {
			break
		}
		r, size := decode(s[i:])
		c := classOf(r)
		if c&(white|punctuation) == 0 {
			i += size
			continue
		}
		if start < i {
			dst = e.emit(dst, s[start:i])
		}
		if c&white == 0 {
			dst = e.emit(dst, s[i:i+size])
		}
		i += size
		start = i
	}
	if start < len(s) {
		dst = e.emit(dst, s[start:])
	}
	return dst
}
