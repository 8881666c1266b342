package report

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"pema/results"
)

// figure is one quantity that a table can show of a pair. Specs name figures in table.cells.
type figure struct {
	name   string
	column Column
	cell   func(*pair) Cell
}

// figures is all that can stand in a cell.
var figures = []figure{
	{"rows", Column{Name: "rows V", Kind: Count}, counted(func(r *results.Record) int64 { return r.Vocabulary.Rows })},
	{"used", Column{Name: "used rows", Kind: Count}, counted(func(r *results.Record) int64 { return r.Vocabulary.Used })},
	{"kept", Column{Name: "kept rows k", Kind: Count}, counted(func(r *results.Record) int64 { return r.Vocabulary.Kept })},
	{"unused", Column{Name: "unused rows", Unit: "%", Kind: Percent}, exactly(Percent, (*pair).counted, func(r *results.Record) (float64, bool) {
		return 1 - ratio(r.Vocabulary.Used, r.Vocabulary.Rows), r.Vocabulary.Rows > 0
	})},
	{"embedding_reduction", Column{Name: "embedding parameters saved", Unit: "%", Kind: Percent}, exactly(Percent, (*pair).counted, func(r *results.Record) (float64, bool) {
		return 1 - ratio(r.Vocabulary.Kept, r.Vocabulary.Rows), r.Vocabulary.Rows > 0
	})},
	{"model_reduction", Column{Name: "model parameters saved", Unit: "%", Kind: Percent}, exactly(Percent, (*pair).counted, modelReduction)},
	{"examples", Column{Name: "examples", Kind: Count}, counted(func(r *results.Record) int64 { e, _ := sizes(r); return e })},
	{"tokens", Column{Name: "tokens", Kind: Count}, counted(func(r *results.Record) int64 { _, t := sizes(r); return t })},
	{"embedding_parameters", Column{Name: "embedding parameters", Kind: Count}, counted(func(r *results.Record) int64 { return r.Parameters.FullEmbedding })},
	{"parameters", Column{Name: "parameters", Kind: Count}, counted(func(r *results.Record) int64 { return r.Parameters.FullTotal })},
	{"width", Column{Name: "width d", Kind: Count}, counted(func(r *results.Record) int64 { // of the embedding, where it is not the model's
		if r.Vocabulary.Rows == 0 {
			return 0
		}
		return r.Parameters.FullEmbedding / r.Vocabulary.Rows
	})},
	{"shuffles", Column{Name: "shuffles", Kind: Count}, counted(func(r *results.Record) int64 { return int64(r.Vocabulary.Shuffles) })},
	{"heaps_k", Column{Name: "K", Kind: Number}, heaps(func(h *results.Heaps) float64 { return h.K })},
	{"heaps_beta", Column{Name: "β", Kind: Number}, heaps(func(h *results.Heaps) float64 { return h.Beta })},
	{"heaps_r2", Column{Name: "R²", Kind: Number}, heaps(func(h *results.Heaps) float64 { return h.R2 })},
	{"embedding_share", Column{Name: "in embeddings", Unit: "%", Kind: Percent}, exactly(Percent, (*pair).counted, func(r *results.Record) (float64, bool) {
		return ratio(r.Parameters.FullEmbedding, r.Parameters.FullTotal), r.Parameters.FullTotal > 0
	})},

	{"peak_baseline", Column{Name: "peak baseline", Unit: "MiB", Kind: Bytes}, exactly(Bytes, baseOf, peak)},
	{"peak_pema", Column{Name: "peak PEMA", Unit: "MiB", Kind: Bytes}, exactly(Bytes, pemaOf, peak)},
	{"peak_reduction", Column{Name: "peak saved", Unit: "%", Kind: Percent}, peakReduction},
	{"reserved_baseline", Column{Name: "reserved baseline", Unit: "MiB", Kind: Bytes}, exactly(Bytes, baseOf, reserved)},
	{"reserved_pema", Column{Name: "reserved PEMA", Unit: "MiB", Kind: Bytes}, exactly(Bytes, pemaOf, reserved)},
	{"forecast_baseline", Column{Name: "forecast baseline", Unit: "MiB", Kind: Bytes}, exactly(Bytes, baseOf, forecast)},
	{"forecast_error_baseline", Column{Name: "error", Unit: "%", Kind: Percent}, mean(Percent, baseOf, forecastError)},
	{"forecast_pema", Column{Name: "forecast PEMA", Unit: "MiB", Kind: Bytes}, exactly(Bytes, pemaOf, forecast)},
	{"forecast_error_pema", Column{Name: "error", Unit: "%", Kind: Percent}, mean(Percent, pemaOf, forecastError)},

	{"seeds", Column{Name: "n", Kind: Count}, func(p *pair) Cell {
		c := number(Count, float64(len(p.both())))
		c.Runs = ids(done(p.base), done(p.pema))
		return c
	}},
	{"pema_runs", Column{Name: "n", Kind: Count}, func(p *pair) Cell {
		c := number(Count, float64(len(done(p.pema))))
		c.Runs = ids(done(p.pema))
		return c
	}},
	{"metric", Column{Name: "metric"}, func(p *pair) Cell {
		for _, r := range append(done(p.base), done(p.pema)...) {
			if m := mainMetric(r); m != "" {
				return words(strings.ReplaceAll(m, "_", " "))
			}
		}
		return words("–")
	}},
	{"score_baseline", Column{Name: "baseline", Unit: "×100", Kind: Percent, Spread: true}, averaged(baseOf)},
	{"score_pema", Column{Name: "PEMA", Unit: "×100", Kind: Percent, Spread: true}, averaged(pemaOf)},
	{"score_difference", Column{Name: "difference, 95 % interval", Unit: "points", Kind: Percent}, scoreDifference},
	{"same_losses", Column{Name: "same losses"}, sameLosses},
	{"same_weights", Column{Name: "same weights"}, sameWeights},
	{"step_baseline", Column{Name: "step baseline", Unit: "ms", Kind: Number}, stepTime(baseOf)},
	{"step_pema", Column{Name: "step PEMA", Unit: "ms", Kind: Number}, stepTime(pemaOf)},
	{"step_ratio", Column{Name: "PEMA / baseline", Kind: Number}, stepRatio},

	{"time_encode", Column{Name: "encode", Unit: "s", Kind: Number, Spread: true}, seconds(func(t results.Time) float64 { return t.Encode })},
	{"time_count", Column{Name: "count", Unit: "s", Kind: Number, Spread: true}, seconds(func(t results.Time) float64 { return t.Count })},
	{"time_select", Column{Name: "select", Unit: "s", Kind: Number, Spread: true}, seconds(func(t results.Time) float64 { return t.Select })},
	{"time_train", Column{Name: "train", Unit: "s", Kind: Number, Spread: true}, seconds(func(t results.Time) float64 { return t.Train })},
	{"time_restore", Column{Name: "restore", Unit: "s", Kind: Number, Spread: true}, seconds(func(t results.Time) float64 { return t.Restore })},
	{"time_share", Column{Name: "PEMA's share of all time", Unit: "%", Kind: Percent, Spread: true}, mean(Percent, pemaOf, func(r *results.Record) (float64, bool) {
		t := r.Time
		return (t.Count + t.Select + t.Restore) / t.Total, t.Total > 0
	})},
}

// sided names the figures that a variant has for itself: without PEMA and with it.
var sided = map[string][2]string{
	"peak_allocated": {"peak_baseline", "peak_pema"},
	"peak_reserved":  {"reserved_baseline", "reserved_pema"},
	"forecast":       {"forecast_baseline", "forecast_pema"},
	"accuracy":       {"score_baseline", "score_pema"},
	"score":          {"score_baseline", "score_pema"},
	"step":           {"step_baseline", "step_pema"},
}

// pick finds figures by name. Short names stand for what the measure makes of them: peak_allocated for both variants'
// peaks, reduction for the saving in what is measured. With a side, 0 or 1, they stand for that variant's alone.
func pick(measure string, side int, names []string) ([]figure, error) {
	short := map[string][]string{"difference": {"score_difference"}, "reduction": {"embedding_reduction"}, "used_rows": {"used"}, "kept_rows": {"kept"}}
	if measure == "memory" {
		short["reduction"] = []string{"peak_reduction"}
	}
	for n, two := range sided {
		short[n] = two[:]
		if side >= 0 {
			short[n] = two[side : side+1]
		}
	}
	if side < 0 {
		short["forecast"] = []string{"forecast_baseline", "forecast_error_baseline", "forecast_pema", "forecast_error_pema"}
		short["step"] = append(short["step"], "step_ratio")
	}
	var out []figure
	for _, n := range names {
		full, ok := short[n]
		if !ok {
			full = []string{n}
		}
		for _, f := range full {
			i := slices.IndexFunc(figures, func(g figure) bool { return g.name == f })
			if i < 0 {
				return nil, fmt.Errorf("table cell %q is not known: one of %s", n, strings.Join(figureNames(short), ", "))
			}
			g := figures[i]
			if side >= 0 && sided[n] != ([2]string{}) {
				g.column.Name = strings.ReplaceAll(n, "_", " ") // the crossing names the variant
			}
			out = append(out, g)
		}
	}
	return out, nil
}

// figureNamed is one of figures, whose names are fixed.
func figureNamed(name string) figure {
	return figures[slices.IndexFunc(figures, func(f figure) bool { return f.name == name })]
}

func figureNames(short map[string][]string) []string {
	var out []string
	for _, f := range figures {
		out = append(out, f.name)
	}
	for n := range short {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

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
