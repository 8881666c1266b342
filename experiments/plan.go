package experiments

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

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
	ModelDir string
	Dataset  string
	Data     LocalDataset // its File is a real path
	Variant  string
	Seed     int64
	Training results.Training
	Inputs   []results.Input
}

// Plan multiplies a spec into its runs, each identified by the hash of all that can change its result: the model's and the
// data's bytes, the recipe, the variant, the seed and the code's result version.
func Plan(s *Spec, cache string) ([]*Run, error) {
	var runs []*Run
	hashes := map[string]results.Input{}
	input := func(role, file string) (results.Input, error) {
		in, ok := hashes[file]
		if !ok {
			var err error
			if in, err = hashFile(file); err != nil {
				return in, err
			}
			hashes[file] = in
		}
		in.Role = role
		return in, nil
	}
	for _, model := range s.Models {
		dir, ok := s.Local.Models[model]
		if !ok {
			return nil, &SpecError{fmt.Sprintf("spec %s: model %q is not under local.models, and models from the hub are not fetched yet", s.Source, model)}
		}
		dir = s.resolve(dir, cache)
		for _, dataset := range s.Datasets {
			data, ok := s.Local.Datasets[dataset]
			if !ok {
				return nil, &SpecError{fmt.Sprintf("spec %s: dataset %q is not under local.datasets, and datasets from the hub are not fetched yet", s.Source, dataset)}
			}
			data.File = s.resolve(data.File, cache)
			var inputs []results.Input
			files, err := modelFiles(dir)
			if err != nil {
				return nil, err
			}
			for _, f := range append(files, [2]string{"data", data.File}) {
				in, err := input(f[0], f[1])
				if err != nil {
					return nil, fmt.Errorf("%s of %s: %w", f[0], model, err)
				}
				inputs = append(inputs, in)
			}
			t, seeds := s.Training, s.Seeds
			for _, o := range s.Overrides {
				if matches(o.Model, model) && matches(o.Dataset, dataset) {
					t = t.over(o.Training)
					if o.Seeds != nil {
						seeds = o.Seeds
					}
				}
			}
			recipe, err := t.recipe(s.Weights)
			if err != nil {
				return nil, &SpecError{fmt.Sprintf("spec %s: %v", s.Source, err)}
			}
			for _, seed := range seeds {
				for _, variant := range s.Variants {
					r := &Run{Spec: s, Model: model, ModelDir: dir, Dataset: dataset, Data: data, Variant: variant, Seed: seed, Training: recipe, Inputs: inputs}
					r.ID = r.identity()
					runs = append(runs, r)
				}
			}
		}
	}
	return runs, nil
}

func matches(pattern, name string) bool {
	ok, _ := path.Match(pattern, name)
	return ok || pattern == ""
}

func (r *Run) identity() string {
	data := r.Data
	data.File = ""
	b, err := json.Marshal(struct {
		Version     int
		Spec, Model string
		Dataset     string
		Data        LocalDataset
		Variant     string
		Seed        int64
		Training    results.Training
		Inputs      []results.Input
	}{resultVersion, r.Spec.Name, r.Model, r.Dataset, data, r.Variant, r.Seed, r.Training, r.Inputs})
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
func modelFiles(dir string) ([][2]string, error) {
	var out [][2]string
	for _, f := range [][2]string{{"config", "config.json"}, {"weights", "model.safetensors"}, {"tokenizer", "tokenizer.json"}, {"tokenizer", "tokenizer_config.json"}, {"tokenizer", "special_tokens_map.json"}} {
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
