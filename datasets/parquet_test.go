package datasets

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/format"
)

type plainRow struct {
	Text  string `parquet:"text,plain"`
	Pair  string `parquet:"pair,plain"`
	Label int64  `parquet:"label,plain"`
}

type dictRow struct {
	ID    int32   `parquet:"id"`
	Text  *string `parquet:"text,dict"`
	Pair  *string `parquet:"pair,dict,optional"`
	Label *int64  `parquet:"label,dict"`
}

type deltaRow struct {
	Text  string `parquet:"text,delta"`
	Pair  string `parquet:"pair,delta"`
	Label int64  `parquet:"label,delta"`
}

type otherRow struct {
	Text  string  `parquet:"text"`
	Pair  string  `parquet:"pair"`
	Label float32 `parquet:"label"`
}

// makeParquet writes rows in several row groups.
func makeParquet[T any](t testing.TB, rows []T, group int, options ...parquet.WriterOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, append(options, parquet.PageBufferSize(512))...)
	for i := 0; i < len(rows); i += group {
		if _, err := w.Write(rows[i:min(i+group, len(rows))]); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var threeColumns = Columns{"text", "pair", "label"}

func readAll(b []byte, cols Columns) (rows []row, err error) {
	readParquet(context.Background(), bytes.NewReader(b), int64(len(b)), cols, func(r row, e error) bool {
		err = e
		rows = append(rows, r)
		return e == nil
	})
	return rows, err
}

// samples are rows with repeats, empty texts and long ones.
func samples(n int) (rows []plainRow) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		rows = append(rows, plainRow{fmt.Sprintf("text %d é", r.IntN(n/2+1)), strings.Repeat("ab ", r.IntN(30)), int64(i*i%7) - 1})
	}
	return rows
}

func TestParquetForms(t *testing.T) {
	want := samples(2000)
	forms := map[string]func(...parquet.WriterOption) []byte{
		"plain": func(o ...parquet.WriterOption) []byte { return makeParquet(t, want, 300, o...) },
		"dictionary": func(o ...parquet.WriterOption) []byte {
			var rows []dictRow
			for i := range want {
				rows = append(rows, dictRow{int32(i), &want[i].Text, &want[i].Pair, &want[i].Label})
			}
			return makeParquet(t, rows, 300, o...)
		},
		"delta": func(o ...parquet.WriterOption) []byte {
			var rows []deltaRow
			for _, r := range want {
				rows = append(rows, deltaRow(r))
			}
			return makeParquet(t, rows, 2000, o...)
		},
		"float": func(o ...parquet.WriterOption) []byte {
			var rows []otherRow
			for _, r := range want {
				rows = append(rows, otherRow{r.Text, r.Pair, float32(r.Label)})
			}
			return makeParquet(t, rows, 700, o...)
		},
	}
	codecs := map[string]compress.Codec{"none": &parquet.Uncompressed, "snappy": &parquet.Snappy, "gzip": &parquet.Gzip, "zstd": &parquet.Zstd, "lz4": &parquet.Lz4Raw}
	for form, write := range forms {
		for codec, c := range codecs {
			for version := 1; version <= 2; version++ {
				got, err := readAll(write(parquet.Compression(c), parquet.DataPageVersion(version)), threeColumns)
				if err != nil || len(got) != len(want) {
					t.Fatalf("%s %s v%d: %d rows, %v", form, codec, version, len(got), err)
				}
				for i, g := range got {
					if g.text != want[i].Text || g.pair != want[i].Pair || g.label.num != float64(want[i].Label) || g.n != int64(i+1) {
						t.Fatalf("%s %s v%d: row %d: %+v, want %+v", form, codec, version, i, g, want[i])
					}
				}
			}
		}
	}
}

func TestParquetNulls(t *testing.T) {
	a, b, one := "a", "b", int64(1)
	rows := []dictRow{{1, &a, &b, &one}, {2, &b, &a, nil}, {3, &a, nil, &one}}
	file := makeParquet(t, rows, 10)
	got, err := readAll(file, Columns{Text: "text", Label: "label"})
	if err != nil || got[1].label.kind != noValue || got[2].label.num != 1 || got[1].text != "b" {
		t.Errorf("%v %v", got, err)
	}
	if _, err := readAll(file, threeColumns); err == nil || !strings.Contains(err.Error(), `"pair" is empty`) {
		t.Errorf("null text: %v", err)
	}
}

func TestParquetErrors(t *testing.T) {
	file := makeParquet(t, samples(100), 50)
	for want, cols := range map[string]Columns{
		`no column "sentence"; there are text, pair, label`:    {Text: "sentence"},
		`column "label": expected a string, found INT64`:       {Text: "label"},
		`no column "y"; there are text, pair, label`:           {Text: "text", Label: "y"},
		`column "list" is nested or repeated`:                  {Text: "list"},
		`expected a number or a string, found INT96`:           {},
		`compression BROTLI is not supported; write the file`:  {},
		`encoding BYTE_STREAM_SPLIT of FLOAT is not supported`: {},
	} {
		b := file
		switch {
		case cols.Text == "list":
			b = makeParquet(t, []struct {
				List []string `parquet:"list"`
			}{{[]string{"a"}}}, 1)
		case strings.Contains(want, "BROTLI"):
			b, cols = makeParquet(t, samples(10), 5, parquet.Compression(&parquet.Brotli)), threeColumns
		case strings.Contains(want, "BYTE_STREAM"):
			schema := parquet.NewSchema("x", parquet.Group{"text": parquet.String(), "label": parquet.Encoded(parquet.Leaf(parquet.FloatType), &parquet.ByteStreamSplit)})
			b, cols = makeParquet(t, []struct {
				Label float32 `parquet:"label"`
				Text  string  `parquet:"text"`
			}{{1, "a"}, {2, "ab"}}, 5, schema), Columns{Text: "text", Label: "label"}
		case strings.Contains(want, "INT96"):
			schema := parquet.NewSchema("x", parquet.Group{"text": parquet.String(), "label": parquet.Leaf(parquet.Int96Type)})
			var buf bytes.Buffer
			w := parquet.NewWriter(&buf, schema)
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			b, cols = buf.Bytes(), Columns{Text: "text", Label: "label"}
		}
		if _, err := readAll(b, cols); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v", want, err)
		}
	}
}

// TestParquetDamage flips every byte and cuts at every length: an error or rows, never a panic.
func TestParquetDamage(t *testing.T) {
	for _, file := range [][]byte{
		makeParquet(t, samples(60), 25, parquet.Compression(&parquet.Snappy)),
		makeParquet(t, []deltaRow{{"a", "b", 1}, {"c", "d", 2}}, 2),
	} {
		for i := range file {
			for _, flip := range []byte{1, 0x80, 0xff} {
				b := bytes.Clone(file)
				b[i] ^= flip
				readAll(b, threeColumns)
			}
			if _, err := readAll(file[:i], threeColumns); err == nil {
				t.Fatalf("cut at %d of %d is not noticed", i, len(file))
			}
		}
	}
}

// TestParquetMemoryIsFlat reads a file of some 60 MB of text in row groups and looks at the heap on the way.
func TestParquetMemoryIsFlat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "large.parquet")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := parquet.NewGenericWriter[plainRow](f, parquet.Compression(&parquet.Uncompressed))
	rows := make([]plainRow, 1000)
	for g := range 100 {
		for i := range rows {
			rows[i] = plainRow{fmt.Sprintf("%d %d %s", g, i, strings.Repeat("x", 300)), strings.Repeat("y", 280), 1}
		}
		if _, err := w.Write(rows); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	w, rows = nil, nil
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before, n := heap(), 0
	for _, err := range parquetRows(t.Context(), path, threeColumns) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n%25000 == 0 {
			if grown := heap() - before; grown > 8<<20 {
				t.Errorf("the heap grew by %d MiB after %d rows", grown>>20, n)
			}
		}
	}
	if n != 100_000 {
		t.Errorf("%d rows", n)
	}
}

func FuzzParquet(f *testing.F) {
	f.Add(makeParquet(f, samples(20), 7))
	f.Add(makeParquet(f, samples(20), 20, parquet.Compression(&parquet.Snappy), parquet.DataPageVersion(2)))
	f.Add(makeParquet(f, samples(20), 20, parquet.Compression(&parquet.Zstd)))
	f.Add(makeParquet(f, samples(20), 20, parquet.Compression(&parquet.Gzip)))
	f.Add(makeParquet(f, samples(20), 20, parquet.Compression(&parquet.Lz4Raw)))
	a, one := "a", int64(1)
	f.Add(makeParquet(f, []dictRow{{1, &a, nil, &one}, {2, &a, &a, nil}}, 2))
	f.Add(makeParquet(f, []deltaRow{{"a", "b", 1}, {"c", "d", 2}}, 2))
	f.Add(makeParquet(f, []otherRow{{"a", "b", 1}, {"c", "d", 2}}, 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		rows, err := readAll(b, threeColumns)
		runtime.ReadMemStats(&after)
		if grown := int64(after.Sys) - int64(before.Sys); grown > 512<<20 {
			t.Errorf("%d MiB for %d bytes", grown>>20, len(b))
		}
		if err == nil && len(rows) > 0 && rows[len(rows)-1].n != int64(len(rows)) {
			t.Error("rows are not numbered")
		}
	})
}

func FuzzDecompress(f *testing.F) {
	f.Add(1, []byte("\x04\x0cabcd"), 4)
	f.Add(6, []byte("\x28\xb5\x2f\xfd\x20\x01\x09\x00\x00a"), 1)
	f.Fuzz(func(t *testing.T, codec int, b []byte, size int) {
		if size < 0 || size > 4<<20 {
			return
		}
		out, err := decompress(format.CompressionCodec(codec), b, size)
		if err == nil && len(out) != size {
			t.Errorf("%d bytes, want %d", len(out), size)
		}
	})
}
