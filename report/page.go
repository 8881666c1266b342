package report

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html"
	"html/template"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"pema/results"
)

//go:embed page/page.html page/page.css page/page.js
var pageFiles embed.FS

var pageTemplate = template.Must(template.ParseFS(pageFiles, "page/page.html"))

// HTML writes the table alone, with its title and footnotes; data-runs names the runs of each cell.
func (t *Table) HTML(w io.Writer) error {
	var b bytes.Buffer
	t.html(&b, func(id string) string { return id })
	t.htmlNotes(&b)
	_, err := w.Write(b.Bytes())
	return err
}

var markClass = map[Mark]string{Best: "best", Good: "good", Bad: "bad", Missing: "missing"}

// html writes by hand, since a template is too slow for a hundred thousand cells. Everything from a record goes through
// html.EscapeString; ref says how a run is named.
func (t *Table) html(b *bytes.Buffer, ref func(id string) string) {
	esc := func(s string) string { return html.EscapeString(clean(s)) }
	_, num := t.notes()
	fmt.Fprintf(b, "<table id=\"t-%s\"><caption><span>%s</span>", esc(t.Name), esc(t.Title))
	if t.Note != "" {
		fmt.Fprintf(b, "<span class=\"note\">%s</span>", esc(t.Note))
	}
	b.WriteString("</caption>\n<thead><tr>")
	for _, c := range t.Columns {
		b.WriteString("<th scope=\"col\"")
		if c.Kind != Text {
			b.WriteString(" class=\"n\"")
		}
		fmt.Fprintf(b, ">%s", esc(c.Name))
		if c.Unit != "" {
			fmt.Fprintf(b, " <span class=\"unit\">%s</span>", esc(c.Unit))
		}
		b.WriteString("</th>")
	}
	b.WriteString("</tr></thead>\n<tbody>\n")
	for _, r := range t.Rows {
		b.WriteString("<tr>")
		for i, c := range r {
			var class []string
			if t.Columns[i].Kind != Text {
				class = append(class, "n")
			}
			if m := markClass[c.Mark]; m != "" {
				class = append(class, m)
			}
			tag := "td"
			if i == 0 {
				tag = "th"
				b.WriteString("<th scope=\"row\"")
			} else {
				b.WriteString("<td")
			}
			if len(class) > 0 {
				fmt.Fprintf(b, " class=\"%s\"", strings.Join(class, " "))
			}
			if !math.IsNaN(c.Value) {
				fmt.Fprintf(b, " data-v=\"%s\"", strconv.FormatFloat(c.Value, 'g', 12, 64))
				if t.Columns[i].Kind == Bytes {
					fmt.Fprintf(b, " title=\"%s bytes\"", group(fmt.Sprintf("%.0f", c.Value)))
				}
			}
			if len(c.Runs) > 0 {
				runs := make([]string, len(c.Runs))
				for k, id := range c.Runs {
					runs[k] = ref(id)
				}
				fmt.Fprintf(b, " data-runs=\"%s\"", esc(strings.Join(runs, " ")))
			}
			fmt.Fprintf(b, ">%s%s</%s>", esc(c.Text), refs(c, num, "<sup>%s</sup>"), tag)
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString("</tbody></table>\n")
}

// htmlNotes writes what stands under the table; a page keeps it out of the table's sideways scrolling.
func (t *Table) htmlNotes(b *bytes.Buffer) {
	esc := func(s string) string { return html.EscapeString(clean(s)) }
	list, _ := t.notes()
	if len(list)+len(t.Footnotes) > 0 || t.Summary != "" {
		b.WriteString("<div class=\"footnotes\">")
		if t.Summary != "" {
			fmt.Fprintf(b, "<p class=\"gist\">%s</p>", esc(t.Summary))
		}
		for i, n := range list {
			fmt.Fprintf(b, "<p><sup>%d</sup> %s</p>", i+1, esc(n))
		}
		for _, n := range t.Footnotes {
			fmt.Fprintf(b, "<p>%s</p>", esc(n))
		}
		b.WriteString("</div>\n")
	}
}

// pageSection is what the template is given of a section.
type pageSection struct {
	Name, Title, Summary string
	Tables               []pageTable
	Plots                []pagePlot
}

type pageTable struct {
	Name, Title string
	Body, Notes template.HTML
}

type pagePlot struct {
	Name, Title, Alt string
	SVG              template.HTML
}

// HTML writes the page: one file that asks nothing of any other place.
func (r *Report) HTML(w io.Writer) error {
	index := map[string]string{}
	for i, run := range r.Runs {
		index[run.ID] = strconv.Itoa(i)
	}
	var sections []pageSection
	for _, s := range r.Sections {
		title := clean(s.Spec.Title)
		if title == "" {
			title = clean(s.Spec.Name)
		}
		ps := pageSection{Name: s.Name, Title: title, Summary: s.Summary}
		for _, t := range s.Tables {
			var b, notes bytes.Buffer
			t.html(&b, func(id string) string { return index[id] })
			t.htmlNotes(&notes)
			ps.Tables = append(ps.Tables, pageTable{t.Name, t.Title, template.HTML(b.String()), template.HTML(notes.String())})
		}
		for _, p := range s.Plots {
			svg, err := inline(p)
			if err != nil {
				return err
			}
			ps.Plots = append(ps.Plots, pagePlot{p.Name, p.Title, p.Alt, svg})
		}
		sections = append(sections, ps)
	}
	data, err := json.Marshal(r.pageData())
	if err != nil {
		return fmt.Errorf("report page: %w", err)
	}
	css, err := pageFiles.ReadFile("page/page.css")
	if err != nil {
		return err
	}
	js, err := pageFiles.ReadFile("page/page.js")
	if err != nil {
		return err
	}
	return pageTemplate.Execute(w, map[string]any{
		"Sections": sections, "Runs": len(r.Runs), "Environments": r.environments(), "Newest": r.newest(),
		"CSS": template.CSS(css), "JS": template.JS(js), "Data": template.JS(data),
	})
}

// inline makes a picture part of the page. Its black follows the page's text colour (page.css) and the rest of its colours
// hold in light and dark.
func inline(p *Plot) (template.HTML, error) {
	var b bytes.Buffer
	if err := p.SVG(&b); err != nil {
		return "", err
	}
	s := b.String()
	i := strings.Index(s, "<svg")
	if i < 0 {
		return "", fmt.Errorf("plot %s: no svg element", p.Name)
	}
	s = strings.NewReplacer("#000000", "currentColor", "#FEFDFC", "var(--paper)", "<svg ", "<svg aria-hidden=\"true\" ").Replace(s[i:])
	return template.HTML(s), nil
}

func (r *Report) newest() string {
	var t time.Time
	for _, run := range r.Runs {
		if run.Finished.After(t) {
			t = run.Finished
		}
	}
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2 January 2006, 15:04 UTC")
}

type environment struct {
	results.Environment
	Count int
}

// environments lists the places in which the runs were made.
func (r *Report) environments() []environment {
	var out []environment
	for _, run := range r.Runs {
		i := slices.IndexFunc(out, func(e environment) bool { return e.Environment == run.Environment })
		if i < 0 {
			i = len(out)
			out = append(out, environment{Environment: run.Environment})
		}
		out[i].Count++
	}
	for i := range out {
		out[i].Environment = tidyEnv(out[i].Environment)
	}
	return out
}

// tidyEnv and tidyInputs clean what a record says of its surroundings.
func tidyEnv(e results.Environment) results.Environment {
	for _, s := range []*string{&e.Code, &e.Host, &e.OS, &e.CPU, &e.Device, &e.Driver, &e.Libtorch, &e.Go} {
		*s = clean(*s)
	}
	return e
}

func tidyInputs(in []results.Input) []results.Input {
	out := make([]results.Input, len(in))
	for i, f := range in {
		out[i] = results.Input{Role: clean(f.Role), Name: clean(f.Name), Size: f.Size, SHA256: clean(f.SHA256)}
	}
	return out
}

func tidyTraining(t results.Training) results.Training {
	for _, s := range []*string{&t.Weights, &t.Padding, &t.Optimizer, &t.Precision} {
		*s = clean(*s)
	}
	return t
}

// pageRun is a run as the page's script shows it; what many runs share stands once in a pool.
type pageRun struct {
	ID         string             `json:"id"`
	State      results.State      `json:"state"`
	Error      string             `json:"error,omitempty"`
	Spec       int                `json:"spec"`
	Model      string             `json:"model"`
	Dataset    string             `json:"dataset"`
	Variant    string             `json:"variant"`
	Seed       int64              `json:"seed"`
	Finished   string             `json:"finished"`
	Training   int                `json:"training"`
	Env        int                `json:"env"`
	Inputs     int                `json:"inputs"`
	Vocabulary [3]int64           `json:"vocabulary"` // rows, used, kept
	Parameters results.Parameters `json:"parameters"`
	Memory     []int64            `json:"memory,omitempty"` // peak, reserved, forecast
	Metrics    results.Metrics    `json:"metrics,omitempty"`
	Seconds    float64            `json:"seconds"`
	Step       float64            `json:"step"`
	Losses     results.Floats     `json:"losses,omitempty"` // first and last
	Steps      int                `json:"steps"`
	Weights    string             `json:"weights,omitempty"`
	Notes      []string           `json:"notes,omitempty"`
}

type pageData struct {
	Runs      []pageRun             `json:"runs"`
	Specs     []results.Spec        `json:"specs"`
	Trainings []results.Training    `json:"trainings"`
	Envs      []results.Environment `json:"envs"`
	Inputs    [][]results.Input     `json:"inputs"`
}

func (r *Report) pageData() pageData {
	d := pageData{Runs: []pageRun{}}
	pool := map[string]int{}
	once := func(kind string, v any, add func() int) int {
		key := kind + fmt.Sprint(v)
		i, ok := pool[key]
		if !ok {
			i = add()
			pool[key] = i
		}
		return i
	}
	for _, x := range r.Runs {
		p := pageRun{ID: x.ID, State: x.State, Error: brief(x.Error, 2000), Model: clean(x.Model), Dataset: clean(x.Dataset), Variant: clean(x.Variant), Seed: x.Seed,
			Parameters: x.Parameters, Vocabulary: [3]int64{x.Vocabulary.Rows, x.Vocabulary.Used, x.Vocabulary.Kept}, Metrics: x.Metrics,
			Seconds: round(x.Time.Total), Step: round(x.Time.StepMedian), Steps: len(x.Losses), Weights: clean(x.FinalWeights)}
		for _, n := range x.Notes {
			p.Notes = append(p.Notes, brief(n, 2000))
		}
		if !x.Finished.IsZero() {
			p.Finished = x.Finished.UTC().Format(time.RFC3339)
		}
		p.Spec = once("s", []any{x.Spec.Name, x.Spec.SHA256}, func() int {
			s := results.Spec{Name: clean(x.Spec.Name), Title: clean(x.Spec.Title), Measure: clean(x.Spec.Measure), SHA256: clean(x.Spec.SHA256)}
			d.Specs = append(d.Specs, s)
			return len(d.Specs) - 1
		})
		p.Training = once("t", x.Training, func() int { d.Trainings = append(d.Trainings, tidyTraining(x.Training)); return len(d.Trainings) - 1 })
		p.Env = once("e", x.Environment, func() int { d.Envs = append(d.Envs, tidyEnv(x.Environment)); return len(d.Envs) - 1 })
		p.Inputs = once("i", x.Inputs, func() int { d.Inputs = append(d.Inputs, tidyInputs(x.Inputs)); return len(d.Inputs) - 1 })
		if m := x.Memory; m != nil {
			p.Memory = []int64{m.PeakAllocated, m.PeakReserved, 0}
			if m.Forecast != nil {
				p.Memory[2] = m.Forecast.PeakAllocated
			}
		}
		if n := len(x.Losses); n > 0 {
			p.Losses = results.Floats{x.Losses[0], x.Losses[n-1]}
		}
		d.Runs = append(d.Runs, p)
	}
	return d
}

func round(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return math.Round(v*1e4) / 1e4
}
