// Package shared finds the folder of real data (GLUE, XNLI, vocabularies, parity vectors) that lies beside a developer's
// checkout. A user's clone has none: tests on it skip.
package shared

import (
	"os"
	"path/filepath"
	"testing"
)

// Dir returns the folder of real data, or skips the test where there is none (fails it under PEMA_REQUIRE_SHARED, as in CI). PEMA_SHARED names it; else it is the folder
// "shared" beside the repository's root.
func Dir(t testing.TB) string {
	t.Helper()
	if d := os.Getenv("PEMA_SHARED"); d != "" {
		return d
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatalf("no go.mod above the working directory")
		}
		dir = up
	}
	d := filepath.Join(filepath.Dir(dir), "shared")
	if _, err := os.Stat(filepath.Join(d, "hub")); err != nil {
		if os.Getenv("PEMA_REQUIRE_SHARED") != "" {
			t.Fatal("shared data absent, and PEMA_REQUIRE_SHARED asks for it")
		}
		t.Skip("shared data absent: PEMA_SHARED is not set and there is no folder shared beside the repository")
	}
	return d
}
