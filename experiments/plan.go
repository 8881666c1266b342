package experiments

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"

	"pema/datasets"
	"pema/models/torch"
	"pema/results"
)

// resultVersion changes whenever the code's numbers do: old records are then made again.
const resultVersion = 2

// Run is one cell of an experiment.
type Run struct {
	ID       string
	Spec     *Spec
	Model    string // as the spec names it
	ModelDir string // local folder; "": Model is fetched at Commit
	Commit   string
	Dataset  string
	Data     *LocalDataset // its File is a real path; nil: Dataset is of the registry
	Train    string        // split
	Evaluate []string      // splits
	Variant  string
	Seed     int64
	Training results.Training
	Inputs   []results.Input // what went into the identity
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
// is asked for its commit; nothing else is fetched. src may be nil where all is local.
func Plan(ctx context.Context, s *Spec, cache string, src *Source) ([]*Run, error) {
	p := &planner{spec: s, cache: cache, src: src, hashed: map[string]results.Input{}}
	var runs []*Run
	for _, model := range s.Models {
		m := Run{Spec: s, Model: model}
		modelInputs, err := p.model(ctx, &m)
		if err != nil {
			return nil, err
		}
		for _, dataset := range s.Datasets {
			r := m
			r.Dataset = dataset
			dataInputs, err := p.data(&r)
			if err != nil {
				return nil, err
			}
			r.Inputs = slices.Concat(modelInputs, dataInputs)
			t, seeds := s.Training, s.Seeds
			for _, o := range s.Overrides {
				if matches(o.Model, model) && matches(o.Dataset, dataset) {
					t = t.over(o.Training)
					if o.Seeds != nil {
						seeds = o.Seeds
					}
				}
			}
			if r.Training, err = t.recipe(s.Weights); err != nil {
				return nil, &SpecError{fmt.Sprintf("spec %s: %v", s.Source, err)}
			}
			for _, seed := range seeds {
				for _, variant := range s.Variants {
					run := r
					run.Seed, run.Variant = seed, variant
					run.ID = run.identity()
					runs = append(runs, &run)
				}
			}
		}
	}
	return runs, nil
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

func (p *planner) model(ctx context.Context, r *Run) (inputs []results.Input, err error) {
	dir, ok := p.spec.Local.Models[r.Model]
	if !ok {
		if p.src == nil {
			return nil, &SpecError{fmt.Sprintf("spec %s: model %q is not under local.models", p.spec.Source, r.Model)}
		}
		if _, r.Commit, err = p.src.Model(ctx, r.Model, Describe); err != nil {
			return nil, err
		}
		return []results.Input{{Role: "model", Name: r.Model, SHA256: r.Commit}}, nil
	}
	r.ModelDir = p.spec.resolve(dir, p.cache)
	files, err := modelFiles(r.ModelDir, p.spec.Weights == "pretrained")
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		in, err := p.hash(f[0], f[1])
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, in)
	}
	return inputs, nil
}

func (p *planner) data(r *Run) (inputs []results.Input, err error) {
	r.Train, r.Evaluate = p.spec.TrainSplit, p.spec.EvaluateSplits
	if r.Train == "" {
		r.Train = "train"
	}
	if len(r.Evaluate) == 0 {
		r.Evaluate = []string{"validation"}
		if r.Dataset == "glue/mnli" {
			r.Evaluate = []string{"validation_matched", "validation_mismatched"}
		}
	}
	if data, ok := p.spec.Local.Datasets[r.Dataset]; ok {
		data.File = p.spec.resolve(data.File, p.cache)
		r.Data = &data
		in, err := p.hash("data", data.File)
		return []results.Input{in}, err
	}
	if !datasets.Registered(r.Dataset) {
		return nil, &SpecError{fmt.Sprintf("spec %s: dataset %q is neither under local.datasets nor one of the registry (glue/cola, xnli/de, ...)", p.spec.Source, r.Dataset)}
	}
	var pins *datasets.Pins
	if p.src != nil {
		pins = p.src.Pins
	}
	want, err := datasets.Wants(r.Dataset, append([]string{r.Train}, r.Evaluate...), pins)
	if err != nil {
		return nil, &SpecError{fmt.Sprintf("spec %s: %v", p.spec.Source, err)}
	}
	for _, w := range want {
		inputs = append(inputs, results.Input{Role: "data", Name: w.Repo.ID + "/" + w.Path, Size: w.Pin.Size, SHA256: cmp.Or(w.Pin.SHA256, w.Repo.Revision)})
	}
	return inputs, nil
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
	}{resultVersion, r.Spec.Name, r.Model, r.Dataset, data, r.Variant, r.Seed, r.Training, r.Inputs, r.Spec.Save, r.Train, r.Evaluate})
	if err != nil {
		panic(err) // plain values only
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

func (t Training) over(o Training) Training {
	t.BatchSize, t.EvalBatch, t.MaxLength = cmp.Or(o.BatchSize, t.BatchSize), cmp.Or(o.EvalBatch, t.EvalBatch), cmp.Or(o.MaxLength, t.MaxLength)
	t.Padding, t.Optimizer = cmp.Or(o.Padding, t.Padding), cmp.Or(o.Optimizer, t.Optimizer)
	t.LearningRate, t.Epochs, t.MaxSteps = cmp.Or(o.LearningRate, t.LearningRate), cmp.Or(o.Epochs, t.Epochs), cmp.Or(o.MaxSteps, t.MaxSteps)
	t.WarmupSteps, t.WeightDecay, t.ClipNorm = cmp.Or(o.WarmupSteps, t.WarmupSteps), cmp.Or(o.WeightDecay, t.WeightDecay), cmp.Or(o.ClipNorm, t.ClipNorm)
	return t
}

func value[T any](p *T, otherwise T) T {
	if p != nil {
		return *p
	}
	return otherwise
}

// recipe fills in the defaults, those of the HF examples at 4.37, and checks the values.
func (t Training) recipe(weights string) (results.Training, error) {
	r := results.Training{
		Weights: weights, BatchSize: value(t.BatchSize, 8), EvalBatch: value(t.EvalBatch, 8), MaxLength: value(t.MaxLength, 128),
		Padding: value(t.Padding, "max_length"), Optimizer: value(t.Optimizer, "adamw-loop"), LearningRate: value(t.LearningRate, 5e-5),
		Epochs: float64(value(t.Epochs, 3)), MaxSteps: value(t.MaxSteps, 0), WarmupSteps: value(t.WarmupSteps, 0),
		WeightDecay: value(t.WeightDecay, 0), ClipNorm: value(t.ClipNorm, 1), Precision: "fp32",
	}
	switch {
	case r.BatchSize < 1 || r.EvalBatch < 1 || r.Epochs < 1 || r.MaxSteps < 0 || r.WarmupSteps < 0:
		return r, fmt.Errorf("training: batch sizes and epochs start at 1, steps at 0")
	case r.MaxLength < 3:
		return r, fmt.Errorf("training: max_length %d leaves no room for text", r.MaxLength)
	case r.Padding != "max_length" && r.Padding != "longest":
		return r, fmt.Errorf("training: padding %q is not known: use max_length or longest", r.Padding)
	case !(r.LearningRate > 0) || r.WeightDecay < 0 || r.ClipNorm < 0:
		return r, fmt.Errorf("training: learning_rate must be above 0, weight_decay and clip_norm not below")
	}
	_, err := torch.ParseForm(r.Optimizer)
	return r, err
}

// modelFiles lists the files of a model folder that decide a result, with their roles.
func modelFiles(dir string, weights bool) ([][2]string, error) {
	var out [][2]string
	for _, f := range [][2]string{{"config", "config.json"}, {"weights", "model.safetensors"}, {"tokenizer", "tokenizer.json"}, {"tokenizer", "tokenizer_config.json"}, {"tokenizer", "special_tokens_map.json"}} {
		if f[0] == "weights" && !weights {
			continue
		}
		p := filepath.Join(dir, f[1])
		if _, err := os.Stat(p); err == nil {
			out = append(out, [2]string{f[0], p})
		} else if f[0] != "tokenizer" {
			return nil, fmt.Errorf("model folder %s has no %s; hint: run make sample, or name a folder with the model's files", dir, f[1])
		}
	}
	return out, nil
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
