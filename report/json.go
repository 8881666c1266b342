package report

import (
	"encoding/json"
	"io"
	"math"
)

// tableJSON is a table for programs: values in the units of their columns (bytes in B, shares in %), as in CSV, and beside
// each the runs that it was made from.
type tableJSON struct {
	Name      string       `json:"name"`
	Title     string       `json:"title"`
	Note      string       `json:"note,omitempty"`
	Summary   string       `json:"summary,omitempty"`
	Columns   []columnJSON `json:"columns"`
	Rows      [][]cellJSON `json:"rows"`
	Footnotes []string     `json:"footnotes,omitempty"`
}

type columnJSON struct {
	Name string `json:"name"`
	Unit string `json:"unit,omitempty"`
	Kind string `json:"kind"`
}

type cellJSON struct {
	Text  string   `json:"text"`
	Value *float64 `json:"value,omitempty"`
	SD    *float64 `json:"sd,omitempty"`
	Mark  string   `json:"mark,omitempty"` // best, good, bad, missing
	Runs  []string `json:"runs,omitempty"`
	Notes []string `json:"notes,omitempty"`
}

var kindNames = map[Kind]string{Text: "text", Count: "count", Bytes: "bytes", Percent: "percent", Number: "number"}

func (t *Table) forJSON() tableJSON {
	out := tableJSON{Name: t.Name, Title: clean(t.Title), Note: clean(t.Note), Summary: clean(t.Summary), Columns: []columnJSON{}, Rows: [][]cellJSON{}, Footnotes: t.Footnotes}
	for _, c := range t.Columns {
		if c.Kind == Bytes {
			c.Unit = "B"
		}
		out.Columns = append(out.Columns, columnJSON{clean(c.Name), c.Unit, kindNames[c.Kind]})
	}
	for _, r := range t.Rows {
		row := []cellJSON{}
		for i, c := range r {
			k := t.Columns[i].Kind
			row = append(row, cellJSON{c.Text, plainNumber(k, c.Value), plainNumber(k, c.SD), markClass[c.Mark], c.Runs, c.Notes})
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

func plainNumber(k Kind, v float64) *float64 {
	if k == Text || math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	if k == Percent {
		v *= 100
	}
	return &v
}

// JSON writes tables as {"tables": [...]}.
func JSON(w io.Writer, tables ...*Table) error {
	all := struct {
		Tables []tableJSON `json:"tables"`
	}{[]tableJSON{}}
	for _, t := range tables {
		all.Tables = append(all.Tables, t.forJSON())
	}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(all)
}
