package experiments

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

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

	mu       sync.Mutex
	listings map[hub.Repo]*hub.Info
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
	for what, part := range map[string]bool{"tokenizer": need >= Tokenize, "weights": need >= Train} {
		if !part || s.cached(repo, what) {
			continue
		}
		info, err := s.Client.Info(ctx, repo)
		if err != nil {
			return "", "", fmt.Errorf("%s of %s: %w", what, name, err)
		}
		files := parts(info)[what]
		if len(files) == 0 {
			return "", "", fmt.Errorf("%s of %s: the repository has none of %s: %w", what, name, strings.Join(kinds[what], ", "), hub.ErrNotFound)
		}
		for _, f := range files {
			if _, err := s.Client.File(ctx, repo, f.Path, hub.Pin{}); err != nil {
				return "", "", fmt.Errorf("%s of %s: %w", what, name, err)
			}
		}
	}
	return dir, config.Commit, nil
}

var kinds = map[string][]string{"config": {"config.json"}, "tokenizer": tokenizerFiles, "weights": weightFiles}

// cached reports that a part of a model was fetched before: its main file, which comes last, is there. No socket is opened.
func (s *Source) cached(repo hub.Repo, what string) bool {
	return slices.ContainsFunc(kinds[what], func(f string) bool { return s.Client.Cached(repo, f) })
}

// parts picks from a model's listing the files that pema reads, of each part in the order of fetching.
func parts(info *hub.Info) map[string][]hub.FileInfo {
	find := func(names ...string) (out []hub.FileInfo) {
		for _, name := range names {
			if i := slices.IndexFunc(info.Files, func(f hub.FileInfo) bool { return f.Path == name }); i >= 0 {
				out = append(out, info.Files[i])
			}
		}
		return out
	}
	p := map[string][]hub.FileInfo{"config": find("config.json"), "weights": find(weightFiles...)}
	if t := find(tokenizerFiles...); len(t) > 0 {
		p["tokenizer"] = append(find(tokenizerExtras...), t...)
	}
	if w := p["weights"]; len(w) > 0 {
		p["weights"] = w[:1]
		if strings.HasSuffix(w[0].Path, ".index.json") {
			var shards []hub.FileInfo
			for _, f := range info.Files {
				if ok, _ := path.Match("model-*-of-*.safetensors", f.Path); ok {
					shards = append(shards, f)
				}
			}
			p["weights"] = append(shards, w[0])
		}
	}
	return p
}

// listing asks for a repository's files, once.
func (s *Source) listing(ctx context.Context, repo hub.Repo) (*hub.Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if info, ok := s.listings[repo]; ok {
		return info, nil
	}
	info, err := s.Client.Info(ctx, repo)
	if err == nil {
		if s.listings == nil {
			s.listings = map[hub.Repo]*hub.Info{}
		}
		s.listings[repo] = info
	}
	return info, err
}

// Have parts splits of a registered dataset into those whose files are in the cache or at the hub, and the others.
func (s *Source) Have(ctx context.Context, dataset string, splits []string) (have, without []string, err error) {
	for _, split := range splits {
		wants, err := datasets.Wants(dataset, []string{split}, s.Pins)
		if err != nil {
			return nil, nil, err
		}
		ok := true
		for _, w := range wants {
			if s.Client.Cached(w.Repo, w.Path) {
				continue
			}
			info, err := s.listing(ctx, w.Repo)
			if errors.Is(err, hub.ErrOffline) {
				ok = false
				break
			}
			if err != nil {
				return nil, nil, err
			}
			if ok = slices.ContainsFunc(info.Files, func(f hub.FileInfo) bool { return f.Path == w.Path }); !ok {
				break
			}
		}
		if ok {
			have = append(have, split)
		} else {
			without = append(without, split)
		}
	}
	return have, without, nil
}

// Dataset opens a dataset of the registry (glue/cola, xnli/de, xnli/all).
func (s *Source) Dataset(ctx context.Context, name string, splits []string) (*datasets.Dataset, error) {
	return datasets.Open(ctx, name, datasets.Hub(s.Client, s.Pins), datasets.OpenOptions{Splits: splits})
}

// Need is one file that runs need of the hub.
type Need struct {
	hub.Want
	Size   int64 // bytes; -1: the hub does not say
	Cached bool
}

// Needs lists the files of the hub that runs need, and in words what the hub does not have of them. Models are asked for their
// listing; offline only what is not in the cache is named.
func (s *Source) Needs(ctx context.Context, runs []*Run) (needs []Need, missing []string, err error) {
	seen := map[string]bool{}
	first := func(keys ...string) bool {
		k := strings.Join(keys, "\x00")
		defer func() { seen[k] = true }()
		return !seen[k]
	}
	for _, r := range runs {
		if r.Blocked != nil {
			if text := r.Blocked.Error(); first(text) {
				missing = append(missing, text)
			}
			continue
		}
		for _, d := range r.reads() {
			if !first(d[0], d[1]) {
				continue
			}
			wants, err := datasets.Wants(d[0], d[1:], s.Pins)
			if err != nil {
				return nil, nil, err
			}
			have, _, err := s.Have(ctx, d[0], d[1:])
			if err != nil {
				return nil, nil, err
			}
			if len(have) == 0 {
				missing = append(missing, splitName(d))
				continue
			}
			for _, w := range wants {
				if first("file", w.Repo.ID, w.Path) {
					needs = append(needs, Need{w, cmp.Or(w.Pin.Size, -1), s.Client.Cached(w.Repo, w.Path)})
				}
			}
		}
		if r.ModelDir != "" {
			continue
		}
		id, _, _ := strings.Cut(r.Model, "@")
		repo := hub.Repo{Kind: hub.Model, ID: id, Revision: r.Commit}
		for _, what := range r.parts() {
			if !first(r.Model, what) {
				continue
			}
			info, err := s.listing(ctx, repo)
			if err != nil && !errors.Is(err, hub.ErrOffline) {
				return nil, nil, fmt.Errorf("model %s: %w", r.Model, err)
			}
			var files []hub.FileInfo
			if info != nil {
				files = parts(info)[what]
			}
			if len(files) == 0 && !s.cached(repo, what) {
				missing = append(missing, partName(r, what))
			}
			for _, f := range files {
				needs = append(needs, Need{hub.Want{Repo: repo, Path: f.Path}, f.Size, s.Client.Cached(repo, f.Path)})
			}
		}
	}
	return needs, missing, nil
}

// parts names what a run needs of its model.
func (r *Run) parts() []string {
	switch {
	case r.Spec.Measure == "models":
		return []string{"config"}
	case r.Spec.trains() && r.Spec.Weights == "pretrained":
		return []string{"config", "tokenizer", "weights"}
	}
	return []string{"config", "tokenizer"}
}

// reads lists the registered datasets and splits that a run reads.
func (r *Run) reads() (out [][]string) {
	if r.Data == nil {
		for _, split := range r.Splits {
			out = append(out, []string{r.Dataset, split})
		}
	}
	for _, d := range r.Also {
		for _, split := range r.Evaluate {
			out = append(out, []string{d, split})
		}
	}
	return out
}

func partName(r *Run, part string) string { return r.Model + ": " + part }
func splitName(d []string) string         { return d[0] + ": split " + d[1] }

// wants names all that a run needs of the hub, as Needs names what is missing.
func (r *Run) wants() (names []string) {
	if r.ModelDir == "" {
		for _, p := range r.parts() {
			names = append(names, partName(r, p))
		}
	}
	for _, d := range r.reads() {
		names = append(names, splitName(d))
	}
	return names
}
