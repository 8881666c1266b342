package report

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"pema/results"
)

// manyRecords are 5,000 in five specs of different measures: five models, twenty tasks, five seeds and two variants each.
func manyRecords() []*results.Record {
	var records []*results.Record
	for m := range 25 {
		for d := range 20 {
			for seed := int64(1); seed <= 5; seed++ {
				for _, v := range []string{"baseline", "pema"} {
					spec := sampleSpec
					spec.Name = fmt.Sprintf("spec-%d", m%5)
					spec.Title = fmt.Sprintf("Spec %d", m%5)
					records = append(records, run(spec, fmt.Sprintf("org/model-%d", m), fmt.Sprintf("task-%d", d), v, seed, 30522+int64(m)*9000, 9000+int64(d)*100))
				}
			}
		}
	}
	return records
}

// BenchmarkWrite makes the whole report of 5,000 records, from the records in memory; page_MB is the page's size.
func BenchmarkWrite(b *testing.B) {
	records := manyRecords()
	dir := b.TempDir()
	for b.Loop() {
		r, err := Build(records)
		if err != nil {
			b.Fatal(err)
		}
		if err := Write(dir, r); err != nil {
			b.Fatal(err)
		}
		page, err := os.Stat(filepath.Join(dir, "report.html"))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(page.Size())/1e6, "page_MB")
	}
	b.ReportMetric(float64(len(records)), "records")
}

// BenchmarkRead reads 5,000 records from a folder, as pema report does first.
func BenchmarkRead(b *testing.B) {
	s, err := results.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	for i, r := range manyRecords() {
		r.ID = fmt.Sprintf("%016x", i)
		data, err := results.Encode(r)
		if err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(s.Path(r.ID), data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if all, broken, err := s.All(); len(all) != 5000 || len(broken) > 0 || err != nil {
			b.Fatal(len(all), broken, err)
		}
	}
}
