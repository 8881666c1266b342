package vocabulary

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"pema/datasets"
)

func TestGrowthIsMonotoneAndEndsAtTheTotal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.IntRange(1, 50).Draw(t, "rows")
		parts := rapid.SliceOfN(encoded(rows), 1, 4).Draw(t, "parts")
		orders := rapid.IntRange(1, 5).Draw(t, "orders")
		g, err := NewGrowth(rows, orders, rapid.Uint64().Draw(t, "seed"))
		if err != nil {
			t.Fatal(err)
		}
		var named []Named
		for _, p := range parts {
			if err := g.Add(p); err != nil {
				t.Fatal(err)
			}
			named = append(named, Named{"train", p})
		}
		u, err := Count(rows, named...)
		if err != nil {
			t.Fatal(err)
		}
		c, err := g.Curve(20)
		if u.Examples() == 0 {
			if err == nil {
				t.Fatal("a curve of nothing")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		last := Point{}
		for _, p := range c.Points {
			if p.Examples <= last.Examples || p.Tokens < last.Tokens-1e-9 || p.Used < last.Used-1e-9 || p.Low < last.Low || p.High < last.High ||
				float64(p.Low) > p.Used+1e-9 || float64(p.High) < p.Used-1e-9 {
				t.Fatalf("%+v after %+v", p, last)
			}
			last = p
		}
		if total := int64(len(u.Used())); last.Examples != u.Examples() || last.Tokens != float64(u.Tokens()) || last.Low != total || last.High != total || last.Used != float64(total) {
			t.Fatalf("ends at %+v; %d examples, %d tokens, %d used", last, u.Examples(), u.Tokens(), total)
		}
	})
}

// TestGrowthEqualsShuffling compares with examples that are really put in the orders of the keys.
func TestGrowthEqualsShuffling(t *testing.T) {
	const rows, n, orders = 300, 400, 3
	r := rand.New(rand.NewPCG(1, 2))
	e := &datasets.Encoded{Offsets: []int64{0}}
	for range n {
		for range r.IntN(9) {
			e.IDs = append(e.IDs, int32(math.Floor(rows*math.Pow(r.Float64(), 3))))
		}
		e.Offsets = append(e.Offsets, int64(len(e.IDs)))
		e.Second, e.Labels = append(e.Second, 0), append(e.Labels, 0)
	}
	g, err := NewGrowth(rows, orders, 7)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Add(e); err != nil {
		t.Fatal(err)
	}
	c, err := g.Curve(30)
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Clone(c.Points)
	for i := range want {
		want[i] = Point{Examples: want[i].Examples, Low: math.MaxInt64}
	}
	var permutations [][]int
	for _, seed := range g.seeds {
		order := make([]int, n)
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int {
			if key(seed, a) < key(seed, b) {
				return -1
			}
			return 1
		})
		permutations = append(permutations, order)
		seen, tokens, at := map[int32]bool{}, 0, 0
		for k, i := range order {
			ids := e.IDs[e.Offsets[i]:e.Offsets[i+1]]
			tokens += len(ids)
			for _, id := range ids {
				seen[id] = true
			}
			if at < len(want) && int64(k+1) == want[at].Examples {
				p := &want[at]
				p.Tokens += float64(tokens) / orders
				p.Used += float64(len(seen)) / orders
				p.Low, p.High = min(p.Low, int64(len(seen))), max(p.High, int64(len(seen)))
				at++
			}
		}
	}
	for i, p := range c.Points {
		w := want[i]
		if p.Examples != w.Examples || p.Low != w.Low || p.High != w.High || math.Abs(p.Used-w.Used) > 1e-9 || math.Abs(p.Tokens-w.Tokens) > 1e-6 {
			t.Errorf("point %d: %+v, want %+v", i, p, w)
		}
	}
	if slices.Equal(permutations[0], permutations[1]) || slices.IsSorted(permutations[0]) {
		t.Error("the orders are not random")
	}
}

func TestHeaps(t *testing.T) {
	var points []Point
	for i := 1; i < 50; i++ {
		points = append(points, Point{Tokens: float64(i * i * 10), Used: 3 * math.Pow(float64(i*i*10), 0.6)})
	}
	h := FitHeaps(points)
	if math.Abs(h.K-3) > 1e-9 || math.Abs(h.Beta-0.6) > 1e-12 || math.Abs(h.R2-1) > 1e-12 {
		t.Errorf("%+v", h)
	}
	if h := FitHeaps(points[:1]); !math.IsNaN(h.Beta) {
		t.Errorf("one point: %+v", h)
	}
}

func TestGrid(t *testing.T) {
	for _, n := range []int{1, 2, 3, 10, 1000, 392702} {
		g := grid(n, 60)
		if g[0] != 1 || g[len(g)-1] != n || !slices.IsSorted(g) || len(slices.Compact(slices.Clone(g))) != len(g) || len(g) > 60 {
			t.Errorf("%d: %v", n, g)
		}
	}
}

func TestGrowthErrors(t *testing.T) {
	g, err := NewGrowth(10, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Add(&datasets.Encoded{IDs: []int32{10}, Offsets: []int64{0, 1}, Second: []int32{1}, Labels: []float32{0}}); err == nil {
		t.Error("id outside the rows")
	}
	if _, err := NewGrowth(0, 1, 1); err == nil {
		t.Error("no rows")
	}
}
