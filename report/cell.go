package report

import (
	"errors"
	"fmt"
	"math"

	"pema/results"
)

func baseOf(p *pair) map[int64]*results.Record { return p.base }
func pemaOf(p *pair) map[int64]*results.Record { return p.pema }

func ratio(a, b int64) float64 { return float64(a) / float64(b) }

func modelReduction(r *results.Record) (float64, bool) {
	p, v := r.Parameters, r.Vocabulary
	if v.Rows == 0 || p.FullTotal == 0 {
		return 0, false
	}
	// Counted from the kept rows, so that a spec that only counts has it too; equal to 1 - Total/FullTotal of a PEMA run.
	return float64(p.FullEmbedding) * (1 - ratio(v.Kept, v.Rows)) / float64(p.FullTotal), true
}

func heaps(f func(*results.Heaps) float64) func(*pair) Cell {
	return exactly(Number, (*pair).counted, func(r *results.Record) (float64, bool) {
		h := r.Vocabulary.Heaps
		if h == nil || math.IsNaN(f(h)) {
			return 0, false
		}
		return f(h), true
	})
}

func sizes(r *results.Record) (examples, tokens int64) {
	for _, s := range r.Data.Splits {
		examples += s.Examples
		tokens += s.Tokens
	}
	return examples, tokens
}

func peak(r *results.Record) (float64, bool) {
	if r.Memory == nil {
		return 0, false
	}
	return float64(r.Memory.PeakAllocated), true
}

func reserved(r *results.Record) (float64, bool) {
	if r.Memory == nil || r.Memory.PeakReserved == 0 {
		return 0, false
	}
	return float64(r.Memory.PeakReserved), true
}

func forecast(r *results.Record) (float64, bool) {
	if r.Memory == nil || r.Memory.Forecast == nil {
		return 0, false
	}
	return float64(r.Memory.Forecast.PeakAllocated), true
}

func forecastError(r *results.Record) (float64, bool) {
	f, ok := forecast(r)
	m, _ := peak(r)
	return f/m - 1, ok && m > 0
}

// counted and exactly show quantities that no seed may change: a spread is marked as an error.
func counted(f func(*results.Record) int64) func(*pair) Cell {
	return exactly(Count, (*pair).counted, func(r *results.Record) (float64, bool) { v := f(r); return float64(v), v > 0 })
}

func exactly(k Kind, side func(*pair) map[int64]*results.Record, f func(*results.Record) (float64, bool)) func(*pair) Cell {
	return func(p *pair) Cell {
		runs := done(side(p))
		lo, hi, n := math.Inf(1), math.Inf(-1), 0
		for _, r := range runs {
			if v, ok := f(r); ok {
				lo, hi, n = math.Min(lo, v), math.Max(hi, v), n+1
			}
		}
		if n == 0 {
			return missing(side(p))
		}
		c := number(k, hi)
		c.Runs, c.Notes = ids(runs), remarks(side(p))
		if lo != hi {
			c.Mark = Bad
			c.Notes = append(c.Notes, fmt.Sprintf("differs between seeds where it must not: from %s, largest shown", spreadFrom(k, lo)))
		}
		return c
	}
}

func spreadFrom(k Kind, v float64) string {
	if k == Bytes {
		return group(fmt.Sprintf("%.0f", v)) + " B"
	}
	return format(k, v)
}

// mean shows quantities that seeds and clocks change: mean ± standard deviation.
func mean(k Kind, side func(*pair) map[int64]*results.Record, f func(*results.Record) (float64, bool)) func(*pair) Cell {
	return func(p *pair) Cell {
		var vals []float64
		runs := done(side(p))
		for _, r := range runs {
			if v, ok := f(r); ok {
				vals = append(vals, v)
			}
		}
		if len(vals) == 0 {
			return missing(side(p))
		}
		m, sd := results.MeanSD(vals)
		c := number(k, m)
		c.SD, c.Runs, c.Notes = sd, ids(runs), remarks(side(p))
		if len(vals) > 1 && sd > 0 {
			if k == Number { // both with the decimals that show the mean to four figures
				n := max(0, min(4, 3-int(math.Floor(math.Log10(math.Abs(m))))))
				c.Text = fixed(m, n) + " ± " + fixed(sd, n)
			} else {
				c.Text += " ± " + format(k, sd)
			}
		}
		return c
	}
}

func seconds(f func(results.Time) float64) func(*pair) Cell {
	return mean(Number, pemaOf, func(r *results.Record) (float64, bool) { return f(r.Time), r.Time.Total > 0 })
}

func averaged(side func(*pair) map[int64]*results.Record) func(*pair) Cell {
	return mean(Percent, side, score)
}

// mainMetric is the figure by which a task is judged, of those that a run has.
func mainMetric(r *results.Record) string {
	for _, m := range []string{"matthews_correlation", "accuracy", "pearson", "pearsonr", "spearmanr", "f1"} {
		for _, name := range []string{m, "eval_" + m} {
			if _, ok := r.Metrics[name]; ok {
				return m
			}
		}
	}
	return ""
}

func score(r *results.Record) (float64, bool) {
	m := mainMetric(r)
	if m == "" {
		return 0, false
	}
	if v, ok := r.Metrics[m]; ok {
		return v, true
	}
	return r.Metrics["eval_"+m], true
}

// scores lists both sides' scores seed by seed.
func (p *pair) scores() (base, pema []float64) {
	for _, s := range p.both() {
		b, okB := score(p.base[s])
		q, okQ := score(p.pema[s])
		if okB && okQ {
			base, pema = append(base, b), append(pema, q)
		}
	}
	return base, pema
}

// peakReduction compares seed with same seed; several seeds give one saving, since peaks are exact.
func peakReduction(p *pair) Cell {
	return paired(p, Percent, func(b, q *results.Record) (float64, bool) {
		x, okB := peak(b)
		y, okQ := peak(q)
		return 1 - y/x, okB && okQ && x > 0
	})
}

// paired averages a comparison of both variants over the seeds that both have.
func paired(p *pair, k Kind, f func(b, q *results.Record) (float64, bool)) Cell {
	var vals []float64
	var runs []string
	for _, s := range p.both() {
		if v, ok := f(p.base[s], p.pema[s]); ok {
			vals = append(vals, v)
			runs = append(runs, p.base[s].ID, p.pema[s].ID)
		}
	}
	if len(vals) == 0 {
		return lacking(missing(p.base), missing(p.pema))
	}
	m, _ := results.MeanSD(vals)
	c := number(k, m)
	c.Runs = runs
	return c
}

// lacking is a cell that needs both sides where one has no value.
func lacking(b, q Cell) Cell {
	c := words("–")
	c.Mark = Missing
	c.Runs = append(b.Runs, q.Runs...)
	return c
}

func scoreDifference(p *pair) Cell {
	b, q := p.scores()
	if len(b) == 0 {
		return lacking(missing(p.base), missing(p.pema))
	}
	m, _ := results.MeanSD(q)
	m0, _ := results.MeanSD(b)
	c := number(Percent, m-m0)
	c.Runs = ids(done(p.base), done(p.pema))
	d, err := results.PairedT(b, q, 0.95)
	switch {
	case errors.Is(err, results.ErrTooFew):
		c.Notes = []string{"one seed: no interval can be given"}
	case err == nil && d.SD == 0:
		c.Text = fixed(100*d.Mean, 2) + " in every seed"
	case err == nil:
		c.Text = fmt.Sprintf("%s [%s, %s]", fixed(100*d.Mean, 2), fixed(100*d.Lo, 2), fixed(100*d.Hi, 2))
		if d.N < 5 {
			c.Notes = []string{fmt.Sprintf("n = %d: too few seeds to exclude a small difference", d.N)}
		}
	}
	return c
}

// sameLosses compares the training losses of both variants step by step and bit by bit.
func sameLosses(p *pair) Cell {
	return sameOver(p, func(b, q *results.Record) (bool, string, bool) {
		if len(b.Losses) == 0 || len(q.Losses) == 0 {
			return false, "", false
		}
		for i := range min(len(b.Losses), len(q.Losses)) {
			if math.Float64bits(b.Losses[i]) != math.Float64bits(q.Losses[i]) {
				return false, fmt.Sprintf("losses differ first at step %d: baseline %v, PEMA %v", i+1, b.Losses[i], q.Losses[i]), true
			}
		}
		if len(b.Losses) != len(q.Losses) {
			return false, fmt.Sprintf("baseline ran %d steps, PEMA %d", len(b.Losses), len(q.Losses)), true
		}
		return true, "", true
	})
}

// sameWeights compares the hashes of the final weights with the full vocabulary restored.
func sameWeights(p *pair) Cell {
	return sameOver(p, func(b, q *results.Record) (bool, string, bool) {
		if b.FinalWeights == "" || q.FinalWeights == "" {
			return false, "", false
		}
		return b.FinalWeights == q.FinalWeights, "final weights differ", true
	})
}

func sameOver(p *pair, same func(b, q *results.Record) (equal bool, why string, known bool)) Cell {
	var n, ok int
	c := words("")
	for _, s := range p.both() {
		equal, why, known := same(p.base[s], p.pema[s])
		if !known {
			continue
		}
		n++
		c.Runs = append(c.Runs, p.base[s].ID, p.pema[s].ID)
		if equal {
			ok++
		} else {
			c.Notes = append(c.Notes, fmt.Sprintf("seed %d: %s", s, why))
		}
	}
	switch {
	case n == 0:
		return lacking(missing(p.base), missing(p.pema))
	case ok == n:
		c.Text, c.Mark = fmt.Sprintf("yes, %d of %d", ok, n), Good
	default:
		c.Text, c.Mark = fmt.Sprintf("no, %d of %d", ok, n), Bad
	}
	return c
}

func stepTime(side func(*pair) map[int64]*results.Record) func(*pair) Cell {
	return mean(Number, side, func(r *results.Record) (float64, bool) { return 1000 * r.Time.StepMedian, r.Time.StepMedian > 0 })
}

func stepRatio(p *pair) Cell {
	c := paired(p, Number, func(b, q *results.Record) (float64, bool) {
		return q.Time.StepMedian / b.Time.StepMedian, b.Time.StepMedian > 0 && q.Time.StepMedian > 0
	})
	if c.Mark != Missing {
		c.Text = fixed(c.Value, 3)
	}
	return c
}
