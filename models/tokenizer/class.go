package tokenizer

import (
	"sort"
	"sync"
	"unicode"
	"unicode/utf8"
)

// class is a set of character classes.
type class uint8

const (
	white class = 1 << iota
	dropped
	punctuation
	chinese
	nonspacing
	letter
	number
	mark
)

var classTables = [...]*unicode.RangeTable{
	unicode.White_Space, hfDropped, hfPunctuation, hfChinese, hfNonspacing, hfLetter, hfNumber, hfMark,
}

// ascii holds the classes of ASCII, which most text is; the rest of the basic plane is spread out when it is first needed.
var ascii = func() (t [utf8.RuneSelf]class) {
	for c := range t {
		t[c] = slowClass(rune(c))
	}
	return t
}()

var basic = sync.OnceValue(func() *[1 << 16]class {
	var t [1 << 16]class
	for bit, table := range classTables {
		for _, r := range table.R16 {
			for c := int(r.Lo); c <= int(r.Hi); c += int(r.Stride) {
				t[c] |= 1 << bit
			}
		}
	}
	return &t
})

func classOf(r rune) class {
	switch {
	case r < utf8.RuneSelf:
		return ascii[r]
	case r < 1<<16:
		return basic()[r]
	}
	return slowClass(r)
}

func slowClass(r rune) (c class) {
	for bit, table := range classTables {
		if unicode.Is(table, r) {
			c |= 1 << bit
		}
	}
	return c
}

// lowerRun is a run of characters, every stride-th from lo to hi, whose lower case lies delta away.
type lowerRun struct{ lo, hi, stride, delta rune }

// appendLower appends the lower case of r.
func appendLower(dst []byte, r rune) []byte {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return append(dst, byte(r))
	}
	if r == 0x130 {
		return append(dst, "i\u0307"...)
	}
	i := sort.Search(len(hfLower), func(i int) bool { return hfLower[i].hi >= r })
	if i < len(hfLower) && r >= hfLower[i].lo && (r-hfLower[i].lo)%hfLower[i].stride == 0 {
		r += hfLower[i].delta
	}
	return utf8.AppendRune(dst, r)
}
