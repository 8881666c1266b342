package report

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"testing"

	"pema/results"
)

var (
	pageDir     = flag.String("page", "", "write a whole report into this folder, for the browser and LaTeX tests")
	withHostile = flag.Bool("hostile", false, "with -page: add a spec whose texts try to break out")
	pageOf      = flag.String("of", "", "with -page: of the records of this output folder")
	pageMany    = flag.Bool("many", false, "with -page: of 5,000 records")
)

// TestWritePage leaves a report, records and all, where run.sh looks at it: of the tests' fixed records if nothing else is asked.
func TestWritePage(t *testing.T) {
	if *pageDir == "" {
		t.Skip("-page is not set")
	}
	records := paperRecords()
	switch {
	case *pageMany:
		records = manyRecords()
	case *pageOf != "":
		records = stored(t, *pageOf)
	}
	if *withHostile {
		writeLong(t, *pageDir)
		records = append(records, hostileRecords()...)
	}
	s, err := results.Open(*pageDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if *pageOf == "" {
			r.ID = fmt.Sprintf("%x", sha256.Sum256([]byte(r.ID)))[:16]
		}
		if *pageMany { // its records need not be on disk
			continue
		}
		if err := s.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := Write(*pageDir, build(t, records)); err != nil {
		t.Fatal(err)
	}
}

// writeLong leaves a table that no page of paper holds.
func writeLong(t *testing.T, dir string) {
	t.Helper()
	tab := &Table{Name: "long", Title: "A long table", Summary: "Summary.", Columns: []Column{{Name: "model"}, {Name: "peak", Unit: "MiB", Kind: Bytes}}}
	for i := range 150 {
		c := words(fmt.Sprintf("[%d] %s", i, hostile))
		c.Notes = []string{"a note to " + hostile}
		tab.Rows = append(tab.Rows, []Cell{c, number(Bytes, float64(i<<20))})
	}
	if err := Write(dir, &Report{Sections: []*Section{{Name: "long", Tables: []*Table{tab}}}}); err != nil {
		t.Fatal(err)
	}
}

func stored(t testing.TB, dir string) []*results.Record {
	t.Helper()
	s, err := results.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	records, broken, err := s.All()
	if err != nil || len(broken) > 0 || len(records) == 0 {
		t.Fatalf("%s: %d records, %v, %v", dir, len(records), err, broken)
	}
	return records
}
