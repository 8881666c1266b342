package tokenizer

import "bytes"

// metaspace is the piece Metaspace, alone or after WhitespaceSplit: each space becomes ▁, which begins a word.
type metaspace struct {
	mark    []byte // ▁
	prepend bool   // ▁ is put before a text that does not begin with it
	whole   bool   // the text is not parted at ▁
	byWhite bool   // WhitespaceSplit comes first
}

func (p *metaspace) split(e *Encoder, dst []int32, s []byte) []int32 {
	if !p.byWhite {
		return p.words(e, dst, s)
	}
	for {
		s = bytes.TrimLeftFunc(s, isSpace)
		if len(s) == 0 {
			return dst
		}
		n := bytes.IndexFunc(s, isSpace)
		if n < 0 {
			n = len(s)
		}
		dst = p.words(e, dst, s[:n])
		s = s[n:]
	}
}

// words parts a stretch that is not empty.
func (p *metaspace) words(e *Encoder, dst []int32, s []byte) []int32 {
	start := p.space(s)
	marked := start > 0 || p.prepend
	if p.whole {
		return p.asOne(e, dst, s[start:], marked)
	}
	for i := start; ; i++ {
		for i < len(s) && s[i] != ' ' && s[i] != p.mark[0] {
			i++
		}
		n := p.space(s[i:])
		if n == 0 && i < len(s) {
			continue // only the first byte was the mark's
		}
		if marked {
			dst = e.emitMarked(dst, p.mark, s[start:i])
		} else {
			dst = e.emit(dst, s[start:i])
		}
		if i == len(s) {
			return dst
		}
		start, marked = i+n, true
		i = start - 1
	}
}

// space is the length of the space or the mark that s begins with; 0 where there is none.
func (p *metaspace) space(s []byte) int {
	switch {
	case len(s) == 0:
		return 0
	case s[0] == ' ':
		return 1
	case bytes.HasPrefix(s, p.mark):
		return len(p.mark)
	}
	return 0
}

// asOne makes a stretch one word.
func (p *metaspace) asOne(e *Encoder, dst []int32, s []byte, marked bool) []int32 {
	w := e.word[:0]
	if marked {
		w = append(w, p.mark...)
	}
	for _, c := range s {
		if c == ' ' {
			w = append(w, p.mark...)
		} else {
			w = append(w, c)
		}
	}
	e.word = w
	return e.emit(dst, w)
}
