package datasets

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// write makes a file in a temporary folder.
func write(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// all reads a split.
func all(t testing.TB, ds *Dataset, split string) []Example {
	t.Helper()
	s, err := ds.Split(split)
	if err != nil {
		t.Fatal(err)
	}
	var out []Example
	for ex, err := range s.Examples(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, ex)
	}
	if int64(len(out)) != s.Rows {
		t.Errorf("split %s: %d examples, Rows is %d", split, len(out), s.Rows)
	}
	return out
}

var train = FileOptions{Split: "train"}

func TestFormats(t *testing.T) {
	zero := 0.0
	single := Columns{Text: "text", Label: "label"}
	pair := Columns{Text: "a", Pair: "b", Label: "y"}
	tests := []struct {
		name, file, content string
		cols                Columns
		opt                 FileOptions
		want                []Example
		labels              []string
	}{
		{"csv quoted", "x.csv", "id,text,label\n1,\"a, \"\"b\"\"\nc\",1\n2,  d ,0\n", single, train,
			[]Example{{"a, \"b\"\nc", "", 1}, {"  d ", "", 0}}, []string{"0", "1"}},
		{"csv with mark and CRLF", "x.CSV", "\ufefftext,label\r\na,yes\r\nb,no\r\n", single, train,
			[]Example{{"a", "", 1}, {"b", "", 0}}, []string{"no", "yes"}},
		{"csv numbered", "x.csv", "1,2.5,a\n2,-1,b\n3,0,c\n", Columns{Text: "3", Label: "2"}, FileOptions{Split: "train", LabelAbove: &zero},
			[]Example{{"a", "", 1}, {"b", "", 0}, {"c", "", 0}}, []string{"0", "1"}},
		{"tsv quotes belong to the text", "x.tsv", "a\tb\ty\n\"so\" he said\tit's 5\" wide\t1\n\"all\tof \"\"it\"\"\"\t\"\t0\n", pair, train,
			[]Example{{"\"so\" he said", "it's 5\" wide", 1}, {"all\tof \"it\"", "\"", 0}}, []string{"0", "1"}},
		{"txt headerless", "x.txt", "1\t2.2\tgood\r\n2\t-0.6\tbad", Columns{Text: "3", Label: "2"}, FileOptions{Split: "all", LabelAbove: &zero},
			[]Example{{"good", "", 1}, {"bad", "", 0}}, []string{"0", "1"}},
		{"jsonl", "x.jsonl", "{\"a\":\"x\\u00e9\",\"b\":\"\",\"y\":2}\n\n{\"y\":10,\"b\":\"z\",\"a\":\"w\"}\n{\"y\":2,\"b\":\"z\",\"a\":\"\"}", pair, train,
			[]Example{{"xé", "", 0}, {"w", "z", 1}, {"", "z", 0}}, []string{"2", "10"}},
		{"negative classes ascend by value", "x.ndjson", "{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\",\"label\":-1}\n", single, train,
			[]Example{{"a", "", 1}, {"b", "", 0}}, []string{"-1", "1"}},
		{"named classes by name or index", "x.csv", "text,label\na,pos\nb,0\n", single, FileOptions{Split: "train", Labels: []string{"neg", "pos"}},
			[]Example{{"a", "", 1}, {"b", "", 0}}, []string{"neg", "pos"}},
		{"decimals are a regression", "x.csv", "text,label\na,1\nb,2.5\n", single, train, []Example{{"a", "", 1}, {"b", "", 2.5}}, nil},
		{"no labels", "x.csv", "text\na\n", Columns{Text: "text"}, train, []Example{{"a", "", Hidden}}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ds, err := OpenFile(t.Context(), write(t, test.file, test.content), test.cols, test.opt)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, all(t, ds, test.opt.Split)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.labels, ds.Labels); diff != "" {
				t.Error(diff)
			}
			if ds.Regression() != (test.name == "decimals are a regression") {
				t.Errorf("%d labels", ds.NumLabels)
			}
		})
	}
}

func TestLocalErrors(t *testing.T) {
	zero := 0.0
	single := Columns{Text: "text", Label: "label"}
	two := FileOptions{Split: "train", Labels: []string{"neg", "pos"}}
	tests := []struct {
		name, file, content string
		cols                Columns
		opt                 FileOptions
		want                string // all parts, separated by |
	}{
		{"missing column", "x.csv", "id,sentence\n1,a\n", single, train, `no column "text"|there are id, sentence`},
		{"missing column in JSON", "x.jsonl", "{\"text\":\"a\",\"label\":1}\n{\"text\":\"a\"}\n", single, train, `row 2|no column "label"|there are text`},
		{"column number too high", "x.tsv", "a\tb\n", Columns{Text: "3"}, train, "row 1|no column 3|the row has 2"},
		{"ragged", "x.tsv", "a\tb\nc\n", Columns{Text: "1"}, train, "row 2|1 fields"},
		{"out of range", "x.csv", "text,label\na,0\nb,2\n", single, two, "row 2|label 2 is out of range|0 to 1"},
		{"negative", "x.csv", "text,label\na,-1\n", single, two, "row 1|out of range"},
		{"not an integer", "x.csv", "text,label\na,0\nb,1\nc,1.5\n", single, two, `row 3|label "1.5" is neither an integer`},
		{"unknown name", "x.csv", "text,label\na,neg\nb,nag\n", single, two, `row 2|"nag"|neg, pos`},
		{"word among numbers", "x.csv", "text,label\na,0\nb,1\nc,x\n", single, train, `row 3|label "x"|numbers so far`},
		{"empty label", "x.csv", "text,label\na,\n", single, train, "row 1|label is empty"},
		{"not a number", "x.csv", "text,label\na,x\n", single, FileOptions{Split: "train", LabelAbove: &zero}, `row 1|label "x" is not a number`},
		{"NaN", "x.csv", "text,label\na,NaN\n", single, FileOptions{Split: "train", Regression: true}, "row 1|is not a number"},
		{"one class", "x.csv", "text,label\na,1\nb,1\n", single, train, "only one distinct value"},
		{"empty file", "x.csv", "", single, train, "the file is empty"},
		{"empty split", "x.csv", "text,label\n", single, train, "split train is empty|the file has no rows"},
		{"empty hash split", "x.csv", "text,label\na,0\na,1\n", single, FileOptions{}, "split validation is empty|all 2 rows"},
		{"open quote", "x.csv", "text,label\n\"a,0\n", single, train, `row 1|quote`},
		{"text is no string", "x.jsonl", "{\"text\":7,\"label\":1}\n", single, train, `row 1|"text" is not a string`},
		{"no JSON", "x.jsonl", "text\n", single, train, "row 1|not a JSON object"},
		{"UTF-16", "x.csv", "\xff\xfet\x00", single, train, "UTF-16"},
		{"not UTF-8", "x.csv", "text,label\n\xe9,0\n", single, train, "row 1|not UTF-8"},
		{"unknown extension", "x.xls", "", single, train, `".xls" is not known`},
		{"not Parquet", "x.parquet", "PAR1PAR1PAR1PAR1", single, train, "parquet footer"},
		{"two ways", "x.csv", "text,label\na,0\n", single, FileOptions{Labels: []string{"a", "b"}, Regression: true}, "only one of"},
		{"share", "x.csv", "text,label\na,0\n", single, FileOptions{Validation: 1}, "share of validation"},
		{"no text column", "x.csv", "text,label\na,0\n", Columns{Label: "label"}, train, "no text column"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := OpenFile(t.Context(), write(t, test.file, test.content), test.cols, test.opt)
			if err == nil {
				t.Fatal("no error")
			}
			for part := range strings.SplitSeq(test.want, "|") {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q lacks %q", err, part)
				}
			}
		})
	}
}

func TestSplitByHash(t *testing.T) {
	var rows []string
	for i := range 2000 {
		rows = append(rows, fmt.Sprintf("text number %d,%d\n", i, i%2))
	}
	cols := Columns{Text: "1", Label: "2"}
	forward, err := OpenFile(t.Context(), write(t, "a.csv", strings.Join(rows, "")), cols, FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(rows)
	backward, err := OpenFile(t.Context(), write(t, "b.csv", strings.Join(rows, "")), cols, FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a, b := all(t, forward, "validation"), all(t, backward, "validation")
	slices.Reverse(b)
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("the order of rows matters: %s", diff)
	}
	if n := len(a); n < 160 || n > 240 {
		t.Errorf("%d of 2000 in validation", n)
	}
	if n := len(a) + len(all(t, forward, "train")); n != 2000 {
		t.Errorf("%d rows in both", n)
	}
	// The rule is a promise: values by Python's hashlib, int.from_bytes(sha256(text).digest()[:8], 'big') / 2**64.
	for _, known := range []struct {
		text, pair string
		hasPair    bool
		want       string
	}{{"abc", "", false, "0.7284"}, {"a", "b", true, "0.3504"}, {"ab", "", false, "0.9826"}} {
		if got := fmt.Sprintf("%.4f", fraction(known.text, known.pair, known.hasPair)); got != known.want {
			t.Errorf("fraction of %q %q: %s, want %s", known.text, known.pair, got, known.want)
		}
	}
}

func TestTSVFieldsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fields := rapid.SliceOfN(rapid.StringMatching(`[a"\t ]{0,6}`), 1, 5).Draw(t, "fields")
		quoted := make([]string, len(fields))
		for i, f := range fields {
			quoted[i] = `"` + strings.ReplaceAll(f, `"`, `""`) + `"`
		}
		if got := splitTSV(nil, strings.Join(quoted, "\t")); !slices.Equal(got, fields) {
			t.Fatalf("%q became %q", fields, got)
		}
	})
}

func FuzzDelimited(f *testing.F) {
	for _, s := range []string{"text,label\na,0\n", "text\tlabel\n\"a\tb\"\t1\r\n", "\ufefftext,label\n\"a\"\"\n\",x\n", "{\"text\":\"a\",\"label\":1}\n",
		"{\"text\":null}", "\xff\xfe", "text,label\n\"", "\n\n", "{\"text\":\"a\",\"label\":[1]}", "{\"text\":\"a\",\"label\":\"\"}"} {
		for format := range 3 {
			f.Add(format, s)
		}
	}
	f.Fuzz(func(t *testing.T, format int, content string) {
		name := []string{"x.csv", "x.tsv", "x.jsonl"}[uint(format)%3]
		path := write(t, name, content)
		ds, err := OpenFile(t.Context(), path, Columns{Text: "text", Label: "label"}, train)
		if err != nil {
			return
		}
		for _, ex := range all(t, ds, "train") {
			if !ds.Regression() && (ex.Label < 0 || int(ex.Label) >= ds.NumLabels) {
				t.Errorf("label %v of %d", ex.Label, ds.NumLabels)
			}
		}
	})
}
