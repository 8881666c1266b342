package results

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"testing"
)

// scipy's answers, made by testdata/statistics.py, to 1e-9 of their size.
func TestStatisticsEqualScipy(t *testing.T) {
	data, err := os.ReadFile("testdata/statistics.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			A, B                                     []float64
			Level, Margin, Mean, SD, Lo, Hi, P, TOST float64
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) != 24 {
		t.Fatalf("%d cases, want 24", len(file.Cases))
	}
	for i, c := range file.Cases {
		p, err := PairedT(c.A, c.B, c.Level)
		if err != nil {
			t.Fatal(err)
		}
		tost, err := TOST(c.A, c.B, c.Margin)
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range map[string][2]float64{"mean": {p.Mean, c.Mean}, "sd": {p.SD, c.SD}, "lo": {p.Lo, c.Lo}, "hi": {p.Hi, c.Hi}, "p": {p.P, c.P}, "tost": {tost, c.TOST}} {
			if d := math.Abs(v[0] - v[1]); !(d <= 1e-9*math.Max(1, math.Abs(v[1]))) || !(d <= 1e-9*math.Abs(v[1])+1e-12) {
				t.Errorf("case %d (n = %d): %s = %.17g, scipy has %.17g", i, p.N, name, v[0], v[1])
			}
		}
	}
}

func TestStatisticsOfNoSpread(t *testing.T) {
	same := []float64{0.8, 0.7, 0.9}
	p, err := PairedT(same, same, 0.95)
	if err != nil || p.Lo != 0 || p.Hi != 0 || p.P != 1 {
		t.Errorf("equal pairs: %+v, %v", p, err)
	}
	if v, err := TOST(same, same, 0.01); err != nil || v != 0 {
		t.Errorf("equal pairs: TOST p = %v, %v, want 0", v, err)
	}
	if _, err := PairedT(same[:1], same[:1], 0.95); !errors.Is(err, ErrTooFew) {
		t.Errorf("one pair: %v, want ErrTooFew", err)
	}
	if _, err := PairedT(same, same[:2], 0.95); err == nil {
		t.Error("different lengths: no error")
	}
	if _, err := TOST(same, same, 0); err == nil {
		t.Error("margin 0: no error")
	}
}

// The estimated number of pairs is the least at which TOST, on data of that mean and deviation, falls below alpha.
func TestNeeded(t *testing.T) {
	tost := func(mean, sd, margin float64, n int) float64 {
		a, b := make([]float64, n), make([]float64, n)
		for i := range b {
			b[i] = float64(i)
		}
		m, s := MeanSD(b)
		for i := range b {
			b[i] = mean + sd*(b[i]-m)/s
		}
		p, err := TOST(a, b, margin)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, c := range []struct{ mean, sd, margin float64 }{{0, 0.01, 0.01}, {0.003, 0.012, 0.01}, {-0.008, 0.02, 0.01}, {0.001, 0.0001, 0.01}} {
		n := Paired{Mean: c.mean, SD: c.sd}.Needed(c.margin, 0.05)
		if n < 2 || tost(c.mean, c.sd, c.margin, n) >= 0.05 || n > 2 && tost(c.mean, c.sd, c.margin, n-1) < 0.05 {
			t.Errorf("%+v: %d pairs", c, n)
		}
	}
	if n := (Paired{Mean: 0.02, SD: 0.001}).Needed(0.01, 0.05); n != 0 {
		t.Errorf("a mean outside the margin: %d pairs", n)
	}
}
