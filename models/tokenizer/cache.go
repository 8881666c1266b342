package tokenizer

import "hash/maphash"

// wordCache remembers the ids of words. It is an open hash table over two arenas: looking a word up is most of the work of encoding,
// and this takes about half the time of a map.
type wordCache struct {
	seed  maphash.Seed
	slots []slot // a power of two, at most three quarters full
	count int
	words []byte
	ids   []int32
}

// slot is a word and its ids: the id itself where there is one, else the place in the arena.
type slot struct {
	hash uint32
	word uint32 // where it begins
	size uint16 // bytes; 0: the slot is free
	n    uint16 // ids
	at   int32
}

const (
	maxCached = 1 << 18 // words; then the cache starts anew
	maxWord   = 64      // bytes of a word worth remembering
)

func newWordCache() wordCache {
	return wordCache{seed: maphash.MakeSeed(), slots: make([]slot, 1<<10)}
}

// find appends the ids of a word, if they are known. It also returns the word's hash, for add.
func (c *wordCache) find(dst []int32, word []byte) (ids []int32, hash uint32, ok bool) {
	hash = uint32(maphash.Bytes(c.seed, word))
	mask := uint32(len(c.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		s := &c.slots[i]
		if s.size == 0 {
			return dst, hash, false
		}
		if s.hash != hash || string(c.words[s.word:s.word+uint32(s.size)]) != string(word) {
			continue
		}
		if s.n == 1 {
			return append(dst, s.at), hash, true
		}
		return append(dst, c.ids[s.at:s.at+int32(s.n)]...), hash, true
	}
}

// add remembers the ids of a word that is not known yet.
func (c *wordCache) add(word []byte, hash uint32, ids []int32) {
	if len(word) == 0 || len(word) > maxWord || len(ids) > 4*maxWord {
		return
	}
	if c.count == maxCached {
		clear(c.slots)
		c.count, c.words, c.ids = 0, c.words[:0], c.ids[:0]
	}
	if 4*c.count >= 3*len(c.slots) {
		old := c.slots
		c.slots = make([]slot, 2*len(old))
		for _, s := range old {
			if s.size > 0 {
				c.put(s)
			}
		}
	}
	s := slot{hash: hash, word: uint32(len(c.words)), size: uint16(len(word)), n: uint16(len(ids))}
	c.words = append(c.words, word...)
	if len(ids) == 1 {
		s.at = ids[0]
	} else {
		s.at = int32(len(c.ids))
		c.ids = append(c.ids, ids...)
	}
	c.put(s)
	c.count++
}

func (c *wordCache) put(s slot) {
	mask := uint32(len(c.slots) - 1)
	i := s.hash & mask
	for c.slots[i].size > 0 {
		i = (i + 1) & mask
	}
	c.slots[i] = s
}
