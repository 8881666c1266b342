package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pema/internal/shared"
)

// Ids by Hugging Face's own library for hard texts and pairs, on the published vocabularies.
func TestGolden(t *testing.T) {
	dir := shared.Dir(t)
	b, err := os.ReadFile(filepath.Join(dir, "tokenizer-golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	var g struct {
		Single []string
		Pairs  [][2]string
		Models map[string]struct {
			Single [][]int32
			Pairs  []struct {
				IDs   []int32
				Types []int `json:"type_ids"`
			}
		}
	}
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for name, want := range g.Models {
		found, _ := filepath.Glob(filepath.Join(dir, "hub/models/*", name, "tokenizer.json"))
		if len(found) == 0 {
			found, _ = filepath.Glob(filepath.Join(dir, "hub/models/*", name+"-base", "tokenizer.json"))
		}
		if len(found) != 1 {
			t.Errorf("%s: %d tokenizer.json", name, len(found))
			continue
		}
		tok, err := Load(filepath.Dir(found[0]))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		e := tok.NewEncoder()
		for i, s := range g.Single {
			if got, _ := e.Encode(nil, s, nil, 0); !slices.Equal(got, want.Single[i]) {
				t.Errorf("%s, %q: %v, want %v", name, s, got, want.Single[i])
			}
			checked++
		}
		for i, p := range g.Pairs {
			got, second := e.Encode(nil, p[0], &p[1], 0)
			if !slices.Equal(got, want.Pairs[i].IDs) {
				t.Errorf("%s, %q: %v, want %v", name, p, got, want.Pairs[i].IDs)
			}
			for j, typ := range want.Pairs[i].Types {
				if (j >= second) != (typ == 1) {
					t.Errorf("%s, %q: type ids begin at %d, want %v", name, p, second, want.Pairs[i].Types)
					break
				}
			}
			checked++
		}
	}
	if checked < 100 {
		t.Errorf("only %d texts were checked", checked)
	}
}
