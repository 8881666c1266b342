package torch

// #include "optimizer.h"
import "C"

import (
	"fmt"
	"unsafe"
)

// Form is how AdamW runs; it decides the temporaries, thus the peak.
type Form int

const (
	Loop    Form = iota // parameter after parameter
	Foreach             // all at once; temporaries as large as the parameters (PyTorch's default on CUDA)
	Fused               // one kernel, no temporaries
)

// ParseForm reads adamw-loop, adamw-foreach or adamw-fused.
func ParseForm(name string) (Form, error) {
	for i, n := range []string{"adamw-loop", "adamw-foreach", "adamw-fused"} {
		if n == name {
			return Form(i), nil
		}
	}
	return 0, fmt.Errorf("optimizer %q is not known: use adamw-loop, adamw-foreach or adamw-fused", name)
}

// Ledger is what was resident at a moment, in bytes: [0] the embedding matrix, [1] the rest.
type Ledger struct{ Parameters, Gradients, Optimizer [2]int64 }

// AdamW is the optimizer of torch.optim.AdamW (decoupled weight decay) over parameters that it does not own.
type AdamW struct{ p unsafe.Pointer }

// NewAdamW makes an optimizer without parameters.
func NewAdamW(beta1, beta2, eps float64, form Form) *AdamW {
	return &AdamW{C.pm_opt_new(C.double(beta1), C.double(beta2), C.double(eps), C.int(form))}
}

// Add gives it a parameter; embedding marks the embedding matrix, whose norm and ledger lines are apart.
func (o *AdamW) Add(t *Tensor, weightDecay float64, embedding bool) error {
	e := C.int(0)
	if embedding {
		e = 1
	}
	if C.pm_opt_add(o.p, t.t.Ctensor(), C.double(weightDecay), e) != 0 {
		return fmt.Errorf("adamw: %w", lastError())
	}
	return nil
}

// Step updates every parameter that has a gradient.
func (o *AdamW) Step(learningRate float64) error {
	if C.pm_opt_step(o.p, C.double(learningRate)) != 0 {
		return fmt.Errorf("adamw step: %w", lastError())
	}
	return nil
}

// ClipNorm scales all gradients so that their total L2 norm is at most max (0: never), as torch.nn.utils.clip_grad_norm_ does,
// and returns the norm before as a float64 scalar on the device, which the caller owns; it does not wait for the device.
// rows, ascending, are the rows of the embedding matrix that the batch used: all others have no gradient, and so the norm has
// the same bits with and without them.
func (o *AdamW) ClipNorm(max float64, rows []int64) (*Tensor, error) {
	p, n := dims(rows)
	return handle(C.pm_opt_clip(o.p, C.double(max), p, C.int64_t(n)), "clip")
}

// Steps is how many steps were taken.
func (o *AdamW) Steps() int { return int(C.pm_opt_steps(o.p)) }

// Resume makes the optimizer one that has taken so many steps; its moments come back through State.
func (o *AdamW) Resume(steps int) { C.pm_opt_resume(o.p, C.int64_t(steps)) }

// StateNames are torch.optim.AdamW's names of a parameter's state. The step is there in the fused form only.
var StateNames = []string{"exp_avg", "exp_avg_sq", "step"}

// State is the state of the parameter that was added as number i, by StateNames; nil where there is none. create makes what a
// first step would. The caller owns the tensors.
func (o *AdamW) State(i int, create bool) []*Tensor {
	out := make([]*Tensor, len(StateNames))
	for k := range out {
		if c := C.pm_opt_state(o.p, C.size_t(i), C.int(k), flag(create)); c != nil {
			out[k], _ = handle(c, "state")
		}
	}
	return out
}

// ZeroGrad drops the gradients.
func (o *AdamW) ZeroGrad() { C.pm_opt_zero(o.p) }

// Watch begins to follow what is resident when the device's peak grows.
func (o *AdamW) Watch(d Device) { C.pm_opt_watch(o.p, C.int(d.index)) }

// AtPeak returns the peak since Watch and what was resident then; the rest of the peak is activations and temporaries.
func (o *AdamW) AtPeak(d Device) (peak int64, l Ledger) {
	var c C.pm_ledger
	var p C.int64_t
	C.pm_opt_ledger(o.p, C.int(d.index), &c, &p)
	for k := range 2 {
		l.Parameters[k], l.Gradients[k], l.Optimizer[k] = int64(c.param[k]), int64(c.grad[k]), int64(c.opt[k])
	}
	return int64(p), l
}

// Close frees the state and the gradients; the parameters stay.
func (o *AdamW) Close() {
	if o.p != nil {
		C.pm_opt_free(o.p)
		o.p = nil
	}
}
