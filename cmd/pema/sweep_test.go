package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pema/results"
)

// sweep is a spec of 60 runs of a few steps.
func sweep(t *testing.T) (spec string) {
	t.Helper()
	dir := project(t, 1)
	spec = filepath.Join(dir, "spec.yaml")
	text, err := os.ReadFile(spec)
	if err != nil {
		t.Fatal(err)
	}
	seeds, _ := json.Marshal(slices.Collect(func(yield func(int) bool) {
		for i := 1; i <= 30 && yield(i); i++ {
		}
	}))
	s := strings.NewReplacer("[1, 2]", string(seeds), "epochs: 1", "epochs: 1, max_steps: 3").Replace(string(text))
	if err := os.WriteFile(spec, []byte(s), 0o600); err != nil {
		t.Fatal(err)
	}
	return spec
}

func pemaProcess(args ...string) *exec.Cmd {
	self, _ := os.Executable()
	c := exec.Command(self, args...)
	c.Env = append(os.Environ(), "PEMA_TEST_MAIN=1", "OMP_NUM_THREADS=1") // one thread in all of them: the same bits
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}                   // to be killed with its jobs
	return c
}

// A sweep whose processes are killed again and again, and one that two runners share, end as an unbroken one: one complete record
// for each identity, with the same numbers.
func TestSweepSurvivesKillsAndSharesWork(t *testing.T) {
	spec := sweep(t)
	dir := filepath.Dir(spec)
	whole, killed, shared := filepath.Join(dir, "whole"), filepath.Join(dir, "killed"), filepath.Join(dir, "shared")
	if out, err := pemaProcess("run", spec, "--out", whole, "--device", "cpu").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := all(t, whole)
	if len(want) != 60 {
		t.Fatalf("%d records", len(want))
	}

	r := rand.New(rand.NewPCG(1, 2))
	kills := 0
	for try := 0; kills < 10 && try < 40; try++ {
		c := pemaProcess("run", spec, "--out", killed, "--device", "cpu", "--jobs", "2")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(200+r.IntN(500)) * time.Millisecond)
		if len(all(t, killed)) < 60 {
			kills++
		}
		syscall.Kill(-c.Process.Pid, syscall.SIGKILL) //nolint:errcheck // it may have ended
		c.Wait()                                      //nolint:errcheck // killed
	}
	if out, err := pemaProcess("run", spec, "--out", killed, "--device", "cpu", "--jobs", "2").CombinedOutput(); err != nil {
		t.Fatalf("after %d kills: %v\n%s", kills, err, out)
	}

	a, b := pemaProcess("run", spec, "--out", shared, "--device", "cpu"), pemaProcess("run", spec, "--out", shared, "--device", "cpu")
	var logs strings.Builder
	b.Stderr = &logs
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	if err := b.Run(); err != nil {
		t.Fatalf("the second of two runners: %v\n%s", err, logs.String())
	}
	if err := a.Wait(); err != nil {
		t.Fatalf("the first of two runners: %v", err)
	}
	if n := strings.Count(logs.String(), ": run "); n == 0 || n == 60 {
		t.Errorf("the second runner did %d of 60 runs", n)
	}

	for name, out := range map[string]string{"killed": killed, "shared": shared} {
		got := all(t, out)
		if len(got) != len(want) {
			t.Errorf("%s: %d records", name, len(got))
			continue
		}
		for i, g := range got {
			w := want[i]
			if g.ID != w.ID || g.State != results.Done || !slices.Equal(g.Losses, w.Losses) || g.FinalWeights != w.FinalWeights || fmt.Sprint(g.Metrics) != fmt.Sprint(w.Metrics) || g.Memory.PeakAllocated != w.Memory.PeakAllocated {
				t.Errorf("%s: %s seed %d differs from the unbroken sweep: %s", name, g.Variant, g.Seed, g.Error)
			}
		}
	}
	t.Logf("killed %d times in mid-sweep", kills)
}

func TestOnlyAndReadOnlyOutput(t *testing.T) {
	dir := project(t, 1)
	spec, out := filepath.Join(dir, "spec.yaml"), filepath.Join(dir, "out")
	if code, _, log := call(t, "", "run", spec, "--out", out, "--device", "cpu", "--only", "variant=pema,seed=2"); code != 0 || len(all(t, out)) != 1 {
		t.Errorf("exit %d\n%s", code, log)
	}
	if code, _, log := call(t, "", "run", spec, "--out", out, "--only", "colour=red"); code != exitUsage || !strings.Contains(log, "variant") {
		t.Errorf("unknown key: exit %d\n%s", code, log)
	}
	if code, _, log := call(t, "", "run", spec, "--out", out, "--only", "seed=7"); code != exitUsage || !strings.Contains(log, "fits no run") {
		t.Errorf("nothing chosen: exit %d\n%s", code, log)
	}
	blocked := filepath.Join(dir, "blocked")
	if err := os.MkdirAll(filepath.Join(blocked), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(blocked, "runs"), nil, 0o600); err != nil { // a file where the folder must be: root may write anywhere
		t.Fatal(err)
	}
	if code, _, log := call(t, "", "run", spec, "--out", blocked, "--device", "cpu"); code != exitFailure || strings.Contains(log, "run 1 of") {
		t.Errorf("no output folder: exit %d\n%s", code, log)
	}
}
