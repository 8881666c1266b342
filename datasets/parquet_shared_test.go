package datasets

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pema/internal/shared"
)

// parquetFiles lists the real Parquet files.
func parquetFiles(t testing.TB) []string {
	var files []string
	err := filepath.WalkDir(filepath.Join(shared.Dir(t), "hub", "datasets"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".parquet") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// columnsOf guesses the columns of a GLUE or XNLI file.
func columnsOf(t testing.TB, path string) (int64, Columns) {
	rows, cols, err := parquetInfo(path)
	if err != nil {
		t.Fatal(err)
	}
	c := Columns{Label: "label"}
	for _, col := range cols {
		switch {
		case col.name == "label" || col.name == "idx":
		case c.Text == "":
			c.Text = col.name
		default:
			c.Pair = col.name
		}
	}
	return rows, c
}

// TestRealParquet compares every row of every file with what pyarrow reads (testdata/published.py).
func TestRealParquet(t *testing.T) {
	b, err := os.ReadFile("testdata/published.json")
	if err != nil {
		t.Fatal(err)
	}
	var published map[string]struct {
		Rows   int64
		Labels map[string]int
		SHA256 string
	}
	if err := json.Unmarshal(b, &published); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(shared.Dir(t), "hub", "datasets")
	for name, want := range published {
		path := filepath.Join(root, name)
		rows, cols := columnsOf(t, path)
		if rows != want.Rows {
			t.Errorf("%s: %d rows, published are %d", name, rows, want.Rows)
		}
		h, labels := sha256.New(), map[string]int{}
		for row, err := range parquetRows(t.Context(), path, cols) {
			if err != nil {
				t.Fatalf("%s: row %d: %v", path, row.n, err)
			}
			label := fmt.Sprintf("%.6f", row.label.num)
			labels[label]++
			fmt.Fprintf(h, "%s\x00%s\x00%s\n", row.text, row.pair, label)
		}
		if len(want.Labels) > 0 && !maps.Equal(want.Labels, labels) {
			t.Errorf("%s: labels %v, want %v", name, labels, want.Labels)
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != want.SHA256 {
			t.Errorf("%s: the rows hash to %s", name, got)
		}
	}
}

// BenchmarkParquet reads all of them into rows; bench/parquet/run.sh puts pyarrow beside it.
func BenchmarkParquet(b *testing.B) {
	files := parquetFiles(b)
	bytes, rows := int64(0), 0
	for b.Loop() {
		bytes, rows = 0, 0
		for _, path := range files {
			_, cols := columnsOf(b, path)
			for row, err := range parquetRows(b.Context(), path, cols) {
				if err != nil {
					b.Fatal(err)
				}
				bytes += int64(len(row.text) + len(row.pair))
				rows++
			}
		}
	}
	b.SetBytes(bytes)
	b.ReportMetric(float64(rows), "rows/op")
}
