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
	w := e.word[:0]
	if p.prepend && s[0] != ' ' && !bytes.HasPrefix(s, p.mark) {
		w = append(w, p.mark...)
	}
	for i := 0; i < len(s); i++ {
		isMark := s[i] == p.mark[0] && bytes.HasPrefix(s[i:], p.mark)
		if s[i] != ' ' && !isMark {
			w = append(w, s[i])
			continue
		}
		if len(w) > 0 && !p.whole {
			dst = e.emit(dst, w)
			w = w[:0]
		}
		w = append(w, p.mark...)
		if isMark {
			i += len(p.mark) - 1
		}
	}
	e.word = w
	return e.emit(dst, w)
}
