package report

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"testing"

	"pema/results"
)

var pageDir = flag.String("page", "", "write the fixture's whole report into this folder, for the browser and LaTeX tests")

var withHostile = flag.Bool("hostile", false, "with -page: add a spec whose texts try to break out")

// TestWritePage leaves the fixture's report, records and all, where run.sh looks at it.
func TestWritePage(t *testing.T) {
	if *pageDir == "" {
		t.Skip("-page is not set")
	}
	s, err := results.Open(*pageDir)
	if err != nil {
		t.Fatal(err)
	}
	records := paperRecords()
	if *withHostile {
		records = append(records, hostileRecords()...)
	}
	for _, r := range records {
		r.ID = fmt.Sprintf("%x", sha256.Sum256([]byte(r.ID)))[:16]
		if err := s.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	rep, err := Build(records)
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(*pageDir, rep); err != nil {
		t.Fatal(err)
	}
	if err := rep.Terminal(testWriter{t}); err != nil {
		t.Fatal(err)
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) { w.t.Log("\n" + string(p)); return len(p), nil }
