// Package experiments says what is run: a Spec (strict YAML) multiplies into a Plan of Runs, and the Runner executes those
// that have no record yet.
package experiments

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

//go:embed sample/*.yaml
var embedded embed.FS

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

	Overrides []Override `yaml:"overrides"`
	Local     Local      `yaml:"local"`
	Table     Table      `yaml:"table"`

	Source string `yaml:"-"` // path of the file, or of the embedded one
	SHA256 string `yaml:"-"` // of the file's bytes
}

// Training is the recipe; a field that is absent keeps its default (see defaults).
type Training struct {
	BatchSize    *int     `yaml:"batch_size"`
	EvalBatch    *int     `yaml:"eval_batch_size"`
	MaxLength    *int     `yaml:"max_length"`
	Padding      *string  `yaml:"padding"`
	Optimizer    *string  `yaml:"optimizer"`
	LearningRate *float64 `yaml:"learning_rate"`
	Epochs       *int     `yaml:"epochs"`
	MaxSteps     *int     `yaml:"max_steps"`
	WarmupSteps  *int     `yaml:"warmup_steps"`
	WeightDecay  *float64 `yaml:"weight_decay"`
	ClipNorm     *float64 `yaml:"clip_norm"`
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

// Load reads a spec from a file, or an embedded one by its name (sample).
func Load(name string) (*Spec, error) {
	inside := path.Join("sample", name+".yaml")
	b, err := embedded.ReadFile(inside)
	if err == nil {
		name = inside
	} else {
		b, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, &SpecError{fmt.Sprintf("spec %s: %v", name, err)}
	}
	return Parse(name, b)
}

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

func (s *Spec) check() error {
	if s.Name == "" || strings.ContainsAny(s.Name, "/\\ \x00") || strings.HasPrefix(s.Name, ".") {
		return fmt.Errorf("name %q: a name without spaces and slashes is needed", s.Name)
	}
	for what, n := range map[string]int{"models": len(s.Models), "datasets": len(s.Datasets), "variants": len(s.Variants), "seeds": len(s.Seeds)} {
		if n == 0 {
			return fmt.Errorf("%s: at least one is needed", what)
		}
	}
	if !slices.Contains([]string{"accuracy", "memory"}, s.Measure) {
		return fmt.Errorf("measure %q is not known: use accuracy or memory", s.Measure)
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
		if v != "baseline" && v != "pema" {
			return fmt.Errorf("variant %q is not known: use baseline or pema", v)
		}
	}
	for i, o := range s.Overrides {
		if _, err := path.Match(o.Model+o.Dataset, ""); err != nil {
			return fmt.Errorf("overrides[%d]: %w", i, err)
		}
	}
	return nil
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
