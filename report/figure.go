package report

import (
	"fmt"
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
