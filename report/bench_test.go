package report

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"pema/results"
)

// BenchmarkWrite makes the whole report of 5,000 records; page_MB is the page's size.
func BenchmarkWrite(b *testing.B) {
	var records []*results.Record
	for m := range 25 {
		for d := range 20 {
			for seed := int64(1); seed <= 5; seed++ {
				for _, v := range []string{"baseline", "pema"} {
					spec := sampleSpec
					spec.Name = fmt.Sprintf("spec-%d", m%5)
					records = append(records, run(spec, fmt.Sprintf("org/model-%d", m), fmt.Sprintf("task-%d", d), v, seed, 30522+int64(m)*9000, 9000+int64(d)*100))
				}
			}
		}
	}
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
