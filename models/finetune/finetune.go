// Package finetune trains an encoder as the HF examples run_glue and run_xnli do at 4.37 (AdamW, linear decay, clipping,
// padding to max_length), and measures what it takes: losses, gradient norms, times, and peak memory with its ledger.
package finetune

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"pema/datasets"
	"pema/models/encoder"
	"pema/models/torch"
)

// Hooks are what a caller hears of a training, and what it adds to it. Each may be nil. They are called on Train's OS thread.
type Hooks struct {
	// Progress is told of each finished step. On CUDA losses are read from the device now and then only: loss is the last one read.
	Progress func(step, total int, loss float64)
	// Evaluate is called at the end of each epoch (counted from 1), also of one that MaxSteps cuts short; what it returns becomes
	// part of the outcome. Its memory is recorded apart and does not count in the peak of the training.
	Evaluate func(epoch int) (map[string]float64, error)
	// Checkpoint says where and when the training is saved, and goes on from there.
	Checkpoint *Checkpoint
}

// Outcome is what training measured. Of a training that was resumed it speaks as of one that was not interrupted: its peak is
// the highest of all its parts.
type Outcome struct {
	Losses, GradNorms []float64 // of each step; a step's loss is the mean of its batches' losses
	StepSeconds       []float64
	Epochs            []Epoch
	Peak              int64            // bytes at the highest peak of the training part
	PeakReserved      int64            // CUDA only
	Ledger            torch.Ledger     // resident at the peak; the rest of Peak is activations and temporaries
	Phase             string           // where the peak was
	Phases            map[string]int64 // peak of each part of a step in bytes: forward, backward, clip, step
	Stages            map[string]Stage // first step, steady step, evaluation, checkpoint
	Resumed           int              // steps that were taken from a checkpoint
}

// Epoch is an evaluation at the end of an epoch.
type Epoch struct {
	Epoch, Step int // how many were complete; the last epoch may have been cut short
	Metrics     map[string]float64
}

// Stage is the most memory that was allocated and reserved (CUDA only) in a part of a run, in bytes.
type Stage struct{ Allocated, Reserved int64 }

func (s Stage) max(o Stage) Stage {
	return Stage{max(s.Allocated, o.Allocated), max(s.Reserved, o.Reserved)}
}

// Measure runs f and returns what memory it took at most, with what was resident before. It resets the device's peak.
func Measure(d torch.Device, f func() error) (Stage, error) {
	if err := d.ResetPeak(); err != nil {
		return Stage{}, err
	}
	if err := f(); err != nil {
		return Stage{}, err
	}
	mem, err := d.Memory()
	if err != nil {
		return Stage{}, err
	}
	return Stage{mem.Peak, mem.ReservedPeak}, d.ResetPeak()
}

var phases = []string{"forward", "backward", "clip", "step"}

// Train runs the recipe. When ctx ends, the step is finished and saved, and ctx's error returned.
func Train(ctx context.Context, m *encoder.Model, d torch.Device, data *datasets.Encoded, r Recipe, h Hooks) (*Outcome, error) {
	runtime.LockOSThread() // libtorch keeps its gradient mode and errors by thread
	defer runtime.UnlockOSThread()
	t, err := begin(m, d, data, r, h)
	if err != nil {
		return nil, err
	}
	defer t.close()
	for t.at.Step < t.total {
		if err := t.advance(ctx); err != nil {
			return nil, err
		}
	}
	if err := t.evaluate(); err != nil {
		return nil, err
	}
	return t.outcome()
}

// position is where a training stands.
type position struct {
	Step    int // optimizer steps taken
	Epoch   int // 0-based
	Batch   int // batches taken of the epoch
	Batches int // batches taken of all
}

type trainer struct {
	m     *encoder.Model
	d     torch.Device
	data  *datasets.Encoded
	r     Recipe
	hooks Hooks
	opt   *torch.AdamW
	out   *Outcome
	at    position
	total int

	batches <-chan *padded // the rest of the epoch; nil: it has not begun
	stop    func()
	unread  []*reading // losses and norms that are still on the device
	timed   int        // steps whose time is settled
	losses  []*torch.Tensor
	rows    []int64 // of the step's batches
	since   time.Time

	before *state // what was loaded; nil: this is the first part
	saved  position
	last   time.Time // when it was saved last
}

// begin makes a trainer that stands before its first step, or where its checkpoint does.
func begin(m *encoder.Model, d torch.Device, data *datasets.Encoded, r Recipe, h Hooks) (*trainer, error) {
	if data.Len() == 0 {
		return nil, errors.New("nothing to train on: the split is empty")
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	t := &trainer{m: m, d: d, data: data, r: r, hooks: h, opt: torch.NewAdamW(0.9, 0.999, 1e-8, r.Optimizer), total: r.Steps(data.Len()),
		out: &Outcome{Phases: map[string]int64{}, Stages: map[string]Stage{}}}
	if err := t.prepare(); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *trainer) prepare() error {
	for _, p := range t.m.Params {
		decay := 0.0
		if t.r.decays(p.Name) {
			decay = t.r.WeightDecay
		}
		if err := t.opt.Add(p.Tensor, decay, p.Embedding); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	torch.AllowTF32(t.r.TF32)
	if err := torch.Seed(t.r.DropoutSeed); err != nil {
		return err
	}
	if t.hooks.Checkpoint != nil {
		if err := t.resume(); err != nil {
			return err
		}
	}
	if err := t.d.ResetPeak(); err != nil {
		return err
	}
	t.opt.Watch(t.d)
	return nil
}

func (t *trainer) close() {
	t.newEpoch()
	for _, l := range t.losses {
		l.Drop()
	}
	for _, u := range t.unread {
		u.drop()
	}
	t.opt.Close()
}

// newEpoch forgets the batches that were prepared.
func (t *trainer) newEpoch() {
	if t.batches != nil {
		t.stop()
		t.batches = nil
	}
}

// advance takes one step, with what is due before it.
func (t *trainer) advance(ctx context.Context) error {
	t.since = time.Now()
	for {
		whole := len(t.losses) == 0 // no gradients wait for the rest of their step
		if whole && ctx.Err() != nil {
			return t.interrupted(ctx)
		}
		if t.at.Batch == t.r.batches(t.data.Len()) {
			if err := t.evaluate(); err != nil {
				if whole && ctx.Err() != nil {
					return t.interrupted(ctx)
				}
				return err
			}
			t.newEpoch()
			t.at.Epoch, t.at.Batch = t.at.Epoch+1, 0
			t.since = time.Now()
		}
		if whole && t.due() {
			if err := t.save(); err != nil {
				return err
			}
			t.since = time.Now()
		}
		if t.batches == nil {
			order := t.r.Order(t.data, t.at.Epoch)
			t.batches, t.stop = feed(t.m, t.data, order[t.at.Batch*t.r.BatchSize:], t.r)
		}
		done, err := t.batch(<-t.batches)
		if err != nil {
			return fmt.Errorf("step %d: %w", t.at.Step+1, err)
		}
		if done {
			return t.report()
		}
	}
}

// interrupted saves the training and returns why it ends.
func (t *trainer) interrupted(ctx context.Context) error {
	if err := t.save(); err != nil {
		return errors.Join(ctx.Err(), err)
	}
	return ctx.Err()
}

// batch takes one batch, and the optimizer's step when it completes one: each so many batches over all epochs, and at the end of
// an epoch that has no more batches than a step.
func (t *trainer) batch(p *padded) (bool, error) {
	s := torch.NewScope(true) // the batch stays resident until the step is over, as the Trainer's does
	defer s.Close()
	if err := t.gradients(s, p); err != nil {
		return false, err
	}
	n, a := t.r.batches(t.data.Len()), t.r.accumulation()
	t.at.Batch++
	t.at.Batches++
	if t.at.Batches%a != 0 && (n > a || t.at.Batch != n) {
		return false, nil
	}
	var norm *torch.Tensor
	if err := t.phase("clip", func() (err error) {
		norm, err = t.opt.ClipNorm(t.r.ClipNorm, t.rows)
		return err
	}); err != nil {
		return false, err
	}
	t.unread = append(t.unread, &reading{t.losses, norm})
	t.losses, t.rows = nil, t.rows[:0]
	if t.d.IsCPU() { // nothing to wait for, and nothing of it stays resident
		if err := t.read(); err != nil {
			return false, err
		}
	}
	if err := t.phase("step", func() error {
		defer t.opt.ZeroGrad()
		return t.opt.Step(t.r.rate(t.at.Step, t.total))
	}); err != nil {
		return false, err
	}
	t.at.Step++
	return true, nil
}

// gradients adds the gradients of a batch, whose loss is divided by the number of batches in a step as the Trainer does it.
func (t *trainer) gradients(s *torch.Scope, p *padded) error {
	var loss, part *torch.Tensor
	if err := t.phase("forward", func() error {
		return cast(t.d, t.r, func() error {
			b, labels := p.upload(s, t.d)
			if s.Err() != nil {
				return s.Err()
			}
			loss = objective(s, t.m, t.m.Forward(s, b).Last(), labels)
			if part = loss; t.r.accumulation() > 1 {
				part = s.Divide(loss, float64(t.r.accumulation()))
			}
			return s.Err()
		})
	}); err != nil {
		return err
	}
	if err := t.phase("backward", func() error { s.Backward(part); return s.Err() }); err != nil {
		return err
	}
	t.rows = union(t.rows, p.rows)
	l, err := loss.Detach(false)
	t.losses = append(t.losses, l)
	return err
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
	t.out.PeakReserved = max(t.out.PeakReserved, mem.ReservedPeak)
	stage := "steady step"
	if t.at.Step == 0 {
		stage = "first step"
	}
	t.stage(stage, Stage{mem.Peak, mem.ReservedPeak})
	t.opt.AtPeak(t.d) // the ledger looks before the peak is reset
	return t.d.ResetPeak()
}

func (t *trainer) stage(name string, s Stage) { t.out.Stages[name] = t.out.Stages[name].max(s) }

// evaluate asks the caller for the figures at the end of an epoch.
func (t *trainer) evaluate() error {
	if t.hooks.Evaluate == nil {
		return nil
	}
	var metrics map[string]float64
	s, err := Measure(t.d, func() (err error) {
		metrics, err = t.hooks.Evaluate(t.at.Epoch + 1)
		return err
	})
	if err != nil {
		return fmt.Errorf("evaluation after epoch %d: %w", t.at.Epoch+1, err)
	}
	t.stage("evaluation", s)
	t.out.Epochs = append(t.out.Epochs, Epoch{t.at.Epoch + 1, t.at.Step, metrics})
	return nil
}

// peak is the highest of all parts of the training; of equal ones the first counts, as it would without an interruption.
func (t *trainer) peak() (int64, torch.Ledger) {
	if peak, ledger := t.opt.AtPeak(t.d); t.before == nil || peak > t.before.Peak {
		return peak, ledger
	}
	return t.before.Peak, t.before.Ledger
}

// outcome ends the books.
func (t *trainer) outcome() (*Outcome, error) {
	if err := t.read(); err != nil {
		return nil, err
	}
	o := t.out
	o.Peak, o.Ledger = t.peak()
	for _, p := range phases {
		if o.Phase == "" || o.Phases[p] > o.Phases[o.Phase] {
			o.Phase = p
		}
	}
	return o, nil
}
