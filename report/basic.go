// Package report makes tables, plots and a page from records, and from nothing else.
package report

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/tw"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"image/color"

	"pema/results"
)

// Table is one table in all its dress forms.
type Table struct {
	Name, Title string
	Head        []string
	Rows        [][]string
	Runs        [][]string // ids of the runs behind each row
	Notes       []string
}

// Report is all that is shown of an output folder.
type Report struct {
	Tables  []*Table
	Records []*results.Record
	pairs   map[string][]pair
}

// pair is baseline and PEMA of one model, dataset and seed; either may be missing.
type pair struct {
	model, dataset string
	seed           int64
	base, pema     *results.Record
}

// Build groups records by spec and makes two tables of each: the result, and the ledger of the peak.
func Build(records []*results.Record) (*Report, error) {
	r := &Report{Records: records, pairs: map[string][]pair{}}
	var names []string
	for _, rec := range records {
		n := rec.Spec.Name
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
		i := slices.IndexFunc(r.pairs[n], func(p pair) bool {
			return p.model == rec.Model && p.dataset == rec.Dataset && p.seed == rec.Seed
		})
		if i < 0 {
			r.pairs[n] = append(r.pairs[n], pair{model: rec.Model, dataset: rec.Dataset, seed: rec.Seed})
			i = len(r.pairs[n]) - 1
		}
		if rec.Variant == "pema" {
			r.pairs[n][i].pema = rec
		} else {
			r.pairs[n][i].base = rec
		}
	}
	for _, n := range names {
		title := ""
		for _, rec := range records {
			if rec.Spec.Name == n {
				title = rec.Spec.Title
			}
		}
		r.Tables = append(r.Tables, resultTable(n, title, r.pairs[n]), ledgerTable(n, r.pairs[n]))
	}
	return r, nil
}

func mib(n int64) string { return fmt.Sprintf("%.1f", float64(n)/(1<<20)) }

func less(from, to int64) string { return fmt.Sprintf("%.1f", 100*(1-float64(to)/float64(from))) }

func done(rec *results.Record) bool { return rec != nil && rec.State == results.Done }

func state(rec *results.Record) string {
	switch {
	case rec == nil:
		return "not run"
	case rec.State == results.OutOfMemory:
		return "does not fit"
	}
	return string(rec.State)
}

func resultTable(name, title string, pairs []pair) *Table {
	t := &Table{Name: name, Title: title, Head: []string{"model", "seed", "rows", "kept rows", "embedding less %", "parameters less %",
		"peak MiB baseline", "PEMA", "less %", "forecast MiB baseline", "PEMA", "accuracy baseline", "PEMA", "same losses", "same weights", "s/step baseline", "PEMA"}}
	for _, p := range pairs {
		row := []string{p.model, fmt.Sprint(p.seed)}
		var ids []string
		for _, rec := range []*results.Record{p.base, p.pema} {
			if rec != nil {
				ids = append(ids, rec.ID)
			}
		}
		if done(p.base) && done(p.pema) {
			b, q := p.base, p.pema
			row = append(row, fmt.Sprint(q.Vocabulary.Rows), fmt.Sprint(q.Vocabulary.Kept), less(q.Parameters.FullEmbedding, q.Parameters.Embedding),
				less(q.Parameters.FullTotal, q.Parameters.Total), mib(b.Memory.PeakAllocated), mib(q.Memory.PeakAllocated),
				less(b.Memory.PeakAllocated, q.Memory.PeakAllocated), forecast(b), forecast(q),
				fmt.Sprintf("%.4f", b.Metrics["accuracy"]), fmt.Sprintf("%.4f", q.Metrics["accuracy"]),
				yes(slices.Equal(b.Losses, q.Losses) && len(b.Losses) > 0), yes(b.FinalWeights == q.FinalWeights && b.FinalWeights != ""),
				fmt.Sprintf("%.3f", b.Time.StepMedian), fmt.Sprintf("%.3f", q.Time.StepMedian))
		} else {
			for len(row) < len(t.Head) {
				row = append(row, "")
			}
			row[2] = "baseline " + state(p.base) + ", PEMA " + state(p.pema)
		}
		t.Rows, t.Runs = append(t.Rows, row), append(t.Runs, ids)
	}
	t.Notes = []string{"Kept rows are the used ids and the special tokens. Same losses: bit-identical at every step. Same weights: every tensor, with the full embedding matrix restored. The forecast is made from shapes alone."}
	return t
}

func forecast(r *results.Record) string {
	if r.Memory.Forecast == nil {
		return ""
	}
	f := r.Memory.Forecast.PeakAllocated
	return fmt.Sprintf("%s (%+.1f %%)", mib(f), 100*(float64(f)/float64(r.Memory.PeakAllocated)-1))
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "NO"
}

var parts = []struct {
	name string
	of   func(results.Ledger) int64
	fill color.Gray
}{
	{"parameters: embedding", func(l results.Ledger) int64 { return l.ParametersEmbedding }, color.Gray{20}},
	{"parameters: rest", func(l results.Ledger) int64 { return l.ParametersRest }, color.Gray{60}},
	{"gradients: embedding", func(l results.Ledger) int64 { return l.GradientsEmbedding }, color.Gray{95}},
	{"gradients: rest", func(l results.Ledger) int64 { return l.GradientsRest }, color.Gray{125}},
	{"optimizer: embedding", func(l results.Ledger) int64 { return l.OptimizerEmbedding }, color.Gray{155}},
	{"optimizer: rest", func(l results.Ledger) int64 { return l.OptimizerRest }, color.Gray{185}},
	{"activations, temporaries", func(l results.Ledger) int64 { return l.Activations }, color.Gray{225}},
}

func ledgerTable(name string, pairs []pair) *Table {
	t := &Table{Name: name + "-ledger", Title: "What is in the peak, MiB (first seed of each model)", Head: []string{"part"}}
	t.Rows = make([][]string, len(parts)+1)
	t.Runs = make([][]string, len(parts)+1)
	for i, p := range parts {
		t.Rows[i] = []string{p.name}
	}
	t.Rows[len(parts)] = []string{"peak"}
	for _, rec := range firstSeeds(pairs) {
		t.Head = append(t.Head, rec.Model+" "+rec.Variant)
		for i, p := range parts {
			t.Rows[i] = append(t.Rows[i], mib(p.of(rec.Memory.Ledger)))
			t.Runs[i] = append(t.Runs[i], rec.ID)
		}
		t.Rows[len(parts)] = append(t.Rows[len(parts)], mib(rec.Memory.PeakAllocated))
	}
	return t
}

func firstSeeds(pairs []pair) []*results.Record {
	var out []*results.Record
	seen := map[string]bool{}
	for _, p := range pairs {
		key := p.model + "\x00" + p.dataset
		if !seen[key] && done(p.base) && done(p.pema) && p.base.Memory != nil && p.pema.Memory != nil {
			seen[key] = true
			out = append(out, p.base, p.pema)
		}
	}
	return out
}

// Terminal prints the tables for a terminal.
func (r *Report) Terminal(w io.Writer) error {
	for _, t := range r.Tables {
		fmt.Fprintf(w, "\n%s\n", t.Title)
		x := tablewriter.NewTable(w, tablewriter.WithHeaderAutoFormat(tw.Off))
		x.Header(t.Head)
		if err := errors.Join(x.Bulk(t.Rows), x.Render()); err != nil {
			return err
		}
		for _, n := range t.Notes {
			fmt.Fprintln(w, n)
		}
	}
	return nil
}

// Markdown is the table as GitHub shows it.
func (t *Table) Markdown() string {
	var b strings.Builder
	line := func(cells []string) {
		for _, c := range cells {
			b.WriteString("| " + strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;").Replace(c) + " ")
		}
		b.WriteString("|\n")
	}
	fmt.Fprintf(&b, "%s\n\n", t.Title)
	line(t.Head)
	b.WriteString(strings.Repeat("| --- ", len(t.Head)) + "|\n")
	for _, r := range t.Rows {
		line(r)
	}
	for _, n := range t.Notes {
		fmt.Fprintf(&b, "\n%s\n", n)
	}
	return b.String()
}

// CSV is the table for programs; a cell that a spreadsheet would run as a formula is quoted with an apostrophe.
func (t *Table) CSV() (string, error) {
	var b strings.Builder
	w := csv.NewWriter(&b)
	for _, r := range append([][]string{t.Head}, t.Rows...) {
		safe := slices.Clone(r)
		for i, c := range safe {
			if c != "" && strings.ContainsRune("=@\t\r", rune(c[0])) {
				safe[i] = "'" + c
			}
		}
		if err := w.Write(safe); err != nil {
			return "", err
		}
	}
	w.Flush()
	return b.String(), w.Error()
}

// bars draws the peak of baseline beside PEMA, stacked by the ledger's parts.
func bars(title string, records []*results.Record) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = title
	p.Y.Label.Text = "peak allocated, MiB"
	p.Y.Min = 0
	var names []string
	var below *plotter.BarChart
	for _, r := range records {
		names = append(names, r.Model+"\n"+r.Variant)
	}
	for _, part := range parts {
		v := make(plotter.Values, len(records))
		for i, r := range records {
			v[i] = float64(part.of(r.Memory.Ledger)) / (1 << 20)
		}
		b, err := plotter.NewBarChart(v, vg.Points(60))
		if err != nil {
			return nil, err
		}
		b.Color = part.fill
		b.LineStyle.Width = vg.Points(0.5)
		if below != nil {
			b.StackOn(below)
		}
		below = b
		p.Add(b)
		p.Legend.Add(part.name, b)
	}
	p.Legend.Top = true
	p.Legend.Left = true
	p.NominalX(names...)
	highest := int64(0)
	for _, r := range records {
		highest = max(highest, r.Memory.PeakAllocated)
	}
	p.Y.Max = 1.5 * float64(highest) / (1 << 20) // room for the legend above the bars
	p.X.Min, p.X.Max = -0.6, float64(len(records))-0.4
	return p, nil
}

// Write puts tables/, plots/ and report.html into a folder; each file appears whole or not at all.
func Write(dir string, r *Report) error {
	for _, d := range []string{"tables", "plots"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	for _, t := range r.Tables {
		c, err := t.CSV()
		if err != nil {
			return err
		}
		if err := errors.Join(results.WriteFile(filepath.Join(dir, "tables", t.Name+".md"), []byte(t.Markdown())),
			results.WriteFile(filepath.Join(dir, "tables", t.Name+".csv"), []byte(c))); err != nil {
			return err
		}
	}
	var pictures []template.HTML
	for name, pairs := range r.pairs {
		records := firstSeeds(pairs)
		if len(records) == 0 {
			continue
		}
		p, err := bars("Peak memory of fine-tuning", records)
		if err != nil {
			return err
		}
		for _, format := range []string{"svg", "png"} {
			w, err := p.WriterTo(vg.Points(90*float64(len(records))+120), vg.Points(380), format)
			if err != nil {
				return err
			}
			var b bytes.Buffer
			if _, err := w.WriteTo(&b); err != nil {
				return err
			}
			if err := results.WriteFile(filepath.Join(dir, "plots", name+"."+format), b.Bytes()); err != nil {
				return err
			}
			if format == "svg" {
				s := b.String()
				pictures = append(pictures, template.HTML(s[max(0, strings.Index(s, "<svg")):]))
			}
		}
	}
	var page bytes.Buffer
	if err := pageTemplate.Execute(&page, map[string]any{"Tables": r.Tables, "Pictures": pictures, "Records": r.Records}); err != nil {
		return err
	}
	return results.WriteFile(filepath.Join(dir, "report.html"), page.Bytes())
}

var pageTemplate = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>pema report</title>
<style>
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 90rem; padding: 0 1rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #8886; text-align: right }
th:first-child, td:first-child { text-align: left }
figure { margin: 1rem 0; background: #fff; display: inline-block; max-width: 100%; overflow-x: auto }
.small { font-size: .85rem }
</style></head><body>
<h1>pema report</h1>
<p>Made from {{len .Records}} records, and from nothing else.</p>
{{range .Tables}}<h2>{{.Title}}</h2><div class="wide"><table><thead><tr>{{range .Head}}<th scope="col">{{.}}</th>{{end}}</tr></thead>
<tbody>{{range .Rows}}<tr>{{range .}}<td>{{.}}</td>{{end}}</tr>{{end}}</tbody></table></div>{{range .Notes}}<p class="small">{{.}}</p>{{end}}
{{end}}
{{range .Pictures}}<figure>{{.}}</figure>{{end}}
<h2>Runs</h2><div class="wide"><table class="small"><thead><tr><th>run</th><th>model</th><th>variant</th><th>seed</th><th>state</th><th>steps</th><th>device</th><th>libtorch</th><th>code</th></tr></thead><tbody>
{{range .Records}}<tr><td>{{.ID}}</td><td>{{.Model}}</td><td>{{.Variant}}</td><td>{{.Seed}}</td><td>{{.State}} {{.Error}}</td><td>{{.Training.Steps}}</td><td>{{.Environment.Device}}</td><td>{{.Environment.Libtorch}}</td><td>{{.Environment.Code}}</td></tr>{{end}}
</tbody></table></div>
</body></html>
`))
