package report

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pema/results"
)

func record(variant, model string) *results.Record {
	r := &results.Record{Schema: results.Schema, ID: "id-" + variant, State: results.Done, Spec: results.Spec{Name: "s", Title: "T <b>"}, Model: model,
		Dataset: "d", Variant: variant, Seed: 1, Losses: []float64{0.5, 0.25}, FinalWeights: "w", Metrics: map[string]float64{"accuracy": 0.75},
		Vocabulary: results.Vocabulary{Rows: 100, Kept: 40}, Parameters: results.Parameters{Embedding: 1000, Total: 2000, FullEmbedding: 1000, FullTotal: 2000},
		Memory: &results.Memory{PeakAllocated: 4 << 20, Ledger: results.Ledger{ParametersEmbedding: 1 << 20, Activations: 3 << 20}}}
	if variant == "pema" {
		r.Parameters.Embedding, r.Parameters.Total = 400, 1400
	}
	return r
}

func TestReport(t *testing.T) {
	base, pema := record("baseline", "=cmd()<script>|"), record("pema", "=cmd()<script>|")
	r, err := Build([]*results.Record{base, pema})
	if err != nil {
		t.Fatal(err)
	}
	row := r.Tables[0].Rows[0]
	if got := strings.Join(row[4:6], " "); got != "60.0 30.0" {
		t.Errorf("reductions %q, want 60.0 30.0", got)
	}
	if row[13] != "yes" || row[14] != "yes" {
		t.Errorf("equal runs are called different: %q", row)
	}
	dir := t.TempDir()
	if err := Write(dir, r); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "tables", "s.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 2 || rows[1][0][0] != '\'' {
		t.Errorf("CSV: %v %v; a formula must not begin a cell", rows, err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil || strings.Contains(string(page), "<script>") {
		t.Errorf("the page lets a record's text through: %v", err)
	}
	for _, p := range []string{"s.png", "s.svg"} {
		if st, err := os.Stat(filepath.Join(dir, "plots", p)); err != nil || st.Size() < 1000 {
			t.Errorf("%s: %v", p, err)
		}
	}
	pema.Losses[1] += 1e-7
	if r, err = Build([]*results.Record{base, pema}); err != nil || r.Tables[0].Rows[0][13] != "NO" {
		t.Errorf("different losses are called the same: %v", err)
	}
	if r, err = Build([]*results.Record{base}); err != nil || !strings.Contains(r.Tables[0].Rows[0][2], "PEMA not run") {
		t.Errorf("a missing run is not named: %v", err)
	}
}
