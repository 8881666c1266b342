package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// A disk that fills up in mid-sweep: the error says so, no record is lost or half written, and once there is room the same command
// goes on.
func TestNoSpaceLeft(t *testing.T) {
	dir := project(t, 1)
	spec, out := filepath.Join(dir, "spec.yaml"), filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", out, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("a small filesystem cannot be mounted here: %v", err)
	}
	defer syscall.Unmount(out, syscall.MNT_DETACH) //nolint:errcheck // the test is over
	if code, _, log := call(t, "", "run", spec, "--out", out, "--device", "cpu", "--only", "seed=1"); code != 0 {
		t.Fatalf("exit %d\n%s", code, log)
	}
	before := records(t, out)
	full, err := os.Create(filepath.Join(out, "full"))
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 4096)
	for err == nil {
		_, err = full.Write(block)
	}
	full.Close() //nolint:errcheck // it is full
	code, _, log := call(t, "", "run", spec, "--out", out, "--device", "cpu")
	if code != exitFailure || !strings.Contains(log, "no space left") || strings.Contains(log, "run 3 of") {
		t.Errorf("full: exit %d\n%s", code, log)
	}
	for k, r := range records(t, out) {
		if before[k] == nil || !slices.Equal(r.Losses, before[k].Losses) {
			t.Errorf("%s changed", k)
		}
	}
	if err := os.Remove(full.Name()); err != nil {
		t.Fatal(err)
	}
	if code, _, log := call(t, "", "run", spec, "--out", out, "--device", "cpu"); code != 0 || !strings.Contains(log, "2 were there") {
		t.Errorf("with room again: exit %d\n%s", code, log)
	}
}

// What a changed spec asks for is run beside what the old one gave.
func TestSpecChangedBetweenCalls(t *testing.T) {
	dir := project(t, 1)
	spec, out := filepath.Join(dir, "spec.yaml"), filepath.Join(dir, "out")
	if code, _, log := call(t, "", "run", spec, "--out", out, "--device", "cpu"); code != 0 {
		t.Fatal(log)
	}
	text, err := os.ReadFile(spec)
	if err != nil {
		t.Fatal(err)
	}
	for change, want := range map[string]string{"learning_rate: 2e-3": "4 runs done, 0 were there", "learning_rate: 1e-3": "0 runs done, 4 were there"} {
		if err := os.WriteFile(spec, []byte(strings.Replace(string(text), "learning_rate: 1e-3", change, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, log := call(t, "", "run", spec, "--out", out, "--device", "cpu"); code != 0 || !strings.Contains(log, want) {
			t.Errorf("%s: exit %d\n%s", change, code, log)
		}
	}
	if n := len(all(t, out)); n != 8 {
		t.Errorf("%d records", n)
	}
}
