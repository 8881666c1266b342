package report

import (
	"fmt"
	"slices"
	"strings"
)

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
	if cols == "dataset" {
		slices.SortStableFunc(across, compareDatasets)
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
	for i, f := range heads {
		for k := range across {
			if saves(f) {
				t.best(1 + i + k*len(heads))
			}
		}
	}
	t.Footnotes = s.footnotes(heads)
	if i := slices.IndexFunc(heads, saves); i >= 0 && sides[0] < 0 {
		t.Summary = t.extremes(heads[i].column.Name, func(col int) bool { return col > 0 && (col-1)%len(heads) == i }, func(col int) string {
			if c := across[(col-1)/len(heads)]; c != "" {
				return ", " + c
			}
			return ""
		})
	}
	if len(heads) == 1 && cols != "" {
		t.Note = strings.TrimSuffix(heads[0].column.Head()+"; "+t.Note, "; ")
	}
	return t, nil
}
