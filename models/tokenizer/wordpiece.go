package tokenizer

import (
	"fmt"
	"unicode/utf8"
)

// wordpiece is BERT's model: the longest piece of the vocabulary first, then again for the rest, whose pieces bear a prefix.
type wordpiece struct {
	vocab    *tokens
	unk      int32
	prefix   string
	inside   uint64 // the hash of the prefix
	maxChars int    // longer words are unknown
}

func newWordpiece(vocab *tokens, unk, prefix string, maxChars int) (*wordpiece, error) {
	id, ok := vocab.lookup(unk)
	if !ok {
		return nil, fmt.Errorf("model WordPiece: the unknown token %q is not in the vocabulary", unk)
	}
	return &wordpiece{vocab, id, prefix, hashString(noBytes, prefix), maxChars}, nil
}

func (m *wordpiece) tokenize(_ *scratch, dst []int32, word []byte) []int32 {
	if len(word) > m.maxChars && utf8.RuneCount(word) > m.maxChars {
		return append(dst, m.unk)
	}
	from := len(dst)
	prefix, head := "", noBytes
	for start := 0; start < len(word); prefix, head = m.prefix, m.inside {
		longest, end := int32(-1), start
		h := head
		for i := start; i < len(word); i++ {
			h = hashByte(h, word[i])
			mark := m.vocab.mark(h)
			if mark&markBegins == 0 {
				break
			}
			if mark&markIs == 0 {
				continue
			}
			if id := m.vocab.find(h, prefix, view(word[start:i+1])); id >= 0 {
				longest, end = id, i+1
			}
		}
		if longest < 0 {
			return append(dst[:from], m.unk)
		}
		dst = append(dst, longest)
		start = end
	}
	return dst
}
