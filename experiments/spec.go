// Package experiments says what is run: a Spec (strict YAML) multiplies into a Plan of Runs, and the Runner executes those
// that have no record yet.
package experiments

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Spec is one declarative experiment; its lists multiply into runs.
type Spec struct {
	Name     string   `yaml:"name"`
	Title    string   `yaml:"title"`
	Measure  string   `yaml:"measure"`
	Models   []string `yaml:"models"`
	Datasets []string `yaml:"datasets"`
	Variants []string `yaml:"variants"`
	Seeds    []int64  `yaml:"seeds"`
	Weights  string   `yaml:"weights"` // pretrained or random
	Save     string   `yaml:"save"`    // none, full (the whole vocabulary restored) or reduced (what PEMA trained, with pema.json)
	Training Training `yaml:"training"`
	// TrainSplit and EvaluateSplits are train and validation (MNLI: both of its validations) where they are not given. The
	// vocabulary is counted over all of them.
	TrainSplit     string   `yaml:"train"`
	EvaluateSplits []string `yaml:"evaluate"`
	// EvaluateOn are further datasets of the registry whose evaluate splits are measured (and counted) too: zero-shot transfer.
	EvaluateOn []string `yaml:"evaluate_on"`
	// Splits are what a measure that trains nothing counts; all where they are not given. "validation" of MNLI is both of its.
	Splits []string `yaml:"splits"`
	// Partial takes what the hub has: splits that it has not all files of are not counted, which the record says, and a run whose
	// model or data it does not have is left out rather than failed.
	Partial bool    `yaml:"partial"`
	Growth  *Growth `yaml:"growth"`

	Overrides []Override `yaml:"overrides"`
	Local     Local      `yaml:"local"`
	Table     Table      `yaml:"table"`

	Source string `yaml:"-"` // path of the file, or of the embedded one
	SHA256 string `yaml:"-"` // of the file's bytes
}

// Growth asks for the growth curve of the vocabulary.
type Growth struct {
	Shuffles int `yaml:"shuffles"` // orders of the examples
	Points   int `yaml:"points"`
}

// Override changes training values, or the seeds, of the runs whose model and dataset match its patterns (path.Match).
type Override struct {
	Model    string   `yaml:"model"`
	Dataset  string   `yaml:"dataset"`
	Seeds    []int64  `yaml:"seeds"`
	Training Training `yaml:"training"`
}

// Local names folders and files that do not come from the hub. A path is relative to the spec's folder; "cache:" begins one
// in pema's per-user cache.
type Local struct {
	Models   map[string]string       `yaml:"models"`
	Datasets map[string]LocalDataset `yaml:"datasets"`
}

// LocalDataset is one CSV, TSV, JSONL or Parquet file; its splits are made by a fixed hash of the text.
type LocalDataset struct {
	File       string   `yaml:"file"`
	Text       string   `yaml:"text"` // a column's name, or its number from 1 in a file without a header
	Pair       string   `yaml:"text_pair"`
	Label      string   `yaml:"label"`
	LabelAbove *float64 `yaml:"label_above"` // label = value > this
	Validation float64  `yaml:"validation"`  // share of the examples
}

// Table is the layout that the report gives the spec's records.
type Table struct {
	Rows    string   `yaml:"rows"`
	Columns string   `yaml:"columns"`
	Cells   []string `yaml:"cells"`
}

// SpecError is a mistake in a spec: exit code 2.
type SpecError struct{ msg string }

func (e *SpecError) Error() string { return e.msg }

// Parse reads a spec from its text; source is what errors call it.
func Parse(source string, text []byte) (s *Spec, err error) {
	defer func() { // the YAML library panics on some hostile input
		if r := recover(); r != nil {
			s, err = nil, &SpecError{fmt.Sprintf("spec %s: not YAML that can be read: %v", source, r)}
		}
	}()
	s = &Spec{}
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(s); err != nil {
		return nil, &SpecError{source + ":" + position(err)}
	}
	sum := sha256.Sum256(text)
	s.Source, s.SHA256 = source, hex.EncodeToString(sum[:])
	if err := s.check(); err != nil {
		return nil, &SpecError{fmt.Sprintf("spec %s: %v", source, err)}
	}
	return s, nil
}

// position turns the library's "[3:1] message\n excerpt" into "3:1: message\n excerpt".
func position(err error) string {
	m := yaml.FormatError(err, false, true)
	if at, rest, ok := strings.Cut(strings.TrimPrefix(m, "["), "] "); ok && strings.HasPrefix(m, "[") {
		return at + ": " + rest
	}
	return " " + m
}

// Measures that train, and those that only count.
var (
	trained = []string{"memory", "accuracy", "cost"}
	counts  = []string{"models", "vocabulary", "parameters"}
)

// trains says whether runs of the spec train a model.
func (s *Spec) trains() bool { return slices.Contains(trained, s.Measure) }

func (s *Spec) check() error {
	if s.Name == "" || strings.ContainsAny(s.Name, "/\\ \x00") || strings.HasPrefix(s.Name, ".") {
		return fmt.Errorf("name %q: a name without spaces and slashes is needed", s.Name)
	}
	if !slices.Contains(slices.Concat(trained, counts), s.Measure) {
		return fmt.Errorf("measure %q is not known: use one of %s", s.Measure, strings.Join(slices.Concat(trained, counts), ", "))
	}
	s.Models = expand(s.Models, library().Models, s.Local.Models)
	s.Datasets = expand(s.Datasets, library().Datasets, s.Local.Datasets)
	s.EvaluateOn = expand(s.EvaluateOn, library().Datasets, map[string]bool{})
	if len(s.Models) == 0 {
		return errors.New("models: at least one is needed")
	}
	if len(s.Datasets) == 0 != (s.Measure == "models") {
		return errors.New("datasets: at least one is needed (measure models: none)")
	}
	if s.Seeds == nil {
		s.Seeds = []int64{1}
	}
	if len(s.Seeds) == 0 {
		return errors.New("seeds: at least one is needed")
	}
	if s.trains() {
		if s.Splits != nil || s.Growth != nil || s.Partial && s.Measure != "memory" {
			return errors.New("splits, growth and partial are of the measures that count (partial also of memory); use train and evaluate")
		}
		if len(s.Variants) == 0 {
			return errors.New("variants: at least one is needed")
		}
	} else {
		if s.Variants != nil || len(s.Seeds) != 1 || s.TrainSplit != "" || s.EvaluateSplits != nil || s.EvaluateOn != nil || s.Weights != "" || s.Save != "" || s.Overrides != nil {
			return errors.New("variants, seeds, train, evaluate, evaluate_on, weights, save and overrides are of the measures that train; use splits")
		}
		s.Variants = []string{"baseline"}
		if s.Measure == "parameters" {
			s.Variants = []string{"pema"}
		}
		if g := s.Growth; g != nil && (g.Shuffles < 1 || g.Shuffles > 100 || g.Points < 2 || g.Points > 1000) {
			return fmt.Errorf("growth: %d shuffles (1 to 100) and %d points (2 to 1000)", g.Shuffles, g.Points)
		}
		return nil
	}
	if s.Weights == "" {
		s.Weights = "pretrained"
	}
	if s.Weights != "pretrained" && s.Weights != "random" {
		return fmt.Errorf("weights %q is not known: use pretrained or random", s.Weights)
	}
	if s.Save == "" {
		s.Save = "none"
	}
	if !slices.Contains([]string{"none", "full", "reduced"}, s.Save) {
		return fmt.Errorf("save %q is not known: use none, full or reduced", s.Save)
	}
	for _, v := range s.Variants {
		if method, _ := method(v); !slices.Contains(methods, method) {
			return fmt.Errorf("variant %q is not known: use baseline or pema, or one of %s, each also with +pema", v, strings.Join(methods[1:], ", "))
		}
	}
	for i, o := range s.Overrides {
		if _, err := path.Match(o.Model+o.Dataset, ""); err != nil {
			return fmt.Errorf("overrides[%d]: %w", i, err)
		}
	}
	return nil
}

// methods are ways to train that are set beside plain fine-tuning (""): a frozen embedding matrix, LoRA on the attention, gradient
// checkpointing, and the forms of the optimizer.
var methods = []string{"", "frozen", "lora", "checkpointing", "adamw-loop", "adamw-foreach", "adamw-fused"}

// method parts a variant into its method and whether PEMA is on: baseline and pema, lora and lora+pema.
func method(variant string) (method string, reduced bool) {
	switch variant {
	case "baseline":
		return "", false
	case "pema":
		return "", true
	case "":
		return "?", false
	}
	return strings.CutSuffix(variant, "+pema")
}

// resolve turns a spec's path into a real one.
func (s *Spec) resolve(p, cache string) string {
	if rest, ok := strings.CutPrefix(p, "cache:"); ok {
		return filepath.Join(cache, rest)
	}
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(filepath.Dir(s.Source), p)
}
