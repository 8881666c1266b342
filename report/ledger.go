package report

import (
	"fmt"
	"strings"

	"pema/results"
)

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
	t.Summary = t.embeddingShares(len(cols))
	t.Footnotes = []string{"First seed of each. The parts sum to the peak to the byte (the CSV file has bytes); here they are rounded to 0.1 MiB. In: the phase of the step in which the peak was."}
	return t
}

// embeddingShares says which part of the peak is due to the rows of the embedding matrix. The variant stands at column at,
// the parts after it.
func (t *Table) embeddingShares(at int) string {
	shares := map[string][2]float64{}
	for _, r := range t.Rows {
		sum, peak := 0.0, 0.0
		for i := at + 1; i < len(r)-2; i++ {
			if strings.HasSuffix(t.Columns[i].Name, "embedding") {
				sum += r[i].Value
			}
			peak += r[i].Value
		}
		if peak == 0 {
			continue
		}
		v, ok := shares[r[at].Text]
		if !ok {
			v = [2]float64{1, 0}
		}
		shares[r[at].Text] = [2]float64{min(v[0], sum/peak), max(v[1], sum/peak)}
	}
	say := func(variant string) string {
		v := shares[variant]
		lo, hi := format(Percent, v[0]), format(Percent, v[1])
		if lo == hi {
			return hi
		}
		return lo + " to " + hi
	}
	if len(shares) < 2 {
		return ""
	}
	return fmt.Sprintf("Embedding rows hold %s %% of the peak of the baseline and %s %% of that of PEMA.", say("baseline"), say("PEMA"))
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
