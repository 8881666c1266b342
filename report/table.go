package report

import (
	"fmt"
	"io"
	"math"
	"strings"
	"unicode"
)

// Kind says what a column's values are, and with it how they are aligned, sorted and exported.
type Kind int

const (
	Text    Kind = iota
	Count        // whole numbers
	Bytes        // exact bytes; shown in MiB, exported in B
	Percent      // value 0.25 is shown as 25.0 and exported as 25
	Number       // any other number
)

// Mark sets a cell apart in every dress that can show it.
type Mark int

const (
	Plain   Mark = iota
	Best         // the notable one of its column
	Good         // a check that holds
	Bad          // a check that fails
	Missing      // no value: not run, failed, does not fit
)

// Column is one column's head. The unit stands here once and in no cell.
type Column struct {
	Name   string
	Unit   string
	Kind   Kind
	Spread bool // values are means over seeds with a standard deviation
}

// Head is name and unit on one line.
func (c Column) Head() string {
	if c.Unit == "" {
		return c.Name
	}
	return c.Name + " [" + c.Unit + "]"
}

// Cell is one value with all that explains it.
type Cell struct {
	Text  string
	Value float64 // NaN where there is no number; bytes and shares are raw
	SD    float64 // standard deviation over seeds; NaN where there is none
	Mark  Mark
	Runs  []string // identities of the runs it was made from
	Notes []string // footnotes, printed once under the table
}

// Table is the one form from which every dress is made.
type Table struct {
	Name      string // file name without ending
	Title     string
	Note      string // one line under the title: what a row is, what was asked
	Summary   string // one line that says what the table shows
	Columns   []Column
	Rows      [][]Cell
	Footnotes []string // notes to the whole table
}

// Forms are the dresses that Render knows.
var Forms = []string{"terminal", "markdown", "csv", "latex", "html", "json"}

// Render writes tables one after another in one of Forms; in JSON they are one document.
func Render(w io.Writer, form string, tables ...*Table) error {
	if form == "json" {
		return JSON(w, tables...)
	}
	for i, t := range tables {
		if i > 0 {
			if _, err := io.WriteString(w, "\n"); err != nil {
				return err
			}
		}
		if err := t.Render(w, form); err != nil {
			return err
		}
	}
	return nil
}

// Add appends a row of words and whole numbers; an empty word stands for no value.
func (t *Table) Add(values ...any) {
	var row []Cell
	for _, v := range values {
		if n, ok := v.(int); ok {
			row = append(row, number(Count, float64(n)))
		} else {
			row = append(row, words(fmt.Sprint(v)))
		}
	}
	t.Rows = append(t.Rows, row)
}

// Render writes the table in one of Forms.
func (t *Table) Render(w io.Writer, form string) error {
	switch form {
	case "terminal":
		return t.Terminal(w)
	case "markdown":
		return t.Markdown(w)
	case "csv":
		return t.CSV(w)
	case "latex":
		return t.LaTeX(w)
	case "html":
		return t.HTML(w)
	case "json":
		return JSON(w, t)
	}
	return fmt.Errorf("render table %s: unknown form %q (one of %s)", t.Name, form, strings.Join(Forms, ", "))
}

// notes numbers the cells' footnotes in reading order.
func (t *Table) notes() (list []string, number map[string]int) {
	number = map[string]int{}
	for _, row := range t.Rows {
		for _, c := range row {
			for _, n := range c.Notes {
				if number[n] == 0 {
					list = append(list, n)
					number[n] = len(list)
				}
			}
		}
	}
	return list, number
}

// words makes a cell of words; what came from a record is made harmless.
func words(s string) Cell {
	return Cell{Text: clean(s), Value: math.NaN(), SD: math.NaN()}
}

// number makes a cell of a value in the form of its kind.
func number(k Kind, v float64) Cell {
	return Cell{Text: format(k, v), Value: v, SD: math.NaN()}
}

func format(k Kind, v float64) string {
	switch k {
	case Count:
		return group(fmt.Sprintf("%.0f", v))
	case Bytes:
		return group(fmt.Sprintf("%.1f", v/(1<<20)))
	case Percent:
		return fixed(100*v, 1)
	}
	if math.Abs(v) >= 1000 {
		return group(fixed(v, 0))
	}
	return fmt.Sprintf("%.4g", v)
}

// fixed prints v with n decimals and never as "-0.0".
func fixed(v float64, n int) string {
	s := fmt.Sprintf("%.*f", n, v)
	if strings.Trim(s, "-0.") == "" {
		s = strings.TrimPrefix(s, "-")
	}
	return s
}

// group sets commas between thousands.
func group(s string) string {
	whole, frac, dot := strings.Cut(s, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if dot {
		whole += "." + frac
	}
	return sign + whole
}

// clean takes from a record's text what could act on a terminal or reorder a page: control characters, escape sequences,
// direction marks. White space becomes single spaces.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// brief cuts a long text, such as an error, for a footnote; the record has it whole.
func brief(s string, n int) string {
	s = clean(s)
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
