package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unsafe"
)

// scanner reads the long lists of a tokenizer.json (a quarter of a million pieces) many times faster than encoding/json would, and
// shows numbers as they are written. Its input is UTF-8. What it reads it holds against JSON's grammar; what it skips it does not.
type scanner struct {
	b []byte
	i int
}

// lists are the long ones of a model, as far as there are any.
type lists struct {
	tokens []token  // an object "vocab"
	pieces []scored // a list "vocab"
	merges [][2]string
}

// cutLists parts the model's lists from the rest of a tokenizer.json, where null stands in their place.
func cutLists(b []byte) (rest []byte, l lists, err error) {
	s := scanner{b: b}
	seen := map[string]bool{}
	from := 0
	field := func(name string) (err error) {
		if name != "vocab" && name != "merges" {
			return s.skip()
		}
		if seen[name] {
			return errors.New("it is given twice")
		}
		seen[name] = true
		first := s.next()
		start := s.i
		switch {
		case name == "merges":
			l.merges, err = s.merges()
		case first == '[':
			l.pieces, err = s.pieces()
		default:
			l.tokens, err = s.ids()
		}
		rest = append(append(rest, b[from:start]...), "null"...)
		from = s.i
		return err
	}
	err = s.object(func(part string) error {
		if part == "model" && s.next() == '{' {
			return s.object(field)
		}
		return s.skip()
	})
	return append(rest, b[from:]...), l, err
}

// next skips white space and returns the byte that follows, 0 at the end.
func (s *scanner) next() byte {
	for s.i < len(s.b) {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return c
		}
	}
	return 0
}

// take consumes the byte c if it is the next one.
func (s *scanner) take(c byte) bool {
	if s.next() != c {
		return false
	}
	s.i++
	return true
}

// text reads a string. The result may share the scanner's bytes.
func (s *scanner) text() (string, error) {
	if !s.take('"') {
		return "", errors.New("not a string")
	}
	start := s.i
	plain := true
	for s.i < len(s.b) && s.b[s.i] != '"' {
		switch c := s.b[s.i]; {
		case c == '\\':
			plain = false
			s.i++
		case c < ' ':
			return "", errors.New("a control character in a string")
		}
		s.i++
	}
	if s.i >= len(s.b) {
		return "", errors.New("a string without end")
	}
	s.i++
	if plain {
		return unsafe.String(unsafe.SliceData(s.b[start:]), s.i-1-start), nil
	}
	var t string
	err := json.Unmarshal(s.b[start-1:s.i], &t)
	return t, err
}

// number reads a number as it is written. The result shares the scanner's bytes.
func (s *scanner) number() (string, error) {
	s.next()
	start := s.i
	digits := func() bool {
		from := s.i
		for s.i < len(s.b) && '0' <= s.b[s.i] && s.b[s.i] <= '9' {
			s.i++
		}
		return s.i > from
	}
	at := func(set string) bool {
		if s.i < len(s.b) && strings.IndexByte(set, s.b[s.i]) >= 0 {
			s.i++
			return true
		}
		return false
	}
	at("-")
	if !at("0") && !digits() || at(".") && !digits() {
		return "", errors.New("not a number")
	}
	if at("eE") {
		at("+-")
		if !digits() {
			return "", errors.New("not a number")
		}
	}
	return unsafe.String(unsafe.SliceData(s.b[start:]), s.i-start), nil
}

// skip passes over a value.
func (s *scanner) skip() error {
	s.next()
	start := s.i
	for depth := 0; s.i < len(s.b); s.i++ {
		switch s.b[s.i] {
		case '"':
			for s.i++; s.i < len(s.b) && s.b[s.i] != '"'; s.i++ {
				if s.b[s.i] == '\\' {
					s.i++
				}
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return s.passed(start)
			}
			depth--
		case ',':
			if depth == 0 {
				return s.passed(start)
			}
		}
	}
	return errors.New("a value without end")
}

func (s *scanner) passed(start int) error {
	if s.i == start {
		return errors.New("no value")
	}
	return nil
}

// object reads "{" name ":" value "," ... "}", calling member before each value.
func (s *scanner) object(member func(name string) error) error {
	if !s.take('{') {
		return errors.New("not an object")
	}
	if s.take('}') {
		return nil
	}
	for {
		name, err := s.text()
		if err != nil {
			return err
		}
		if !s.take(':') {
			return fmt.Errorf("%q: no value", name)
		}
		if err := member(name); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
		if s.take('}') {
			return nil
		}
		if !s.take(',') {
			return fmt.Errorf("%q: more than was expected", name)
		}
	}
}

// list reads "[" element "," ... "]", calling element for each.
func (s *scanner) list(element func(i int) error) error {
	if !s.take('[') {
		return errors.New("not a list")
	}
	if s.take(']') {
		return nil
	}
	for i := 0; ; i++ {
		if err := element(i); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
		if s.take(']') {
			return nil
		}
		if !s.take(',') {
			return fmt.Errorf("element %d: more than was expected", i)
		}
	}
}

// ids reads {"token": id, ...}.
func (s *scanner) ids() ([]token, error) {
	all := []token{}
	err := s.object(func(text string) error {
		digits, err := s.number()
		if err != nil {
			return err
		}
		id, err := strconv.ParseUint(digits, 10, 31)
		if err != nil {
			return fmt.Errorf("id %s is not one", digits)
		}
		all = append(all, token{text, int32(id)})
		return nil
	})
	return all, err
}

// pieces reads [["piece", score], ...].
func (s *scanner) pieces() ([]scored, error) {
	all := []scored{}
	err := s.list(func(int) error {
		var p scored
		fields := 0
		err := s.list(func(i int) (err error) {
			fields++
			switch i {
			case 0:
				p.piece, err = s.text()
			case 1:
				var digits string
				if digits, err = s.number(); err == nil {
					p.score = serdeFloat(digits)
				}
			default:
				err = errors.New("more than a piece and a score")
			}
			return err
		})
		if err == nil && fields != 2 {
			err = errors.New("not a piece and a score")
		}
		all = append(all, p)
		return err
	})
	return all, err
}

// merges reads ["a b", ...] or [["a", "b"], ...].
func (s *scanner) merges() ([][2]string, error) {
	all := [][2]string{}
	err := s.list(func(int) error {
		var p [2]string
		if s.next() == '"' {
			t, err := s.text()
			if err != nil {
				return err
			}
			var ok bool
			p[0], p[1], ok = strings.Cut(t, " ")
			if !ok || strings.Contains(p[1], " ") {
				return fmt.Errorf("%q is not a pair", t)
			}
			all = append(all, p)
			return nil
		}
		fields := 0
		err := s.list(func(i int) (err error) {
			fields++
			if i > 1 {
				return errors.New("more than a pair")
			}
			p[i], err = s.text()
			return err
		})
		if err == nil && fields != 2 {
			err = errors.New("not a pair")
		}
		all = append(all, p)
		return err
	})
	return all, err
}

// serdeFloat reads a decimal number as serde_json does in the reference: the digits as an integer, rounded to float64, then scaled
// by a power of ten. That can be one unit in the last place off the nearest value, and ties between segmentations hang on it.
func serdeFloat(s string) float64 {
	digits, negative := strings.CutPrefix(s, "-")
	mantissa, exponent := digits, ""
	if i := strings.IndexAny(digits, "eE"); i >= 0 {
		mantissa, exponent = digits[:i], digits[i+1:]
	}
	exp := 0
	if exponent != "" {
		exp, _ = strconv.Atoi(exponent) // out of range: the largest int, or smallest
		exp = min(max(exp, -1<<20), 1<<20)
	}
	var m uint64
	point, full := false, false
	for i := range len(mantissa) {
		c := mantissa[i]
		if c == '.' {
			point = true
			continue
		}
		d := uint64(c - '0')
		if full || m > (math.MaxUint64-d)/10 {
			full = true
			if !point {
				exp++
			}
			continue
		}
		m = m*10 + d
		if point {
			exp--
		}
	}
	f := float64(m)
	for f != 0 && exp < -308 {
		f /= 1e308
		exp += 308
	}
	if exp < 0 {
		f /= math.Pow10(-exp)
	} else if f != 0 {
		f *= math.Pow10(exp)
	}
	if negative {
		return -f
	}
	return f
}
