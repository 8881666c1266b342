package tokenizer

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
)

// wordCache remembers the ids of words. Looking words up is most of the work of encoding: words of at most 16 bytes, nearly all, lie
// in the slots of an open hash table themselves; for longer ones there is a map.
type wordCache struct {
	seed  uint64
	slots []slot // a power of two, at most three quarters full
	count int
	long  map[longWord]slot
	ids   []int32
}

// slot is a word and its ids: the id itself where there is one, else the place in the arena.
type slot struct {
	key wordKey
	n   uint16 // ids
	at  int32
}

// wordKey is a word of at most 16 bytes: with the size known, the two halves say which. A size of 0 marks a free slot.
type wordKey struct {
	lo, hi uint64
	size   uint16 // bytes, and marked
}

// longWord is a word that is longer.
type longWord struct {
	text   string
	marked bool
}

const (
	maxCached = 1 << 17 // words; then the cache starts anew
	maxShort  = 16      // bytes of a word that lies in its slot
	maxWord   = 64      // bytes of a word worth remembering
	isMarked  = 1 << 8  // of a word before which the model reads Metaspace's mark
	isThere   = 1 << 9  // of every word, so that no size is 0
)

func newWordCache() wordCache {
	return wordCache{seed: maphash.Bytes(maphash.MakeSeed(), nil), slots: make([]slot, 1<<10), long: map[longWord]slot{}}
}

// shortKey is the key of a word of at most 16 bytes.
func shortKey(word []byte, marked bool) wordKey {
	k := wordKey{size: uint16(len(word)) | isThere}
	if marked {
		k.size |= isMarked
	}
	switch n := len(word); {
	case n >= 8:
		k.lo, k.hi = binary.LittleEndian.Uint64(word), binary.LittleEndian.Uint64(word[n-8:])
	case n >= 4:
		k.lo = uint64(binary.LittleEndian.Uint32(word)) | uint64(binary.LittleEndian.Uint32(word[n-4:]))<<32
	case n > 0:
		k.lo = uint64(word[0]) | uint64(word[n/2])<<8 | uint64(word[n-1])<<16
	}
	return k
}

// place is where the key's slot is, or would be.
func (c *wordCache) place(k wordKey) *slot {
	hi, lo := bits.Mul64(k.lo^c.seed, k.hi^uint64(k.size)^hashPrime)
	h := (hi ^ lo) * hashPrime
	mask := len(c.slots) - 1
	for i := int(h >> 32); ; i++ {
		if s := &c.slots[i&mask]; s.key == k || s.key.size == 0 {
			return s
		}
	}
}

// find appends the ids of a word, if they are known.
func (c *wordCache) find(dst []int32, word []byte, marked bool) (ids []int32, ok bool) {
	var s *slot
	if len(word) <= maxShort {
		if s = c.place(shortKey(word, marked)); s.key.size == 0 {
			return dst, false
		}
	} else {
		found, ok := c.long[longWord{view(word), marked}]
		if !ok {
			return dst, false
		}
		s = &found
	}
	if s.n == 1 {
		return append(dst, s.at), true
	}
	return append(dst, c.ids[s.at:s.at+int32(s.n)]...), true
}

// add remembers the ids of a word that is not known yet.
func (c *wordCache) add(word []byte, marked bool, ids []int32) {
	if len(word) > maxWord || len(ids) > 4*maxWord {
		return
	}
	if c.count == maxCached {
		clear(c.slots)
		clear(c.long)
		c.count, c.ids = 0, c.ids[:0]
	}
	if 4*c.count >= 3*len(c.slots) {
		old := c.slots
		c.slots = make([]slot, 2*len(old))
		for _, s := range old {
			if s.key.size > 0 {
				*c.place(s.key) = s
			}
		}
	}
	s := slot{n: uint16(len(ids))}
	if len(ids) == 1 {
		s.at = ids[0]
	} else {
		s.at = int32(len(c.ids))
		c.ids = append(c.ids, ids...)
	}
	c.count++
	if len(word) > maxShort {
		c.long[longWord{string(word), marked}] = s
		return
	}
	s.key = shortKey(word, marked)
	*c.place(s.key) = s
}
