package finetune

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"

	"pema/datasets"
	"pema/models/encoder"
	"pema/models/torch"
)

// Side is one of two trainings that are held against each other.
type Side struct {
	Model *encoder.Model
	Data  *datasets.Encoded
	Rows  []int32 // which ids the rows of its embedding matrix are, ascending; nil: all
}

// Difference is the first place where two trainings part.
type Difference struct {
	Step     int    // after so many steps
	What     string // "loss", "gradient norm", or a tensor's name
	Row      int64  // of the tensor; of the embedding matrix the id in the full vocabulary; -1: no tensor
	Baseline float64
	PEMA     float64
}

func (d *Difference) String() string {
	where := d.What
	if d.Row >= 0 {
		where = fmt.Sprintf("tensor %s, row %d", d.What, d.Row)
	}
	return fmt.Sprintf("step %d, %s: %.9g and %.9g", d.Step, where, d.Baseline, d.PEMA)
}

// Verdict is what a comparison found.
type Verdict struct {
	Steps int         // that were compared
	First *Difference // nil: the same bits in every loss, gradient norm, and row of every tensor after every step
	// Unused is how many rows only the baseline has. Without weight decay they must stay as they were. With it AdamW takes
	// learning rate x decay off every row at every step, used or not, which PEMA cannot do to rows that it does not have: Decayed of
	// them shrank to Factor of what they were, and nothing else happened to them.
	Unused, Decayed int
	Factor          float64
}

// Explain says in a sentence what a verdict means.
func (v *Verdict) Explain() string {
	same := fmt.Sprintf("the same bits in every loss, gradient norm and row that both have, after each of %d steps", v.Steps)
	switch {
	case v.First != nil:
		return "they differ first at " + v.First.String()
	case v.Decayed > 0:
		return fmt.Sprintf("%s; %d of %d rows that the data does not use differ, since weight decay shrank them to %.9g of what they were in the baseline, while PEMA gives them back as published",
			same, v.Decayed, v.Unused, v.Factor)
	}
	return fmt.Sprintf("%s; the %d rows that the data does not use are as published in both", same, v.Unused)
}

// Verify trains both sides step by step in turn, each with its own random numbers, and compares them after every step: it stops
// at the first difference. The models must be as fresh from encoder.New.
func Verify(ctx context.Context, d torch.Device, baseline, small Side, r Recipe, progress func(step, total int)) (*Verdict, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if baseline.Model.Embedding() == nil || small.Model.Embedding() == nil || len(baseline.Model.Params) != len(small.Model.Params) {
		return nil, fmt.Errorf("the models have %d and %d parameters", len(baseline.Model.Params), len(small.Model.Params))
	}
	before, err := baseline.Model.Embedding().Tensor.Floats()
	if err != nil {
		return nil, err
	}
	var pair [2]*turn
	for i, side := range []Side{baseline, small} {
		t, err := begin(side.Model, d, side.Data, r, Hooks{})
		if err != nil {
			return nil, err
		}
		defer t.close()
		if pair[i], err = newTurn(t); err != nil {
			return nil, err
		}
	}
	a, b := pair[0].t, pair[1].t
	if a.total != b.total {
		return nil, fmt.Errorf("the data asks for %d steps and %d", a.total, b.total)
	}
	v := &Verdict{Factor: 1}
	if v.First, err = compareWeights(baseline, small, 0); err != nil || v.First != nil {
		return v, err
	}
	for v.Steps < a.total {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		v.Factor *= 1 - r.rate(v.Steps, a.total)*r.WeightDecay
		for _, p := range pair {
			if err := p.step(ctx); err != nil {
				return nil, err
			}
		}
		v.Steps++
		for what, x := range map[string][2][]float64{"loss": {a.out.Losses, b.out.Losses}, "gradient norm": {a.out.GradNorms, b.out.GradNorms}} {
			p, q := x[0][v.Steps-1], x[1][v.Steps-1]
			if math.Float64bits(p) != math.Float64bits(q) && (v.First == nil || what == "loss") {
				v.First = &Difference{v.Steps, what, -1, p, q}
			}
		}
		if v.First == nil {
			if v.First, err = compareWeights(baseline, small, v.Steps); err != nil {
				return nil, err
			}
		}
		if v.First != nil {
			return v, nil
		}
		if progress != nil {
			progress(v.Steps, a.total)
		}
	}
	return v, v.unused(baseline.Model.Embedding(), before, small.Rows)
}

// turn is a training that shares the process's random generators with another.
type turn struct {
	t     *trainer
	draws map[string][]byte
}

func newTurn(t *trainer) (*turn, error) {
	u := &turn{t, map[string][]byte{}}
	return u, u.keep()
}

func (u *turn) keep() (err error) {
	for name, d := range u.t.generators() {
		if u.draws[name], err = d.GeneratorState(); err != nil {
			return err
		}
	}
	return nil
}

func (u *turn) step(ctx context.Context) error {
	for name, d := range u.t.generators() {
		if err := d.RestoreGenerator(u.draws[name]); err != nil {
			return err
		}
	}
	if err := u.t.advance(ctx); err != nil {
		return err
	}
	if err := u.t.read(); err != nil {
		return err
	}
	return u.keep()
}

// compareWeights finds the first parameter, in the model's order, that differs in a row that both have.
func compareWeights(a, b Side, step int) (*Difference, error) {
	s := torch.NewScope(false)
	defer s.Close()
	for i, p := range a.Model.Params {
		q := b.Model.Params[i]
		if p.Name != q.Name {
			return nil, fmt.Errorf("parameter %d is %s and %s", i, p.Name, q.Name)
		}
		x, y := p.Tensor, q.Tensor
		rows := b.Rows
		if !p.Embedding {
			rows = nil
		}
		if rows != nil {
			ids := make([]int64, len(rows))
			for k, id := range rows {
				ids[k] = int64(id)
			}
			t, err := torch.Of(ids, int64(len(ids)))
			if err != nil {
				return nil, err
			}
			x = s.Embedding(x, s.Take(t.To(a.Model.Device())), -1)
			t.Drop()
		}
		if s.Err() != nil {
			return nil, s.Err()
		}
		same, err := x.Same(y)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		if !same {
			return locate(p.Name, x, y, rows, step)
		}
		if x != p.Tensor {
			x.Drop()
		}
	}
	return nil, nil
}

// locate finds the first element that differs.
func locate(name string, x, y *torch.Tensor, rows []int32, step int) (*Difference, error) {
	p, err := x.Floats()
	if err != nil {
		return nil, err
	}
	q, err := y.Floats()
	if err != nil {
		return nil, err
	}
	width := max(1, len(p)/int(max(1, x.Shape()[0])))
	for i := range min(len(p), len(q)) {
		if p[i] == q[i] {
			continue
		}
		d := &Difference{step, name, int64(i / width), float64(p[i]), float64(q[i])}
		if rows != nil {
			d.Row = int64(rows[d.Row])
		}
		return d, nil
	}
	return nil, fmt.Errorf("%s: shapes %v and %v", name, x.Shape(), y.Shape())
}

// unused looks at the rows that only the baseline has.
func (v *Verdict) unused(p *encoder.Param, before []float32, rows []int32) error {
	if rows == nil {
		return nil
	}
	now, err := p.Tensor.Floats()
	if err != nil {
		return err
	}
	width := int(p.Tensor.Shape()[1])
	for id := range int32(len(now) / width) {
		if _, ok := slices.BinarySearch(rows, id); ok {
			continue
		}
		v.Unused++
		at := int(id) * width
		changed := false
		for i := at; i < at+width; i++ {
			want := float64(before[i]) * v.Factor
			if off := math.Abs(float64(now[i]) - want); off > 1e-5*math.Abs(want) || v.Factor == 1 && now[i] != before[i] {
				v.First = &Difference{v.Steps, p.Name, int64(id), float64(now[i]), float64(before[i])}
				return nil
			}
			changed = changed || now[i] != before[i]
		}
		if changed {
			v.Decayed++
		}
	}
	return nil
}
