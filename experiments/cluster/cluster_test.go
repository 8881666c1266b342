package cluster

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"pema/results"
)

var manifest = flag.String("manifest", "", "folder in which TestManifest leaves its manifests, for kubernetes/run.sh")

func job(t *testing.T, n int) *Job {
	t.Helper()
	j := &Job{Pema: "/opt/pema", Specs: []string{"sample", "my spec.yaml"}, Out: filepath.Join(t.TempDir(), "it's out 100%"), Dir: "/home/me", Device: "cuda", Fetch: true, Slots: 2, CPUs: 4, Partition: "gpu"}
	for i := range n {
		j.Tasks = append(j.Tasks, Task{ID: fmt.Sprintf("id%d", i), Label: "m on d,\tpema\nseed 1", Memory: int64(n-i) << 30, Seconds: 100})
	}
	return j
}

// fake answers as Slurm's commands do and keeps what it was asked.
type fake struct {
	asked  [][]string
	jobs   int
	refuse string // part of a script's name that sbatch refuses
	squeue string
	sacct  string
}

func (f *fake) command(_ context.Context, name string, args ...string) ([]byte, error) {
	f.asked = append(f.asked, append([]string{name}, args...))
	switch name {
	case "sbatch":
		if f.refuse != "" && strings.Contains(args[len(args)-1], f.refuse) {
			return nil, errors.New("sbatch: error: invalid partition")
		}
		f.jobs++
		return fmt.Appendf(nil, "%d;a cluster\n", f.jobs), nil
	case "squeue":
		return []byte(f.squeue), nil
	case "sacct":
		if f.sacct == "" {
			return nil, errors.New("Slurm accounting storage is disabled")
		}
		return []byte(f.sacct), nil
	}
	return nil, nil
}

func TestSlurmSubmit(t *testing.T) {
	j, f := job(t, 5), &fake{}
	s := &Slurm{Command: f.command, MaxArray: 4}
	sub := New("slurm", j, time.Unix(1e9, 0))
	if err := s.Submit(t.Context(), j, sub); err != nil {
		t.Fatal(err)
	}
	var got [][]string
	for _, a := range f.asked {
		a[len(a)-1] = filepath.Base(a[len(a)-1])
		got = append(got, a)
	}
	if d := cmp.Diff([][]string{
		{"sbatch", "--parsable", "fetch.sbatch"},
		{"sbatch", "--parsable", "--kill-on-invalid-dep=yes", "--dependency=afterok:1", "run-1.sbatch"},
		{"sbatch", "--parsable", "--dependency=afterany:2", "run-2.sbatch"}, // an array after the other: the slots hold for all
		{"sbatch", "--parsable", "--dependency=afterany:2:3", "report.sbatch"},
	}, got); d != "" {
		t.Error(d)
	}
	text, err := os.ReadFile(filepath.Join(sub.Dir(j.Out), "run-2.sbatch"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"#SBATCH --array=0-1%2\n", "#SBATCH --mem=5120M\n", "#SBATCH --cpus-per-task=4\n", "#SBATCH --time=15\n", "#SBATCH --gres=gpu:1\n", "#SBATCH --partition=gpu\n", "#SBATCH --requeue\n", "100%%"} {
		if !strings.Contains(string(text), line) {
			t.Errorf("no %q in\n%s", line, text)
		}
	}
	// The script itself, with a pema that prints what it is called with: words stay whole, the index finds its run.
	pema := filepath.Join(t.TempDir(), "pema")
	if err := os.WriteFile(pema, []byte("#!/bin/sh\nprintf '<%s>' \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	script := strings.Replace(string(text), "/opt/pema", pema, 1)
	for i, id := range []string{"id1", "id0"} { // the smaller need goes first: id4, id3, id2 are in run-1
		c := exec.Command("bash", "-c", script)
		c.Env = []string{fmt.Sprint("SLURM_ARRAY_TASK_ID=", i), "PATH=" + os.Getenv("PATH")}
		out, err := c.CombinedOutput()
		if want := fmt.Sprintf("<run><sample><my spec.yaml><--out><%s><--device><cuda:0><--report=false><--only><id=%s>", j.Out, id); err != nil || string(out) != want {
			t.Errorf("task %d: %v\n%s\nwant\n%s", i, err, out, want)
		}
	}
	subs, err := Submissions(j.Out)
	if err != nil || len(subs) != 1 {
		t.Fatal(subs, err)
	}
	if d := cmp.Diff(sub, subs[0]); d != "" {
		t.Errorf("read back:\n%s", d)
	}
	if log := sub.Log(j.Out, 4); filepath.Base(log) != "run-2-1.log" {
		t.Error(log)
	}
}

func TestSlurmRefuses(t *testing.T) {
	j, f := job(t, 2), &fake{refuse: "report"}
	s := &Slurm{Command: f.command}
	if err := s.Submit(t.Context(), j, New("slurm", j, time.Unix(1e9, 0))); err == nil || !strings.Contains(err.Error(), "report: sbatch: error: invalid partition") {
		t.Error(err)
	}
	var cancelled []string
	for _, a := range f.asked {
		if a[0] == "scancel" {
			cancelled = append(cancelled, a[1])
		}
	}
	if !slices.Equal(cancelled, []string{"1", "2"}) {
		t.Errorf("cancelled %v", cancelled)
	}
}

func TestSlurmStates(t *testing.T) {
	j := job(t, 6)
	sub := &Submission{Name: "pema-a", Engine: "slurm", Created: time.Unix(1e9, 0), Tasks: j.Tasks, Parts: []*Part{{Name: "fetch"}, {Name: "run-1", Count: 4}, {Name: "run-2", First: 4, Count: 2}, {Name: "report"}}}
	later := &Submission{Name: "pema-b", Engine: "slurm", Created: time.Unix(2e9, 0), Tasks: j.Tasks[:1], Parts: []*Part{{Name: "run-1", Count: 1}}}
	f := &fake{
		squeue: "pema-a-run-1|7_0|CANCELLED|None\npema-a-run-1|7_1|RUNNING|None\npema-a-run-1|7_2|COMPLETING|None\npema-a-run-1|7_[3]|PENDING|JobArrayTaskLimit\n" +
			"pema-a-run-2|8_0|PENDING|DependencyNeverSatisfied\npema-b-run-1|9_0|PENDING|Resources\npema-a-fetch|6_N/A|RUNNING|None\nother|1_0|RUNNING|None\npema-a-run-1|7_77|RUNNING|None\n\n|",
		sacct: "pema-a-run-2|8_1|CANCELLED by 0\npema-a-run-1|7_1|FAILED\n",
	}
	got, err := (&Slurm{Command: f.command}).States(t.Context(), []*Submission{sub, later})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]State{
		"id0": {Job: "9_0", State: "PENDING", Reason: "Resources"}, // the later submission's
		"id1": {Job: "7_1", State: "RUNNING"},                      // squeue knows better than the accounting
		"id2": {Job: "7_2", State: "COMPLETING"},
		"id3": {Job: "7_3", State: "PENDING", Reason: "JobArrayTaskLimit"},
		"id4": {Job: "8_0", State: "PENDING", Reason: "DependencyNeverSatisfied"},
		"id5": {Job: "8_1", State: "CANCELLED"},
	}, got); d != "" {
		t.Error(d)
	}
	for id, waits := range map[string]bool{"id0": true, "id1": true, "id2": false, "id3": true, "id4": false, "id5": false, "none": false} {
		if got[id].Waits() != waits {
			t.Errorf("%s waits: %v", id, !waits)
		}
	}
}

func TestIndices(t *testing.T) {
	for text, want := range map[string][]int{"3": {3}, "[0-2,5%2]": {0, 1, 2, 5}, "N/A": nil, "": nil, "[4,6-7]": {4, 6, 7}, "5-3": nil} {
		if got := indices(text); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func FuzzStates(f *testing.F) {
	f.Add("pema-a-run-1|7_[0-3%2]|PENDING|x\n")
	f.Add("pema-a-run-1|_|")
	f.Fuzz(func(t *testing.T, text string) {
		sub := &Submission{Name: "pema-a", Engine: "slurm", Tasks: []Task{{ID: "x"}}, Parts: []*Part{{Name: "run-1", Count: 3}}}
		got, err := (&Slurm{Command: (&fake{squeue: text}).command}).States(t.Context(), []*Submission{sub})
		if err != nil || len(got) > 1 {
			t.Fatal(got, err)
		}
	})
}

func FuzzQuote(f *testing.F) {
	f.Add("it's $HOME `x` \\ \"\n*")
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsRune(s, 0) {
			t.Skip("no word of a shell's")
		}
		out, err := exec.Command("sh", "-c", "printf %s "+quote(s)).Output()
		if err != nil || string(out) != s {
			t.Fatalf("%q became %q: %v", s, out, err)
		}
	})
}

func TestManifest(t *testing.T) {
	j := job(t, 3)
	j.Out, j.Image, j.Volume, j.Mount, j.Pema = "/data/out", "registry.example/pema:1", "claim", "/data", "pema"
	for _, name := range []string{"full", "plain"} {
		if name == "plain" {
			j.Fetch, j.Device, j.Slots, j.Tasks = false, "cpu", 0, []Task{{ID: "id0"}, {ID: "id1", Label: "m on d, pema seed 1"}, {ID: "id2"}}
		}
		text, err := Manifest(j, New("kubernetes", j, time.Unix(1e9, 0)))
		if err != nil {
			t.Fatal(err)
		}
		if *manifest != "" {
			if err := results.WriteFile(filepath.Join(*manifest, name+".yaml"), text); err != nil {
				t.Fatal(err)
			}
		}
		var kinds []string
		for doc := range strings.SplitSeq(string(text), "\n---\n") {
			var d struct {
				Kind string
				Data map[string]string
				Spec struct {
					Completions, Parallelism int
					CompletionMode           string `yaml:"completionMode"`
					Template                 struct {
						Spec struct {
							Containers, InitContainers []struct {
								Command   []string
								Resources struct{ Limits map[string]string }
							}
						}
					}
				}
			}
			if err := yaml.Unmarshal([]byte(doc), &d); err != nil {
				t.Fatalf("%v\n%s", err, doc)
			}
			kinds = append(kinds, d.Kind)
			if d.Kind == "ConfigMap" {
				if lines := strings.Split(d.Data["tasks.tsv"], "\n"); len(lines) != 4 || lines[1] != "id1\tm on d, pema seed 1" {
					t.Errorf("list %q", lines)
				}
			}
			if d.Spec.CompletionMode == "Indexed" {
				c := d.Spec.Template.Spec.Containers[0]
				if d.Spec.Completions != 3 || name == "full" && (d.Spec.Parallelism != 2 || c.Resources.Limits["memory"] != "3072Mi" || c.Resources.Limits["nvidia.com/gpu"] != "1") {
					t.Errorf("%s: %+v", name, d)
				}
				if !strings.Contains(c.Command[2], "'my spec.yaml' --out /data/out") {
					t.Error(c.Command)
				}
			}
		}
		if !slices.Equal(kinds, []string{"ConfigMap", "Job", "Job"}) {
			t.Error(kinds)
		}
	}
	j.Out = "/elsewhere"
	if _, err := Manifest(j, New("kubernetes", j, time.Unix(1e9, 0))); err == nil {
		t.Error("an output folder outside the volume")
	}
}

func TestSubmissionCutInHalf(t *testing.T) {
	j := job(t, 1)
	sub := New("slurm", j, time.Unix(1e9, 0))
	if err := sub.Write(j.Out, nil); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(sub.Dir(j.Out), "submission.json")
	text, _ := os.ReadFile(path)
	if err := os.WriteFile(path, text[:len(text)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Submissions(j.Out); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("%v does not name the file", err)
	}
}
