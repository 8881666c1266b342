package tokenizer

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
	"golang.org/x/text/unicode/norm"
)

type added struct {
	ID         int    `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
}
type comp struct {
	Type           string `json:"type"`
	CleanText      bool   `json:"clean_text"`
	HandleChinese  bool   `json:"handle_chinese_chars"`
	StripAccents   *bool  `json:"strip_accents"`
	Lowercase      bool   `json:"lowercase"`
	Normalizers    []comp `json:"normalizers"`
	Pretokenizers  []comp `json:"pretokenizers"`
	Charsmap       string `json:"precompiled_charsmap"`
	Pattern        struct{ Regex, String string }
	AddPrefixSpace *bool  `json:"add_prefix_space"`
	PrependScheme  string `json:"prepend_scheme"`
	StripLeft      bool   `json:"strip_left"`
	StripRight     bool   `json:"strip_right"`
}
type config struct {
	AddedTokens  []added         `json:"added_tokens"`
	Normalizer   *comp           `json:"normalizer"`
	PreTokenizer *comp           `json:"pre_tokenizer"`
	Post         json.RawMessage `json:"post_processor"`
	Model        struct {
		Type     string          `json:"type"`
		Unk      *string         `json:"unk_token"`
		Prefix   string          `json:"continuing_subword_prefix"`
		MaxChars int             `json:"max_input_chars_per_word"`
		Vocab    json.RawMessage `json:"vocab"`
		Merges   []any           `json:"merges"`
		UnkID    *int            `json:"unk_id"`
		FuseUnk  bool            `json:"fuse_unk"`
	} `json:"model"`
}

// Miss tokenizes one pre-token (cache miss) into ids.
type Miss func(dst []int32, word []byte) []int32

// core is one tokenizer.json pipeline with a word -> ids cache in front of its model.
type core struct {
	kind          byte // 'w' wordpiece, 'b' byte-level bpe, 'u' unigram
	clean, cjk    bool
	strip, lower  bool
	prefixSpace   bool
	cm            *charsmap
	collapse      bool
	trim          bool
	wsplit        bool
	raw, normed   []added
	first, firstN [256]bool
	tmpl          [2][]piece
	nSpecial      [2]int
	wp            *wordpiece
	bpe           *bpe
	uni           *unigram
	Miss          Miss
	cache         map[string][]int32
	CacheMax      int
	buf, word     []byte
	tmp           []int32
}
type piece struct {
	seq int // 0 A, 1 B, -1 special
	id  int32
	typ int // token type
}

type templatePiece struct {
	ID   string
	Type int `json:"type_id"`
}

// clone shares the tables, not the caches: one per goroutine.
func (e *core) clone() *core {
	c := *e
	c.cache = map[string][]int32{}
	c.buf, c.word, c.tmp = nil, nil, nil
	switch c.kind {
	case 'w':
		w := *e.wp
		c.wp = &w
		c.Miss = w.tokenize
	case 'b':
		b := *e.bpe
		b.sym = nil
		c.bpe = &b
		c.Miss = c.bpe.tokenize
	case 'u':
		u := *e.uni
		u.node = nil
		c.uni = &u
		c.Miss = c.uni.tokenize
	}
	return &c
}

func load(b []byte) (*core, error) {
	var c config
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, err
	}
	e := &core{cache: map[string][]int32{}, CacheMax: 1 << 18}
	for _, a := range c.AddedTokens {
		if a.Content == "" {
			return nil, fmt.Errorf("added token %d is empty", a.ID)
		}
		if a.Normalized && c.Normalizer != nil {
			e.normed = append(e.normed, a)
			e.firstN[a.Content[0]] = true
		} else {
			e.raw = append(e.raw, a)
			e.first[a.Content[0]] = true
		}
	}
	var norms func(n *comp) error
	norms = func(n *comp) error {
		if n == nil {
			return nil
		}
		switch n.Type {
		case "Sequence":
			for i := range n.Normalizers {
				if err := norms(&n.Normalizers[i]); err != nil {
					return err
				}
			}
		case "BertNormalizer":
			e.clean, e.cjk, e.lower = n.CleanText, n.HandleChinese, n.Lowercase
			e.strip = n.Lowercase
			if n.StripAccents != nil {
				e.strip = *n.StripAccents
			}
		case "Precompiled":
			d, err := base64.StdEncoding.DecodeString(n.Charsmap)
			if err != nil {
				return err
			}
			e.cm = newCharsmap(d)
		case "Replace":
			if n.Pattern.Regex != " {2,}" {
				return fmt.Errorf("normalizer Replace of %q is not known", n.Pattern.Regex+n.Pattern.String)
			}
			e.collapse = true
		case "Strip":
			e.trim = true
		default:
			return fmt.Errorf("normalizer %q is not known", n.Type)
		}
		return nil
	}
	if err := norms(c.Normalizer); err != nil {
		return nil, err
	}
	var pre func(n *comp) error
	pre = func(n *comp) error {
		switch n.Type {
		case "Sequence":
			for i := range n.Pretokenizers {
				if err := pre(&n.Pretokenizers[i]); err != nil {
					return err
				}
			}
		case "BertPreTokenizer":
			e.kind = 'w'
		case "ByteLevel":
			e.kind = 'b'
			e.prefixSpace = n.AddPrefixSpace != nil && *n.AddPrefixSpace
		case "WhitespaceSplit":
			e.wsplit = true
		case "Metaspace":
			e.kind = 'u'
		default:
			return fmt.Errorf("pre_tokenizer %q is not known", n.Type)
		}
		return nil
	}
	if err := pre(c.PreTokenizer); err != nil {
		return nil, err
	}
	if c.Model.Type == "" && c.Model.Merges != nil { // old files do not name the model
		c.Model.Type = "BPE"
	}
	switch c.Model.Type {
	case "WordPiece":
		v := map[string]int32{}
		if err := json.Unmarshal(c.Model.Vocab, &v); err != nil {
			return nil, err
		}
		e.wp = newWordpiece(v, *c.Model.Unk, c.Model.Prefix, c.Model.MaxChars)
		e.Miss = e.wp.tokenize
	case "BPE":
		v := map[string]int32{}
		if err := json.Unmarshal(c.Model.Vocab, &v); err != nil {
			return nil, err
		}
		e.bpe = newBPE(v, c.Model.Merges)
		e.Miss = e.bpe.tokenize
	case "Unigram":
		var v [][2]any
		d := json.NewDecoder(bytes.NewReader(c.Model.Vocab))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			return nil, err
		}
		e.uni = newUnigram(v, *c.Model.UnkID)
		e.Miss = e.uni.tokenize
	default:
		return nil, fmt.Errorf("model %q is not known", c.Model.Type)
	}
	return e, e.post(c.Post)
}

func (e *core) post(raw json.RawMessage) error {
	var p struct {
		Type         string
		Single, Pair []struct {
			SpecialToken *templatePiece
			Sequence     *templatePiece
		}
		SpecialTokens map[string]struct{ IDs []int32 } `json:"special_tokens"`
		Sep, Cls      []any
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return err
	}
	switch p.Type {
	case "TemplateProcessing":
		for k, t := range [][]struct {
			SpecialToken *templatePiece
			Sequence     *templatePiece
		}{p.Single, p.Pair} {
			for _, x := range t {
				if x.Sequence != nil {
					s := 0
					if x.Sequence.ID == "B" {
						s = 1
					}
					e.tmpl[k] = append(e.tmpl[k], piece{s, 0, x.Sequence.Type})
				} else {
					special, ok := p.SpecialTokens[x.SpecialToken.ID]
					if !ok || len(special.IDs) == 0 {
						return fmt.Errorf("post_processor names special token %q without an id", x.SpecialToken.ID)
					}
					e.tmpl[k] = append(e.tmpl[k], piece{-1, special.IDs[0], x.SpecialToken.Type})
					e.nSpecial[k]++
				}
			}
		}
	case "RobertaProcessing":
		c, s := piece{-1, int32(p.Cls[1].(float64)), 0}, piece{-1, int32(p.Sep[1].(float64)), 0}
		e.tmpl[0] = []piece{c, {0, 0, 0}, s}
		e.tmpl[1] = []piece{c, {0, 0, 0}, s, s, {1, 0, 0}, s}
		e.nSpecial = [2]int{2, 4}
	case "ByteLevel":
		e.tmpl[0] = []piece{{0, 0, 0}}
		e.tmpl[1] = []piece{{0, 0, 0}, {1, 0, 1}}
	default:
		return fmt.Errorf("post_processor %q is not known", p.Type)
	}
	return nil
}

// cut is the longest_first truncation as the Rust library computes it, on lengths.
func cut(n1, n2, limit int, pair bool) (int, int) {
	if n1+n2 <= limit {
		return n1, n2
	}
	if !pair {
		return limit, 0
	}
	swap := n1 > n2
	if swap {
		n1, n2 = n2, n1
	}
	if n1 > limit {
		n2 = n1
	} else {
		n2 = max(n1, limit-n1)
	}
	if n1+n2 > limit {
		n1 = limit / 2
		n2 = n1 + limit%2
	}
	if swap {
		n1, n2 = n2, n1
	}
	return n1, n2
}

// next finds the first added token at or after from: leftmost-longest.
func next(s string, from int, toks []added, first *[256]bool) (int, int, *added) {
	for i := from; i < len(s); i++ {
		if !first[s[i]] {
			continue
		}
		var best *added
		for j := range toks {
			if strings.HasPrefix(s[i:], toks[j].Content) && (best == nil || len(toks[j].Content) > len(best.Content)) {
				best = &toks[j]
			}
		}
		if best != nil {
			return i, i + len(best.Content), best
		}
	}
	return len(s), len(s), nil
}

// append adds the ids of text, without the template's special tokens.
func (e *core) append(dst []int32, s string) []int32 {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	pos := 0
	for {
		i, j, t := next(s, pos, e.raw, &e.first)
		k := i
		if t != nil && t.LStrip {
			for k > pos {
				r, n := utf8.DecodeLastRuneInString(s[pos:k])
				if !unicode.Is(unicode.White_Space, r) {
					break
				}
				k -= n
			}
		}
		if k > pos {
			dst = e.segment(dst, s[pos:k])
		}
		if t == nil {
			return dst
		}
		dst = append(dst, int32(t.ID))
		pos = j
		if t.RStrip {
			for pos < len(s) {
				r, n := utf8.DecodeRuneInString(s[pos:])
				if !unicode.Is(unicode.White_Space, r) {
					break
				}
				pos += n
			}
		}
	}
}

func (e *core) segment(dst []int32, s string) []int32 {
	switch e.kind {
	case 'w':
		return e.bert(dst, s)
	case 'b':
		return e.bytelevel(dst, s)
	default:
		b := e.spmNormalize(s)
		if len(e.normed) == 0 {
			return e.metaspace(dst, b)
		}
		t := string(b)
		pos := 0
		for {
			i, j, a := next(t, pos, e.normed, &e.firstN)
			if i > pos {
				dst = e.metaspace(dst, []byte(t[pos:i]))
			}
			if a == nil {
				return dst
			}
			dst = append(dst, int32(a.ID))
			pos = j
		}
	}
}

func (e *core) emit(dst []int32, w []byte) []int32 {
	if ids, ok := e.cache[string(w)]; ok {
		return append(dst, ids...)
	}
	n := len(dst)
	dst = e.Miss(dst, w)
	if len(w) <= 64 && len(e.cache) < e.CacheMax {
		e.cache[string(w)] = append([]int32(nil), dst[n:]...)
	}
	return dst
}

// ---- BERT

func isCJK(c rune) bool {
	return c >= 0x4e00 && c <= 0x9fff || c >= 0x3400 && c <= 0x4dbf || c >= 0xf900 && c <= 0xfaff || c >= 0x20000 && c <= 0x2a6df ||
		c >= 0x2a700 && c <= 0x2b73f || c >= 0x2b740 && c <= 0x2b81f || c >= 0x2b920 && c <= 0x2ceaf || c >= 0x2f800 && c <= 0x2fa1f
}

const (
	cKeep = iota
	cSpace
	cPunct
	cDrop
)

var asciiClass [128]byte

func init() {
	for c := range asciiClass {
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			asciiClass[c] = cSpace
		case c < 32 || c == 127:
			asciiClass[c] = cDrop
		case c < 48 || c >= 58 && c <= 64 || c >= 91 && c <= 96 || c >= 123:
			asciiClass[c] = cPunct
		}
	}
}

// Differences between Go's tables and those of HF's crates, from a dump of every code point.
func hfPunct(c rune) bool {
	if c == 0x166d || c == 0x111c9 {
		return true
	}
	return unicode.Is(unicode.P, c) && !unicode.Is(newPunct, c)
}
func hfDrop(c rune) bool {
	if c == 0 || c == 0xfffd {
		return true
	}
	return unicode.In(c, unicode.Cc, unicode.Cf, unicode.Co) && !unicode.Is(newCf, c)
}
func hfMn(c rune) bool { return c == 0x1734 || unicode.Is(unicode.Mn, c) && !unicode.Is(newMn, c) }

func (e *core) bert(dst []int32, s string) []int32 {
	w := e.word[:0]
	flush := func() {
		if len(w) > 0 {
			dst = e.emit(dst, w)
			w = w[:0]
		}
	}
	// pass 2: classify after strip/lower
	put := func(c rune) {
		if c < 128 {
			switch asciiClass[c] {
			case cSpace:
				flush()
			case cPunct:
				flush()
				w = append(w, byte(c))
				flush()
			default:
				w = append(w, byte(c))
			}
			return
		}
		if unicode.Is(unicode.White_Space, c) {
			flush()
		} else if hfPunct(c) {
			flush()
			w = utf8.AppendRune(w, c)
			flush()
		} else {
			w = utf8.AppendRune(w, c)
		}
	}
	low := func(c rune) {
		if e.lower {
			if c == 0x130 {
				put('i')
				put(0x307)
				return
			}
			if l, ok := newLower[c]; ok {
				c = l
			} else {
				c = unicode.ToLower(c)
			}
		}
		put(c)
	}
	if !ascii(s) && e.strip {
		// whole-string NFD after clean and CJK spacing
		b := e.buf[:0]
		for _, c := range s {
			if e.clean {
				if c != '\t' && c != '\n' && c != '\r' && hfDrop(c) {
					continue
				}
				if unicode.Is(unicode.White_Space, c) {
					c = ' '
				}
			}
			if e.cjk && isCJK(c) {
				b = append(b, ' ')
				b = utf8.AppendRune(b, c)
				b = append(b, ' ')
			} else {
				b = utf8.AppendRune(b, c)
			}
		}
		e.buf = b
		for _, c := range string(norm.NFD.Bytes(b)) {
			if c >= 0x300 && hfMn(c) {
				continue
			}
			low(c)
		}
	} else {
		for i := 0; i < len(s); {
			c := rune(s[i])
			n := 1
			if c >= 128 {
				c, n = utf8.DecodeRuneInString(s[i:])
			}
			i += n
			if c < 128 {
				switch asciiClass[c] {
				case cSpace:
					flush()
				case cDrop:
					if !e.clean {
						w = append(w, byte(c))
					}
				case cPunct:
					flush()
					w = append(w, byte(c))
					flush()
				default:
					if e.lower && c >= 'A' && c <= 'Z' {
						c += 32
					}
					w = append(w, byte(c))
				}
				continue
			}
			if e.clean && hfDrop(c) {
				continue
			}
			if e.cjk && isCJK(c) {
				flush()
				low(c)
				flush()
				continue
			}
			low(c)
		}
	}
	flush()
	e.word = w
	return dst
}

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 128 {
			return false
		}
	}
	return true
}

type wordpiece struct {
	v        map[string]int32
	unk      int32
	prefix   string
	max      int
	maxBytes int
	b        []byte
}

func newWordpiece(v map[string]int32, unk, prefix string, max int) *wordpiece {
	w := &wordpiece{v: v, unk: v[unk], prefix: prefix, max: max}
	for k := range v {
		if len(k) > w.maxBytes {
			w.maxBytes = len(k)
		}
	}
	return w
}

func (m *wordpiece) tokenize(dst []int32, w []byte) []int32 {
	if len(w) > m.max && utf8.RuneCount(w) > m.max {
		return append(dst, m.unk)
	}
	n0 := len(dst)
	b := append(m.b[:0], m.prefix...)
	b = append(b, w...)
	m.b = b
	p := len(m.prefix)
	for start := p; start < len(b); {
		end := len(b)
		off := start - p
		if start == p {
			off = start
		}
		found := false
		var saved [8]byte
		if start > p {
			copy(saved[:], b[off:start])
			copy(b[off:start], m.prefix)
		}
		for end > start {
			if end-off <= m.maxBytes {
				if id, ok := m.v[string(b[off:end])]; ok {
					dst = append(dst, id)
					found = true
					break
				}
			}
			end--
			for end > start && b[end]&0xc0 == 0x80 {
				end--
			}
		}
		if start > p {
			copy(b[off:start], saved[:])
		}
		if !found {
			return append(dst[:n0], m.unk)
		}
		start = end
	}
	return dst
}

// ---- byte-level BPE

type mv struct{ rank, id int32 }
type bpe struct {
	v     map[string]int32
	byteI [256]int32
	m     map[uint64]mv
	sym   []int32
}

func newBPE(v map[string]int32, merges []any) *bpe {
	b := &bpe{v: v, m: make(map[uint64]mv, len(merges))}
	n := rune(256)
	for c := 0; c < 256; c++ {
		r := rune(c)
		if !(c >= 33 && c <= 126 || c >= 161 && c <= 172 || c >= 174) {
			r = n
			n++
		}
		id, ok := v[string(r)]
		if !ok {
			id = -1
		}
		b.byteI[c] = id
	}
	for i, x := range merges {
		var l, r string
		switch t := x.(type) {
		case string:
			l, r, _ = strings.Cut(t, " ")
		case []any:
			l, r = t[0].(string), t[1].(string)
		}
		a, ok1 := v[l]
		c, ok2 := v[r]
		id, ok3 := v[l+r]
		if ok1 && ok2 && ok3 {
			b.m[uint64(a)<<32|uint64(uint32(c))] = mv{int32(i), id}
		}
	}
	return b
}

func (b *bpe) tokenize(dst []int32, w []byte) []int32 {
	s := b.sym[:0]
	for _, c := range w {
		if id := b.byteI[c]; id >= 0 {
			s = append(s, id)
		}
	}
	// merge the lowest-ranked, leftmost pair until none is left; ranks of adjacent pairs are kept
	var rk [128]mv
	r := rk[:0]
	get := func(i int) mv {
		if x, ok := b.m[uint64(s[i])<<32|uint64(uint32(s[i+1]))]; ok {
			return x
		}
		return mv{math.MaxInt32, 0}
	}
	for i := 0; i+1 < len(s); i++ {
		r = append(r, get(i))
	}
	for len(r) > 0 {
		best, at := int32(math.MaxInt32), -1
		for i := range r {
			if r[i].rank < best {
				best, at = r[i].rank, i
			}
		}
		if at < 0 {
			break
		}
		s[at] = r[at].id
		s = append(s[:at+1], s[at+2:]...)
		r = append(r[:at], r[at+1:]...)
		if at > 0 {
			r[at-1] = get(at - 1)
		}
		if at < len(r) {
			r[at] = get(at)
		}
	}
	b.sym = s
	return append(dst, s...)
}

const (
	kO = iota
	kL
	kN
	kS
)

var asciiKind = func() (t [128]byte) {
	for c := range t {
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			t[c] = kL
		case c >= '0' && c <= '9':
			t[c] = kN
		case c == ' ' || c >= 9 && c <= 13:
			t[c] = kS
		}
	}
	return
}()

func kind(s string, i int) (byte, int) {
	if c := s[i]; c < 128 {
		return asciiKind[c], 1
	}
	c, n := utf8.DecodeRuneInString(s[i:])
	switch {
	case unicode.IsLetter(c) || unicode.Is(newLetters, c):
		return kL, n
	case unicode.Is(unicode.N, c) || unicode.Is(newNumbers, c):
		return kN, n
	case unicode.Is(unicode.White_Space, c):
		return kS, n
	}
	return kO, n
}

func (e *core) bytelevel(dst []int32, s string) []int32 {
	if e.prefixSpace && !strings.HasPrefix(s, " ") {
		s = " " + s
	}
	for i := 0; i < len(s); {
		j := i
		if s[i] == '\'' && i+1 < len(s) {
			switch s[i+1] {
			case 's', 't', 'm', 'd':
				j = i + 2
			case 'r', 'v':
				if i+2 < len(s) && s[i+2] == 'e' {
					j = i + 3
				}
			case 'l':
				if i+2 < len(s) && s[i+2] == 'l' {
					j = i + 3
				}
			}
		}
		if j == i {
			k, n := kind(s, i)
			if k == kS {
				if s[i] == ' ' && i+1 < len(s) {
					k2, n2 := kind(s, i+1)
					if k2 != kS {
						k, n = k2, 1+n2
					}
				}
			}
			j = i + n
			if k != kS {
				for j < len(s) {
					k2, n2 := kind(s, j)
					if k2 != k {
						break
					}
					j += n2
				}
			} else {
				last := i // start of the last white-space character of the run
				for j < len(s) {
					k2, n2 := kind(s, j)
					if k2 != kS {
						break
					}
					last = j
					j += n2
				}
				if j < len(s) && last > i {
					j = last
				}
			}
		}
		e.word = append(e.word[:0], s[i:j]...)
		dst = e.emit(dst, e.word)
		i = j
	}
	return dst
}

// ---- SentencePiece Unigram

type charsmap struct {
	trie []uint32
	norm []byte
}

func newCharsmap(d []byte) *charsmap {
	n := binary.LittleEndian.Uint32(d)
	c := &charsmap{trie: make([]uint32, n/4), norm: d[4+n:]}
	for i := range c.trie {
		c.trie[i] = binary.LittleEndian.Uint32(d[4+4*i:])
	}
	return c
}
func off(u uint32) uint32 { return (u >> 10) << ((u & (1 << 9)) >> 6) }

// lookup gives the replacement of the shortest prefix of key that has one (as spm_precompiled does).
func (c *charsmap) lookup(key []byte) ([]byte, bool) {
	p := uint32(0)
	u := c.trie[p]
	p ^= off(u)
	for _, b := range key {
		if b == 0 {
			break
		}
		p ^= uint32(b)
		if int(p) >= len(c.trie) {
			return nil, false
		}
		u = c.trie[p]
		if u&((1<<31)|0xff) != uint32(b) {
			return nil, false
		}
		p ^= off(u)
		if u>>8&1 == 1 {
			i := c.trie[p] & ((1 << 31) - 1)
			j := bytes.IndexByte(c.norm[i:], 0)
			if j < 0 {
				return c.norm[i:], true
			}
			return c.norm[i : int(i)+j], true
		}
	}
	return nil, false
}

func (e *core) spmNormalize(s string) []byte {
	if e.trim {
		s = strings.TrimFunc(s, func(r rune) bool { return unicode.Is(unicode.White_Space, r) })
	}
	b := e.buf[:0]
	if e.cm == nil {
		b = append(b, s...)
	} else {
		state := -1
		for len(s) > 0 {
			// printable ASCII that cannot start a cluster with what follows
			n := 0
			for n < len(s) && s[n] >= 0x20 && s[n] < 0x7f {
				n++
			}
			if n < len(s) && s[n] >= 128 {
				n--
			}
			if n > 0 {
				b = append(b, s[:n]...)
				s = s[n:]
				state = -1
				continue
			}
			var g string
			g, s, _, state = uniseg.FirstGraphemeClusterInString(s, state)
			if len(g) < 6 {
				if r, ok := e.cm.lookup([]byte(g)); ok {
					b = append(b, r...)
					continue
				}
			}
			for i, c := range g {
				part := g[i : i+utf8.RuneLen(c)]
				if r, ok := e.cm.lookup([]byte(part)); ok {
					b = append(b, r...)
				} else {
					b = append(b, part...)
				}
			}
		}
	}
	if e.collapse && bytes.Contains(b, []byte("  ")) {
		o := b[:0]
		for i := 0; i < len(b); i++ {
			if b[i] == ' ' && len(o) > 0 && o[len(o)-1] == ' ' && i > 0 {
				continue
			}
			o = append(o, b[i])
		}
		b = o
	}
	e.buf = b
	return b
}

const meta = "\u2581"

func (e *core) metaspace(dst []int32, b []byte) []int32 {
	w := e.word[:0]
	if e.wsplit {
		for i := 0; i < len(b); {
			// one white-space separated word
			for i < len(b) {
				c, n := utf8.DecodeRune(b[i:])
				if !unicode.Is(unicode.White_Space, c) {
					break
				}
				i += n
			}
			st := i
			for i < len(b) {
				if b[i] < 128 {
					if asciiKind[b[i]] == kS {
						break
					}
					i++
					continue
				}
				c, n := utf8.DecodeRune(b[i:])
				if unicode.Is(unicode.White_Space, c) {
					break
				}
				i += n
			}
			if i > st {
				dst, w = e.metaword(dst, w, b[st:i])
			}
		}
	} else if len(b) > 0 {
		dst, w = e.metaword(dst, w, b)
	}
	e.word = w
	return dst
}

func (e *core) metaword(dst []int32, w, b []byte) ([]int32, []byte) {
	w = w[:0]
	if b[0] != ' ' && !bytes.HasPrefix(b, []byte(meta)) {
		w = append(w, meta...)
	}
	for i := 0; i < len(b); i++ {
		if b[i] == ' ' || b[i] == meta[0] && bytes.HasPrefix(b[i:], []byte(meta)) {
			if len(w) > 0 {
				dst = e.emit(dst, w)
			}
			w = append(w[:0], meta...)
			if b[i] != ' ' {
				i += len(meta) - 1
			}
			continue
		}
		w = append(w, b[i])
	}
	if len(w) > 0 {
		dst = e.emit(dst, w)
	}
	return dst, w
}

type node struct {
	score float64
	from  int32
	id    int32
}

// unigram keeps the pieces in a byte trie laid out as sorted ranges of the vocabulary.
type unigram struct {
	v     map[string]int32
	keys  []string
	ids   []int32
	score []float64
	unk   int32
	unkSc float64
	first [256][2]int32
	two   map[uint16][2]int32
	node  []node
}

// serdeFloat parses a decimal as serde_json does without float_roundtrip: the digits as an integer, rounded to
// float64, then divided by a power of ten. It can be one ulp off the nearest value, and ties between equal
// segmentations hang on it.
func serdeFloat(s string) float64 {
	neg := strings.HasPrefix(s, "-")
	s = strings.TrimPrefix(s, "-")
	mant, exp, _ := strings.Cut(strings.ToLower(s), "e")
	x := 0
	if exp != "" {
		x, _ = strconv.Atoi(strings.TrimPrefix(exp, "+"))
	}
	var m uint64
	point, full := false, false
	for _, c := range mant {
		if c == '.' {
			point = true
			continue
		}
		d := uint64(c - '0')
		if full || m > (math.MaxUint64-d)/10 {
			full = true
			if !point {
				x++
			}
			continue
		}
		m = m*10 + d
		if point {
			x--
		}
	}
	f := float64(m)
	for f != 0 && x < -308 {
		f /= 1e308
		x += 308
	}
	if x < 0 {
		f /= math.Pow10(-x)
	} else {
		f *= math.Pow10(x)
	}
	if neg {
		return -f
	}
	return f
}

func newUnigram(v [][2]any, unk int) *unigram {
	u := &unigram{v: make(map[string]int32, len(v)), unk: int32(unk), two: map[uint16][2]int32{}}
	min := math.Inf(1)
	for i, p := range v {
		s := p[0].(string)
		u.v[s] = int32(i)
		sc := serdeFloat(string(p[1].(json.Number)))
		u.score = append(u.score, sc)
		if sc < min {
			min = sc
		}
	}
	u.unkSc = min - 10
	for k := range u.v {
		if k != "" {
			u.keys = append(u.keys, k)
		}
	}
	sort.Strings(u.keys)
	for i, k := range u.keys {
		u.ids = append(u.ids, u.v[k])
		f := &u.first[k[0]]
		if f[1] == 0 {
			f[0] = int32(i)
		}
		f[1] = int32(i + 1)
		if len(k) > 1 {
			x := uint16(k[0])<<8 | uint16(k[1])
			r, ok := u.two[x]
			if !ok {
				r[0] = int32(i)
			}
			r[1] = int32(i + 1)
			u.two[x] = r
		}
	}
	return u
}

func (u *unigram) tokenize(dst []int32, w []byte) []int32 {
	n := len(w)
	if cap(u.node) < n+1 {
		u.node = make([]node, 2*n+64)
	}
	nd := u.node[:n+1]
	for i := range nd {
		nd[i] = node{0, -1, 0}
	}
	for i := 0; i < n; {
		_, mb := utf8.DecodeRune(w[i:])
		here := nd[i].score
		single := false
		lo, hi := u.first[w[i]][0], u.first[w[i]][1]
		for d := 0; lo < hi; {
			// keys[lo:hi] share the prefix w[i:i+d+1]
			d++
			if len(u.keys[lo]) == d {
				id := u.ids[lo]
				t := &nd[i+d]
				if c := u.score[id] + here; t.from < 0 || c > t.score {
					*t = node{c, int32(i), id}
				}
				if d == mb {
					single = true
				}
				lo++
			}
			if i+d >= n || lo >= hi {
				break
			}
			c := w[i+d]
			if d == 1 {
				r, ok := u.two[uint16(w[i])<<8|uint16(c)]
				if !ok {
					break
				}
				lo, hi = r[0], r[1]
				continue
			}
			a, b := lo, hi
			for a < b {
				m := (a + b) >> 1
				if u.keys[m][d] < c {
					a = m + 1
				} else {
					b = m
				}
			}
			lo = a
			b = hi
			for a < b {
				m := (a + b) >> 1
				if u.keys[m][d] <= c {
					a = m + 1
				} else {
					b = m
				}
			}
			hi = a
		}
		if !single {
			t := &nd[i+mb]
			if c := u.unkSc + here; t.from < 0 || c > t.score {
				*t = node{c, int32(i), u.unk}
			}
		}
		i += mb
	}
	n0 := len(dst)
	for end := n; end > 0; {
		x := nd[end]
		if x.id == u.unk {
			// fuse unknowns; a fused string that is itself a piece gets that piece's id
			st := int(x.from)
			for st > 0 && nd[st].id == u.unk && nd[st].from >= 0 {
				st = int(nd[st].from)
			}
			id := u.unk
			if k, ok := u.v[string(w[st:end])]; ok {
				id = k
			}
			dst = append(dst, id)
			end = st
			continue
		}
		dst = append(dst, x.id)
		end = int(x.from)
	}
	for a, b := n0, len(dst)-1; a < b; a, b = a+1, b-1 {
		dst[a], dst[b] = dst[b], dst[a]
	}
	return dst
}

// Kind tells the pipeline: 'w' WordPiece, 'b' byte-level BPE, 'u' Unigram.
