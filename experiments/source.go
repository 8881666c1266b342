package experiments

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pema/datasets"
	"pema/datasets/hub"
)

//go:embed pins.yaml
var pinsYAML []byte

// Pins are the dataset files of the paper by content.
func Pins() (*datasets.Pins, error) { return datasets.ParsePins(pinsYAML) }

// Source is where models and datasets come from that are not local: the hub, a mirror of it, or the cache.
type Source struct {
	Client *hub.Client
	Pins   *datasets.Pins
}

// What of a model's folder is needed.
const (
	Describe = iota // config.json
	Tokenize        // and the tokenizer
	Train           // and the weights
)

var (
	tokenizerExtras = []string{"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"}
	tokenizerFiles  = []string{"merges.txt", "vocab.json", "vocab.txt", "sentencepiece.bpe.model", "spm.model", "spiece.model", "tokenizer.json"}
	weightFiles     = []string{"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"}
)

// Model returns the folder of a model and its commit ("" for a local folder): name is a folder, or a hub id with an optional
// @revision whose files are fetched.
func (s *Source) Model(ctx context.Context, name string, need int) (dir, commit string, err error) {
	if st, err := os.Stat(name); err == nil && st.IsDir() {
		return name, "", nil
	}
	id, revision, _ := strings.Cut(name, "@")
	if strings.Count(id, "/") > 1 || strings.HasPrefix(id, ".") || strings.HasPrefix(id, "/") || id == "" {
		return "", "", fmt.Errorf("model %q is neither a folder nor a hub id (org/name)", name)
	}
	repo := hub.Repo{Kind: hub.Model, ID: id, Revision: revision}
	config, err := s.Client.File(ctx, repo, "config.json", hub.Pin{})
	if err != nil {
		return "", "", fmt.Errorf("model %s: %w", name, err)
	}
	dir, repo.Revision = filepath.Dir(config.Path), config.Commit
	if need >= Tokenize {
		if err := s.any(ctx, repo, tokenizerExtras, tokenizerFiles, false); err != nil {
			return "", "", fmt.Errorf("tokenizer of %s: %w", name, err)
		}
	}
	if need >= Train {
		if err := s.any(ctx, repo, nil, weightFiles, true); err != nil {
			return "", "", fmt.Errorf("weights of %s: %w", name, err)
		}
	}
	return dir, config.Commit, nil
}

// any fetches those of the files that a repository has (first: only the first of them), the extras before. When one of the
// files is in the cache, all were fetched before: the listing is not asked for, and no socket is opened.
func (s *Source) any(ctx context.Context, repo hub.Repo, extras, files []string, first bool) error {
	if slices.ContainsFunc(files, func(f string) bool { return s.Client.Cached(repo, f) }) {
		return nil
	}
	info, err := s.Client.Info(ctx, repo)
	if err != nil {
		return err
	}
	found := 0
	for _, f := range slices.Concat(extras, files) {
		if !slices.ContainsFunc(info.Files, func(i hub.FileInfo) bool { return i.Path == f }) {
			continue
		}
		if _, err := s.Client.File(ctx, repo, f, hub.Pin{}); err != nil {
			return err
		}
		if slices.Contains(files, f) {
			if found++; first {
				break
			}
		}
	}
	if found == 0 {
		return fmt.Errorf("the repository has none of %s: %w", strings.Join(files, ", "), hub.ErrNotFound)
	}
	return nil
}

// Dataset opens a dataset of the registry (glue/cola, xnli/de, xnli/all).
func (s *Source) Dataset(ctx context.Context, name string, splits []string) (*datasets.Dataset, error) {
	return datasets.Open(ctx, name, datasets.Hub(s.Client, s.Pins), datasets.OpenOptions{Splits: splits})
}

// Wants lists the files of all that specs name and that is not local. Models are asked for their listing.
func (s *Source) Wants(ctx context.Context, specs []*Spec) ([]hub.Want, error) {
	var out []hub.Want
	seen := map[string]bool{}
	for _, spec := range specs {
		for _, d := range spec.Datasets {
			if _, local := spec.Local.Datasets[d]; local || seen["d"+d] {
				continue
			}
			seen["d"+d] = true
			w, err := datasets.Wants(d, nil, s.Pins)
			if err != nil {
				return nil, err
			}
			out = append(out, w...)
		}
		for _, m := range spec.Models {
			if _, local := spec.Local.Models[m]; local || seen["m"+m] {
				continue
			}
			seen["m"+m] = true
			id, revision, _ := strings.Cut(m, "@")
			repo := hub.Repo{Kind: hub.Model, ID: id, Revision: revision}
			info, err := s.Client.Info(ctx, repo)
			if err != nil {
				return nil, fmt.Errorf("model %s: %w", m, err)
			}
			repo.Revision = info.Commit
			weights := false
			for _, f := range slices.Concat([]string{"config.json"}, tokenizerExtras, tokenizerFiles, weightFiles) {
				isWeight := slices.Contains(weightFiles, f)
				if isWeight && weights || !slices.ContainsFunc(info.Files, func(i hub.FileInfo) bool { return i.Path == f }) {
					continue
				}
				weights = weights || isWeight
				out = append(out, hub.Want{Repo: repo, Path: f})
			}
		}
	}
	if len(out) == 0 {
		return nil, errors.New("the specs name nothing from the hub")
	}
	return out, nil
}
