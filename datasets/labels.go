package datasets

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// maxClasses bounds the distinct labels that are discovered: more are a sign of a wrong column.
const maxClasses = 1000

// value is one cell of a label column.
type value struct {
	kind valueKind
	num  float64 // of integers and decimals
	text string  // as it is in the file; empty where the file holds numbers as such
}

type valueKind uint8

const (
	noValue valueKind = iota
	integer
	decimal
	word
)

// parseValue reads a cell of a text format.
func parseValue(s string) value {
	s = strings.TrimSpace(s)
	if s == "" {
		return value{}
	}
	if n, err := strconv.ParseInt(s, 10, 53); err == nil {
		return value{kind: integer, num: float64(n), text: s}
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
		return value{kind: decimal, num: f, text: s}
	}
	return value{kind: word, text: s}
}

func (v value) String() string {
	if v.text != "" {
		return v.text
	}
	return strconv.FormatFloat(v.num, 'g', -1, 64)
}

// labelMaker turns label cells into labels. It sees every cell once, is finished, and then maps.
type labelMaker struct {
	names      []string // of the classes; nil for a regression
	num        int      // classes, 1 for a regression, 0 without labels
	above      *float64
	discover   bool
	regression bool

	index map[string]int // of the classes, by name
	seen  map[string]value
	kinds [4]int64 // cells of each kind
}

func newLabelMaker(cols Columns, opt FileOptions) (*labelMaker, error) {
	m := &labelMaker{index: map[string]int{}, seen: map[string]value{}}
	ways := 0
	if opt.LabelAbove != nil {
		ways++
		above := *opt.LabelAbove
		m.above, m.num, m.names = &above, 2, []string{"0", "1"}
	}
	if opt.Regression {
		ways++
		m.regression, m.num = true, 1
	}
	if opt.Labels != nil {
		ways++
		if len(opt.Labels) < 2 {
			return nil, fmt.Errorf("labels: %d class given, at least 2 are needed", len(opt.Labels))
		}
		m.setNames(slices.Clone(opt.Labels))
		if len(m.index) != len(opt.Labels) {
			return nil, fmt.Errorf("labels: a name is given twice in %s", strings.Join(opt.Labels, ", "))
		}
	}
	switch {
	case ways > 1:
		return nil, errors.New("labels: only one of a list of classes, a threshold and a regression can be asked for")
	case ways == 1 && cols.Label == "":
		return nil, errors.New("labels: no label column named")
	}
	m.discover = ways == 0 && cols.Label != ""
	return m, nil
}

func (m *labelMaker) setNames(names []string) {
	m.names, m.num = names, len(names)
	for i, n := range names {
		m.index[n] = i
	}
}

// rule describes the mapping for the identity of an encoded split; the names of the classes are part of that anyway.
func (m *labelMaker) rule() string {
	if m.above != nil {
		return fmt.Sprintf("above %v", *m.above)
	}
	return ""
}

// see checks a cell, or takes note of it where the classes are yet to be discovered.
func (m *labelMaker) see(v value) error {
	if !m.discover {
		_, err := m.label(v)
		return err
	}
	if v.kind == noValue {
		return errors.New("label is empty")
	}
	m.kinds[v.kind]++
	if m.kinds[word] > 0 && m.kinds[integer]+m.kinds[decimal] > 0 {
		was := "words"
		if v.kind == word {
			was = "numbers"
		}
		return fmt.Errorf("label %q is out of place among labels that were %s so far; name the classes if both are meant", v, was)
	}
	if len(m.seen) <= maxClasses && m.kinds[decimal] == 0 {
		key := v.String()
		if v.kind == integer {
			key = strconv.FormatFloat(v.num, 'f', -1, 64)
		}
		m.seen[key] = v
	}
	return nil
}

// finish decides on the classes after all cells were seen.
func (m *labelMaker) finish() error {
	if !m.discover {
		return nil
	}
	m.discover = false
	if m.kinds[decimal] > 0 {
		m.regression, m.num = true, 1
		return nil
	}
	if len(m.seen) > maxClasses {
		return fmt.Errorf("the label column has more than %d distinct values: is it the label?", maxClasses)
	}
	if len(m.seen) < 2 {
		return fmt.Errorf("the label column has only one distinct value, %s; name the classes if it is right", first(m.seen))
	}
	keys := make([]string, 0, len(m.seen))
	for k := range m.seen {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		if c := cmp.Compare(m.seen[a].num, m.seen[b].num); c != 0 {
			return c
		}
		return cmp.Compare(a, b)
	})
	m.setNames(keys)
	m.seen = nil
	return nil
}

func first(seen map[string]value) string {
	for k := range seen {
		return strconv.Quote(k)
	}
	return "none"
}

// label maps a cell.
func (m *labelMaker) label(v value) (float32, error) {
	if v.kind == noValue {
		return 0, errors.New("label is empty")
	}
	if m.regression || m.above != nil {
		if v.kind == word {
			return 0, fmt.Errorf("label %q is not a number", v)
		}
		if m.regression {
			return float32(v.num), nil
		}
		if v.num > *m.above {
			return 1, nil
		}
		return 0, nil
	}
	key := v.text
	if v.kind == integer {
		key = strconv.FormatFloat(v.num, 'f', -1, 64)
	}
	if i, ok := m.index[key]; ok {
		return float32(i), nil
	}
	if v.kind != integer {
		return 0, fmt.Errorf("label %q is neither an integer nor one of %s", v, strings.Join(m.names, ", "))
	}
	if v.num < 0 || int(v.num) >= m.num {
		return 0, fmt.Errorf("label %v is out of range: there are %d classes, 0 to %d", v, m.num, m.num-1)
	}
	return float32(v.num), nil
}
