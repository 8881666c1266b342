package report

import (
	"bytes"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The README's tables and picture are the report's own, of the records in results/measured/sample. go test -update puts
// them in anew.
func TestReadme(t *testing.T) {
	r := build(t, stored(t, "../results/measured/sample"))
	var tables, picture bytes.Buffer
	if err := Render(&tables, "markdown", r.Table("sample-memory"), r.Table("sample-result")); err != nil {
		t.Fatal(err)
	}
	if err := r.Sections[0].Plots[0].PNG(&picture); err != nil {
		t.Fatal(err)
	}
	const readme, png = "../README.md", "../docs/sample.png"
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := []byte("<!-- sample tables -->\n"), []byte("<!-- end of sample tables -->")
	i, j := bytes.Index(text, begin)+len(begin), bytes.Index(text, end)
	if i < len(begin) || j < i {
		t.Fatal("the README has no place for the sample's tables")
	}
	want := bytes.Join([][]byte{text[:i], tables.Bytes(), text[j:]}, nil)
	if *update {
		if err := os.WriteFile(readme, want, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(png, picture.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(string(want), string(text)); d != "" {
		t.Errorf("README (-want +got; go test -update ./report puts it in anew):\n%s", d)
	}
	shown, err := os.ReadFile(png)
	if err != nil || !bytes.Equal(shown, picture.Bytes()) {
		t.Errorf("docs/sample.png is not the report's picture of the sample: %v", err)
	}
}
