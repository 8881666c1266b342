package datasets

import (
	"io/fs"
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

func TestRealParquet(t *testing.T) {
	for _, path := range parquetFiles(t) {
		rows, cols := columnsOf(t, path)
		n := int64(0)
		for row, err := range parquetRows(t.Context(), path, cols) {
			if err != nil {
				t.Fatalf("%s: row %d: %v", path, row.n, err)
			}
			n++
		}
		if n != rows || n == 0 {
			t.Errorf("%s: %d rows, footer says %d", path, n, rows)
		}
	}
}

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
