package torch

// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"

	"github.com/sugarme/gotch/ts"
)

// Scope runs operators and owns their results. The first error sticks: later operators do nothing and return nil, so that a
// forward pass reads as a formula and asks Err once. Used by one goroutine, locked to its OS thread.
type Scope struct {
	held     map[*Tensor]struct{}
	err      error
	training bool
	noGrad   bool
	tape     []entry // see Recompute
}

// NewScope makes a scope; training switches dropout on and gradients too.
func NewScope(training bool) *Scope {
	s := &Scope{held: map[*Tensor]struct{}{}, training: training, noGrad: !training}
	if s.noGrad {
		C.pm_grad_mode(0)
	}
	return s
}

// Close drops all that the scope still holds.
func (s *Scope) Close() {
	for _, e := range s.tape {
		e.drop()
	}
	for t := range s.held {
		t.Drop()
	}
	if s.noGrad {
		C.pm_grad_mode(1)
	}
}

// Err is the first error.
func (s *Scope) Err() error { return s.err }

// Fail makes err the scope's error, if it has none.
func (s *Scope) Fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// Training says whether dropout is on.
func (s *Scope) Training() bool { return s.training }

// Take makes the scope the owner of a tensor.
func (s *Scope) Take(t *Tensor, err error) *Tensor {
	if err != nil {
		s.Fail(err)
		return nil
	}
	t.scope = s
	s.held[t] = struct{}{}
	return t
}

// Keep makes the caller the owner of a tensor of the scope.
func (s *Scope) Keep(t *Tensor) *Tensor {
	if t != nil {
		delete(s.held, t)
		t.scope, t.last = nil, false
	}
	return t
}

var errDropped = errors.New("a tensor was used after its last use")

// op runs f over the inputs and drops those at their last use.
func (s *Scope) op(name string, f func() (*ts.Tensor, error), in ...*Tensor) *Tensor {
	if s.err != nil {
		return nil
	}
	for _, t := range in {
		if t == nil || t.t == nil {
			s.err = fmt.Errorf("%s: %w", name, errDropped)
			return nil
		}
	}
	r, err := f()
	for _, t := range in {
		if t.last && t.scope == s {
			t.Drop()
		}
	}
	if err != nil {
		s.err = fmt.Errorf("%s: %w", name, brief(err))
		return nil
	}
	return s.Take(wrap(r), nil)
}

// Backward computes the gradients of every parameter below a scalar.
func (s *Scope) Backward(loss *Tensor) {
	if s.err != nil {
		return
	}
	if C.pm_backward_loss(loss.t.Ctensor()) != 0 {
		s.err = fmt.Errorf("backward: %w", lastError())
	}
	s.unwind()
}

// Scalar reads a tensor of one element; on CUDA it waits for the device.
func (s *Scope) Scalar(t *Tensor) float64 {
	v := s.Floats(t)
	if len(v) != 1 {
		s.Fail(fmt.Errorf("scalar: tensor has %d elements", len(v)))
		return 0
	}
	return float64(v[0])
}

// Floats copies a tensor's values.
func (s *Scope) Floats(t *Tensor) []float32 {
	if s.err != nil {
		return nil
	}
	v, err := t.Floats()
	if err != nil {
		s.Fail(err)
	}
	return v
}
