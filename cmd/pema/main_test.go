package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pema/internal/tiny"
	"pema/results"
)

// TestMain lets the test binary be pema itself, so that a test can kill it.
func TestMain(m *testing.M) {
	if os.Getenv("PEMA_TEST_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// project makes a folder with a model, data and a spec of 4 runs, and returns it with an empty cache in force.
func project(t *testing.T, epochs int) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("PEMA_CACHE", filepath.Join(dir, "cache"))
	t.Setenv("HF_HOME", filepath.Join(dir, "hf"))
	t.Setenv("HF_HUB_OFFLINE", "1")
	tiny.BERT(t, filepath.Join(dir, "model"))
	tiny.CSV(t, filepath.Join(dir, "data.csv"), 200)
	spec := fmt.Sprintf(`name: tiny
title: A tiny model
measure: accuracy
models: [small]
datasets: [words]
variants: [baseline, pema]
seeds: [1, 2]
training: {batch_size: 16, eval_batch_size: 32, max_length: 16, optimizer: adamw-fused, learning_rate: 1e-3, epochs: %d}
local:
  models: {small: model}
  datasets:
    words: {file: data.csv, text: text, label: label, validation: 0.2}
`, epochs)
	if err := os.WriteFile(filepath.Join(dir, "spec.yaml"), []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func call(t *testing.T, in string, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(context.Background(), args, strings.NewReader(in), &o, &e)
	return code, o.String(), e.String()
}

func all(t *testing.T, out string) []*results.Record {
	t.Helper()
	s, err := results.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	all, broken, err := s.All()
	if err != nil || len(broken) > 0 {
		t.Fatal(err, broken)
	}
	return all
}

func records(t *testing.T, out string) map[string]*results.Record {
	t.Helper()
	m := map[string]*results.Record{}
	for _, r := range all(t, out) {
		m[fmt.Sprint(r.Variant, r.Seed)] = r
	}
	return m
}

func TestRunThenReportThenNothingToDo(t *testing.T) {
	dir := project(t, 2)
	spec, out := filepath.Join(dir, "spec.yaml"), filepath.Join(dir, "out")
	code, table, log := call(t, "", "run", spec, "--out", out, "--device", "cpu")
	if code != 0 || !strings.Contains(table, "small") {
		t.Fatalf("exit %d\n%s\n%s", code, table, log)
	}
	r := records(t, out)
	if len(r) != 4 {
		t.Fatalf("%d records", len(r))
	}
	peaks := map[string][]int64{}
	for _, rec := range r {
		if rec.State != results.Done || rec.Memory.Ledger.Sum() != rec.Memory.PeakAllocated || rec.Memory.Ledger.Activations <= 0 {
			t.Errorf("%s seed %d: %s %s, ledger %d of %d", rec.Variant, rec.Seed, rec.State, rec.Error, rec.Memory.Ledger.Sum(), rec.Memory.PeakAllocated)
		}
		if a, ok := rec.Metrics["accuracy"]; !ok || a < 0.3 {
			t.Errorf("%s seed %d: metrics %v", rec.Variant, rec.Seed, rec.Metrics)
		}
		peaks[rec.Variant] = append(peaks[rec.Variant], rec.Memory.PeakAllocated)
	}
	for v, p := range peaks {
		if p[0] != p[1] {
			t.Errorf("%s: the peak depends on the seed: %v", v, p)
		}
	}
	for _, seed := range []string{"1", "2"} {
		b, p := r["baseline"+seed], r["pema"+seed]
		if !slices.Equal(b.Losses, p.Losses) || len(b.Losses) == 0 || b.FinalWeights != p.FinalWeights || b.FinalWeights == "" {
			t.Errorf("seed %s: baseline and PEMA differ", seed)
		}
		if p.Parameters.Embedding != p.Vocabulary.Kept*tiny.Hidden || p.Vocabulary.Kept >= tiny.Rows/2 || p.Parameters.FullTotal != b.Parameters.Total {
			t.Errorf("seed %s: %+v %+v", seed, p.Parameters, p.Vocabulary)
		}
	}
	if slices.Equal(r["pema1"].Losses, r["pema2"].Losses) {
		t.Error("two seeds gave the same losses")
	}
	for _, f := range []string{"tables/tiny.md", "tables/tiny.csv", "report.html"} {
		if st, err := os.Stat(filepath.Join(out, f)); err != nil || st.Size() == 0 {
			t.Errorf("%s: %v", f, err)
		}
	}
	if code, _, log := call(t, "", "run", spec, "--out", out, "--device", "cpu"); code != 0 || !strings.Contains(log, "0 runs done, 4 were there") {
		t.Errorf("second call: exit %d\n%s", code, log)
	}
	code, list, _ := call(t, "", "plan", spec, "--out", out, "--json")
	var plan struct {
		Runs []struct{ ID, State string }
	}
	if err := json.Unmarshal([]byte(list), &plan); err != nil || code != 0 || len(plan.Runs) != 4 || plan.Runs[0].State != "done" {
		t.Errorf("plan: exit %d, %v\n%s", code, err, list)
	}
}

// Killed in mid-training, nothing recorded is lost, and the next call goes on to what an unbroken one gives.
func TestKillLosesNothing(t *testing.T) {
	dir := project(t, 12)
	spec, out := filepath.Join(dir, "spec.yaml"), filepath.Join(dir, "out")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, "run", spec, "--out", out, "--device", "cpu")
	c.Env = append(os.Environ(), "PEMA_TEST_MAIN=1")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(2 * time.Minute)
	for {
		if found, _ := filepath.Glob(filepath.Join(out, "runs", "*.json")); len(found) > 0 {
			break
		}
		if time.Now().After(deadline) {
			c.Process.Kill() //nolint:errcheck // the test has failed
			t.Fatal("no record in two minutes")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	c.Wait() //nolint:errcheck // killed
	before := records(t, out)
	if len(before) == 0 || len(before) == 4 {
		t.Fatalf("%d records at the kill", len(before))
	}
	if code, _, log := call(t, "", "run", spec, "--out", out, "--device", "cpu"); code != 0 || !strings.Contains(log, fmt.Sprintf("%d were there", len(before))) {
		t.Fatalf("exit %d\n%s", code, log)
	}
	whole := filepath.Join(dir, "whole")
	if code, _, log := call(t, "", "run", spec, "--out", whole, "--device", "cpu"); code != 0 {
		t.Fatal(log)
	}
	after := records(t, out)
	for k, want := range records(t, whole) {
		got := after[k]
		if got == nil || !slices.Equal(got.Losses, want.Losses) || got.FinalWeights != want.FinalWeights || got.Memory.PeakAllocated != want.Memory.PeakAllocated {
			t.Errorf("%s differs from an unbroken run", k)
		}
	}
}

func TestBadInput(t *testing.T) {
	dir := project(t, 1)
	spec := filepath.Join(dir, "spec.yaml")
	text, err := os.ReadFile(spec)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		old, new string
		code     int
		want     string
	}{
		"unknown key":     {"seeds:", "seed: 3\nseeds:", exitUsage, "spec.yaml:7:1"},
		"unknown model":   {"models: [small]", "models: [large]", exitFailure, "large"},
		"no such column":  {"label: label", "label: score", exitFailure, "score"},
		"no weights":      {"small: model", "small: .", exitFailure, "config.json"},
		"form":            {"adamw-fused", "sgd", exitUsage, "sgd"},
		"too long":        {"max_length: 16", "max_length: 64", exitFailure, "32 positions"},
		"everything kept": {"validation: 0.2", "validation: 1.5", exitFailure, "1.5"},
	} {
		bad := filepath.Join(dir, "bad", "spec.yaml")
		if err := os.MkdirAll(filepath.Dir(bad), 0o755); err != nil {
			t.Fatal(err)
		}
		s := strings.Replace(string(text), c.old, c.new, 1)
		s = strings.NewReplacer("small: model}", "small: ../model}", "file: data.csv", "file: ../data.csv").Replace(s)
		if err := os.WriteFile(bad, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), "out")
		code, _, log := call(t, "", "run", bad, "--out", out, "--device", "cpu")
		said := log
		if found, _ := filepath.Glob(filepath.Join(out, "runs", "*.json")); len(found) > 0 {
			for _, r := range records(t, out) {
				said += r.Error
			}
		}
		if code != c.code || !strings.Contains(said, c.want) {
			t.Errorf("%s: exit %d, want %d and %q\n%s", name, code, c.code, c.want, said)
		}
	}
	if code, _, log := call(t, "", "run", spec, "--device", "cuda:99", "--out", filepath.Join(dir, "o")); code != exitFailure || !strings.Contains(log, "not there") {
		t.Errorf("device: exit %d\n%s", code, log)
	}
	if code, _, _ := call(t, "", "run"); code != exitUsage {
		t.Errorf("no spec: exit %d", code)
	}
}

func TestEncodeAndVocab(t *testing.T) {
	dir := project(t, 1)
	model := filepath.Join(dir, "model")
	code, out, log := call(t, tiny.Word(10)+" nothing\n"+tiny.Word(5)+"\n", "encode", "--model", model)
	if code != 0 || out != "[2,10,1,3]\n[2,5,3]\n" {
		t.Errorf("encode: exit %d %q %s", code, out, log)
	}
	code, out, log = call(t, "", "vocab", "--model", model, "--file", filepath.Join(dir, "data.csv"), "--columns", "text", "--json")
	var v struct{ Rows, Used, Examples int }
	if err := json.Unmarshal([]byte(out), &v); err != nil || code != 0 || v.Rows != tiny.Rows || v.Used < 10 || v.Used > tiny.Rows/2 || v.Examples != 200 {
		t.Errorf("vocab: exit %d %v %s %s", code, err, out, log)
	}

	// The growth of the same text ends where counting does.
	var g struct {
		Dataset, UsedSHA256                  string
		Examples, Tokens, Rows, Used, Orders int
		Splits                               []string
		Points                               []struct{ Examples, Tokens, Used, Low, High float64 }
		Heaps                                struct{ K, Beta, R2 float64 }
	}
	args := []string{"vocab", "--model", model, "--file", filepath.Join(dir, "data.csv"), "--columns", "text", "--growth", "--orders", "3"}
	code, out, log = call(t, "", append(args, "--json")...)
	if err := json.Unmarshal([]byte(out), &g); err != nil || code != 0 {
		t.Fatalf("growth: exit %d %v %s", code, err, log)
	}
	last := g.Points[len(g.Points)-1]
	if g.Used != v.Used || g.Examples != v.Examples || g.Orders != 3 || last.Used != float64(v.Used) || last.Low != last.High || last.Tokens != float64(g.Tokens) ||
		g.Points[0].Examples != 1 || g.Heaps.Beta <= 0 || g.Heaps.K <= 0 {
		t.Errorf("growth: %s", out)
	}
	code, again, _ := call(t, "", append(args, "--json")...)
	if code != 0 || again != out {
		t.Errorf("the same seed gives another curve: exit %d\n%s%s", code, out, again)
	}
	code, out, log = call(t, "", args...)
	if code != 0 || log != "" || !strings.Contains(out, "Heaps' law") || strings.Count(out, "\n") < 10 {
		t.Errorf("growth for people: exit %d\n%s%s", code, out, log)
	}
	if code, _, log := call(t, "", append(args, "--orders", "0")...); code != exitUsage || !strings.Contains(log, "--orders") {
		t.Errorf("no order: exit %d %s", code, log)
	}
}
