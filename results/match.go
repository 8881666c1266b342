package results

import (
	"slices"
	"strings"
)

// Key tells runs apart that are the same experiment: an identity changes with code and data, these do not.
type Key struct {
	Spec    string `json:"spec"`
	Model   string `json:"model"`
	Dataset string `json:"dataset"`
	Variant string `json:"variant"`
	Seed    int64  `json:"seed"`
}

// Key is the record's.
func (r *Record) Key() Key { return Key{r.Spec.Name, r.Model, r.Dataset, r.Variant, r.Seed} }

// Match is a run on two sides; one of them may be nil.
type Match struct{ A, B *Record }

// Either is the side that is there.
func (m Match) Either() *Record {
	if m.A != nil {
		return m.A
	}
	return m.B
}

// Matches sets two lists of records side by side, run for run, in the order of Less. Of two records of one key on a side the
// later counts: a spec that was changed leaves its old runs behind.
func Matches(a, b []*Record) []Match {
	both := map[Key]*Match{}
	for i, records := range [][]*Record{a, b} {
		for _, r := range records {
			m := both[r.Key()]
			if m == nil {
				m = &Match{}
				both[r.Key()] = m
			}
			side := &m.A
			if i == 1 {
				side = &m.B
			}
			if *side == nil || r.Finished.After((*side).Finished) {
				*side = r
			}
		}
	}
	out := make([]Match, 0, len(both))
	for _, m := range both {
		out = append(out, *m)
	}
	slices.SortFunc(out, func(x, y Match) int {
		switch a, b := x.Either(), y.Either(); {
		case Less(a, b):
			return -1
		case Less(b, a):
			return 1
		}
		return 0
	})
	return out
}

// Commit is the commit of the code that made the record, "" where it is not known; clean is false where the code had changes
// that are in no commit.
func (r *Record) Commit() (commit string, clean bool) {
	_, rev, ok := strings.Cut(r.Environment.Code, " ")
	if !ok {
		return "", false
	}
	rev, _, changed := strings.Cut(rev, "+")
	if rev == "unknown" || rev == "(unknown)" {
		return "", false
	}
	return rev, !changed
}
