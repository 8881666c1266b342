package experiments

import (
	"bytes"
	"embed"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"
)

//go:embed sample/*.yaml paper/*.yaml
var embedded embed.FS

// groups are lists with a name: models, datasets, and the specs of a profile.
type groups struct {
	Models   map[string][]string `yaml:"models"`
	Datasets map[string][]string `yaml:"datasets"`
	Profiles map[string][]string `yaml:"profiles"`
}

var library = sync.OnceValue(func() *groups {
	b, err := embedded.ReadFile("paper/groups.yaml")
	g := &groups{}
	if err == nil {
		err = yaml.NewDecoder(bytes.NewReader(b), yaml.Strict()).Decode(g)
	}
	if err != nil {
		panic(err) // a test loads it
	}
	return g
})

// Names lists the embedded specs, and Profiles the embedded lists of them.
func Names() []string {
	var names []string
	for _, dir := range []string{"sample", "paper"} {
		files, _ := embedded.ReadDir(dir)
		for _, f := range files {
			if name := strings.TrimSuffix(f.Name(), ".yaml"); name != "groups" {
				names = append(names, name)
			}
		}
	}
	return names
}

// Profiles lists the embedded profiles.
func Profiles() []string { return slices.Sorted(maps.Keys(library().Profiles)) }

// LoadAll reads specs by name: a profile's, an embedded one, or a file's.
func LoadAll(names []string) ([]*Spec, error) {
	var specs []*Spec
	for _, n := range names {
		list, ok := library().Profiles[n]
		if !ok {
			list = []string{n}
		}
		for _, n := range list {
			s, err := Load(n)
			if err != nil {
				return nil, err
			}
			specs = append(specs, s)
		}
	}
	return specs, nil
}

// Load reads a spec from a file, or an embedded one by its name.
func Load(name string) (*Spec, error) {
	for _, dir := range []string{"sample", "paper"} {
		inside := path.Join(dir, name+".yaml")
		if b, err := embedded.ReadFile(inside); err == nil && name != "groups" {
			return Parse(inside, b)
		}
	}
	b, err := os.ReadFile(name)
	if err != nil {
		hint := ""
		if !strings.ContainsAny(name, "/.") {
			hint = fmt.Sprintf("; embedded specs: %s; profiles: %s", strings.Join(Names(), ", "), strings.Join(Profiles(), ", "))
		}
		return nil, &SpecError{fmt.Sprintf("spec %s: %v%s", name, err, hint)}
	}
	return Parse(name, b)
}

// expand replaces the names of groups by their lists. A name of local is itself.
func expand[T any](names []string, lists map[string][]string, local map[string]T) []string {
	var out []string
	for _, n := range names {
		list := []string{n}
		if _, ok := local[n]; !ok && lists[n] != nil {
			list = lists[n]
		}
		for _, x := range list {
			if !slices.Contains(out, x) {
				out = append(out, x)
			}
		}
	}
	return out
}
