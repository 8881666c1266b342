package vocabulary

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pema/datasets"
)

// encoded draws an encoded split over ids below rows.
func encoded(rows int) *rapid.Generator[*datasets.Encoded] {
	return rapid.Custom(func(t *rapid.T) *datasets.Encoded {
		e := &datasets.Encoded{Offsets: []int64{0}}
		for range rapid.IntRange(0, 20).Draw(t, "examples") {
			ids := rapid.SliceOfN(rapid.Int32Range(0, int32(rows-1)), 0, 12).Draw(t, "ids")
			e.IDs = append(e.IDs, ids...)
			e.Offsets = append(e.Offsets, int64(len(e.IDs)))
			e.Second = append(e.Second, int32(len(ids)))
			e.Labels = append(e.Labels, 0)
		}
		return e
	})
}

func TestCountsAreAdditiveOverSplits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.IntRange(1, 50).Draw(t, "rows")
		a, b := encoded(rows).Draw(t, "a"), encoded(rows).Draw(t, "b")
		both, err := Count(rows, Named{"a", a}, Named{"b", b})
		if err != nil {
			t.Fatal(err)
		}
		one, _ := Count(rows, Named{"a", a})
		two, _ := Count(rows, Named{"b", b})
		joint, x, y := both.Counts(), one.Counts(), two.Counts()
		total := int64(0)
		for id := range joint {
			if joint[id] != x[id]+y[id] {
				t.Fatalf("id %d: %d != %d + %d", id, joint[id], x[id], y[id])
			}
			total += joint[id]
		}
		if total != both.Tokens() || both.Tokens() != a.Tokens()+b.Tokens() || both.Examples() != int64(a.Len()+b.Len()) {
			t.Fatalf("tokens %d, counted %d, examples %d", both.Tokens(), total, both.Examples())
		}
		union := slices.Concat(one.Used(), two.Used())
		slices.Sort(union)
		if used := both.Used(); !slices.Equal(used, slices.Compact(union)) {
			t.Fatalf("used %v is not the union %v", used, union)
		}
		again, err := both.Select("b")
		if err != nil || !slices.Equal(again.Used(), two.Used()) {
			t.Fatalf("select b: %v %v", again, err)
		}
	})
}

func TestParallelCountEqualsSerial(t *testing.T) {
	ids := make([]int32, 5<<20)
	x := uint32(1)
	for i := range ids {
		x = x*1664525 + 1013904223
		ids[i] = int32(x >> 8 & 1023)
	}
	a, b := make([]int64, 1024), make([]int64, 1024)
	if err := countInto(a, ids); err != nil {
		t.Fatal(err)
	}
	if err := countSerial(b, ids); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(a, b) {
		t.Fatal("counts differ")
	}
}

func TestIDOutsideTheMatrix(t *testing.T) {
	for _, id := range []int32{-1, 10, 1 << 30} {
		e := &datasets.Encoded{IDs: []int32{id}, Offsets: []int64{0, 1}, Second: []int32{1}, Labels: []float32{0}}
		_, err := Count(10, Named{"train", e})
		if err == nil || !strings.Contains(err.Error(), "outside the matrix of 10 rows") || !strings.Contains(err.Error(), "train") {
			t.Errorf("id %d: %v", id, err)
		}
	}
}

func TestUsedHash(t *testing.T) {
	// printf '\x01\x00\x00\x00\x00\x01\x00\x00' | sha256sum
	const want = "242045e2f1bb37769b514f182fd91b3d215324cb57f187cced1e9c62921dbac3"
	e := &datasets.Encoded{IDs: []int32{256, 1, 1}, Offsets: []int64{0, 3}, Second: []int32{3}, Labels: []float32{0}}
	u, err := Count(300, Named{"train", e})
	if err != nil {
		t.Fatal(err)
	}
	if got := u.UsedSHA256(); got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
	if got := u.Reduction(); got != 1-2.0/300 {
		t.Errorf("reduction %v", got)
	}
	if _, err := u.Select("test"); err == nil || !strings.Contains(err.Error(), "counted are train") {
		t.Errorf("unknown split: %v", err)
	}
}
