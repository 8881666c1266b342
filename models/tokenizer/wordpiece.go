package tokenizer

import (
	"fmt"
	"unicode/utf8"
)

// wordpiece is BERT's model: the longest piece of the vocabulary first, then again for the rest, whose pieces bear a prefix.
type wordpiece struct {
	vocab    tokenIDs
	unk      int32
	prefix   string
	maxChars int // longer words are unknown
	longest  int // bytes of the longest piece
}

func newWordpiece(vocab tokenIDs, unk, prefix string, maxChars int) (*wordpiece, error) {
	id, ok := vocab[unk]
	if !ok {
		return nil, fmt.Errorf("model WordPiece: the unknown token %q is not in the vocabulary", unk)
	}
	m := &wordpiece{vocab: vocab, unk: id, prefix: prefix, maxChars: maxChars}
	for piece := range vocab {
		m.longest = max(m.longest, len(piece))
	}
	return m, nil
}

func (m *wordpiece) tokenize(s *scratch, dst []int32, word []byte) []int32 {
	if id, ok := m.vocab[string(word)]; ok && (len(word) <= m.maxChars || utf8.RuneCount(word) <= m.maxChars) {
		return append(dst, id)
	}
	if len(word) > m.maxChars && utf8.RuneCount(word) > m.maxChars {
		return append(dst, m.unk)
	}
	from := len(dst)
	for start := 0; start < len(word); {
		key := s.bytes[:0]
		if start > 0 {
			key = append(key, m.prefix...)
		}
		head := len(key)
		key = append(key, word[start:min(len(word), start+m.longest)]...)
		s.bytes = key
		for len(key) > head {
			if id, ok := m.vocab[string(key)]; ok {
				dst = append(dst, id)
				break
			}
			key = key[:len(key)-1]
			for len(key) > head && !utf8.RuneStart(s.bytes[len(key)]) {
				key = key[:len(key)-1]
			}
		}
		if len(key) == head {
			return append(dst[:from], m.unk)
		}
		start += len(key) - head
	}
	return dst
}
