package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// families are the folders of testdata with a tokenizer of each family.
var families = []string{"albert", "bert-cased", "bert-uncased", "deberta", "gpt2", "roberta", "xlmr"}

// The ids of testdata/expected.json were made by Hugging Face's libraries: see testdata/make.py.
func TestExpected(t *testing.T) {
	b, err := os.ReadFile("testdata/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Inputs   [][]string
		Expected map[string]struct {
			Size    int
			Rows    [][4]any
			Decoded [][2]string // with special tokens and without
		}
	}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, way := range []string{"file", "converted"} {
			t.Run(family+"/"+way, func(t *testing.T) {
				dir := filepath.Join("testdata", family)
				if way == "converted" {
					dir = without(t, dir, "tokenizer.json")
				}
				tok, err := Load(dir)
				if err != nil {
					t.Fatal(err)
				}
				w, ok := want.Expected[family+"/"+way]
				if !ok || len(w.Rows) < 200 {
					t.Fatalf("%d rows are expected", len(w.Rows))
				}
				if tok.Size() != w.Size {
					t.Errorf("size %d, want %d", tok.Size(), w.Size)
				}
				e := tok.NewEncoder()
				if len(w.Decoded) == 0 {
					t.Error("no decoded text is expected")
				}
				for i, texts := range w.Decoded {
					ids, _ := e.Encode(nil, want.Inputs[i][0], nil, 0)
					for j, text := range texts {
						if got := tok.Decode(ids, j == 1); got != text {
							t.Errorf("%q is decoded to %q, want %q", want.Inputs[i][0], got, text)
						}
					}
				}
				for _, row := range w.Rows {
					input, limit, second := want.Inputs[int(row[0].(float64))], int(row[1].(float64)), int(row[2].(float64))
					var pair *string
					if len(input) == 2 {
						pair = &input[1]
					}
					// A prefix in dst shows that ids are appended and second is counted from them.
					ids, at := e.Encode([]int32{-7}, input[0], pair, limit)
					if got := join(ids[1:]); got != row[3] || ids[0] != -7 {
						t.Errorf("%q, limit %d:\n got %s\nwant %s", input, limit, got, row[3])
					}
					if at != second && (second < len(ids)-1 || at < len(ids)-1) {
						t.Errorf("%q, limit %d: type 1 begins at %d, want %d", input, limit, at, second)
					}
				}
			})
		}
	}
}

func join(ids []int32) string {
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strconv.Itoa(int(id)))
	}
	return b.String()
}

// without copies a folder but for one file.
func without(t testing.TB, dir, leave string) string {
	t.Helper()
	to := t.TempDir()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		if f.Name() == leave {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, f.Name()), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return to
}
