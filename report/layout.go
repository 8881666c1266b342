package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"pema/results"
)

// tables lays out a section: what the spec asks for first, then what its measure calls for and its records can fill.
func (s *section) tables(name string) ([]*Table, error) {
	var out []*Table
	t := s.spec.Table
	if len(t.Cells) > 0 {
		p, err := s.pivot(name)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	add := func(suffix, title string, names ...string) error {
		figs, err := pick(s.spec.Measure, -1, names)
		if err != nil {
			return err
		}
		n := name + suffix
		if len(out) == 0 {
			n = name
			title = s.title() + ": " + title
		} else {
			title = strings.ToUpper(title[:1]) + title[1:]
		}
		out = append(out, s.list(n, title, figs))
		return nil
	}
	var err error
	switch s.spec.Measure {
	case "models":
		err = add("-models", "models", "rows", "width", "embedding_parameters", "parameters", "embedding_share")
	case "vocabulary":
		if err = add("-use", "vocabulary in use", "examples", "tokens", "rows", "used", "unused", "kept"); err == nil && s.any(func(r *results.Record) bool { return r.Vocabulary.Heaps != nil }) {
			err = add("-growth", "growth of the vocabulary in use", "tokens", "used", "shuffles", "heaps_k", "heaps_beta", "heaps_r2")
		}
	case "parameters":
		err = add("-parameters", "parameters", "rows", "kept", "embedding_reduction", "embedding_parameters", "parameters", "model_reduction")
	case "cost":
		err = add("-cost", "time that PEMA adds", "pema_runs", "time_encode", "time_count", "time_select", "time_train", "time_restore", "time_share")
	}
	if err == nil && s.any(func(r *results.Record) bool { return r.Memory != nil || r.State == results.OutOfMemory }) {
		if err = add("-memory", "memory", "rows", "kept", "embedding_reduction", "model_reduction", "peak_allocated", "peak_reduction", "forecast"); err == nil {
			if l := s.ledger(name + "-ledger"); len(l.Rows) > 0 {
				out = append(out, l)
			}
		}
	}
	if err == nil && s.any(func(r *results.Record) bool { return len(r.Losses) > 0 || len(r.Metrics) > 0 }) {
		names := []string{"seeds", "same_losses", "same_weights", "step"}
		if s.any(func(r *results.Record) bool { return mainMetric(r) != "" }) {
			names = []string{"seeds", "metric", "score_baseline", "score_pema", "score_difference", "same_losses", "same_weights", "step"}
		}
		if err = add("-result", "result", names...); err == nil {
			out[len(out)-1].Summary = s.sameSummary()
			if len(names) > 4 {
				out = append(out, s.sameness(name+"-sameness"))
			}
		}
	}
	if err == nil && len(out) == 0 {
		err = add("", "runs", "rows", "used", "kept", "seeds")
	}
	return out, err
}

// sameSummary says for how many pairs the variants' losses are the same to the bit.
func (s *section) sameSummary() string {
	var same, known int
	for _, p := range s.pairs {
		if c := sameLosses(p); c.Mark != Missing {
			known++
			if c.Mark == Good {
				same++
			}
		}
	}
	if known == 0 {
		return "No pair of runs to compare yet."
	}
	return fmt.Sprintf("Losses bit-identical with and without PEMA in %d of %d comparisons.", same, known)
}

func (s *section) title() string {
	if t := clean(s.spec.Title); t != "" {
		return t
	}
	return clean(s.spec.Name)
}

func (s *section) any(f func(*results.Record) bool) bool { return slices.ContainsFunc(s.runs, f) }

// key columns: recipe only where there are several to tell apart, dataset unless none has one.
func (s *section) keys() (cols []Column, cells func(*pair) []Cell) {
	short := shortNames(s.pairs)
	recipes := slices.ContainsFunc(s.pairs, func(p *pair) bool { return p.recipe != "" })
	data := slices.ContainsFunc(s.pairs, func(p *pair) bool { return p.dataset != "" })
	cols = []Column{{Name: "model"}}
	if data {
		cols = append(cols, Column{Name: "dataset"})
	}
	if recipes {
		cols = append(cols, Column{Name: "recipe"})
	}
	return cols, func(p *pair) []Cell {
		out := []Cell{words(short[p.model])}
		if data {
			out = append(out, words(p.dataset))
		}
		if recipes {
			out = append(out, words(recipeName(p.recipe)))
		}
		return out
	}
}

func recipeName(r string) string {
	if r == "" {
		return "full"
	}
	return r
}

// shortNames drops a hub id's organisation where the rest is still unique.
func shortNames(pairs []*pair) map[string]string {
	count := map[string]map[string]bool{}
	last := func(m string) string {
		return m[strings.LastIndexByte(strings.TrimRight(m, "/"), '/')+1:]
	}
	for _, p := range pairs {
		if count[last(p.model)] == nil {
			count[last(p.model)] = map[string]bool{}
		}
		count[last(p.model)][p.model] = true
	}
	out := map[string]string{}
	for _, p := range pairs {
		out[p.model] = clean(last(p.model))
		if len(count[last(p.model)]) > 1 {
			out[p.model] = clean(p.model)
		}
	}
	return out
}

// list is a table of one row a pair.
func (s *section) list(name, title string, figs []figure) *Table {
	t := &Table{Name: name, Title: title, Note: s.subject()}
	cols, keys := s.keys()
	t.Columns = cols
	for _, f := range figs {
		t.Columns = append(t.Columns, f.column)
	}
	for _, p := range s.pairs {
		row := keys(p)
		for _, f := range figs {
			row = append(row, f.cell(p))
		}
		t.Rows = append(t.Rows, row)
	}
	for i, f := range figs {
		if saves(f) {
			t.best(len(cols) + i)
		}
	}
	if i := headline(figs); i >= 0 {
		t.Summary = t.extremes(figs[i].column.Name, func(col int) bool { return col == len(cols)+i }, nil)
	}
	t.Footnotes = s.footnotes(figs)
	return t
}

// saves tells the figures of which more is better and the most is marked.
func saves(f figure) bool {
	return strings.HasSuffix(f.name, "reduction") || f.name == "unused" || f.name == "embedding_share"
}

// headline is the figure that a list is about: the last of those that are in most demand.
func headline(figs []figure) int {
	for _, name := range []string{"peak_reduction", "model_reduction", "unused", "embedding_share", "time_share", "embedding_reduction", "score_difference"} {
		if i := slices.IndexFunc(figs, func(f figure) bool { return f.name == name }); i >= 0 {
			return i
		}
	}
	return -1
}

// extremes says in one line between which values the chosen columns lie, where, and how many cells have none. A column
// may add to a row's name.
func (t *Table) extremes(what string, chosen func(col int) bool, where func(col int) string) string {
	type place struct {
		cell Cell
		row  []Cell
		col  int
	}
	var lo, hi place
	n, missing := 0, 0
	for _, r := range t.Rows {
		for i, c := range r {
			if !chosen(i) {
				continue
			}
			if math.IsNaN(c.Value) || c.Mark == Missing {
				missing++
				continue
			}
			if n == 0 || c.Value < lo.cell.Value {
				lo = place{c, r, i}
			}
			if n == 0 || c.Value > hi.cell.Value {
				hi = place{c, r, i}
			}
			n++
		}
	}
	if n == 0 {
		return ""
	}
	say := func(p place) string {
		s := p.row[0].Text
		if where != nil {
			s += where(p.col)
		} else if len(t.Columns) > 1 && t.Columns[1].Kind == Text && p.row[1].Text != "" {
			s += ", " + p.row[1].Text
		}
		text, _, _ := strings.Cut(p.cell.Text, " ")
		if u := t.Columns[p.col].Unit; u != "" {
			text += " " + u
		}
		return text + " (" + s + ")"
	}
	out := strings.ToUpper(what[:1]) + what[1:] + ": "
	if lo.cell.Text == hi.cell.Text {
		out += say(hi)
		if n > 1 {
			text, _, _ := strings.Cut(hi.cell.Text, " ")
			out = strings.TrimSuffix(out, say(hi)) + text + " " + t.Columns[hi.col].Unit + " throughout"
		}
	} else {
		out += say(lo) + " to " + say(hi)
	}
	if missing > 0 {
		out += fmt.Sprintf("; %d of %d have no value", missing, n+missing)
	}
	return out + "."
}

func (s *section) several(of func(*pair) string) bool {
	return slices.ContainsFunc(s.pairs, func(p *pair) bool { return of(p) != of(s.pairs[0]) })
}

// best marks the largest value of a column, where there are several.
func (t *Table) best(col int) {
	at, n := -1, 0
	for i, r := range t.Rows {
		if math.IsNaN(r[col].Value) || r[col].Mark != Plain {
			continue
		}
		n++
		if at < 0 || r[col].Value > t.Rows[at][col].Value {
			at = i
		}
	}
	if n > 1 {
		t.Rows[at][col].Mark = Best
	}
}

// subject says in one line under which conditions the runs were made, as far as they share them.
func (s *section) subject() string {
	var parts []string
	one := func(f func(*results.Record) string) {
		v := ""
		for i, r := range s.runs {
			w := f(r)
			if i > 0 && w != v {
				return
			}
			v = w
		}
		if v = clean(v); v != "" {
			parts = append(parts, v)
		}
	}
	one(func(r *results.Record) string { return r.Environment.Device })
	trained := func(format string, f func(results.Training) any) func(*results.Record) string {
		return func(r *results.Record) string {
			if r.Training.BatchSize == 0 {
				return ""
			}
			return fmt.Sprintf(format, f(r.Training))
		}
	}
	one(trained("batch size %v", func(t results.Training) any { return t.BatchSize }))
	one(trained("max length %v", func(t results.Training) any { return t.MaxLength }))
	one(trained("%v", func(t results.Training) any { return t.Optimizer }))
	one(trained("%v", func(t results.Training) any { return t.Precision }))
	one(func(r *results.Record) string {
		if len(r.Vocabulary.Splits) == 0 {
			return ""
		}
		return "vocabulary of " + strings.Join(r.Vocabulary.Splits, " + ")
	})
	return strings.Join(parts, ", ")
}

// footnotes explain the words that the chosen figures use.
func (s *section) footnotes(figs []figure) []string {
	var out []string
	has := func(names ...string) bool {
		return slices.ContainsFunc(figs, func(f figure) bool { return slices.Contains(names, f.name) })
	}
	if has("kept") {
		out = append(out, "Kept rows: ids that the data use and the tokenizer's special tokens; PEMA trains these alone.")
	}
	if has("peak_baseline", "peak_pema") {
		out = append(out, "Peak: bytes allocated at the highest moment of training, weights included. Saved: against the baseline.")
	}
	if has("forecast_baseline", "forecast_pema") {
		out = append(out, "Forecast: made from shapes alone before the run. Error: against the measured peak.")
	}
	if has("same_losses") {
		out = append(out, "Same losses: bit-identical at every step, seed by seed. Same weights: every tensor, with the full vocabulary restored.")
	}
	if has("heaps_beta") {
		out = append(out, "Heaps' law: used rows = K * tokens^β, fitted to the logarithms of the mean growth over the shuffles; R² is of the logarithms.")
	}
	if has("pema_runs") {
		out = append(out, "n: finished runs with PEMA. Encode and train are a baseline's too; count, select and restore are what PEMA adds.")
	}
	if has("seeds") {
		out = append(out, "n: seeds finished in both variants.")
	}
	if has("score_baseline", "score_pema") {
		out = append(out, "Scores are mean ± standard deviation over seeds; n = "+s.seedCounts()+".")
	}
	if has("score_difference") {
		out = append(out, "Difference: PEMA - baseline, paired by seed, with its t interval.")
	}
	stale := 0
	for _, p := range s.pairs {
		stale += p.stale
	}
	if stale > 0 {
		out = append(out, fmt.Sprintf("%d older records of the same cells (an earlier form of the spec, or another device) are not shown.", stale))
	}
	return out
}

// seedCounts says how many seeds a side of a pair has, over all pairs: "3", "1 to 3".
func (s *section) seedCounts() string {
	lo, hi := math.MaxInt, 0
	for _, p := range s.pairs {
		for _, side := range []map[int64]*results.Record{p.base, p.pema} {
			if n := len(done(side)); n > 0 {
				lo, hi = min(lo, n), max(hi, n)
			}
		}
	}
	switch {
	case hi == 0:
		return "0"
	case lo == hi:
		return fmt.Sprint(hi)
	}
	return fmt.Sprintf("%d to %d", lo, hi)
}
