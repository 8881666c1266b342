package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// scored is a piece of a Unigram vocabulary; its id is its place there.
type scored struct {
	piece string
	score float64
}

// unigram is SentencePiece's model: of all ways to part a word into pieces, the one with the highest sum of scores.
type unigram struct {
	ids      tokenIDs
	score    []float64
	unk      int32
	unkScore float64
	fallback []int32 // the tokens of the 256 bytes, with byte_fallback; -1 where there is none

	// The pieces, sorted: the children of a prefix lie side by side. Ranges by first byte and by first two bytes begin the search.
	sorted []string
	sortID []int32
	one    [256]span
	two    map[uint16]span
}

// span is a range of sorted pieces.
type span struct{ lo, hi int32 }

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
	m := &unigram{
		ids:   make(tokenIDs, len(pieces)),
		score: make([]float64, len(pieces)),
		unk:   int32(unk),
		two:   map[uint16]span{},
	}
	least := math.Inf(1)
	for i, p := range pieces {
		if math.IsNaN(p.score) || math.IsInf(p.score, 0) {
			return nil, fmt.Errorf("model Unigram: piece %d: score %v", i, p.score)
		}
		m.ids[p.piece] = int32(i)
		m.score[i] = p.score
		least = min(least, p.score)
	}
	m.unkScore = least - 10
	if byteFallback {
		m.fallback = make([]int32, 256)
		for c := range m.fallback {
			id, ok := m.ids[fmt.Sprintf("<0x%02X>", c)]
			if !ok {
				id = -1
			}
			m.fallback[c] = id
		}
	}
	m.index()
	return m, nil
}

// index sorts the pieces and notes where each beginning lies.
func (m *unigram) index() {
	type entry struct {
		piece string
		id    int32
	}
	all := make([]entry, 0, len(m.ids))
	for p, id := range m.ids {
		if p != "" {
			all = append(all, entry{p, id})
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.piece, b.piece) })
	m.sorted, m.sortID = make([]string, len(all)), make([]int32, len(all))
	for i, x := range all {
		m.sorted[i], m.sortID[i] = x.piece, x.id
		here := int32(i)
		r := &m.one[x.piece[0]]
		if r.hi == 0 {
			r.lo = here
		}
		r.hi = here + 1
		if len(x.piece) > 1 {
			key := uint16(x.piece[0])<<8 | uint16(x.piece[1])
			r, ok := m.two[key]
			if !ok {
				r.lo = here
			}
			r.hi = here + 1
			m.two[key] = r
		}
	}
}

func (m *unigram) tokenize(s *scratch, dst []int32, word []byte) []int32 {
	s.nodes = append(s.nodes[:0], node{})
	for range word {
		s.nodes = append(s.nodes, node{from: -1})
	}
	nodes := s.nodes
	for i := 0; i < len(word); {
		_, char := decode(word[i:])
		if !m.extend(nodes, word, i, char) {
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
func (m *unigram) extend(nodes []node, word []byte, i, char int) (single bool) {
	here := nodes[i].score
	r := m.one[word[i]]
	for depth := 1; r.lo < r.hi; depth++ { // sorted[lo:hi] begin with word[i:i+depth]
		if len(m.sorted[r.lo]) == depth {
			id := m.sortID[r.lo]
			reach(&nodes[i+depth], m.score[id]+here, i, id)
			single = single || depth == char
			r.lo++
		}
		if i+depth >= len(word) || r.lo >= r.hi {
			return single
		}
		c := word[i+depth]
		if depth == 1 {
			r = m.two[uint16(word[i])<<8|uint16(c)]
		} else {
			r = m.narrow(r, depth, c)
		}
	}
	return single
}

// narrow finds the pieces of a range whose byte at depth is c.
func (m *unigram) narrow(r span, depth int, c byte) span {
	lo, hi := r.lo, r.hi
	for lo < hi {
		if mid := (lo + hi) >> 1; m.sorted[mid][depth] < c {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	first := lo
	hi = r.hi
	for lo < hi {
		if mid := (lo + hi) >> 1; m.sorted[mid][depth] <= c {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return span{first, lo}
}

// reach keeps the better way; of two equal ones the first.
func reach(n *node, score float64, from int, id int32) {
	if n.from < 0 || score > n.score {
		*n = node{score, int32(from), id}
	}
}

// unknown appends the ids of unknown text, in reverse.
func (m *unigram) unknown(dst []int32, text []byte) []int32 {
	if id, ok := m.ids[string(text)]; ok { // together they can be a piece after all
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

// unigramVocabulary finds pieces.
type unigramVocabulary struct{ *unigram }

func (v unigramVocabulary) lookup(token string) (int32, bool) { return v.ids.lookup(token) }
func (v unigramVocabulary) size() int                         { return len(v.score) }

func (v unigramVocabulary) each(f func(string, int32)) { v.ids.each(f) }
