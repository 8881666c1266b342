package vocabulary

import (
	"context"
	"fmt"
	"math"
	"slices"

	"pema/datasets"
)

// Growth follows how the used rows grow with the examples seen, over several random orders of the examples at once and
// in one pass: an order gives every example a random key, and an id enters it with the smallest key of its examples.
// So no example is held; memory is 8 bytes for each row and order, and 4 for each example.
type Growth struct {
	rows    int
	seeds   []uint64
	first   []uint64 // rows x orders: smallest key of an example with this id; unseen where there is none
	lengths []int32  // ids of each example
}

const unseen = math.MaxUint64

// NewGrowth makes a Growth for a matrix of the given rows and a number of orders, which depend on seed alone.
func NewGrowth(rows, orders int, seed uint64) (*Growth, error) {
	if rows <= 0 || orders <= 0 {
		return nil, fmt.Errorf("growth of vocabulary: %d rows, %d orders", rows, orders)
	}
	g := &Growth{rows: rows, first: make([]uint64, rows*orders)}
	for i := range orders {
		g.seeds = append(g.seeds, mix(seed+uint64(i)))
	}
	for i := range g.first {
		g.first[i] = unseen
	}
	return g, nil
}

// StreamGrowth encodes the named splits of ds, all where none is named, and follows their growth.
func StreamGrowth(ctx context.Context, ds *datasets.Dataset, splits []string, tok datasets.Tokenizer, rows, orders int, seed uint64, opt datasets.EncodeOptions) (*Growth, error) {
	g, err := NewGrowth(rows, orders, seed)
	if err != nil {
		return nil, err
	}
	if len(splits) == 0 {
		splits = ds.SplitNames()
	}
	for _, name := range splits {
		if err := datasets.EncodeStream(ctx, ds, name, tok, opt, g.Add); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// mix is the finalizer of splitmix64: a bijection that makes neighbours look random.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// key is the place of an example in an order; below unseen.
func key(seed uint64, example int) uint64 { return min(mix(seed^mix(uint64(example))), unseen-1) }

// Add follows further examples. An id outside the rows is an error, after which g is not to be used.
func (g *Growth) Add(e *datasets.Encoded) error {
	orders := len(g.seeds)
	keys := make([]uint64, orders)
	for i := range e.Len() {
		ids := e.IDs[e.Offsets[i]:e.Offsets[i+1]]
		for o, seed := range g.seeds {
			keys[o] = key(seed, len(g.lengths))
		}
		g.lengths = append(g.lengths, int32(len(ids)))
		for _, id := range ids {
			if uint(id) >= uint(g.rows) {
				return fmt.Errorf("growth of vocabulary: id %d is outside the matrix of %d rows: tokenizer and model do not belong together", id, g.rows)
			}
			at := g.first[int(id)*orders : int(id+1)*orders]
			for o, k := range keys {
				if k < at[o] {
					at[o] = k
				}
			}
		}
	}
	return nil
}

// Used returns the ids that occur, ascending.
func (g *Growth) Used() []int32 {
	used := []int32{}
	for id := range g.rows {
		if g.first[id*len(g.seeds)] != unseen {
			used = append(used, int32(id))
		}
	}
	return used
}

// Examples is the number of examples seen.
func (g *Growth) Examples() int64 { return int64(len(g.lengths)) }

// Tokens is the number of ids seen.
func (g *Growth) Tokens() int64 {
	n := int64(0)
	for _, l := range g.lengths {
		n += int64(l)
	}
	return n
}

// Point is a place on a growth curve: after so many examples, the mean over the orders of tokens seen and rows used, and
// the lowest and highest number of used rows of any order.
type Point struct {
	Examples int64   `json:"examples"`
	Tokens   float64 `json:"tokens"`
	Used     float64 `json:"used"`
	Low      int64   `json:"low"`
	High     int64   `json:"high"`
}

// Curve is the growth of the used rows.
type Curve struct {
	Rows   int
	Orders int
	Points []Point // ascending; the last one is the whole corpus
	Heaps  Heaps
}

// Heaps is the fit of Heaps' law, used = K * tokens^Beta, by least squares of the logarithms over the curve's points.
type Heaps struct {
	K    float64 `json:"k"`
	Beta float64 `json:"beta"`
	R2   float64 `json:"r2"` // of the logarithms
}

// Curve returns the curve at about the given number of points, evenly spaced on a logarithmic axis of examples.
func (g *Growth) Curve(points int) (*Curve, error) {
	n := len(g.lengths)
	if n == 0 || points < 2 {
		return nil, fmt.Errorf("growth of vocabulary: %d examples, %d points", n, points)
	}
	c := &Curve{Rows: g.rows, Orders: len(g.seeds)}
	for _, at := range grid(n, points) {
		c.Points = append(c.Points, Point{Examples: int64(at), Low: math.MaxInt64})
	}
	type place struct {
		key    uint64
		length int32
	}
	order, firsts := make([]place, n), make([]uint64, 0, g.rows)
	for o, seed := range g.seeds {
		for i := range order {
			order[i] = place{key(seed, i), g.lengths[i]}
		}
		slices.SortFunc(order, func(a, b place) int {
			if a.key < b.key {
				return -1
			}
			return 1
		})
		firsts = firsts[:0]
		for id := range g.rows {
			if k := g.first[id*len(g.seeds)+o]; k != unseen {
				firsts = append(firsts, k)
			}
		}
		slices.Sort(firsts)
		seen, tokens, used := 0, int64(0), 0
		for i := range c.Points {
			p := &c.Points[i]
			for ; seen < int(p.Examples); seen++ {
				tokens += int64(order[seen].length)
			}
			for used < len(firsts) && firsts[used] <= order[seen-1].key {
				used++
			}
			p.Tokens += float64(tokens) / float64(c.Orders)
			p.Used += float64(used) / float64(c.Orders)
			p.Low, p.High = min(p.Low, int64(used)), max(p.High, int64(used))
		}
	}
	last := &c.Points[len(c.Points)-1] // all orders agree on the whole: no rounding of a mean
	last.Used, last.Tokens = float64(last.High), float64(g.Tokens())
	c.Heaps = FitHeaps(c.Points)
	return c, nil
}

// grid returns about k integers from 1 to n, spaced evenly by logarithm.
func grid(n, k int) []int {
	var out []int
	for i := range k {
		at := int(math.Round(math.Pow(float64(n), float64(i)/float64(k-1))))
		if len(out) == 0 || at > out[len(out)-1] {
			out = append(out, min(at, n))
		}
	}
	if out[len(out)-1] != n {
		out = append(out, n)
	}
	return out
}

// FitHeaps fits Heaps' law to points; fewer than two distinct ones give NaN.
func FitHeaps(points []Point) Heaps {
	var n, sx, sy, sxx, sxy, syy float64
	for _, p := range points {
		if p.Tokens <= 0 || p.Used <= 0 {
			continue
		}
		x, y := math.Log(p.Tokens), math.Log(p.Used)
		n, sx, sy, sxx, sxy, syy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y, syy+y*y
	}
	vx, vy, cov := n*sxx-sx*sx, n*syy-sy*sy, n*sxy-sx*sy
	if n < 2 || vx <= 0 {
		return Heaps{math.NaN(), math.NaN(), math.NaN()}
	}
	beta := cov / vx
	r2 := 1.0
	if vy > 0 {
		r2 = cov * cov / (vx * vy)
	}
	return Heaps{K: math.Exp((sy - beta*sx) / n), Beta: beta, R2: r2}
}
