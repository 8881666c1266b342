package experiments

import (
	"fmt"
	"os"
	"path/filepath"

	"pema/models/checkpoint"
	"pema/models/encoder"
	"pema/models/pema"
)

// ModelDir is where a run's checkpoint lies, if its spec asks for one.
func ModelDir(out, id string) string { return filepath.Join(out, "runs", id, "model") }

// keep hashes the final model with its full vocabulary restored, and saves it as the spec asks: as a Hugging Face folder, whole
// or (PEMA) reduced with pema.json.
func (x *Runner) keep(r *Run, from string, cfg *checkpoint.Config, m *encoder.Model, sel *pema.Selection, begin *start, labels []string) (hash string, err error) {
	tensors, err := m.Tensors()
	if err != nil {
		return "", err
	}
	name, full := m.Embedding().Name, tensors
	if r.Variant == "pema" {
		matrix, err := begin.matrix(name)
		if err != nil {
			return "", err
		}
		if full, err = pema.Restored(tensors, name, sel, matrix); err != nil {
			return "", err
		}
	}
	if hash, err = checkpoint.Hash(full); err != nil || r.Spec.Save == "none" {
		return hash, err
	}
	dir := ModelDir(x.Store.Dir(), r.ID)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	changes := checkpoint.Changes{DType: "float32", Labels: labels, Architectures: []string{cfg.Architecture()}}
	if r.Spec.Save == "reduced" && r.Variant == "pema" {
		full, changes.VocabSize = tensors, len(sel.IDs)
		sum, err := begin.sha256()
		if err != nil {
			return "", err
		}
		manifest := &pema.Manifest{Model: r.Model, Revision: r.Commit, Weights: sum, Tensor: name, Selection: *sel}
		if err := manifest.Write(dir); err != nil {
			return "", err
		}
	}
	if err := cfg.Write(filepath.Join(dir, "config.json"), changes); err != nil {
		return "", err
	}
	if _, err := checkpoint.CopyTokenizer(dir, from); err != nil {
		return "", err
	}
	if err := checkpoint.Write(filepath.Join(dir, "model.safetensors"), map[string]string{"format": "pt"}, full); err != nil {
		return "", fmt.Errorf("save model: %w", err)
	}
	return hash, nil
}
