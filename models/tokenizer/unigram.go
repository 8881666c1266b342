package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// scored is a piece of a Unigram vocabulary; its id is its place there.
type scored struct {
	piece string
	score float64
}

// unigram is SentencePiece's model: of all ways to part a word into pieces, the one with the highest sum of scores.
type unigram struct {
	*tokens
	score    []float64
	unk      int32
	unkScore float64
	fallback []int32 // the tokens of the 256 bytes, with byte_fallback; -1 where there is none
}

// node is the best way to part the word up to a byte: the last piece, where it begins, and the sum of scores.
type node struct {
	score float64
	from  int32 // -1: not reached
	id    int32
}

// maxPieces bounds the vocabulary, far above the largest there is.
const maxPieces = 1 << 26

func newUnigram(pieces []scored, unk int, byteFallback bool) (*unigram, error) {
	switch {
	case len(pieces) == 0:
		return nil, errors.New("model Unigram: the vocabulary is empty")
	case len(pieces) > maxPieces:
		return nil, fmt.Errorf("model Unigram: %d pieces are too many", len(pieces))
	case unk < 0 || unk >= len(pieces):
		return nil, fmt.Errorf("model Unigram: unk_id %d is outside the vocabulary of %d", unk, len(pieces))
	}
	list := make([]token, len(pieces))
	m := &unigram{score: make([]float64, len(pieces)), unk: int32(unk)}
	least := math.Inf(1)
	for i, p := range pieces {
		if math.IsNaN(p.score) || math.IsInf(p.score, 0) {
			return nil, fmt.Errorf("model Unigram: piece %d: score %v", i, p.score)
		}
		list[i], m.score[i] = token{p.piece, int32(i)}, p.score
		least = min(least, p.score)
	}
	m.unkScore = least - 10
	var err error
	if m.tokens, err = newTokens(list); err != nil {
		return nil, fmt.Errorf("model Unigram: %w", err)
	}
	if byteFallback {
		m.fallback = make([]int32, 256)
		for c := range m.fallback {
			id, ok := m.lookup(fmt.Sprintf("<0x%02X>", c))
			if !ok {
				id = -1
			}
			m.fallback[c] = id
		}
	}
	return m, nil
}

func (m *unigram) tokenize(s *scratch, dst []int32, word []byte) []int32 {
	s.nodes = append(s.nodes[:0], node{})
	for range word {
		s.nodes = append(s.nodes, node{from: -1})
	}
	nodes := s.nodes
	for i := 0; i < len(word); {
		_, char := decode(word[i:])
		if !m.extend(s, word, i, char) {
			reach(&nodes[i+char], nodes[i].score+m.unkScore, i, m.unk)
		}
		i += char
	}
	from := len(dst)
	for end := len(word); end > 0; {
		n := nodes[end]
		if n.id != m.unk {
			dst = append(dst, n.id)
			end = int(n.from)
			continue
		}
		start := int(n.from) // neighbouring unknowns are one
		for start > 0 && nodes[start].id == m.unk {
			start = int(nodes[start].from)
		}
		dst = m.unknown(dst, word[start:end])
		end = start
	}
	slices.Reverse(dst[from:])
	return dst
}

// extend tries each piece that lies in the word at i; it reports whether one of them is the single character there.
func (m *unigram) extend(s *scratch, word []byte, i, char int) (single bool) {
	here, h := s.nodes[i].score, noBytes
	for end := i; end < len(word); {
		s.steps++
		h = hashByte(h, word[end])
		end++
		mark := m.mark(h)
		if mark&markBegins == 0 {
			break
		}
		if mark&markIs == 0 {
			continue
		}
		if id := m.find(h, "", view(word[i:end])); id >= 0 {
			reach(&s.nodes[end], m.score[id]+here, i, id)
			single = single || end == i+char
		}
	}
	return single
}

// reach keeps the better way; of two equal ones the first.
func reach(n *node, score float64, from int, id int32) {
	if n.from < 0 || score > n.score {
		*n = node{score, int32(from), id}
	}
}

// unknown appends the ids of unknown text, in reverse.
func (m *unigram) unknown(dst []int32, text []byte) []int32 {
	if id, ok := m.lookup(string(text)); ok { // together they can be a piece after all
		return append(dst, id)
	}
	if m.fallback == nil {
		return append(dst, m.unk)
	}
	from := len(dst)
	for i := len(text) - 1; i >= 0; i-- {
		id := m.fallback[text[i]]
		if id < 0 {
			return append(dst[:from], m.unk)
		}
		dst = append(dst, id)
	}
	return dst
}

// size counts pieces that are given twice twice, as the reference does.
func (m *unigram) size() int { return len(m.score) }
