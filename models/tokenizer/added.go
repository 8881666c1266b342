package tokenizer

import (
	"bytes"
	"fmt"
	"slices"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token that is found in the text before the model sees it.
type addedToken struct {
	content    string
	id         int32
	singleWord bool // only where no word character stands beside it
	lstrip     bool // takes the white space before it
	rstrip     bool // takes the white space after it
	normalized bool // is looked for in the normalized text
	special    bool
}

// matcher finds added tokens: the leftmost, and of those the longest.
type matcher struct {
	byFirst [256][]matched // by first byte, longest first
	firsts  []byte         // the first bytes there are
}

// matched is an added token and the bytes to look for, which differ from its content when they are normalized.
type matched struct {
	*addedToken
	pattern []byte
}

func (m *matcher) empty() bool { return len(m.firsts) == 0 }

func (m *matcher) add(t *addedToken, pattern []byte) error {
	if len(pattern) == 0 {
		return fmt.Errorf("added token %q: nothing is left of it after normalizing", t.content)
	}
	list := &m.byFirst[pattern[0]]
	at, found := slices.BinarySearchFunc(*list, pattern, func(x matched, p []byte) int {
		if len(x.pattern) != len(p) {
			return len(p) - len(x.pattern)
		}
		return bytes.Compare(x.pattern, p)
	})
	if found {
		return fmt.Errorf("added token %q: %q is looked for twice", t.content, pattern)
	}
	if len(*list) == 0 {
		m.firsts = append(m.firsts, pattern[0])
	}
	*list = slices.Insert(*list, at, matched{t, pattern})
	return nil
}

// setAdded takes over the added tokens. Their ids are those of the vocabulary, or follow after it.
func (t *Tokenizer) setAdded(tokens []addedToken) error {
	t.added = tokens
	after := int32(t.vocab.size())
	seen := make(map[string]bool, len(tokens))
	for i := range tokens {
		a := &tokens[i]
		if seen[a.content] {
			return fmt.Errorf("added token %q is given twice", a.content)
		}
		seen[a.content] = true
		id, ok := t.vocab.lookup(a.content)
		if !ok {
			id = after
			after++
		}
		if a.id != id {
			return fmt.Errorf("added token %q has id %d, but its place in the vocabulary is %d", a.content, a.id, id)
		}
		m, pattern := &t.raw, []byte(a.content)
		if a.normalized {
			m = &t.normalized
			for _, n := range t.normalizers {
				pattern = n.normalize(nil, pattern)
			}
		}
		if err := m.add(a, pattern); err != nil {
			return err
		}
	}
	return nil
}

// matches walks over a text: in turn it shows each gap (hit == nil) and each added token.
type matches struct {
	of   *matcher
	text []byte
	gap  []byte
	hit  *addedToken

	from    int // what lies before has been shown
	at      int // where the search goes on
	pending *addedToken
	after   int // where the pending token ends
}

func (m *matches) next() bool {
	if m.pending != nil {
		m.hit, m.pending = m.pending, nil
		m.from = m.after
		return true
	}
	m.hit = nil
	start, stop := m.find()
	if m.pending == nil {
		m.gap = m.text[m.from:]
		m.from = len(m.text)
		return len(m.gap) > 0
	}
	m.after = stop
	if start <= m.from {
		return m.next()
	}
	m.gap = m.text[m.from:start]
	return true
}

// find sets pending to the next added token and returns the bounds of what it takes.
func (m *matches) find() (start, stop int) {
	for i := m.at; i < len(m.text); i++ {
		if len(m.of.firsts) == 1 { // the usual case, quick
			n := bytes.IndexByte(m.text[i:], m.of.firsts[0])
			if n < 0 {
				break
			}
			i += n
		}
		for _, c := range m.of.byFirst[m.text[i]] {
			if !bytes.HasPrefix(m.text[i:], c.pattern) {
				continue
			}
			start, stop = i, i+len(c.pattern)
			m.at = stop
			if c.singleWord && (endsInWord(m.text[:start]) || beginsInWord(m.text[stop:])) {
				i = stop - 1
				break
			}
			if c.lstrip {
				start = max(len(bytes.TrimRightFunc(m.text[:start], isSpace)), m.from)
			}
			if c.rstrip {
				stop = len(m.text) - len(bytes.TrimLeftFunc(m.text[stop:], isSpace))
			}
			m.pending = c.addedToken
			return start, stop
		}
	}
	m.at = len(m.text)
	return 0, 0
}

func isSpace(r rune) bool { return unicode.Is(unicode.White_Space, r) }

// isWord is the class \w of Rust's regular expressions.
func isWord(r rune) bool {
	return unicode.IsLetter(r) || r == 0x200c || r == 0x200d ||
		unicode.In(r, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic)
}

func endsInWord(s []byte) bool {
	r, n := utf8.DecodeLastRune(s)
	return n > 0 && isWord(r)
}

func beginsInWord(s []byte) bool {
	r, n := utf8.DecodeRune(s)
	return n > 0 && isWord(r)
}
