package results

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// sweep makes runs of some seeds with these accuracies.
func sweep(accuracy ...float64) []*Record {
	var out []*Record
	for i, a := range accuracy {
		r := sample(fmt.Sprint("r", i))
		r.Seed, r.Metrics, r.Environment.Device = int64(i), Metrics{"accuracy": a}, "cpu"
		r.Data.Splits = []Split{{Name: "train", Examples: 10, Tokens: 100}}
		out = append(out, r)
	}
	return out
}

func TestCheck(t *testing.T) {
	reference := func() []*Record { return sweep(0.80, 0.81, 0.79, 0.805) }
	with := func(change func([]*Record)) []*Record {
		r := reference()
		change(r)
		return r
	}
	for name, c := range map[string]struct {
		got  []*Record
		want string // the findings that are not the same: verdict figure, ...
	}{
		"itself":                {reference(), ""},
		"a row more is used":    {with(func(r []*Record) { r[1].Vocabulary.Used++ }), "missed vocabulary used"},
		"other ids are used":    {with(func(r []*Record) { r[0].Vocabulary.UsedSHA256 = "x" }), "missed vocabulary used_sha256"},
		"a token more":          {with(func(r []*Record) { r[0].Data.Splits = []Split{{Name: "train", Examples: 10, Tokens: 101}} }), "missed splits"},
		"a byte more":           {with(func(r []*Record) { r[2].Memory.PeakAllocated++; r[2].Memory.Ledger.Activations++ }), "missed peak_allocated, missed ledger"},
		"other bytes elsewhere": {with(func(r []*Record) { r[2].Environment.Device = "cuda:0"; r[2].Memory.PeakAllocated++ }), "skipped peak_allocated, skipped ledger, skipped forecast"},
		"bytes of another card": {with(func(r []*Record) { r[2].Environment.Device = "cpu (a name)"; r[2].Memory.PeakAllocated++ }), "missed peak_allocated"},
		"no memory":             {with(func(r []*Record) { r[2].Memory = nil }), "missed peak_allocated, missed ledger, missed forecast"},
		"it failed":             {with(func(r []*Record) { r[3].State = Failed }), "missed state"},
		"it is not there":       {reference()[:3], "absent run"},
		"one more is there":     {append(reference(), sweep(0, 0, 0, 0, 0.9)[4]), "extra run"},
		"another recipe":        {with(func(r []*Record) { r[0].Training.LearningRate = 1 }), "missed training"},
		"chance":                {sweep(0.801, 0.808, 0.792, 0.804), ""},
		"all worse":             {sweep(0.70, 0.71, 0.69, 0.704), "missed accuracy"},
		"all better":            {sweep(0.85, 0.86, 0.84, 0.856), "missed accuracy"},
		"a steady trifle":       {sweep(0.801, 0.811, 0.791, 0.806), ""}, // significant, and within the tolerance
		"wide":                  {sweep(0.90, 0.71, 0.89, 0.705), ""},
		"wide and away":         {sweep(0.95, 0.71, 0.99, 0.705), "undecided accuracy"},
		"not a number":          {with(func(r []*Record) { r[0].Metrics["accuracy"] = math.NaN() }), "missed accuracy"},
		"no score":              {with(func(r []*Record) { delete(r[0].Metrics, "accuracy") }), "missed accuracy"},
	} {
		var not []string
		bad := false
		for _, f := range Check(reference(), c.got, Tolerance{0.005, 0.95}) {
			if f.Verdict != Same {
				not = append(not, f.Verdict+" "+f.Figure)
			}
			bad = bad || f.Bad()
		}
		if got := strings.Join(not, ", "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if bad != (strings.Contains(c.want, "missed") || strings.Contains(c.want, "absent")) {
			t.Errorf("%s: bad is %v", name, bad)
		}
	}
	one := func(a float64) []*Record { return sweep(a) }
	for got, miss := range map[float64]bool{0.80: false, 0.804: false, 0.81: true} {
		fs := Check(one(0.8), one(got), Tolerance{0.005, 0.95})
		if f := fs[len(fs)-1]; f.Figure != "accuracy" || f.Bad() != miss {
			t.Errorf("one seed at %g: %+v", got, f)
		}
	}
}

func TestCommit(t *testing.T) {
	for code, want := range map[string]string{"pema abc": "abc true", "pema abc+changes": "abc false", "pema unknown": " false", "pema (unknown)": " false", "": " false"} {
		c, clean := (&Record{Environment: Environment{Code: code}}).Commit()
		if got := fmt.Sprint(c, " ", clean); got != want {
			t.Errorf("%q: %q, want %q", code, got, want)
		}
	}
}
