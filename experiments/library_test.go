package experiments

import (
	"slices"
	"strings"
	"testing"

	"pema/datasets"
)

// Every embedded spec is valid, its groups are resolved, and its datasets are in the registry; every profile names specs.
func TestEmbeddedSpecs(t *testing.T) {
	for _, name := range Names() {
		s, err := Load(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s.Name != name || s.Title == "" {
			t.Errorf("%s is named %q, %q", name, s.Name, s.Title)
		}
		for _, m := range s.Models {
			if s.Local.Models[m] == "" && strings.Count(m, "/") != 1 {
				t.Errorf("%s: model %q", name, m)
			}
		}
		for _, d := range s.Datasets {
			if _, ok := s.Local.Datasets[d]; !ok && !slices.Contains(datasets.Names(), d) {
				t.Errorf("%s: dataset %q", name, d)
			}
		}
	}
	for _, p := range Profiles() {
		if specs, err := LoadAll([]string{p}); err != nil || len(specs) == 0 {
			t.Errorf("profile %s: %v", p, err)
		}
	}
	if _, err := Load("paper-glue"); err == nil || !strings.Contains(err.Error(), "vocabulary-glue") {
		t.Errorf("an unknown name: %v", err)
	}
}

func TestMeasuresThatCount(t *testing.T) {
	const counting = "name: x\nmeasure: vocabulary\nmodels: [counting]\ndatasets: [glue]\n"
	s, err := Parse("s.yaml", []byte(counting+"training: {max_length: 0}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.Models, []string{"openai-community/gpt2"}) || len(s.Datasets) != 9 || !slices.Equal(s.Variants, []string{"baseline"}) {
		t.Errorf("%v %v %v", s.Models, s.Datasets, s.Variants)
	}
	for text, want := range map[string]string{
		counting + "variants: [pema]\n":                         "variants",
		counting + "growth: {shuffles: 0, points: 9}\n":         "growth",
		good + "splits: [train]\n":                              "splits",
		strings.Replace(counting, "vocabulary", "models", 1):    "datasets",
		strings.Replace(counting, "datasets: [glue]\n", "", 1):  "datasets",
		strings.Replace(counting, "models: [counting]", "", 1):  "models",
		strings.Replace(good, "[baseline, pema]", "[]", 1):      "variants",
		strings.Replace(good, "seeds", "weights: xy\nseeds", 1): "weights",
	} {
		if _, err := Parse("s.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if got := named([]string{"train", "validation"}, []string{"train", "validation_matched", "validation_mismatched"}); len(got) != 3 {
		t.Error(got)
	}
}
