package tokenizer

import (
	"fmt"
	"math/bits"
)

// bpe is byte-pair encoding over bytes: of all neighbours that may be merged, those of the lowest rank are, leftmost first.
type bpe struct {
	bytes   [256]int32 // the token of each byte; -1 where there is none
	merges  mergeTable
	unk     int32 // what stands for a byte without a token; -1: nothing
	fuseUnk bool  // a run of them is one
}

// merge is what a pair of neighbours becomes.
type merge struct{ rank, id int32 }

// symbol is a part of a word, in a doubly linked list; a symbol that was merged away has id -1.
type symbol struct{ id, prev, next int32 }

// candidate is a pair that could be merged: the symbol at pos with the next one.
type candidate struct{ rank, pos, id int32 }

func (a candidate) before(b candidate) bool {
	return a.rank < b.rank || a.rank == b.rank && a.pos < b.pos
}

// byteChars are the characters that stand for the 256 bytes in a byte-level vocabulary: printable ones for themselves.
var byteChars = func() (t [256]rune) {
	next := rune(256)
	for c := range t {
		if c >= '!' && c <= '~' || c >= 0xa1 && c <= 0xac || c >= 0xae {
			t[c] = rune(c)
		} else {
			t[c] = next
			next++
		}
	}
	return t
}()

func newBPE(vocab *tokens, pairs [][2]string, unk *string, fuseUnk bool) (*bpe, error) {
	m := &bpe{merges: newMergeTable(len(pairs)), unk: -1, fuseUnk: fuseUnk}
	if unk != nil {
		id, ok := vocab.lookup(*unk)
		if !ok {
			return nil, fmt.Errorf("model BPE: the unknown token %q is not in the vocabulary", *unk)
		}
		m.unk = id
	}
	for c, r := range byteChars {
		id, ok := vocab.lookup(string(r))
		if !ok {
			id = -1
		}
		m.bytes[c] = id
	}
	for rank, p := range pairs {
		var ids [3]int32
		for i, token := range [...]string{p[0], p[1], p[0] + p[1]} {
			id, ok := vocab.lookup(token)
			if !ok {
				return nil, fmt.Errorf("model BPE: merge %d (%q, %q): %q is not in the vocabulary", rank, p[0], p[1], token)
			}
			ids[i] = id
		}
		m.merges.set(ids[0], ids[1], merge{int32(rank), ids[2]})
	}
	return m, nil
}

// mergeTable is an open hash table from pairs of ids to merges, at most half full.
type mergeTable struct {
	slots []mergeSlot
	shift uint
}

// mergeSlot is a pair and its merge; a key of 0 marks a free one.
type mergeSlot struct {
	key uint64
	merge
}

func newMergeTable(n int) mergeTable {
	log := max(4, uint(bits.Len(uint(2*n))))
	return mergeTable{make([]mergeSlot, 1<<log), 64 - log}
}

func (t *mergeTable) slot(a, b int32) (*mergeSlot, uint64) {
	key := 1<<63 | uint64(uint32(a))<<32 | uint64(uint32(b)) // ids are not negative
	mask := len(t.slots) - 1
	for i := int(key * 0x9e3779b97f4a7c15 >> t.shift); ; i++ {
		if s := &t.slots[i&mask]; s.key == key || s.key == 0 {
			return s, key
		}
	}
}

func (t *mergeTable) set(a, b int32, m merge) {
	s, key := t.slot(a, b)
	*s = mergeSlot{key, m}
}

func (t *mergeTable) get(a, b int32) (merge, bool) {
	s, _ := t.slot(a, b)
	return s.merge, s.key != 0
}

func (m *bpe) tokenize(s *scratch, dst []int32, word []byte) []int32 {
	s.symbols, s.queue = s.symbols[:0], s.queue[:0]
	wasUnk := false
	for _, c := range word {
		id := m.bytes[c]
		isUnk := id < 0
		if isUnk {
			if m.unk < 0 || wasUnk && m.fuseUnk {
				continue
			}
			id = m.unk
		}
		wasUnk = isUnk
		i := int32(len(s.symbols))
		s.symbols = append(s.symbols, symbol{id, i - 1, i + 1})
	}
	n := len(s.symbols)
	if n == 0 {
		return dst
	}
	s.symbols[n-1].next = -1
	for i := range int32(n - 1) {
		m.consider(s, i)
	}
	for len(s.queue) > 0 {
		top := s.pop()
		left := &s.symbols[top.pos]
		if left.id < 0 || left.next < 0 {
			continue
		}
		right := &s.symbols[left.next]
		// One of the two may have grown since: then the pair is another one, or none.
		if now, ok := m.merges.get(left.id, right.id); !ok || now.id != top.id {
			continue
		}
		left.id, right.id = top.id, -1
		left.next = right.next
		if left.next >= 0 {
			s.symbols[left.next].prev = top.pos
			m.consider(s, top.pos)
		}
		if left.prev >= 0 {
			m.consider(s, left.prev)
		}
	}
	for i := int32(0); i >= 0; i = s.symbols[i].next {
		dst = append(dst, s.symbols[i].id)
	}
	return dst
}

// consider queues the symbol at i and the next one, when they may be merged.
func (m *bpe) consider(s *scratch, i int32) {
	x := s.symbols[i]
	if to, ok := m.merges.get(x.id, s.symbols[x.next].id); ok {
		s.push(candidate{to.rank, i, to.id})
	}
}

// push and pop keep the queue a binary heap, the first candidate on top.
func (s *scratch) push(c candidate) {
	s.queue = append(s.queue, c)
	q := s.queue
	i := len(q) - 1
	for s.steps++; i > 0 && c.before(q[(i-1)/2]); s.steps++ {
		q[i] = q[(i-1)/2]
		i = (i - 1) / 2
	}
	q[i] = c
}

func (s *scratch) pop() candidate {
	q := s.queue
	top, c := q[0], q[len(q)-1]
	q = q[:len(q)-1]
	s.queue = q
	for i := 0; len(q) > 0; s.steps++ {
		child := 2*i + 1
		if child+1 < len(q) && q[child+1].before(q[child]) {
			child++
		}
		if child >= len(q) || !q[child].before(c) {
			q[i] = c
			break
		}
		q[i] = q[child]
		i = child
	}
	return top
}
