package report

import (
	"cmp"
	"slices"
	"strings"
)

// glueOrder is the order in which papers list GLUE's tasks.
var glueOrder = []string{"cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "mnli_matched", "mnli_mismatched", "qnli", "rte", "wnli", "ax"}

// compareDatasets orders GLUE's tasks as papers do, others by name.
func compareDatasets(a, b string) int {
	rank := func(d string) int {
		task, ok := strings.CutPrefix(d, "glue/")
		if i := slices.Index(glueOrder, task); ok && i >= 0 {
			return i
		}
		return len(glueOrder)
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
}

// measures is the order in which a report goes through what can be measured.
var measures = []string{"models", "vocabulary", "parameters", "memory", "accuracy", "cost"}

// compareSections orders sections by what they measure, then by name.
func compareSections(a, b *section) int {
	rank := func(s *section) int {
		if i := slices.Index(measures, s.spec.Measure); i >= 0 {
			return i
		}
		return len(measures)
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.spec.Name, b.spec.Name))
}

// arrange orders a section's pairs: models by the rows of their vocabulary, then by size, so that the effect of both can be
// read down a column.
func (s *section) arrange() {
	type size struct{ rows, total int64 }
	sizes := map[string]size{}
	for _, r := range s.runs {
		x := sizes[r.Model]
		sizes[r.Model] = size{max(x.rows, r.Vocabulary.Rows), max(x.total, r.Parameters.FullTotal)}
	}
	slices.SortStableFunc(s.pairs, func(a, b *pair) int {
		x, y := sizes[a.model], sizes[b.model]
		return cmp.Or(cmp.Compare(x.rows, y.rows), cmp.Compare(x.total, y.total), cmp.Compare(a.model, b.model),
			compareDatasets(a.dataset, b.dataset), cmp.Compare(a.recipe, b.recipe))
	})
}
