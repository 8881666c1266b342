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

// scanner reads the large lists of a tokenizer.json (a quarter of a million pieces) much faster than encoding/json would, and
// shows numbers as they are written. Its input has been through encoding/json, so it is known to be JSON; only the shape is not.
type scanner struct {
	b []byte
	i int
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
		if s.b[s.i] == '\\' {
			plain = false
			s.i++
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

// number reads a number as it is written.
func (s *scanner) number() (string, error) {
	s.next()
	start := s.i
	for s.i < len(s.b) && strings.IndexByte("+-.eE0123456789", s.b[s.i]) >= 0 {
		s.i++
	}
	if s.i == start {
		return "", errors.New("not a number")
	}
	return string(s.b[start:s.i]), nil
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

// scanIDs reads {"token": id, ...}.
func scanIDs(b []byte) (tokenIDs, error) {
	s := scanner{b: b}
	v := tokenIDs{}
	if !s.take('{') {
		return nil, errors.New("not an object of ids")
	}
	if s.take('}') {
		return v, nil
	}
	for {
		token, err := s.text()
		if err != nil {
			return nil, err
		}
		if !s.take(':') {
			return nil, fmt.Errorf("token %q: no id", token)
		}
		digits, err := s.number()
		if err != nil {
			return nil, fmt.Errorf("token %q: %w", token, err)
		}
		id, err := strconv.ParseUint(digits, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("token %q: id %s is not one", token, digits)
		}
		v[token] = int32(id)
		if s.take('}') {
			return v, nil
		}
		if !s.take(',') {
			return nil, fmt.Errorf("token %q: more than an id", token)
		}
	}
}

// scanPieces reads [["piece", score], ...].
func scanPieces(b []byte) ([]scored, error) {
	s := scanner{b: b}
	var all []scored
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

// scanMerges reads ["a b", ...] or [["a", "b"], ...].
func scanMerges(b []byte) ([][2]string, error) {
	s := scanner{b: b}
	var all [][2]string
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
