package report

import (
	"fmt"
	"math"

	"pema/results"
)

// Compare sets the records of two output folders side by side, run for run: a row for each run that either has, told apart
// by spec, model, dataset, variant and seed. nameA and nameB head the columns.
func Compare(nameA string, a []*results.Record, nameB string, b []*results.Record) *Table {
	t := &Table{Name: "compare", Title: fmt.Sprintf("%s beside %s", nameA, nameB), Columns: []Column{{Name: "spec"}, {Name: "model"}, {Name: "dataset"}, {Name: "variant"}, {Name: "seed", Kind: Count},
		{Name: "kept rows " + nameA, Kind: Count}, {Name: "kept rows " + nameB, Kind: Count},
		{Name: "peak " + nameA, Unit: "MiB", Kind: Bytes}, {Name: "peak " + nameB, Unit: "MiB", Kind: Bytes}, {Name: "peak changed by", Unit: "%", Kind: Percent},
		{Name: "score " + nameA, Unit: "×100", Kind: Percent}, {Name: "score " + nameB, Unit: "×100", Kind: Percent}, {Name: "losses"}, {Name: "weights"}}}
	for _, m := range results.Matches(a, b) {
		r, x := [2]*results.Record{m.A, m.B}, m.Either()
		row := []Cell{words(x.Spec.Name), words(x.Model), words(x.Dataset), words(x.Variant), number(Count, float64(x.Seed))}
		side := func(k Kind, i int, f func(*results.Record) (float64, bool)) Cell {
			m := map[int64]*results.Record{}
			if r[i] != nil {
				m[0] = r[i]
			}
			return exactly(k, func(*pair) map[int64]*results.Record { return m }, f)(nil)
		}
		kept := func(q *results.Record) (float64, bool) { return float64(q.Vocabulary.Kept), q.Vocabulary.Kept > 0 }
		peaks := [2]Cell{side(Bytes, 0, peak), side(Bytes, 1, peak)}
		change := lacking(peaks[0], peaks[1])
		if peaks[0].Mark != Missing && peaks[1].Mark != Missing {
			change = number(Percent, peaks[1].Value/peaks[0].Value-1)
			change.Text = fixed(100*change.Value, 2)
			if change.Value != 0 {
				change.Mark = Bad
			}
		}
		p := &pair{base: map[int64]*results.Record{}, pema: map[int64]*results.Record{}}
		if r[0] != nil && r[1] != nil {
			p.base[0], p.pema[0] = r[0], r[1]
		}
		row = append(row, side(Count, 0, kept), side(Count, 1, kept), peaks[0], peaks[1], change, side(Percent, 0, score), side(Percent, 1, score),
			sameOrNot(p, func(q *results.Record) any {
				bits := make([]uint64, len(q.Losses))
				for i, v := range q.Losses {
					bits[i] = math.Float64bits(v)
				}
				if len(bits) == 0 {
					return nil
				}
				return bits
			}),
			sameOrNot(p, func(q *results.Record) any {
				if q.FinalWeights == "" {
					return nil
				}
				return q.FinalWeights
			}))
		t.Rows = append(t.Rows, row)
	}
	last := len(t.Columns) - 1
	inBoth, same := 0, 0
	for _, r := range t.Rows {
		if r[last-1].Mark != Missing || r[last].Mark != Missing || r[last-4].Mark != Missing {
			inBoth++
			if r[last-1].Mark != Bad && r[last].Mark != Bad && r[last-4].Mark != Bad {
				same++
			}
		}
	}
	t.Summary = fmt.Sprintf("Of %s %d can be compared, %d of them with the same peak, losses and weights.", plural(len(t.Rows), "run"), inBoth, same)
	t.Footnotes = []string{"Losses and weights: bit-identical between the two folders or not."}
	return t
}

func sameOrNot(p *pair, of func(*results.Record) any) Cell {
	if len(p.both()) == 0 {
		return lacking(Cell{}, Cell{})
	}
	a, b := of(p.base[0]), of(p.pema[0])
	if a == nil || b == nil {
		return lacking(Cell{}, Cell{})
	}
	c := words("same")
	c.Mark = Good
	if fmt.Sprint(a) != fmt.Sprint(b) {
		c = words("differ")
		c.Mark = Bad
	}
	c.Runs = []string{p.base[0].ID, p.pema[0].ID}
	return c
}
