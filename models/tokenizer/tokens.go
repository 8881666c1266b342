package tokenizer

import (
	"errors"
	"math"
	"math/bits"
)

// token is a token of a vocabulary as a file lists it.
type token struct {
	text string
	id   int32
}

// tokens is a vocabulary in which all tokens that a text begins with are found in one walk: a hash is carried along the bytes; marks
// tell of most texts that no token begins with them, or that none is the same, and a hash table finds the others. A file of a quarter
// of a million tokens is made into this in a tenth of the time that a map and a trie take.
type tokens struct {
	marks     []uint8 // two bits for a hash
	markShift uint
	slots     []tokenSlot // an open hash table, at most half full
	slotShift uint

	text []byte   // of all tokens
	ends []uint32 // in text, of each token
	ids  []int32  // of each token
}

// tokenSlot is a token's hash and number, counted from 1; 0 marks a free slot.
type tokenSlot struct {
	hash   uint32
	number uint32
}

const (
	markBegins = 1 << iota // a token begins with this text
	markIs                 // a token is this text
)

const (
	noBytes   = uint64(0x2545f4914f6cdd1d) // the hash of no byte
	hashPrime = uint64(0x9e3779b97f4a7c15)
)

// hashByte carries a hash on over a byte.
func hashByte(h uint64, c byte) uint64 { return (h ^ uint64(c)) * hashPrime }

func hashString(h uint64, s string) uint64 {
	for i := range len(s) {
		h = hashByte(h, s[i])
	}
	return h
}

// newTokens makes a vocabulary; of equal tokens the last one counts.
func newTokens(list []token) (*tokens, error) {
	size := 0
	for i := range list {
		size += len(list[i].text)
	}
	if size > math.MaxUint32 {
		return nil, errors.New("the vocabulary is too large")
	}
	log := uint(bits.Len(uint(len(list)) | 7))
	v := &tokens{
		marks: make([]uint8, 1<<(log+2)), markShift: 64 - (log + 4), // about three prefixes a token: most marks stay unset
		slots: make([]tokenSlot, 1<<(log+1)), slotShift: 64 - (log + 1),
		text: make([]byte, 0, size), ends: make([]uint32, 0, len(list)), ids: make([]int32, 0, len(list)),
	}
	for _, x := range list {
		v.add(x)
	}
	return v, nil
}

func (v *tokens) add(x token) {
	h := noBytes
	for i := range len(x.text) {
		h = hashByte(h, x.text[i])
		v.setMark(h, markBegins)
	}
	v.setMark(h, markIs)
	s := v.slot(h, "", x.text)
	if s.number != 0 {
		v.ids[s.number-1] = x.id
		return
	}
	v.text = append(v.text, x.text...)
	v.ends, v.ids = append(v.ends, uint32(len(v.text))), append(v.ids, x.id)
	*s = tokenSlot{uint32(h), uint32(len(v.ids))}
}

func (v *tokens) setMark(h uint64, m uint8) {
	i := h >> v.markShift
	v.marks[i>>2] |= m << (i & 3 * 2)
}

// mark says what can be true of a text with this hash.
func (v *tokens) mark(h uint64) uint8 {
	i := h >> v.markShift
	return v.marks[i>>2] >> (i & 3 * 2)
}

// slot is that of the token that is prefix and rest, whose hash is h, or the free one where it would be.
func (v *tokens) slot(h uint64, prefix, rest string) *tokenSlot {
	mask := len(v.slots) - 1
	for i := int(h >> v.slotShift); ; i++ {
		s := &v.slots[i&mask]
		if s.number == 0 {
			return s
		}
		if s.hash != uint32(h) {
			continue
		}
		t := v.at(s.number - 1)
		if len(t) == len(prefix)+len(rest) && string(t[:len(prefix)]) == prefix && string(t[len(prefix):]) == rest {
			return s
		}
	}
}

// at is the text of a token.
func (v *tokens) at(i uint32) []byte {
	start := uint32(0)
	if i > 0 {
		start = v.ends[i-1]
	}
	return v.text[start:v.ends[i]]
}

// find is the id of the token that is prefix and rest, whose hash is h; -1 where there is none.
func (v *tokens) find(h uint64, prefix, rest string) int32 {
	if s := v.slot(h, prefix, rest); s.number != 0 {
		return v.ids[s.number-1]
	}
	return -1
}

func (v *tokens) lookup(text string) (id int32, ok bool) {
	id = v.find(hashString(noBytes, text), "", text)
	return max(id, 0), id >= 0
}

func (v *tokens) size() int { return len(v.ids) }

func (v *tokens) each(f func(string, int32)) {
	for i, id := range v.ids {
		f(string(v.at(uint32(i))), id)
	}
}
