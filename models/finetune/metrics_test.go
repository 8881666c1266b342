package finetune

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// Figures of scikit-learn and scipy, made by testdata/metrics.py; null: not defined.
func TestMetricsEqualScikitLearn(t *testing.T) {
	b, err := os.ReadFile("testdata/metrics.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Predictions, Labels []float64
		Want                map[string]*float64
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	checked, undefined := 0, 0
	for i, c := range cases {
		e := &Evaluation{Predictions: c.Predictions, Labels: c.Labels}
		for name, want := range c.Want {
			got, err := e.Metric(name)
			checked++
			switch {
			case want == nil:
				undefined++
				if err == nil {
					t.Errorf("case %d: %s is %v where it is not defined", i, name, got)
				}
			case err != nil || math.Abs(got-*want) > 1e-12*math.Max(1, math.Abs(*want)) && math.Abs(c.Predictions[0]) < 1e7 || math.Abs(got-*want) > 1e-6:
				t.Errorf("case %d: %s is %v (%v), want %v", i, name, got, err, *want)
			}
		}
	}
	if checked < 30 || undefined < 4 {
		t.Errorf("%d figures, %d undefined", checked, undefined)
	}
	if _, err := (&Evaluation{Predictions: []float64{1}, Labels: []float64{1}}).Metric("bleu"); err == nil {
		t.Error("an unknown metric was computed")
	}
}
