package results

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Tolerance says how far scores may be from the reference's.
type Tolerance struct {
	Score float64 // absolute, of every metric: 0.005 is half a point of accuracy
	Level float64 // of the t interval over seeds, such as 0.95
}

// Verdicts of a finding.
const (
	Same      = "same"      // equal, or the score is within the tolerance
	Missed    = "missed"    // differs where it must be equal, or a score that is away beyond tolerance and chance
	Undecided = "undecided" // the score's mean is beyond the tolerance, its t interval is not: more seeds would tell
	NoRecord  = "absent"    // the reference has the run and the other side has not
	Extra     = "extra"     // the other way round; not a miss
	Skipped   = "skipped"   // cannot be compared: memory on another kind of device
)

// Finding is the comparison of one figure of one run or, of a score, of all seeds.
type Finding struct {
	Key
	Figure    string `json:"figure"`
	Verdict   string `json:"verdict"`
	Reference string `json:"reference,omitempty"`
	Got       string `json:"got,omitempty"`
	Note      string `json:"note,omitempty"`
	Seeds     int    `json:"seeds,omitempty"` // pairs that a score was taken over; Seed is then 0
}

// Bad says that the finding is a miss.
func (f Finding) Bad() bool { return f.Verdict == Missed || f.Verdict == NoRecord }

// exact are the figures that must be equal to the last unit. Those of memory are the device's, so they count only between
// devices of one kind.
var exact = []struct {
	name   string
	memory bool
	of     func(*Record) (any, bool)
}{
	{"state", false, func(r *Record) (any, bool) { return r.State, true }},
	{"splits", false, func(r *Record) (any, bool) { return r.Data.Splits, len(r.Data.Splits) > 0 }},
	{"vocabulary rows", false, func(r *Record) (any, bool) { return r.Vocabulary.Rows, r.Vocabulary.Rows > 0 }},
	{"vocabulary used", false, func(r *Record) (any, bool) { return r.Vocabulary.Used, r.Vocabulary.Rows > 0 }},
	{"vocabulary kept", false, func(r *Record) (any, bool) { return r.Vocabulary.Kept, r.Vocabulary.Rows > 0 }},
	{"vocabulary used_sha256", false, func(r *Record) (any, bool) { return r.Vocabulary.UsedSHA256, r.Vocabulary.UsedSHA256 != "" }},
	{"parameters", false, func(r *Record) (any, bool) { return r.Parameters, r.Parameters.Total > 0 }},
	{"steps", false, func(r *Record) (any, bool) { return r.Training.Steps, r.Training.Steps > 0 }},
	{"peak_allocated", true, func(r *Record) (any, bool) { return of(r.Memory, func(m *Memory) any { return m.PeakAllocated }) }},
	{"ledger", true, func(r *Record) (any, bool) { return of(r.Memory, func(m *Memory) any { return m.Ledger }) }},
	{"forecast", true, func(r *Record) (any, bool) {
		return of(r.Memory, func(m *Memory) any {
			if m.Forecast == nil {
				return int64(0)
			}
			return m.Forecast.PeakAllocated
		})
	}},
}

func of(m *Memory, f func(*Memory) any) (any, bool) {
	if m == nil {
		return nil, false
	}
	return f(m), true
}

// Check holds records against those of a reference: counts and bytes must be equal, scores must agree within the tolerance or
// within chance. A score is compared over the seeds that both sides have, pair by pair: it is missed when its mean difference is
// beyond the tolerance and the t interval of the mean leaves out 0; of one seed alone the tolerance decides.
func Check(reference, got []*Record, t Tolerance) []Finding {
	var out []Finding
	scores := map[Key][]Match{}
	for _, m := range Matches(reference, got) {
		key := m.Either().Key()
		switch {
		case m.B == nil:
			out = append(out, Finding{Key: key, Figure: "run", Verdict: NoRecord, Note: "no record of it; reference " + m.A.ID})
			continue
		case m.A == nil:
			out = append(out, Finding{Key: key, Figure: "run", Verdict: Extra, Note: "the reference does not have it"})
			continue
		}
		if a, b := recipe(m.A), recipe(m.B); a != b {
			out = append(out, Finding{Key: key, Figure: "training", Verdict: Missed, Reference: a, Got: b, Note: "another recipe: nothing else is compared"})
			continue
		}
		for _, x := range exact {
			f := Finding{Key: key, Figure: x.name, Verdict: Same}
			a, hasA := x.of(m.A)
			b, hasB := x.of(m.B)
			if !hasA && !hasB {
				continue
			}
			f.Reference, f.Got = figure(a), figure(b)
			switch ka, kb := deviceKind(m.A), deviceKind(m.B); {
			case x.memory && ka != kb:
				f.Verdict, f.Note = Skipped, fmt.Sprintf("memory of %s and of %s", ka, kb)
			case f.Reference != f.Got:
				f.Verdict = Missed
			}
			out = append(out, f)
		}
		if m.A.State == Done && m.B.State == Done {
			key.Seed = 0
			scores[key] = append(scores[key], m)
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(scores), func(a, b Key) int {
		return slices.Compare([]string{a.Spec, a.Model, a.Dataset, a.Variant}, []string{b.Spec, b.Model, b.Dataset, b.Variant})
	}) {
		out = append(out, checkScores(key, scores[key], t)...)
	}
	return out
}

func checkScores(key Key, pairs []Match, t Tolerance) []Finding {
	names := map[string]bool{}
	for _, m := range pairs {
		for _, side := range []*Record{m.A, m.B} {
			for k := range side.Metrics {
				names[k] = true
			}
		}
	}
	var out []Finding
	for _, name := range slices.Sorted(maps.Keys(names)) {
		f := Finding{Key: key, Figure: name, Verdict: Same}
		var a, b []float64
		broken := ""
		for _, m := range pairs {
			x, hasX := m.A.Metrics[name]
			y, hasY := m.B.Metrics[name]
			switch {
			case hasX != hasY:
				broken = fmt.Sprintf("seed %d: only one side has it", m.A.Seed)
			case math.IsNaN(x) != math.IsNaN(y) || math.IsInf(x-y, 0):
				broken = fmt.Sprintf("seed %d: %g and %g", m.A.Seed, x, y)
			case hasX && !math.IsNaN(x):
				a, b = append(a, x), append(b, y)
			}
		}
		f.Seeds = len(a)
		if broken != "" {
			f.Verdict, f.Note = Missed, broken
			out = append(out, f)
			continue
		}
		if len(a) == 0 {
			f.Note = "not a number on both sides"
			out = append(out, f)
			continue
		}
		meanA, _ := MeanSD(a)
		meanB, _ := MeanSD(b)
		f.Reference, f.Got = fmt.Sprintf("%.6g", meanA), fmt.Sprintf("%.6g", meanB)
		if slices.Equal(a, b) {
			f.Note = "equal in every digit"
			out = append(out, f)
			continue
		}
		beyond := math.Abs(meanB-meanA) > t.Score
		p, err := PairedT(a, b, t.Level)
		switch {
		case err != nil && beyond:
			f.Verdict, f.Note = Missed, fmt.Sprintf("one seed, difference %+.4g, tolerance %g", meanB-meanA, t.Score)
		case err != nil:
			f.Note = fmt.Sprintf("one seed, difference %+.4g, tolerance %g", meanB-meanA, t.Score)
		default:
			f.Note = fmt.Sprintf("difference %+.4g, %g %% interval %+.4g to %+.4g, tolerance %g", p.Mean, 100*t.Level, p.Lo, p.Hi, t.Score)
			if beyond && (p.Lo > 0 || p.Hi < 0) {
				f.Verdict = Missed
			} else if beyond {
				f.Verdict = Undecided
			}
		}
		out = append(out, f)
	}
	return out
}

// recipe is the training as it was asked for.
func recipe(r *Record) string {
	t := r.Training
	t.Steps = 0
	return figure(t)
}

// figure writes a figure so that equal ones look equal.
func figure(v any) string {
	if v == nil {
		return ""
	}
	return strings.TrimPrefix(fmt.Sprintf("%+v", v), "+")
}

// deviceKind is cpu or cuda.
func deviceKind(r *Record) string {
	kind, _, _ := strings.Cut(r.Environment.Device, ":")
	kind, _, _ = strings.Cut(kind, " ")
	return kind
}
