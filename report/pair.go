package report

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"pema/results"
)

// pair is what a table's row speaks of: one model on one dataset with one recipe, without PEMA and with it, over all seeds.
type pair struct {
	model, dataset string
	recipe         string // "" for plain fine-tuning; "lora", "frozen", ...
	base, pema     map[int64]*results.Record
	stale          int // older records of the same cells, not shown
}

// section holds the pairs of one spec, sorted.
type section struct {
	spec   results.Spec // as the newest run has it
	newest time.Time
	pairs  []*pair
	runs   []*results.Record
}

// gather groups the records by spec, and in it by model, dataset and recipe. Of two records of one cell the later counts:
// a spec that was changed leaves its old runs behind.
func gather(records []*results.Record) []*section {
	records = append([]*results.Record(nil), records...)
	sort.SliceStable(records, func(i, j int) bool { return results.Less(records[i], records[j]) })
	var out []*section
	bySpec := map[string]*section{}
	byCell := map[[4]string]*pair{}
	for _, r := range records {
		s := bySpec[r.Spec.Name]
		if s == nil {
			s = &section{}
			bySpec[r.Spec.Name] = s
			out = append(out, s)
		}
		if len(s.runs) == 0 || r.Finished.After(s.newest) {
			s.spec, s.newest = r.Spec, r.Finished
		}
		s.runs = append(s.runs, r)
		recipe, withPEMA := recipeOf(r.Variant)
		key := [4]string{r.Spec.Name, r.Model, r.Dataset, recipe}
		p := byCell[key]
		if p == nil {
			p = &pair{model: r.Model, dataset: r.Dataset, recipe: recipe, base: map[int64]*results.Record{}, pema: map[int64]*results.Record{}}
			byCell[key] = p
			s.pairs = append(s.pairs, p)
		}
		side := p.base
		if withPEMA {
			side = p.pema
		}
		if side[r.Seed] != nil {
			p.stale++
		}
		side[r.Seed] = r
	}
	for _, s := range out {
		s.complete(byCell)
	}
	slices.SortStableFunc(out, compareSections)
	return out
}

// complete adds the cells that the spec's other rows and columns imply, so that a table has no silent gap.
func (s *section) complete(byCell map[[4]string]*pair) {
	models, datasets, recipes := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, p := range s.pairs {
		models[p.model], datasets[p.dataset], recipes[p.recipe] = true, true, true
	}
	for m := range models {
		for d := range datasets {
			for v := range recipes {
				key := [4]string{s.spec.Name, m, d, v}
				if byCell[key] == nil {
					byCell[key] = &pair{model: m, dataset: d, recipe: v}
					s.pairs = append(s.pairs, byCell[key])
				}
			}
		}
	}
	s.arrange()
}

// recipeOf splits a variant into its recipe and whether PEMA is on: baseline and pema; lora and lora-pema or lora+pema.
func recipeOf(variant string) (recipe string, withPEMA bool) {
	switch variant {
	case "", "baseline":
		return "", false
	case "pema":
		return "", true
	}
	for _, sep := range []string{"-", "+", "_"} {
		if r, ok := strings.CutSuffix(variant, sep+"pema"); ok {
			return r, true
		}
		if r, ok := strings.CutPrefix(variant, "pema"+sep); ok {
			return r, true
		}
	}
	return variant, false
}

// seeds lists a side's seeds in order.
func seeds(side map[int64]*results.Record) []int64 {
	out := make([]int64, 0, len(side))
	for s := range side {
		out = append(out, s)
	}
	sort.Slice(out, func(i, j int) bool { return out[i] < out[j] })
	return out
}

// done lists a side's finished runs by seed.
func done(side map[int64]*results.Record) []*results.Record {
	var out []*results.Record
	for _, s := range seeds(side) {
		if side[s].State == results.Done {
			out = append(out, side[s])
		}
	}
	return out
}

// both lists the seeds for which each side has a finished run.
func (p *pair) both() []int64 {
	var out []int64
	for _, s := range seeds(p.base) {
		if q := p.pema[s]; q != nil && q.State == results.Done && p.base[s].State == results.Done {
			out = append(out, s)
		}
	}
	return out
}

// counted is the side that tells the vocabulary: PEMA's, or the baseline's where a spec only counts.
func (p *pair) counted() map[int64]*results.Record {
	if len(done(p.pema)) > 0 {
		return p.pema
	}
	return p.base
}

func ids(rs ...[]*results.Record) []string {
	var out []string
	for _, list := range rs {
		for _, r := range list {
			out = append(out, r.ID)
		}
	}
	return out
}

// missing says honestly why a side has no value.
func missing(side map[int64]*results.Record) Cell {
	c := words("not run")
	for _, s := range seeds(side) {
		r := side[s]
		c.Runs = append(c.Runs, r.ID)
		switch r.State {
		case results.OutOfMemory:
			c.Text = "does not fit"
			c.Notes = append(c.Notes, fmt.Sprintf("does not fit at batch size %d on %s", r.Training.BatchSize, clean(r.Environment.Device)))
		case results.Failed:
			if c.Text == "not run" {
				c.Text = "failed"
			}
			c.Notes = append(c.Notes, "failed: "+brief(r.Error, 120))
		case results.Absent:
			c.Notes = append(c.Notes, "not run: "+brief(r.Error, 120))
		case results.Done:
			if c.Text == "not run" {
				c.Text = "not measured"
			}
		}
	}
	c.Mark = Missing
	return c
}

// remarks are the footnotes that a side's runs bring along: partial data, seeds that are missing.
func remarks(side map[int64]*results.Record) []string {
	var out []string
	for _, r := range done(side) {
		for _, n := range r.Notes {
			if strings.Contains(strings.ToLower(n), "partial") {
				out = append(out, brief(n, 160))
			}
		}
	}
	if n := len(done(side)); n < len(side) && n > 0 {
		out = append(out, fmt.Sprintf("%d of %d seeds: the others failed or do not fit", n, len(side)))
	}
	return out
}
