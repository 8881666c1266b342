package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pema/experiments/cluster"
	"pema/results"
)

// Runs are listed, shown, exported, repeated by the command that their record gives, and held against a reference.
func TestRecordsAreUsed(t *testing.T) {
	dir := project(t, 1)
	t.Setenv("MKL_CBWR", "COMPATIBLE")
	t.Setenv("HF_TOKEN", "hf_verysecret")
	spec, out := filepath.Join(dir, "spec.yaml"), filepath.Join(dir, "out")
	ok := func(args ...string) string {
		t.Helper()
		code, o, e := call(t, "", args...)
		if code != 0 {
			t.Fatalf("%v: exit %d\n%s%s", args, code, o, e)
		}
		return o
	}
	ok("run", spec, "--out", out, "--device", "cpu", "--only", "seed=1", "--report=false")
	if _, err := os.Stat(filepath.Join(out, "report.html")); err == nil {
		t.Error("--report=false made a report")
	}
	if code, _, e := call(t, "", "run", spec, "--out", out, "--device", "cpu", "--only", "seed=7"); code != 2 || !strings.Contains(e, "fits no run") {
		t.Errorf("--only that fits nothing: exit %d, %s", code, e)
	}
	if lines := strings.Count(ok("results", "list", "--out", out, "--only", "variant=pe*"), "\n"); lines != 1 {
		t.Errorf("%d lines of one run", lines)
	}
	var row map[string]any
	if err := json.Unmarshal([]byte(ok("results", "list", "--out", out, "--json", "--only", "variant=pema")), &row); err != nil || row["metric_accuracy"] == nil {
		t.Fatalf("%v: %v", err, row)
	}
	id := row["id"].(string)
	rec := records(t, out)["pema1"]
	if rec.ID != id || rec.Variables["MKL_CBWR"] != "COMPATIBLE" {
		t.Errorf("%s, %v", rec.ID, rec.Variables)
	}
	text, _ := os.ReadFile(filepath.Join(out, "runs", id+".json"))
	if strings.Contains(string(text), "verysecret") {
		t.Error("the record holds the token")
	}
	if got := ok("results", "show", id[:6], "--out", out, "--json"); got != string(text) {
		t.Error("--json is not the record")
	}

	script := ok("results", "show", id[:6], "--out", out, "--reproduce")
	var again []string
	for line := range strings.Lines(script) {
		if _, rest, ok := strings.Cut(line, "bin/pema run "); ok {
			again = append([]string{"run"}, strings.Fields(rest)...)
		}
	}
	if again == nil || !strings.Contains(script, "MKL_CBWR=COMPATIBLE") || strings.Contains(script, "HF_HOME") || strings.Contains(script, "warning: spec") {
		t.Fatalf("reproduce:\n%s", script)
	}
	t.Chdir(dir)
	ok(again...)
	if got := ok("results", "compare", "out", again[len(again)-1], "--only", "id="+id); !strings.Contains(got, "same   same") || strings.Contains(got, "missed") || strings.Contains(got, "absent") {
		t.Errorf("the repeated run:\n%s", got)
	}

	ok("export", "--out", out)
	for _, f := range []string{"runs.parquet", "runs.jsonl"} {
		if st, err := os.Stat(filepath.Join(out, f)); err != nil || st.Size() == 0 {
			t.Error(err)
		}
	}
	if n := strings.Count(ok("export", "--out", out, "--to", "-"), "\n"); n != 2 {
		t.Errorf("%d lines of 2 runs", n)
	}
	ok("check", "--reference", out, "--out", again[len(again)-1], "--only", "variant=pema")
	store, err := results.Open(again[len(again)-1])
	if err != nil {
		t.Fatal(err)
	}
	rec.Memory.PeakAllocated += 512
	rec.Memory.Ledger.Activations += 512
	if err := store.Write(rec); err != nil {
		t.Fatal(err)
	}
	code, o, _ := call(t, "", "check", "--reference", out, "--out", again[len(again)-1], "--json")
	var verdict struct {
		OK       bool
		Findings []results.Finding
	}
	if err := json.Unmarshal([]byte(o), &verdict); err != nil || code != 3 || verdict.OK {
		t.Fatalf("exit %d, %v\n%s", code, err, o)
	}
	bad := map[string]bool{}
	for _, f := range verdict.Findings {
		if f.Bad() {
			bad[f.Variant+" "+f.Verdict+" "+f.Figure] = true
		}
	}
	if len(bad) != 3 || !bad["pema missed peak_allocated"] || !bad["pema missed ledger"] || !bad["baseline absent run"] {
		t.Errorf("%v", bad)
	}
	for _, args := range [][]string{{"results"}, {"results", "lst"}, {"results", "show", "--out", out}, {"results", "show", "", "--out", out}, {"results", "compare", out}, {"check", "--out", out},
		{"export", "--out", out, "--to", "x.csv"}, {"results", "list", "--only", "colour=red", "--out", out}, {"results", "list", "--only", "model=[", "--out", out}} {
		if code, _, e := call(t, "", args...); code != 2 {
			t.Errorf("%v: exit %d, %s", args, code, e)
		}
	}
	if code, _, e := call(t, "", "results", "list", "--out", filepath.Join(dir, "nowhere")); code != 1 || !strings.Contains(e, "hint") {
		t.Errorf("no folder: exit %d, %s", code, e)
	}
}

// What would be submitted is what has no record; a dry run writes nothing.
func TestSubmitWhatIsMissing(t *testing.T) {
	dir := project(t, 1)
	t.Setenv("PATH", "") // no Slurm
	spec, out := filepath.Join(dir, "spec.yaml"), filepath.Join(dir, "out")
	code, o, e := call(t, "", "submit", spec, "--out", out, "--dry-run", "--array-slots", "2", "--mem", "3G", "--time", "90m")
	if code != 0 || !strings.Contains(o, "#SBATCH --array=0-3%2") || !strings.Contains(o, "#SBATCH --mem=3072M") || !strings.Contains(o, "#SBATCH --time=90") || strings.Contains(o, "fetch") {
		t.Fatalf("exit %d\n%s%s", code, o, e)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a dry run made the output folder")
	}
	if code, _, e := call(t, "", "submit", spec, "--out", out); code != 1 || !strings.Contains(e, "sbatch") {
		t.Errorf("without Slurm: exit %d, %s", code, e)
	}
	if left, _ := filepath.Glob(filepath.Join(out, "submit", "pema-*")); len(left) > 0 {
		t.Errorf("what was not handed over is remembered: %v", left)
	}
	if code, _, e := call(t, "", "run", spec, "--out", out, "--device", "cpu", "--only", "seed=1", "--report=false"); code != 0 {
		t.Fatal(e)
	}
	kubernetes := []string{"submit", spec, "--out", out, "--engine", "kubernetes", "--image", "pema", "--volume", "claim:" + dir, "--json"}
	code, o, e = call(t, "", kubernetes...)
	var sub struct {
		Name, Folder string
		Done         int
		Tasks        []cluster.Task
	}
	if err := json.Unmarshal([]byte(o), &sub); err != nil || code != 0 || sub.Done != 2 || len(sub.Tasks) != 2 || sub.Tasks[0].Seconds <= 0 || sub.Tasks[0].Memory <= 1<<30 {
		t.Fatalf("exit %d, %v\n%s%s", code, err, o, e)
	}
	if b, err := os.ReadFile(filepath.Join(sub.Folder, "job.yaml")); err != nil || !strings.Contains(string(b), "completions: 2") {
		t.Errorf("%v\n%s", err, b)
	}
	states := func() string {
		code, o, e := call(t, "", "submit", "--status", "--out", out, "--json", sub.Name)
		var list struct{ Runs []taskStatus }
		if err := json.Unmarshal([]byte(o), &list); err != nil || code != 0 || len(list.Runs) != 2 {
			t.Fatalf("exit %d, %v\n%s%s", code, err, o, e)
		}
		return list.Runs[0].State + " " + list.Runs[1].State
	}
	if s := states(); s != "missing missing" {
		t.Error(s)
	}
	if code, _, e := call(t, "", "run", spec, "--out", out, "--device", "cpu", "--only", "id="+sub.Tasks[1].ID, "--report=false"); code != 0 {
		t.Fatal(e)
	}
	if s := states(); s != "missing done" {
		t.Error(s)
	}
	for _, args := range [][]string{{"submit"}, {"submit", spec, "--engine", "pbs"}, {"submit", spec, "--engine", "kubernetes"}, {"submit", spec, "--mem", "3X"}, {"submit", spec, "--device", "tpu"},
		{"submit", spec, "--wait", "1m"}, {"submit", "--status", "nothing", "--out", out}} {
		if code, _, e := call(t, "", args...); code != 2 {
			t.Errorf("%v: exit %d, %s", args, code, e)
		}
	}
}
