package report

import (
	"errors"
	"fmt"
	"math"

	"pema/results"
)

// margin is the difference of scores, 1 point, below which two variants count as equally good: our own choice, about what
// one seed differs from another on GLUE's smaller tasks. alpha is the level of the tests.
const (
	margin = 0.01
	alpha  = 0.05
)

// sameness is a table of what the seeds say about "PEMA scores as the baseline does": the paired difference with its t
// interval, and the test of equivalence within the margin.
func (s *section) sameness(name string) *Table {
	t := &Table{Name: name, Title: "Is the score the same?", Note: s.subject()}
	cols, keys := s.keys()
	t.Columns = append(cols, Column{Name: "metric"}, Column{Name: "n", Kind: Count}, Column{Name: "mean difference", Unit: "points", Kind: Percent},
		Column{Name: "95 % from", Unit: "points", Kind: Percent}, Column{Name: "95 % to", Unit: "points", Kind: Percent},
		Column{Name: fmt.Sprintf("p of equivalence within ±%g", 100*margin), Kind: Number}, Column{Name: "verdict"})
	metric, seeds := figureNamed("metric"), figureNamed("seeds")
	counts := map[string]int{}
	for _, p := range s.pairs {
		base, pema := p.scores()
		row := append(keys(p), metric.cell(p))
		if len(base) == 0 {
			gap := lacking(missing(p.base), missing(p.pema))
			t.Rows = append(t.Rows, append(row, seeds.cell(p), gap, gap, gap, gap, gap))
			continue
		}
		runs := ids(done(p.base), done(p.pema))
		num := func(k Kind, v float64, text string) Cell {
			c := number(k, v)
			c.Text, c.Runs = text, runs
			return c
		}
		points := func(v float64) Cell { return num(Percent, v, fixed(100*v, 2)) }
		n := num(Count, float64(len(base)), fmt.Sprint(len(base)))
		said, v := judge(base, pema)
		said.Runs = runs
		none := lacking(Cell{Runs: runs}, Cell{})
		counts[said.Text]++
		if v == nil {
			t.Rows = append(t.Rows, append(row, n, points(pema[0]-base[0]), none, none, none, said))
			continue
		}
		t.Rows = append(t.Rows, append(row, n, points(v.Mean), points(v.Lo), points(v.Hi), num(Number, v.tost, probability(v.tost)), said))
	}
	t.Summary = sayCounts(counts, []string{identical, equivalent, unclear, differing, tooFew})
	t.Footnotes = []string{"Difference: PEMA - baseline, paired by seed, with its two-sided t interval.",
		fmt.Sprintf("Equivalence: two one-sided t tests (TOST) with a margin of ±%g point, our own choice; p below %g shows it. The absence of a difference alone does not.", 100*margin, alpha)}
	return t
}

const (
	identical  = "identical"
	equivalent = "equivalent"
	unclear    = "not shown"
	differing  = "differs"
	tooFew     = "too few seeds"
)

type tested struct {
	results.Paired
	tost float64
}

// judge puts the tests of one pair into a word, with a warning where n is too small to say more.
func judge(base, pema []float64) (Cell, *tested) {
	d, err := results.PairedT(base, pema, 0.95)
	if err != nil {
		c := words(tooFew)
		c.Mark = Missing
		c.Notes = []string{"one seed: neither an interval nor a test can be given"}
		if !errors.Is(err, results.ErrTooFew) {
			c.Notes = []string{err.Error()}
		}
		return c, nil
	}
	p, err := results.TOST(base, pema, margin)
	if err != nil {
		p = math.NaN()
	}
	v := &tested{d, p}
	c := words(unclear)
	switch {
	case d.SD == 0 && d.Mean == 0:
		c = words(identical)
		c.Mark = Good
	case p < alpha:
		c = words(equivalent)
		c.Mark = Good
	case d.P < alpha:
		c = words(differing)
		c.Mark = Bad
	default:
		why := fmt.Sprintf("n = %d is too small to say", d.N)
		if k := d.Needed(margin, alpha); k > d.N {
			why += fmt.Sprintf("; with this spread some %d seeds would show equivalence", k)
		}
		c.Notes = []string{why}
	}
	return c, v
}

func probability(p float64) string {
	if p < 0.0001 {
		return "< 0.0001"
	}
	return fixed(p, 4)
}

// sayCounts lists words with how often they came, in the given order.
func sayCounts(n map[string]int, order []string) string {
	out := ""
	for _, w := range order {
		if n[w] == 0 {
			continue
		}
		if out != "" {
			out += ", "
		}
		out += fmt.Sprintf("%s: %d", w, n[w])
	}
	if out == "" {
		return ""
	}
	return "Scores " + out + "."
}
