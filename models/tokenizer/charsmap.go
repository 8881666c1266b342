package tokenizer

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// charsmap is the piece Precompiled: SentencePiece's normalization map, a double-array trie from strings to their replacements.
type charsmap struct {
	trie  []uint32
	text  []byte // replacements, each ended by a zero byte
	plain [utf8.RuneSelf]bool
}

func newCharsmap(b []byte) (*charsmap, error) {
	if len(b) < 4 {
		return nil, errors.New("charsmap: shorter than its header")
	}
	size := int64(binary.LittleEndian.Uint32(b))
	b = b[4:]
	if size == 0 || size%4 != 0 || size > int64(len(b)) {
		return nil, fmt.Errorf("charsmap: a trie of %d bytes in %d", size, len(b))
	}
	m := &charsmap{trie: make([]uint32, size/4), text: b[size:]}
	for i := range m.trie {
		m.trie[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	if !utf8.Valid(m.text) {
		return nil, errors.New("charsmap: replacements are not UTF-8")
	}
	for c := range m.plain {
		_, mapped := m.lookup([]byte{byte(c)})
		m.plain[c] = !mapped && c >= ' '
	}
	return m, nil
}

func decodeCharsmap(s string) (*charsmap, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("charsmap: %w", err)
	}
	return newCharsmap(b)
}

// lookup gives the replacement of the shortest beginning of key that has one: the shortest, since the reference does so too.
func (m *charsmap) lookup(key []byte) ([]byte, bool) {
	size := uint32(len(m.trie))
	offset := func(unit uint32) uint32 { return unit >> 10 << (unit & (1 << 9) >> 6) }
	at := offset(m.trie[0])
	for _, c := range key {
		if c == 0 {
			break
		}
		at ^= uint32(c)
		if at >= size {
			break
		}
		unit := m.trie[at]
		if unit&(1<<31|0xff) != uint32(c) {
			break
		}
		at ^= offset(unit)
		if unit>>8&1 == 0 {
			continue
		}
		if at >= size {
			break
		}
		i := m.trie[at] & (1<<31 - 1)
		if int64(i) > int64(len(m.text)) {
			break
		}
		to, _, _ := bytes.Cut(m.text[i:], []byte{0})
		return to, true
	}
	return nil, false
}

// normalize replaces each grapheme cluster of less than six bytes as a whole, where the map knows it, else character by character.
func (m *charsmap) normalize(dst, src []byte) []byte {
	state := -1
	for len(src) > 0 {
		if n := m.unchanged(src); n > 0 {
			dst = append(dst, src[:n]...)
			src = src[n:]
			state = -1
			continue
		}
		var cluster []byte
		if n := single(src); n > 0 {
			cluster, src, state = src[:n], src[n:], -1
		} else {
			cluster, src, state = firstCluster(src, state)
		}
		if len(cluster) < 6 {
			if to, ok := m.lookup(cluster); ok {
				dst = append(dst, to...)
				continue
			}
		}
		for len(cluster) > 0 {
			_, n := decode(cluster)
			if to, ok := m.lookup(cluster[:n]); ok {
				dst = append(dst, to...)
			} else {
				dst = append(dst, cluster[:n]...)
			}
			cluster = cluster[n:]
		}
	}
	return dst
}

// newMark is the one mark of all code points that the reference's segmentation joins to what stands before it and uniseg's, of an
// older Unicode, does not.
const newMark = 0x897

// firstCluster parts the first grapheme cluster from s.
func firstCluster(s []byte, state int) (cluster, rest []byte, newState int) {
	cluster, rest, _, state = uniseg.FirstGraphemeCluster(s, state)
	for len(rest) > 0 {
		if r, _ := decode(rest); r != newMark {
			break
		}
		if last, _ := utf8.DecodeLastRune(cluster); unicode.In(last, unicode.Cc, unicode.Zl, unicode.Zp) {
			break // nothing joins a control character
		}
		var more []byte
		more, rest, _, state = uniseg.FirstGraphemeCluster(rest, state)
		cluster = s[:len(cluster)+len(more)]
	}
	return cluster, rest, state
}

// unchanged counts the bytes of ASCII that s begins with, that the map leaves alone and that nothing after them can join.
func (m *charsmap) unchanged(s []byte) int {
	n := 0
	for n < len(s) && s[n] < utf8.RuneSelf && m.plain[s[n]] {
		n++
	}
	if n > 0 && n < len(s) {
		n--
	}
	return n
}

// single is the length of the first character of s when it is a cluster by itself, for certain and without a long look; else 0.
func single(s []byte) int {
	r, n := decode(s)
	if !loner(r) {
		return 0
	}
	if n == len(s) {
		return n
	}
	if next, _ := decode(s[n:]); !loner(next) {
		return 0
	}
	return n
}

// loner says that a character of the basic plane never forms a cluster with another loner.
func loner(r rune) bool { return r < 1<<16 && loners()[r>>6]>>(r&63)&1 != 0 }

var loners = sync.OnceValue(func() *[1 << 10]uint64 {
	var t [1 << 10]uint64
	b := make([]byte, 0, 16)
	parts := func(a, c rune) bool {
		b = utf8.AppendRune(utf8.AppendRune(b[:0], a), c)
		first, _, _, _ := uniseg.FirstGraphemeCluster(b, -1)
		return len(first) == utf8.RuneLen(a)
	}
	for r := rune(' '); r < 1<<16; r++ {
		if r == utf8.RuneError || r == newMark || utf8.RuneLen(r) < 0 {
			continue
		}
		// It joins no letter before or after it, and not itself: so it is no mark, no prefix, no jamo, no flag.
		if parts('a', r) && parts(r, 'a') && parts(r, r) {
			t[r>>6] |= 1 << (r & 63)
		}
	}
	return &t
})
