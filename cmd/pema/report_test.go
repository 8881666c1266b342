package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pema/results"
)

func record(id, variant string, seed, peak int64) *results.Record {
	r := &results.Record{Schema: results.Schema, ID: id, State: results.Done, Model: "org/small", Dataset: "words", Variant: variant, Seed: seed,
		Spec: results.Spec{Name: "tiny", Title: "A tiny model", Measure: "memory"}, Finished: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Vocabulary: results.Vocabulary{Rows: 400, Used: 90, Kept: 93, Splits: []string{"train"}}, Losses: results.Floats{0.7, 0.6}, FinalWeights: "ab"}
	l := results.Ledger{ParametersEmbedding: peak / 2, Activations: peak - peak/2}
	r.Memory = &results.Memory{PeakAllocated: peak, Phase: "backward", Phases: map[string]int64{"backward": peak}, Ledger: l}
	return r
}

func outFolder(t *testing.T, records ...*results.Record) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "out")
	s, err := results.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if err := s.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestReportPrintsOneTable(t *testing.T) {
	out := outFolder(t, record("a", "baseline", 1, 4096), record("b", "pema", 1, 1024))
	for format, want := range map[string]string{"terminal": "───", "markdown": "| --- |", "latex": `\toprule`, "html": "<table", "csv": "peak PEMA [B]"} {
		code, text, log := call(t, "", "report", "--out", out, "--format", format, "--table", "tiny")
		if code != 0 || !strings.Contains(text, want) || strings.Contains(text, "What the peak") || log != "" {
			t.Errorf("%s: exit %d\n%s\n%s", format, code, text, log)
		}
	}
	_, text, _ := call(t, "", "report", "--out", out, "--format", "csv", "--table", "tiny-ledger")
	if rows, err := csv.NewReader(strings.NewReader(text)).ReadAll(); err != nil || len(rows) != 3 {
		t.Errorf("CSV on stdout: %v, %v", rows, err)
	}
	if _, err := os.Stat(filepath.Join(out, "report.html")); err == nil {
		t.Error("printing a table wrote files")
	}
	code, text, _ := call(t, "", "report", "--out", out, "--json", "--table", "tiny,tiny-ledger")
	var got struct {
		Tables []struct {
			Name    string
			Columns []struct{ Name, Unit string }
			Rows    [][]struct {
				Text  string
				Value *float64
				Runs  []string
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil || code != 0 || len(got.Tables) != 2 {
		t.Fatalf("exit %d, %v\n%s", code, err, text)
	}
	for i, c := range got.Tables[0].Columns {
		if c.Name == "peak baseline" {
			if cell := got.Tables[0].Rows[0][i]; c.Unit != "B" || *cell.Value != 4096 || cell.Runs[0] != "a" {
				t.Errorf("peak baseline: %+v %+v", c, cell)
			}
			return
		}
	}
	t.Error("no peak in the JSON")
}

func TestReportRefuses(t *testing.T) {
	out := outFolder(t, record("a", "baseline", 1, 4096))
	nowhere := filepath.Join(t.TempDir(), "typo")
	for _, tc := range []struct {
		code int
		want string
		args []string
	}{
		{2, "there are: tiny, tiny-ledger", []string{"--out", out, "--table", "memory-glue"}},
		{2, "terminal, markdown, csv, latex, html, json", []string{"--out", out, "--format", "word"}},
		{2, "--watch", []string{"--out", out, "--watch", "--table", "tiny"}},
		{2, "--compare", []string{"--out", out, "--compare", out, "--table", "tiny"}},
		{2, "exclude", []string{"--out", out, "--json", "--format", "csv"}},
		{1, "no output folder", []string{"--out", nowhere}},
		{1, "no output folder", []string{"--out", out, "--compare", nowhere}},
		{1, "pema run sample", []string{"--out", outFolder(t)}},
	} {
		code, text, log := call(t, "", append([]string{"report"}, tc.args...)...)
		if code != tc.code || !strings.Contains(log, tc.want) || text != "" {
			t.Errorf("%v: exit %d %q, want %d with %q", tc.args, code, log, tc.code, tc.want)
		}
	}
	if _, err := os.Stat(nowhere); err == nil {
		t.Error("a mistyped folder was made")
	}
}

func TestReportListsAndCompares(t *testing.T) {
	a := outFolder(t, record("a", "baseline", 1, 4096), record("b", "pema", 1, 1024))
	b := outFolder(t, record("a", "baseline", 1, 4096), record("b", "pema", 1, 2048))
	if code, text, log := call(t, "", "report", "--out", a, "--list"); code != 0 || !strings.Contains(text, "tiny-ledger") || !strings.Contains(text, "plot") {
		t.Errorf("--list: exit %d\n%s%s", code, text, log)
	}
	code, text, log := call(t, "", "report", "--out", a, "--compare", b, "--format", "csv")
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if code != 0 || err != nil || len(rows) != 3 || !strings.Contains(text, "100") || !strings.Contains(text, "same") {
		t.Errorf("--compare: exit %d, %v\n%s%s", code, err, text, log)
	}
}

// lockedBuffer is a writer that a test may read while a command writes to it.
type lockedBuffer struct {
	sync.Mutex
	b bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.Lock()
	defer l.Unlock()
	return l.b.String()
}

// A watched folder may be empty at first; each change of its records is told and makes the page anew; the end of the
// context is the proper end.
func TestReportWatch(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var log lockedBuffer
	end := make(chan int, 1)
	go func() {
		end <- run(ctx, []string{"report", "--out", out, "--watch"}, strings.NewReader(""), &log, &log)
	}()
	await := func(what string) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !strings.Contains(log.String(), what); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("never said %q:\n%s", what, log.String())
			}
		}
	}
	await("no records yet")
	s, err := results.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(record("a", "baseline", 1, 4096)); err != nil {
		t.Fatal(err)
	}
	await("1 record, 1 done")
	if err := s.Write(record("b", "pema", 1, 1024)); err != nil {
		t.Fatal(err)
	}
	await("2 records (+1), 2 done")
	page, err := os.ReadFile(filepath.Join(out, "report.html"))
	if err != nil || !strings.Contains(string(page), "2 run records") {
		t.Errorf("the page is not made anew: %v", err)
	}
	stop()
	if code := <-end; code != 0 {
		t.Errorf("exit %d", code)
	}
}
