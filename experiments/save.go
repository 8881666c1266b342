package experiments

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"pema/models/checkpoint"
	"pema/models/encoder"
	"pema/models/pema"
)

// ModelDir is where a run's checkpoint lies, if its spec asks for one.
func ModelDir(out, id string) string { return filepath.Join(out, "runs", id, "model") }

// original is the full embedding matrix that the run began with.
func (t *trial) original(name string) (pema.Rows, error) {
	if r, ok := t.weights.(*encoder.Random); ok {
		return r.Matrix(name), nil
	}
	return pema.Original(t.file, name)
}

// keep hashes the final model with its full vocabulary restored, and saves it as the spec asks: as a Hugging Face folder, whole
// or (PEMA) reduced with pema.json.
func (t *trial) keep(context.Context) error {
	defer func() { t.rec.Time.Restore = t.time.lap() }()
	tensors, err := t.model.Tensors()
	if err != nil {
		return err
	}
	name, full := t.model.Embedding().Name, tensors
	if t.run.reduced() {
		matrix, err := t.original(name)
		if err != nil {
			return err
		}
		if full, err = pema.Restored(tensors, name, t.sel, matrix); err != nil {
			return err
		}
	}
	if t.rec.FinalWeights, err = checkpoint.Hash(full); err != nil || t.run.Spec.Save == "none" {
		return err
	}
	dir := ModelDir(t.Store.Dir(), t.run.ID)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	changes := checkpoint.Changes{DType: "float32", Labels: t.data.Labels, Architectures: []string{t.config.Architecture()}}
	if t.run.Spec.Save == "reduced" && t.run.reduced() {
		full, changes.VocabSize = tensors, len(t.sel.IDs)
		manifest := &pema.Manifest{Model: t.run.Model, Revision: t.run.Commit, Tensor: name, Selection: *t.sel}
		if t.file != nil {
			if manifest.Weights, err = t.file.SHA256(); err != nil {
				return err
			}
		}
		if err := manifest.Write(dir); err != nil {
			return err
		}
	}
	if err := t.config.Write(filepath.Join(dir, "config.json"), changes); err != nil {
		return err
	}
	if _, err := checkpoint.CopyTokenizer(dir, t.dir); err != nil {
		return err
	}
	if err := t.describe(dir); err != nil {
		return err
	}
	if err := checkpoint.Write(filepath.Join(dir, "model.safetensors"), map[string]string{"format": "pt"}, full); err != nil {
		return fmt.Errorf("save model: %w", err)
	}
	return nil
}

// describe writes what the hub and transformers expect beside a model: its card, trainer_state.json and all_results.json.
func (t *trial) describe(dir string) error {
	r, rec := t.run, t.rec
	split := t.parts[min(1, len(t.parts)-1)].name
	card := checkpoint.Card{
		Name: filepath.Base(r.Model) + " fine-tuned on " + r.Dataset, Tags: []string{"pema"},
		Dataset: checkpoint.CardDataset{Name: r.Dataset, Type: r.Dataset, Split: split},
		Summary: fmt.Sprintf("Fine-tuned with %s of %s rows of the embedding matrix in memory; %s.", strconv.FormatInt(t.model.Embedding().Tensor.Shape()[0], 10),
			strconv.FormatInt(rec.Vocabulary.Rows, 10), map[bool]string{false: "all of them", true: "the others are as in the original model"}[r.reduced()]),
	}
	if r.ModelDir == "" {
		card.BaseModel, _, _ = strings.Cut(r.Model, "@")
	}
	if repo, config, ok := strings.Cut(r.Dataset, "/"); ok && r.Data == nil {
		card.Dataset = checkpoint.CardDataset{Name: strings.ToUpper(repo) + " " + config, Type: map[string]string{"glue": "nyu-mll/glue", "xnli": "facebook/xnli"}[repo], Config: config, Split: split}
	}
	eval := map[string]float64{"epoch": float64(t.recipe.Epochs)}
	for _, name := range slices.Sorted(maps.Keys(rec.Metrics)) {
		v := rec.Metrics[name]
		if strings.Contains(name, "/") {
			continue // of further splits
		}
		card.Metrics = append(card.Metrics, checkpoint.CardMetric{Name: name, Type: name, Value: v})
		key := name
		if !strings.HasPrefix(name, "eval_") {
			key = "eval_" + name
		}
		eval[key] = v
	}
	for _, s := range [][2]string{
		{"batch size", strconv.Itoa(r.Training.BatchSize)}, {"learning rate", fmt.Sprint(r.Training.LearningRate)}, {"epochs", fmt.Sprint(r.Training.Epochs)},
		{"steps", strconv.Itoa(rec.Training.Steps)}, {"maximum length", strconv.Itoa(r.Training.MaxLength)}, {"optimizer", r.Training.Optimizer}, {"seed", strconv.FormatInt(r.Seed, 10)},
	} {
		card.Settings = append(card.Settings, checkpoint.CardSetting{Name: s[0], Value: s[1]})
	}
	if err := card.Write(dir); err != nil {
		return err
	}
	steps := len(rec.Losses)
	perEpoch := float64(steps) / max(1, float64(t.recipe.Epochs))
	state := checkpoint.TrainerState{Epoch: float64(t.recipe.Epochs), GlobalStep: steps, MaxSteps: steps, Epochs: t.recipe.Epochs, BatchSize: r.Training.BatchSize, LoggingSteps: 1}
	var sum float64
	for i, loss := range rec.Losses {
		sum += loss
		state.Log = append(state.Log, map[string]float64{"step": float64(i + 1), "epoch": float64(i+1) / max(1, perEpoch), "loss": loss, "grad_norm": rec.GradNorms[i]})
	}
	if err := state.Write(dir); err != nil {
		return err
	}
	train := map[string]float64{"epoch": float64(t.recipe.Epochs), "train_loss": sum / float64(max(1, steps)), "train_runtime": rec.Time.Train}
	return checkpoint.WriteResults(dir, train, eval)
}
