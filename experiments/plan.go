package experiments

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"pema/datasets"
	"pema/datasets/hub"
	"pema/results"
)

// resultVersion changes whenever the code's numbers do: old records are then made again.
const resultVersion = 3

// Run is one cell of an experiment.
type Run struct {
	ID       string
	Spec     *Spec
	Model    string // as the spec names it
	ModelDir string // local folder; "": Model is fetched at Commit
	Commit   string
	Dataset  string        // "": none is needed
	Data     *LocalDataset // its File is a real path; nil: Dataset is of the registry
	Train    string        // split; "": nothing is trained
	Evaluate []string      // splits
	Splits   []string      // all that are counted
	Also     []string      // other datasets whose Evaluate splits are evaluated, and counted, too
	Without  []string      // splits that a partial count leaves out, since the hub has not all their files
	Variant  string
	Seed     int64
	Training results.Training
	Inputs   []results.Input // what went into the identity
	Blocked  error           // the hub does not give what is needed to plan it
}

// planner resolves models and datasets once for all runs.
type planner struct {
	spec   *Spec
	cache  string
	src    *Source
	hashed map[string]results.Input
}

// Plan multiplies a spec into its runs, each identified by the hash of all that can change its result: the model's and the
// data's bytes (of the hub: commit and pins), the recipe, the variant, the seed and the code's result version. A model of the hub
// is asked for its commit and config; nothing else is fetched. A run whose model or data the hub does not have is Blocked and stops
// no other. src may be nil where all is local.
func Plan(ctx context.Context, s *Spec, cache string, src *Source) ([]*Run, error) {
	p := &planner{spec: s, cache: cache, src: src, hashed: map[string]results.Input{}}
	models, err := p.models(ctx)
	if err != nil {
		return nil, err
	}
	names := s.Datasets
	if s.Measure == "models" {
		names = []string{""}
	}
	var data []*Run
	for _, name := range names {
		d := &Run{Dataset: name}
		if err := p.data(ctx, d); err != nil {
			return nil, err
		}
		data = append(data, d)
	}
	var runs []*Run
	for _, m := range models {
		for _, d := range data {
			r := *d
			r.Spec, r.Model, r.ModelDir, r.Commit = s, m.Model, m.ModelDir, m.Commit
			r.Inputs, r.Blocked = slices.Concat(m.Inputs, d.Inputs), cmp.Or(m.Blocked, d.Blocked)
			t, seeds := s.Training, s.Seeds
			for _, o := range s.Overrides {
				if matches(o.Model, r.Model) && matches(o.Dataset, r.Dataset) {
					t = t.over(o.Training)
					if o.Seeds != nil {
						seeds = o.Seeds
					}
				}
			}
			if s.trains() {
				r.Training, err = t.recipe(s.Weights)
			} else {
				r.Training, err = t.counting()
			}
			if err != nil {
				return nil, &SpecError{fmt.Sprintf("spec %s: %v", s.Source, err)}
			}
			for _, seed := range seeds {
				for _, variant := range s.Variants {
					run := r
					run.Seed, run.Variant = seed, variant
					if m, _ := method(variant); strings.HasPrefix(m, "adamw-") {
						run.Training.Optimizer = m
					}
					run.ID = run.identity()
					runs = append(runs, &run)
				}
			}
		}
	}
	return runs, nil
}

// models resolves the spec's models, those of the hub side by side. That the whole hub is away is an error.
func (p *planner) models(ctx context.Context) ([]*Run, error) {
	out := make([]*Run, len(p.spec.Models))
	group := errgroup.Group{}
	group.SetLimit(8)
	for i, name := range p.spec.Models {
		r := &Run{Model: name}
		out[i] = r
		if dir, ok := p.spec.Local.Models[name]; ok {
			r.ModelDir = p.spec.resolve(dir, p.cache)
			files, err := modelFiles(r.ModelDir, p.spec.Weights)
			if err != nil {
				return nil, err
			}
			for _, f := range files {
				in, err := p.hash(f[0], f[1])
				if err != nil {
					return nil, err
				}
				r.Inputs = append(r.Inputs, in)
			}
			continue
		}
		if p.src == nil {
			return nil, &SpecError{fmt.Sprintf("spec %s: model %q is neither under local.models nor a group (%s), and there is no hub",
				p.spec.Source, name, strings.Join(slices.Sorted(maps.Keys(library().Models)), ", "))}
		}
		group.Go(func() error {
			_, r.Commit, r.Blocked = p.src.Model(ctx, name, Describe)
			r.Inputs = []results.Input{{Role: "model", Name: name, SHA256: r.Commit}}
			return nil
		})
	}
	_ = group.Wait()
	if slices.IndexFunc(out, func(r *Run) bool { return r.Blocked == nil }) < 0 {
		if err := out[0].Blocked; errors.Is(err, hub.ErrNotFound) || errors.Is(err, hub.ErrDenied) || errors.Is(err, hub.ErrOffline) || ctx.Err() != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w; hint: is the hub reached from here? --hub names a mirror or a folder, HF_HUB_OFFLINE=1 takes what is in the cache", out[0].Blocked)
	}
	return out, ctx.Err()
}

func (p *planner) hash(role, file string) (results.Input, error) {
	in, ok := p.hashed[file]
	if !ok {
		var err error
		if in, err = hashFile(file); err != nil {
			return in, fmt.Errorf("%s: %w", role, err)
		}
		p.hashed[file] = in
	}
	in.Role = role
	return in, nil
}

// data resolves a dataset and the splits that the spec asks of it.
func (p *planner) data(ctx context.Context, r *Run) error {
	s := p.spec
	if r.Dataset == "" {
		return nil
	}
	local, isLocal := s.Local.Datasets[r.Dataset]
	if !isLocal && !datasets.Registered(r.Dataset) {
		return &SpecError{fmt.Sprintf("spec %s: dataset %q is neither under local.datasets nor one of the registry (glue/cola, xnli/de, ...) nor a group (%s)",
			s.Source, r.Dataset, strings.Join(slices.Sorted(maps.Keys(library().Datasets)), ", "))}
	}
	var have []string // splits; nil: not known before the file is read
	if !isLocal {
		infos, err := datasets.Splits(r.Dataset)
		if err != nil {
			return &SpecError{fmt.Sprintf("spec %s: %v", s.Source, err)}
		}
		for _, i := range infos {
			have = append(have, i.Name)
		}
	}
	if s.trains() {
		r.Train, r.Evaluate = cmp.Or(s.TrainSplit, "train"), named(s.EvaluateSplits, have)
		if len(r.Evaluate) == 0 {
			r.Evaluate = named([]string{"validation"}, have)
		}
		r.Splits = append([]string{r.Train}, r.Evaluate...)
		for _, name := range s.EvaluateOn {
			if name != r.Dataset {
				r.Also = append(r.Also, name)
			}
		}
	} else if r.Splits = named(s.Splits, have); len(r.Splits) == 0 {
		r.Splits = have
	}
	if isLocal {
		local.File = s.resolve(local.File, p.cache)
		r.Data = &local
		in, err := p.hash("data", local.File)
		r.Inputs = []results.Input{in}
		return err
	}
	if s.Partial && !s.trains() && p.src != nil {
		var err error
		if r.Splits, r.Without, err = p.src.Have(ctx, r.Dataset, r.Splits); err != nil {
			return err
		}
		if len(r.Splits) == 0 {
			r.Blocked = fmt.Errorf("%s: none of its splits is at the hub: %w", r.Dataset, hub.ErrNotFound)
			return nil
		}
	}
	var pins *datasets.Pins
	if p.src != nil {
		pins = p.src.Pins
	}
	want, err := datasets.Wants(r.Dataset, r.Splits, pins)
	if err != nil {
		return &SpecError{fmt.Sprintf("spec %s: %v", s.Source, err)}
	}
	for _, name := range r.Also {
		w, err := datasets.Wants(name, r.Evaluate, pins)
		if err != nil {
			return &SpecError{fmt.Sprintf("spec %s: evaluate_on: %v", s.Source, err)}
		}
		want = append(want, w...)
	}
	for _, w := range want {
		r.Inputs = append(r.Inputs, results.Input{Role: "data", Name: w.Repo.ID + "/" + w.Path, Size: w.Pin.Size, SHA256: cmp.Or(w.Pin.SHA256, w.Repo.Revision)})
	}
	return nil
}

// named resolves the names of splits: of MNLI, which has two of each, "validation" and "test" are both.
func named(names, have []string) []string {
	var out []string
	for _, n := range names {
		both := []string{n + "_matched", n + "_mismatched"}
		if !slices.Contains(have, n) && slices.Contains(have, both[0]) {
			out = append(out, both...)
			continue
		}
		out = append(out, n)
	}
	return out
}

func matches(pattern, name string) bool {
	ok, _ := path.Match(pattern, name)
	return ok || pattern == ""
}

func (r *Run) identity() string {
	var data LocalDataset
	if r.Data != nil {
		data = *r.Data
		data.File = "" // its bytes count, not its place
	}
	b, err := json.Marshal(struct {
		Version     int
		Spec, Model string
		Dataset     string
		Data        LocalDataset
		Variant     string
		Seed        int64
		Training    results.Training
		Inputs      []results.Input
		Save        string
		Train       string
		Evaluate    []string
		Measure     string
		Splits      []string
		Growth      *Growth
		Also        []string
	}{resultVersion, r.Spec.Name, r.Model, r.Dataset, data, r.Variant, r.Seed, r.Training, r.Inputs, r.Spec.Save, r.Train, r.Evaluate, measured(r.Spec), r.Splits, r.Spec.Growth, r.Also})
	if err != nil {
		panic(err) // plain values only
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// measured is the part of a measure that changes what is run: of those that train, memory alone leaves evaluation out.
func measured(s *Spec) string {
	if s.Measure == "cost" {
		return "accuracy"
	}
	return s.Measure
}

// modelFiles lists the files of a model folder that decide a result, with their roles; weights is pretrained, random or "" (not needed).
func modelFiles(dir, weights string) ([][2]string, error) {
	var out [][2]string
	add := func(role string, names ...string) {
		for _, name := range names {
			if p := filepath.Join(dir, name); exists(p) {
				out = append(out, [2]string{role, p})
				if role == "weights" {
					return // the first that is there is read
				}
			}
		}
	}
	add("config", "config.json")
	if weights == "pretrained" {
		add("weights", weightFiles...)
	}
	add("tokenizer", slices.Concat(tokenizerExtras, tokenizerFiles)...)
	for _, need := range [][2]string{{"config", "config.json"}, {"weights", "model.safetensors"}} {
		if (need[0] == "config" || weights == "pretrained") && !slices.ContainsFunc(out, func(o [2]string) bool { return o[0] == need[0] }) {
			return nil, fmt.Errorf("model folder %s has no %s; hint: run make sample (profile multilingual: make sample PROFILE=multilingual), or name a folder with the model's files", dir, need[1])
		}
	}
	return out, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func hashFile(p string) (results.Input, error) {
	f, err := os.Open(p)
	if err != nil {
		return results.Input{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return results.Input{}, err
	}
	return results.Input{Name: filepath.Base(p), Size: n, SHA256: hex.EncodeToString(h.Sum(nil))}, nil
}
