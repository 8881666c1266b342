package report

import (
	"fmt"
	"math"
	"slices"
	"sort"
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
		err = add("-models", "models", "rows", "embedding_parameters", "parameters", "embedding_share")
	case "vocabulary":
		err = add("-use", "vocabulary in use", "examples", "tokens", "rows", "used", "unused", "kept")
	case "parameters":
		err = add("-parameters", "parameters", "rows", "kept", "embedding_reduction", "embedding_parameters", "parameters", "model_reduction")
	case "cost":
		err = add("-cost", "time that PEMA adds", "time_encode", "time_count", "time_select", "time_train", "time_restore", "time_share")
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
		err = add("-result", "result", names...)
	}
	if err == nil && len(out) == 0 {
		err = add("", "runs", "rows", "used", "kept", "seeds")
	}
	return out, err
}

func (s *section) title() string {
	if t := clean(s.spec.Title); t != "" {
		return t
	}
	return clean(s.spec.Name)
}

func (s *section) any(f func(*results.Record) bool) bool { return slices.ContainsFunc(s.runs, f) }

// key columns: dataset and recipe only where there are several to tell apart.
func (s *section) keys() (cols []Column, cells func(*pair) []Cell) {
	short := shortNames(s.pairs)
	recipes := slices.ContainsFunc(s.pairs, func(p *pair) bool { return p.recipe != "" })
	cols = []Column{{Name: "model"}, {Name: "dataset"}}
	if recipes {
		cols = append(cols, Column{Name: "recipe"})
	}
	return cols, func(p *pair) []Cell {
		out := []Cell{words(short[p.model]), words(p.dataset)}
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
		if strings.HasSuffix(f.name, "reduction") {
			t.best(len(cols) + i)
		}
	}
	t.Footnotes = s.footnotes(figs)
	return t
}

// entry is what stands in a pivot's crossing: a pair, or one side of it where variants are a dimension.
type entry struct {
	*pair
	side int // 0 baseline, 1 PEMA, -1 both
}

func (e entry) variant() string {
	switch {
	case e.side < 0:
		return recipeName(e.recipe)
	case e.recipe == "":
		return [2]string{"baseline", "PEMA"}[e.side]
	}
	return e.recipe + [2]string{"", " + PEMA"}[e.side]
}

// pivot is a table with one dimension down and one across, and the spec's cells in each crossing.
func (s *section) pivot(name string) (*Table, error) {
	l := s.spec.Table
	rows, cols := l.Rows, l.Columns
	if rows == "" {
		rows = "model"
	}
	short := shortNames(s.pairs)
	of := map[string]func(entry) string{
		"model":   func(e entry) string { return short[e.model] },
		"dataset": func(e entry) string { return e.dataset },
		"variant": entry.variant,
		"":        func(entry) string { return "" },
	}
	if of[rows] == nil || of[cols] == nil || rows == cols {
		return nil, fmt.Errorf("table rows %q and columns %q: want two of model, dataset, variant", l.Rows, l.Columns)
	}
	sides := []int{-1}
	if rows == "variant" || cols == "variant" {
		sides = []int{0, 1}
	}
	figs := map[int][]figure{}
	for _, side := range sides {
		f, err := pick(s.spec.Measure, side, l.Cells)
		if err != nil {
			return nil, err
		}
		figs[side] = f
	}
	var entries []entry
	for _, p := range s.pairs {
		for _, side := range sides {
			entries = append(entries, entry{p, side})
		}
	}
	// A dimension that is neither down nor across would fold several pairs into one crossing: it becomes part of the row.
	rowKey := func(e entry) string {
		k := of[rows](e)
		for _, d := range []string{"model", "dataset", "variant"} {
			if d != rows && d != cols && slices.ContainsFunc(entries, func(x entry) bool { return of[d](x) != of[d](entries[0]) }) {
				k += " · " + of[d](e)
			}
		}
		return k
	}
	var down, across []string
	at := map[[2]string]entry{}
	for _, e := range entries {
		r, c := rowKey(e), of[cols](e)
		if !slices.Contains(down, r) {
			down = append(down, r)
		}
		if !slices.Contains(across, c) {
			across = append(across, c)
		}
		at[[2]string{r, c}] = e
	}
	if cols != "variant" {
		sort.Strings(across)
	}
	heads := figs[sides[0]]
	t := &Table{Name: name, Title: s.title(), Note: s.subject(), Columns: []Column{{Name: rows}}}
	for _, c := range across {
		for _, f := range heads {
			col := f.column
			if c != "" {
				col.Name = clean(c)
				if len(heads) > 1 {
					col.Name += ": " + f.column.Name
				}
			}
			t.Columns = append(t.Columns, col)
		}
	}
	for _, r := range down {
		row := []Cell{words(r)}
		for _, c := range across {
			e, ok := at[[2]string{r, c}]
			if !ok {
				e = entry{&pair{}, sides[0]}
			}
			for _, f := range figs[e.side] {
				row = append(row, f.cell(e.pair))
			}
		}
		t.Rows = append(t.Rows, row)
	}
	t.Footnotes = s.footnotes(heads)
	if len(heads) == 1 && cols != "" {
		t.Note = strings.TrimSuffix(heads[0].column.Head()+"; "+t.Note, "; ")
	}
	return t, nil
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
	if has("seeds") {
		out = append(out, "n: seeds finished in both variants.")
	}
	if has("score_baseline", "score_pema") {
		out = append(out, "Scores are mean ± standard deviation over seeds.")
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

// ledger is a table of what the peak is made of, a row for each model, dataset and variant.
func (s *section) ledger(name string) *Table {
	t := &Table{Name: name, Title: "What the peak is made of", Note: s.subject()}
	cols, keys := s.keys()
	t.Columns = append(cols, Column{Name: "variant"})
	for _, part := range (results.Ledger{}).Parts() {
		t.Columns = append(t.Columns, Column{Name: part.Name, Unit: "MiB", Kind: Bytes})
	}
	t.Columns = append(t.Columns, Column{Name: "peak", Unit: "MiB", Kind: Bytes}, Column{Name: "in"})
	for _, p := range s.pairs {
		for _, side := range []struct {
			name string
			runs map[int64]*results.Record
		}{{"baseline", p.base}, {"PEMA", p.pema}} {
			r := measured(side.runs)
			if r == nil {
				continue
			}
			row := append(keys(p), words(side.name))
			for _, part := range append(r.Memory.Ledger.Parts(), results.Part{Bytes: r.Memory.PeakAllocated}) {
				c := number(Bytes, float64(part.Bytes))
				c.Runs = []string{r.ID}
				row = append(row, c)
			}
			t.Rows = append(t.Rows, append(row, words(r.Memory.Phase)))
		}
	}
	t.Footnotes = []string{"First seed of each. The parts sum to the peak to the byte (the CSV file has bytes); here they are rounded to 0.1 MiB. In: the phase of the step in which the peak was."}
	return t
}

// measured is the first finished run of a side that measured memory.
func measured(side map[int64]*results.Record) *results.Record {
	for _, r := range done(side) {
		if r.Memory != nil {
			return r
		}
	}
	return nil
}
