package datasets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"pema/datasets/hub"
)

// Source gives the files of dataset repositories, hashed.
type Source interface {
	Fetch(ctx context.Context, repo, path string) (File, error)
}

// Pins names what the dataset files of the paper are: for each repository a commit, and size and SHA-256 of files.
type Pins struct {
	Datasets map[string]RepoPins `yaml:"datasets"`
}

// RepoPins pins one repository. A file that is not listed is fetched at the commit and checked by the hub's own hash.
type RepoPins struct {
	Commit string             `yaml:"commit"`
	Files  map[string]FilePin `yaml:"files"`
}

// FilePin is the content of a file.
type FilePin struct {
	Size   int64  `yaml:"size"`
	SHA256 string `yaml:"sha256"`
}

// ParsePins reads pins from YAML. Unknown keys and malformed hashes are errors.
func ParsePins(b []byte) (*Pins, error) {
	var p Pins
	if err := yaml.UnmarshalWithOptions(b, &p, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("read pins: %w", err)
	}
	for repo, r := range p.Datasets {
		if !isHex(r.Commit, 40) {
			return nil, fmt.Errorf("read pins: %s: commit %q is not 40 hex digits", repo, r.Commit)
		}
		for path, f := range r.Files {
			if f.Size <= 0 || !isHex(f.SHA256, 64) {
				return nil, fmt.Errorf("read pins: %s: %s: size %d, sha256 %q", repo, path, f.Size, f.SHA256)
			}
		}
	}
	return &p, nil
}

func isHex(s string, n int) bool { return len(s) == n && strings.Trim(s, "0123456789abcdef") == "" }

// YAML writes pins in a fixed order, one file a line.
func (p *Pins) YAML() []byte {
	b := bytes.NewBufferString("# The dataset files of the paper: the commit on the Hugging Face hub, and size and SHA-256 of each file.\n" +
		"# A file that is not listed is checked by the hub's own hash at this commit. Written by `pema fetch --update-pins`.\ndatasets:\n")
	for _, repo := range slices.Sorted(maps.Keys(p.Datasets)) {
		r := p.Datasets[repo]
		fmt.Fprintf(b, "  %s:\n    commit: %q\n    files:\n", repo, r.Commit)
		for _, path := range slices.Sorted(maps.Keys(r.Files)) {
			fmt.Fprintf(b, "      %s: {size: %d, sha256: %q}\n", path, r.Files[path].Size, r.Files[path].SHA256)
		}
	}
	return b.Bytes()
}

// UpdatePins asks the hub for the newest commits of the registry's repositories, and for the content of every file that
// the registry uses.
func UpdatePins(ctx context.Context, client *hub.Client) (*Pins, error) {
	p := &Pins{Datasets: map[string]RepoPins{}}
	wanted := map[string]map[string]bool{}
	for _, name := range Names() {
		t, err := find(name)
		if err != nil {
			return nil, err
		}
		if wanted[t.repo] == nil {
			wanted[t.repo] = map[string]bool{}
		}
		for _, s := range t.splits {
			for _, f := range s.files {
				wanted[t.repo][f] = true
			}
		}
	}
	for _, repo := range slices.Sorted(maps.Keys(wanted)) {
		info, err := client.Info(ctx, hub.Repo{Kind: hub.Dataset, ID: repo})
		if err != nil {
			return nil, fmt.Errorf("update pins: %w", err)
		}
		r := RepoPins{Commit: info.Commit, Files: map[string]FilePin{}}
		for _, f := range info.Files {
			if wanted[repo][f.Path] && f.SHA256 != "" {
				r.Files[f.Path] = FilePin{f.Size, f.SHA256}
			}
		}
		if len(r.Files) == 0 {
			return nil, fmt.Errorf("update pins: %s at %s has none of the files that are wanted", repo, info.Commit)
		}
		p.Datasets[repo] = r
	}
	return p, nil
}

// Wants lists the files of a registered dataset as the hub's client and its Collect take them; nil splits = all.
func Wants(name string, splits []string, pins *Pins) ([]hub.Want, error) {
	t, err := find(name)
	if err != nil {
		return nil, err
	}
	chosen, err := t.choose(splits)
	if err != nil {
		return nil, err
	}
	var wants []hub.Want
	for _, s := range chosen {
		for _, path := range s.files {
			wants = append(wants, pins.want(t.repo, path))
		}
	}
	return wants, nil
}

// want is a file at its pinned commit; p may be nil.
func (p *Pins) want(repo, path string) hub.Want {
	w := hub.Want{Repo: hub.Repo{Kind: hub.Dataset, ID: repo}, Path: path}
	if p == nil {
		return w
	}
	r := p.Datasets[repo]
	w.Repo.Revision = r.Commit
	w.Pin = hub.Pin{Size: r.Files[path].Size, SHA256: r.Files[path].SHA256}
	return w
}

// Hub is the source that fetches through a hub client. pins may be nil: the main branch as the hub has it.
func Hub(client *hub.Client, pins *Pins) Source { return hubSource{client, pins} }

type hubSource struct {
	client *hub.Client
	pins   *Pins
}

func (s hubSource) Fetch(ctx context.Context, repo, path string) (File, error) {
	w := s.pins.want(repo, path)
	local, err := s.client.File(ctx, w.Repo, path, w.Pin)
	if err != nil {
		return File{}, err
	}
	f, err := statFile(repo+"/"+path, local.Path)
	if err != nil {
		return File{}, err
	}
	want := w.Pin.SHA256
	if want == "" && isHex(local.ETag, 64) {
		want = local.ETag
	}
	if want != "" && f.SHA256 != want {
		return File{}, fmt.Errorf("%s has SHA-256 %s instead of %s: it was damaged or changed on disk; delete it and what it links to, then fetch again",
			f.Path, f.SHA256, want)
	}
	return f, nil
}

// Folder is the source of files that lie below dir as a mirror has them: datasets/org/name/path.
func Folder(dir string) Source { return folderSource(dir) }

type folderSource string

func (s folderSource) Fetch(_ context.Context, repo, path string) (File, error) {
	if !filepath.IsLocal(path) {
		return File{}, errors.New("not a local path: " + path)
	}
	return statFile(repo+"/"+path, filepath.Join(string(s), "datasets", filepath.FromSlash(repo), filepath.FromSlash(path)))
}
