package tokenizer

import "unicode/utf8"

// splitter parts a stretch of normalized text into words and appends their ids.
type splitter interface {
	split(e *Encoder, dst []int32, s []byte) []int32
}

// byteLevel is the piece ByteLevel: GPT-2's pattern
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// Words are passed on as bytes; the model knows which character stands for which byte.
type byteLevel struct{ prefixSpace bool }

func (p byteLevel) split(e *Encoder, dst []int32, s []byte) []int32 {
	if p.prefixSpace && s[0] != ' ' {
		e.word = append(append(e.word[:0], ' '), s...)
		s = e.word
	}
	for len(s) > 0 {
		n := firstWord(s)
		dst = e.emit(dst, s[:n])
		s = s[n:]
	}
	return dst
}

// firstWord is the length of the pattern's match at the beginning of s.
func firstWord(s []byte) int {
	if n := contraction(s); n > 0 {
		return n
	}
	c, n := kind(s)
	if s[0] == ' ' && len(s) > 1 {
		if next, size := kind(s[1:]); next != white {
			c, n = next, 1+size
		}
	}
	if c != white {
		for {
			for n < len(s) && s[n] < utf8.RuneSelf && ascii[s[n]]&(letter|number|white) == c {
				n++
			}
			if n == len(s) || s[n] < utf8.RuneSelf {
				return n
			}
			next, size := kind(s[n:])
			if next != c {
				return n
			}
			n += size
		}
	}
	last := 0 // where the last white space of the run begins: it belongs to the word that follows
	for n < len(s) {
		next, size := kind(s[n:])
		if next != white {
			if last > 0 {
				return last
			}
			return n
		}
		last = n
		n += size
	}
	return n
}

// kind is letter, number, white or none of them, and the length of the character.
func kind(s []byte) (class, int) {
	r, n := rune(s[0]), 1
	if r >= utf8.RuneSelf {
		r, n = utf8.DecodeRune(s)
	}
	return classOf(r) & (letter | number | white), n
}

// contraction is the length of an English ending that s begins with.
func contraction(s []byte) int {
	if len(s) < 2 || s[0] != '\'' {
		return 0
	}
	switch s[1] {
	case 's', 't', 'm', 'd':
		return 2
	case 'r', 'v':
		if len(s) > 2 && s[2] == 'e' {
			return 3
		}
	case 'l':
		if len(s) > 2 && s[2] == 'l' {
			return 3
		}
	}
	return 0
}
