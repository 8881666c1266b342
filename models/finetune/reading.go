package finetune

import (
	"errors"
	"slices"
	"time"

	"pema/models/torch"
)

// readEvery is after how many steps the losses and norms are read from CUDA: reading waits for the device, which then has nothing
// to do until the next step is asked for.
const readEvery = 20

// reading is a step's figures that are still on the device.
type reading struct {
	losses []*torch.Tensor // of its batches
	norm   *torch.Tensor
}

func (r *reading) drop() {
	for _, l := range r.losses {
		l.Drop()
	}
	r.norm.Drop()
}

// read fetches all figures that are still on the device.
func (t *trainer) read() error {
	var errs error
	for _, u := range t.unread {
		var loss float32
		for _, l := range u.losses {
			v, err := l.Item()
			errs = errors.Join(errs, err)
			loss += float32(v) / float32(t.r.accumulation())
		}
		norm, err := u.norm.Item()
		errs = errors.Join(errs, err)
		t.out.GradNorms = append(t.out.GradNorms, norm)
		t.out.Losses = append(t.out.Losses, float64(loss))
		u.drop()
	}
	t.unread = t.unread[:0]
	return errs
}

// report ends a step. On CUDA the time between two readings is shared out among their steps.
func (t *trainer) report() error {
	if len(t.unread) >= readEvery || t.at.Step == t.total {
		if err := t.read(); err != nil {
			return err
		}
	}
	t.out.StepSeconds = append(t.out.StepSeconds, time.Since(t.since).Seconds())
	if len(t.unread) == 0 {
		last, sum := t.out.StepSeconds[t.timed:], 0.0
		for _, s := range last {
			sum += s
		}
		for i := range last {
			last[i] = sum / float64(len(last))
		}
		t.timed = len(t.out.StepSeconds)
	}
	if t.hooks.Progress != nil && len(t.out.Losses) > 0 {
		t.hooks.Progress(t.at.Step, t.total, t.out.Losses[len(t.out.Losses)-1])
	}
	return nil
}

// union is the ascending union of two ascending lists without repetitions.
func union(a, b []int64) []int64 {
	if len(a) == 0 {
		return append(a, b...)
	}
	a = append(a, b...)
	slices.Sort(a)
	return slices.Compact(a)
}
