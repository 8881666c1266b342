package pema

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSelectionIsMonotoneAndComplete(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.Int64Range(1, 500).Draw(t, "rows")
		id := rapid.Int32Range(0, int32(rows-1))
		used, specials := rapid.SliceOf(id).Draw(t, "used"), rapid.SliceOfN(id, 0, 5).Draw(t, "specials")
		before := slices.Clone(used)
		s, err := Select(used, specials, rows)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(used, before) {
			t.Fatal("Select changed its argument")
		}
		for i := 1; i < len(s.IDs); i++ {
			if s.IDs[i-1] >= s.IDs[i] {
				t.Fatal("ids do not ascend")
			}
		}
		distinct := map[int32]bool{}
		for _, u := range used {
			distinct[u] = true
		}
		if s.Used != len(distinct) || s.Rows != rows {
			t.Fatalf("%d used of %d rows, want %d of %d", s.Used, s.Rows, len(distinct), rows)
		}
		all := slices.Concat(used, specials)
		got, err := s.Remap([]int32{-5}, all)
		if err != nil || got[0] != -5 {
			t.Fatal(got, err)
		}
		for i, r := range got[1:] {
			if s.IDs[r] != all[i] {
				t.Fatal("remap does not lead back")
			}
			if m, ok := s.Map(all[i]); !ok || m != r {
				t.Fatal("Map and Remap differ")
			}
		}
		for _, x := range []int32{-1, int32(rows), id.Draw(t, "other")} {
			if _, ok := s.Map(x); ok != slices.Contains(s.IDs, x) {
				t.Fatalf("Map of %d: %v", x, ok)
			}
		}
		if in, err := s.Remap(all[:0], all); err != nil || !slices.Equal(in, got[1:]) {
			t.Fatal("remap in place differs")
		}
		if back, err := parseRanges(formatRanges(s.IDs), len(s.IDs), rows); len(s.IDs) > 0 && (err != nil || !slices.Equal(back, s.IDs)) {
			t.Fatal("ranges do not lead back", err)
		}
	})
}

func TestSelectionRefuses(t *testing.T) {
	for _, id := range []int32{-1, 7} {
		if _, err := Select([]int32{id}, nil, 7); err == nil || !strings.Contains(err.Error(), "outside the matrix's 7 rows") {
			t.Error(err)
		}
	}
	s, err := Select([]int32{1, 3}, []int32{0}, 5)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Remap(nil, []int32{1, 2}); err == nil || !strings.Contains(err.Error(), "id 2 at position 1") {
		t.Error(err)
	}
	// printf "\0\0\0\0\1\0\0\0\3\0\0\0" | sha256sum
	if got := s.SHA256(); got != "87fa498592c87cce6f973bfd6aeb542c8d045f18160697c2628b158cb4a3a123" {
		t.Error(got)
	}
}
