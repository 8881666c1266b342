// Package finetune trains an encoder as the HF examples run_glue and run_xnli do at 4.37 (AdamW, linear decay, clipping,
// padding to max_length), and measures what it takes: losses, gradient norms, times, and peak memory with its ledger.
package finetune

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"pema/datasets"
	"pema/models/encoder"
	"pema/models/torch"
)

// Recipe is how to train.
type Recipe struct {
	BatchSize, EvalBatch int
	MaxLength            int    // tokens
	Padding              string // max_length or longest
	Optimizer            torch.Form
	LearningRate         float64
	Epochs               int
	MaxSteps             int // 0: epochs decide
	WarmupSteps          int
	WeightDecay          float64
	ClipNorm             float64 // 0: never
	OrderSeed            int64
	DropoutSeed          int64
}

// Steps is the number of optimizer steps over n examples.
func (r Recipe) Steps(n int) int {
	steps := (n + r.BatchSize - 1) / r.BatchSize * r.Epochs
	if r.MaxSteps > 0 {
		return r.MaxSteps
	}
	return steps
}

// rate is the learning rate of a step (0-based): linear warm-up, then linear decay to 0 after the last step.
func (r Recipe) rate(step, total int) float64 {
	if step < r.WarmupSteps {
		return r.LearningRate * float64(step) / float64(r.WarmupSteps)
	}
	return r.LearningRate * float64(total-step) / float64(max(1, total-r.WarmupSteps))
}

// Outcome is what training measured.
type Outcome struct {
	Losses, GradNorms []float64 // of each step
	StepSeconds       []float64
	Peak              int64            // bytes at the highest peak of the training part
	PeakReserved      int64            // CUDA only
	Ledger            torch.Ledger     // resident at the peak; the rest of Peak is activations and temporaries
	Phase             string           // where the peak was
	Phases            map[string]int64 // peak of each phase in bytes
}

var phases = []string{"forward", "backward", "clip", "step"}

// Train runs the recipe. Between steps it looks at ctx; progress (may be nil) is called after each step.
func Train(ctx context.Context, m *encoder.Model, d torch.Device, data *datasets.Encoded, r Recipe, progress func(step, total int, loss float64)) (*Outcome, error) {
	runtime.LockOSThread() // libtorch keeps its gradient mode and errors by thread
	defer runtime.UnlockOSThread()
	n := data.Len()
	if n == 0 {
		return nil, errors.New("nothing to train on: the split is empty")
	}
	if r.BatchSize < 1 || r.EvalBatch < 1 {
		return nil, fmt.Errorf("batch sizes %d and %d: at least 1 is needed", r.BatchSize, r.EvalBatch)
	}
	opt := torch.NewAdamW(0.9, 0.999, 1e-8, r.Optimizer)
	defer opt.Close()
	for _, p := range m.Params {
		if err := opt.Add(p.Tensor, r.WeightDecay, p.Embedding); err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	if err := torch.Seed(r.DropoutSeed); err != nil {
		return nil, err
	}
	total := r.Steps(n)
	out := &Outcome{Phases: map[string]int64{}}
	if err := d.ResetPeak(); err != nil {
		return nil, err
	}
	opt.Watch(d)
	t := trainer{m: m, d: d, data: data, r: r, opt: opt, out: out}
	for step, epoch := 0, 0; step < total; epoch++ {
		order := rand.New(rand.NewPCG(uint64(r.OrderSeed), uint64(epoch))).Perm(n)
		for at := 0; at < n && step < total; at += r.BatchSize {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			begin := time.Now()
			loss, err := t.step(order[at:min(at+r.BatchSize, n)], r.rate(step, total))
			if err != nil {
				return nil, fmt.Errorf("step %d: %w", step+1, err)
			}
			out.StepSeconds = append(out.StepSeconds, time.Since(begin).Seconds())
			step++
			if progress != nil {
				progress(step, total, loss)
			}
		}
	}
	mem, err := d.Memory()
	if err != nil {
		return nil, err
	}
	out.PeakReserved = mem.ReservedPeak
	out.Peak, out.Ledger = opt.AtPeak(d)
	for _, p := range phases {
		if out.Phase == "" || out.Phases[p] > out.Phases[out.Phase] {
			out.Phase = p
		}
	}
	return out, nil
}

type trainer struct {
	m    *encoder.Model
	d    torch.Device
	data *datasets.Encoded
	r    Recipe
	opt  *torch.AdamW
	out  *Outcome
}

// phase runs one part of a step and keeps its peak.
func (t *trainer) phase(name string, f func() error) error {
	if err := f(); err != nil {
		return err
	}
	mem, err := t.d.Memory()
	if err != nil {
		return err
	}
	t.out.Phases[name] = max(t.out.Phases[name], mem.Peak)
	t.opt.AtPeak(t.d) // the ledger looks before the peak is reset
	return t.d.ResetPeak()
}

func (t *trainer) step(examples []int, rate float64) (float64, error) {
	s := torch.NewScope(true)
	defer s.Close()
	var loss *torch.Tensor
	if err := t.phase("forward", func() error {
		b, labels := batch(s, t.m, t.d, t.data, examples, t.r)
		loss = objective(s, t.m, t.m.Forward(s, b), labels)
		return s.Err()
	}); err != nil {
		return 0, err
	}
	if err := t.phase("backward", func() error { s.Backward(loss); return s.Err() }); err != nil {
		return 0, err
	}
	if err := t.phase("clip", func() error {
		n, err := t.opt.ClipNorm(t.r.ClipNorm)
		t.out.GradNorms = append(t.out.GradNorms, n)
		return err
	}); err != nil {
		return 0, err
	}
	if err := t.phase("step", func() error {
		defer t.opt.ZeroGrad()
		return t.opt.Step(rate)
	}); err != nil {
		return 0, err
	}
	v := s.Scalar(loss)
	t.out.Losses = append(t.out.Losses, v)
	return v, s.Err()
}

func objective(s *torch.Scope, m *encoder.Model, logits, labels *torch.Tensor) *torch.Tensor {
	if m.Labels == 1 {
		return s.MeanSquared(s.View(logits.Last(), -1).Last(), labels)
	}
	return s.CrossEntropy(logits.Last(), labels)
}

// Evaluation is the result over a split.
type Evaluation struct {
	Loss        float64
	Predictions []float64 // class index, or the value of a regression
	Labels      []float64
}

// Accuracy is the share of predictions that equal their label.
func (e *Evaluation) Accuracy() float64 {
	right := 0
	for i, p := range e.Predictions {
		if p == e.Labels[i] {
			right++
		}
	}
	return float64(right) / float64(len(e.Predictions))
}

// Evaluate runs the model over a split in its order, without dropout.
func Evaluate(ctx context.Context, m *encoder.Model, d torch.Device, data *datasets.Encoded, r Recipe) (*Evaluation, error) {
	runtime.LockOSThread() // libtorch keeps its gradient mode and errors by thread
	defer runtime.UnlockOSThread()
	n := data.Len()
	if n == 0 {
		return nil, errors.New("nothing to evaluate: the split is empty")
	}
	e := &Evaluation{}
	var sum float64
	for at := 0; at < n; at += r.EvalBatch {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		examples := make([]int, min(r.EvalBatch, n-at))
		for i := range examples {
			examples[i] = at + i
		}
		if err := func() error {
			s := torch.NewScope(false)
			defer s.Close()
			b, labels := batch(s, m, d, data, examples, r)
			logits := m.Forward(s, b)
			values := s.Floats(logits)
			sum += s.Scalar(objective(s, m, logits, labels)) * float64(len(examples))
			if s.Err() != nil {
				return s.Err()
			}
			for i, x := range examples {
				row := values[i*m.Labels : (i+1)*m.Labels]
				p := float64(row[0])
				if m.Labels > 1 {
					p = float64(slices.Index(row, slices.Max(row)))
				}
				e.Predictions = append(e.Predictions, p)
				e.Labels = append(e.Labels, float64(data.Labels[x]))
			}
			return nil
		}(); err != nil {
			return nil, err
		}
	}
	e.Loss = sum / float64(n)
	return e, nil
}

// batch pads examples to one length and puts them on the device.
func batch(s *torch.Scope, m *encoder.Model, d torch.Device, data *datasets.Encoded, examples []int, r Recipe) (encoder.Batch, *torch.Tensor) {
	length := 0
	for _, x := range examples {
		length = max(length, int(data.Offsets[x+1]-data.Offsets[x]))
	}
	if r.Padding == "max_length" {
		length = max(length, r.MaxLength)
	}
	n := len(examples) * length
	ids, types, mask := make([]int64, n), make([]int64, n), make([]float32, n)
	for i, x := range examples {
		row := data.IDs[data.Offsets[x]:data.Offsets[x+1]]
		for j := range length {
			at := i*length + j
			if j < len(row) {
				ids[at] = int64(row[j])
				if j >= int(data.Second[x]) {
					types[at] = 1
				}
				continue
			}
			ids[at], mask[at] = m.Padding, -math.MaxFloat32
		}
	}
	b, l := int64(len(examples)), int64(length)
	put := func(t *torch.Tensor, err error) *torch.Tensor {
		if err != nil {
			s.Fail(err)
			return nil
		}
		defer t.Drop()
		return s.Take(t.To(d))
	}
	out := encoder.Batch{IDs: put(torch.Of(ids, b, l)), Types: put(torch.Of(types, b, l)), Mask: put(torch.Of(mask, b, 1, 1, l))}
	if m.Labels == 1 {
		y := make([]float32, b)
		for i, x := range examples {
			y[i] = data.Labels[x]
		}
		return out, put(torch.Of(y, b))
	}
	y := make([]int64, b)
	for i, x := range examples {
		y[i] = int64(data.Labels[x])
		if y[i] < 0 || y[i] >= int64(m.Labels) {
			s.Fail(fmt.Errorf("example %d has label %d, the head has %d classes", x, y[i], m.Labels))
		}
	}
	return out, put(torch.Of(y, b))
}
