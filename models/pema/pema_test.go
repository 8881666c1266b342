package pema

import (
	"testing"

	"pgregory.net/rapid"
)

func TestSelectionIsMonotoneAndComplete(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.Int64Range(1, 500).Draw(t, "rows")
		id := rapid.Int32Range(0, int32(rows-1))
		used, specials := rapid.SliceOf(id).Draw(t, "used"), rapid.SliceOfN(id, 0, 5).Draw(t, "specials")
		s, err := Select(used, specials, rows)
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; i < len(s.IDs); i++ {
			if s.IDs[i-1] >= s.IDs[i] {
				t.Fatal("ids do not ascend")
			}
		}
		got, err := s.Remap(nil, used)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range got {
			if s.IDs[r] != used[i] {
				t.Fatal("remap does not lead back")
			}
			if m, ok := s.Map(used[i]); !ok || m != r {
				t.Fatal("Map and Remap differ")
			}
		}
	})
	if _, err := Select([]int32{7}, nil, 7); err == nil {
		t.Error("an id outside the matrix was selected")
	}
	s, _ := Select([]int32{1, 3}, []int32{0}, 5)
	if _, err := s.Remap(nil, []int32{1, 2}); err == nil {
		t.Error("an id that is not selected was remapped")
	}
}
