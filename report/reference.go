package report

import (
	"embed"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"pema/results"
)

//go:embed reference/*.yaml
var referenceFiles embed.FS

// Reference is one file of values from elsewhere, all of one source.
type Reference struct {
	Source    string      `yaml:"source"`
	Certainty string      `yaml:"certainty"` // how sure the values are, in words
	Quantity  string      `yaml:"quantity"`  // a figure's name
	Unit      string      `yaml:"unit"`      // of values and tolerances: %, parameters
	Tolerance float64     `yaml:"tolerance"` // largest difference that counts as reproduced
	Why       string      `yaml:"tolerance_why"`
	When      Conditions  `yaml:"when"`
	Values    []RefValues `yaml:"values"`
}

// Conditions say which runs the values may be held against; what is not set does not matter.
type Conditions struct {
	Splits    []string `yaml:"splits"`     // the counted splits must begin with these names
	Truncated *bool    `yaml:"truncated"`  // max_length set or not
	Weights   string   `yaml:"weights"`    // pretrained or random
	NumLabels int      `yaml:"num_labels"` // of the head
	Whole     bool     `yaml:"whole"`      // partial data do not count
}

// RefValues are one model's values by dataset; the dataset "*" is for values that no dataset changes.
type RefValues struct {
	Model     string             `yaml:"model"`      // last part of the hub id
	NumLabels int                `yaml:"num_labels"` // over When.NumLabels
	Fold      string             `yaml:"fold"`       // min or max over Over, instead of single datasets
	Over      []string           `yaml:"over"`
	Value     float64            `yaml:"value"`
	Datasets  map[string]float64 `yaml:"datasets"`
	Tolerance map[string]float64 `yaml:"tolerances"` // by dataset, over the file's
}

// references reads the embedded files; the error is a fault of the build.
func references() ([]Reference, error) {
	names, err := fs.Glob(referenceFiles, "reference/*.yaml")
	if err != nil {
		return nil, err
	}
	var out []Reference
	for _, n := range names {
		data, err := referenceFiles.ReadFile(n)
		if err != nil {
			return nil, err
		}
		var r Reference
		if err := yaml.UnmarshalWithOptions(data, &r, yaml.Strict()); err != nil {
			return nil, fmt.Errorf("reference values %s: %w", path.Base(n), err)
		}
		out = append(out, r)
	}
	return out, nil
}

// Verdict is what became of one reference value.
type Verdict string

const (
	Reproduced Verdict = "reproduced"
	Differs    Verdict = "differs"
	NotRun     Verdict = "not run" // no run under the reference's conditions
)

// Check holds one of our values against one from elsewhere, both in Unit.
type Check struct {
	What            string
	Model, Dataset  string
	Unit            string
	Reference, Ours float64 // Ours is NaN when not run
	Tolerance       float64
	Verdict         Verdict
	Source, Why     string
	Certainty       string
	Runs            []string
}

// checks holds the section's pairs against every reference value of their models.
func (s *section) checks(refs []Reference) []Check {
	var out []Check
	for _, ref := range refs {
		fig := slices.IndexFunc(figures, func(f figure) bool { return f.name == ref.Quantity })
		if fig < 0 || !s.shows(ref.Quantity) {
			continue
		}
		for _, v := range ref.Values {
			for _, p := range s.models(v.Model) {
				if v.Fold != "" {
					out = append(out, s.folded(ref, v, figures[fig], p.model))
					continue
				}
				for _, d := range sortedKeys(v.Datasets) {
					q := s.find(p.model, d)
					if q == nil {
						continue
					}
					c := ref.check(v, figures[fig], q, d)
					out = append(out, c)
					if d == "*" {
						break
					}
				}
			}
		}
	}
	return out
}

// shows says whether a section is about a quantity, so that a page does not repeat every reference in every section.
func (s *section) shows(quantity string) bool {
	about := map[string][]string{"score_baseline": {"accuracy"}, "score_pema": {"accuracy"}, "parameters": {"models", "parameters"}}[quantity]
	if about == nil {
		about = []string{"vocabulary", "parameters"}
	}
	return slices.Contains(about, s.spec.Measure)
}

// models finds one pair of each of the section's models whose name ends so.
func (s *section) models(last string) []*pair {
	var out []*pair
	for _, p := range s.pairs {
		if p.recipe == "" && p.model[1+lastSlash(p.model):] == last && (len(out) == 0 || out[len(out)-1].model != p.model) {
			out = append(out, p)
		}
	}
	return out
}

func (s *section) find(model, dataset string) *pair {
	for _, p := range s.pairs {
		if p.model == model && p.recipe == "" && (dataset == "*" || p.dataset == dataset) && len(p.base)+len(p.pema) > 0 {
			return p
		}
	}
	return nil
}

func (r Reference) check(v RefValues, f figure, p *pair, dataset string) Check {
	c := Check{What: f.column.Name, Model: p.model, Dataset: p.dataset, Unit: r.Unit, Reference: v.Datasets[dataset], Ours: math.NaN(),
		Tolerance: r.Tolerance, Verdict: NotRun, Source: r.Source, Why: r.Why, Certainty: r.Certainty}
	if dataset == "*" {
		c.Dataset = "any"
	}
	if t, ok := v.Tolerance[dataset]; ok {
		c.Tolerance = t
	}
	if labels := v.NumLabels; labels != 0 {
		r.When.NumLabels = labels
	}
	q := r.When.only(p)
	if cell := f.cell(q); !math.IsNaN(cell.Value) && cell.Mark != Missing && len(cell.Runs) > 0 {
		c.Ours, c.Runs = cell.Value, cell.Runs
		if f.column.Kind == Percent {
			c.Ours *= 100
		}
		c.judge()
	}
	return c
}

// folded compares an extreme over a set of datasets; with one of them missing there is nothing to compare.
func (s *section) folded(r Reference, v RefValues, f figure, model string) Check {
	c := Check{What: f.column.Name + ", " + map[string]string{"min": "smallest", "max": "largest"}[v.Fold] + " over the datasets",
		Model: model, Dataset: strings.ReplaceAll(strings.Join(v.Over, " "), "glue/", ""), Unit: r.Unit, Reference: v.Value, Ours: math.NaN(), Tolerance: r.Tolerance, Verdict: NotRun,
		Source: r.Source, Why: r.Why, Certainty: r.Certainty}
	best := math.NaN()
	for _, d := range v.Over {
		p := s.find(model, d)
		if p == nil {
			return c
		}
		cell := f.cell(r.When.only(p))
		if math.IsNaN(cell.Value) || cell.Mark == Missing {
			return c
		}
		x := cell.Value
		if f.column.Kind == Percent {
			x *= 100
		}
		if math.IsNaN(best) || v.Fold == "min" && x < best || v.Fold == "max" && x > best {
			best = x
		}
		c.Runs = append(c.Runs, cell.Runs...)
	}
	c.Ours = best
	c.judge()
	return c
}

func (c *Check) judge() {
	c.Verdict = Differs
	// A breath for the rounding of the arithmetic itself, far below any tolerance that is written.
	if math.Abs(c.Ours-c.Reference) <= c.Tolerance+1e-9 {
		c.Verdict = Reproduced
	}
}

// only keeps the runs that meet the conditions.
func (w Conditions) only(p *pair) *pair {
	keep := func(side map[int64]*results.Record) map[int64]*results.Record {
		out := map[int64]*results.Record{}
		for s, r := range side {
			if w.met(r) {
				out[s] = r
			}
		}
		return out
	}
	return &pair{model: p.model, dataset: p.dataset, recipe: p.recipe, base: keep(p.base), pema: keep(p.pema)}
}

func (w Conditions) met(r *results.Record) bool {
	for _, want := range w.Splits {
		if !slices.ContainsFunc(r.Vocabulary.Splits, func(s string) bool { return strings.HasPrefix(s, want) }) {
			return false
		}
	}
	for _, got := range r.Vocabulary.Splits {
		if len(w.Splits) > 0 && !slices.ContainsFunc(w.Splits, func(s string) bool { return strings.HasPrefix(got, s) }) {
			return false
		}
	}
	if w.Truncated != nil && *w.Truncated != (r.Training.MaxLength > 0) {
		return false
	}
	if w.Whole && slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(strings.ToLower(n), "partial") }) {
		return false
	}
	return (w.Weights == "" || w.Weights == r.Training.Weights) && (w.NumLabels == 0 || w.NumLabels == r.Data.NumLabels)
}

func sortedKeys(m map[string]float64) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.SortFunc(out, compareDatasets)
	return out
}

// checkTable shows the checks; nil when there are none.
func (s *section) checkTable(name string, checks []Check) *Table {
	if len(checks) == 0 {
		return nil
	}
	known := map[[2]string]bool{}
	for _, c := range checks {
		known[[2]string{c.Model, c.Dataset}] = true
	}
	unknown := 0
	for _, p := range s.pairs {
		if len(p.base)+len(p.pema) > 0 && !known[[2]string{p.model, p.dataset}] && !known[[2]string{p.model, "any"}] {
			unknown++
		}
	}
	t := &Table{Name: name + "-reference", Title: "Held against reference values", Columns: []Column{{Name: "model"}, {Name: "dataset"}, {Name: "quantity"},
		{Name: "reference", Kind: Number}, {Name: "ours", Kind: Number}, {Name: "difference", Kind: Number}, {Name: "tolerance", Kind: Number}, {Name: "unit"}, {Name: "verdict"}}}
	short := shortNames(s.pairs)
	t.Summary = verdicts(checks)
	t.Summary = strings.ToUpper(t.Summary[:1]) + t.Summary[1:]
	if unknown > 0 {
		t.Summary += fmt.Sprintf(" For %s of model and dataset no reference is known.", plural(unknown, "other pair"))
	}
	for _, c := range checks {
		num := func(v float64) Cell {
			if math.IsNaN(v) {
				x := words("–")
				x.Mark = Missing
				return x
			}
			x := number(Number, v)
			x.Text = group(fixed(v, 2))
			if c.Unit == "parameters" {
				x.Text = group(fmt.Sprintf("%.0f", v))
			}
			return x
		}
		verdict := words(string(c.Verdict))
		verdict.Runs = c.Runs
		verdict.Notes = []string{"source: " + c.Source + ". Certainty: " + c.Certainty + ". Tolerance: " + c.Why}
		verdict.Mark = map[Verdict]Mark{Reproduced: Good, Differs: Bad, NotRun: Missing}[c.Verdict]
		ours, off := num(c.Ours), num(c.Ours-c.Reference)
		if c.Tolerance > 0 && c.Tolerance < 0.1 && !math.IsNaN(off.Value) {
			off.Text = fixed(off.Value, 3)
		}
		ours.Runs = c.Runs
		tolerance := num(c.Tolerance)
		tolerance.Text = fmt.Sprintf("%g", c.Tolerance)
		t.Rows = append(t.Rows, []Cell{words(short[c.Model]), words(c.Dataset), words(c.What), num(c.Reference), ours, off, tolerance, words(c.Unit), verdict})
	}
	return t
}

// summary is the section in one line: runs by state, then verdicts.
func (s *section) summary(checks []Check) string {
	state := map[results.State]int{}
	for _, r := range s.runs {
		state[r.State]++
	}
	out := fmt.Sprintf("%s: %d runs done", s.title(), state[results.Done])
	if n := state[results.OutOfMemory]; n > 0 {
		out += fmt.Sprintf(", %d do not fit", n)
	}
	if n := state[results.Failed]; n > 0 {
		out += fmt.Sprintf(", %d failed", n)
	}
	if n := state[results.Absent]; n > 0 {
		out += fmt.Sprintf(", %d not run (not at the hub)", n)
	}
	if same := s.sameSummary(); strings.HasPrefix(same, "Losses") {
		out += "; l" + strings.TrimSuffix(same[1:], ".")
	}
	if len(checks) == 0 {
		return out + "; no reference value is known for these cells."
	}
	return out + "; " + verdicts(checks)
}

// verdicts counts them in one line.
func verdicts(checks []Check) string {
	n := map[Verdict]int{}
	for _, c := range checks {
		n[c.Verdict]++
	}
	return fmt.Sprintf("of %d reference values %d reproduced, %d differ, %d not run.", len(checks), n[Reproduced], n[Differs], n[NotRun])
}
