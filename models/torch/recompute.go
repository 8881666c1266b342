package torch

// #include "shim.h"
// #include "training.h"
import "C"

import "fmt"

// entry is a place where the graph of a pass is cut: leaf stands for the value and collects its gradient, which goes on into
// what made the value.
type entry struct {
	leaf   *Tensor
	handle *Tensor // what the caller holds of the leaf
	source *Tensor // the graph's end; or
	run    func(s *Scope, x *Tensor) *Tensor
	in     *Tensor // leaf that run is given
	draws  map[Device][]byte
}

func (e entry) drop() {
	for _, t := range []*Tensor{e.leaf, e.source, e.in} {
		t.Drop()
	}
}

// Cut gives another tensor with the same value whose gradient waits until Backward comes to it, so that several recomputed parts
// can use it. It consumes x.
func (s *Scope) Cut(x *Tensor) *Tensor {
	if s.err != nil || s.noGrad {
		return x
	}
	source, err := x.alias()
	if err != nil {
		s.Fail(err)
		return nil
	}
	if x.scope == s {
		x.Drop()
	}
	wants, err := source.t.RequiresGrad()
	if err != nil {
		s.Fail(fmt.Errorf("cut: %w", err))
	}
	return s.leaf(source, wants, entry{source: source})
}

// leaf puts an entry on the tape whose leaf has the value of t, and collects a gradient if it wants one.
func (s *Scope) leaf(t *Tensor, wants bool, e entry) *Tensor {
	leaf, err := t.Detach(wants)
	if err != nil {
		s.Fail(err)
		e.drop()
		return nil
	}
	e.leaf = leaf
	e.handle = s.Take(leaf.alias())
	s.tape = append(s.tape, e)
	return e.handle
}

// Recompute is f(x), consuming x, without keeping what its gradient needs: Backward computes it again, with the same random
// numbers, as torch.utils.checkpoint does. f must use no other tensor with a history but parameters and what Cut gave.
func (s *Scope) Recompute(d Device, x *Tensor, f func(s *Scope, x *Tensor) *Tensor) *Tensor {
	if s.err != nil {
		return nil
	}
	if s.noGrad {
		return f(s, x)
	}
	if len(s.tape) == 0 || s.tape[len(s.tape)-1].handle != x {
		if x = s.Cut(x); x == nil {
			return nil
		}
	}
	e := entry{run: f, draws: map[Device][]byte{}}
	var err error
	for _, g := range generators(d) {
		if e.draws[g], err = g.GeneratorState(); err != nil {
			s.Fail(err)
			return nil
		}
	}
	if e.in, err = x.alias(); err != nil {
		s.Fail(err)
		return nil
	}
	x.Drop()
	C.pm_grad_mode(0)
	y, err := e.again()
	C.pm_grad_mode(1)
	if err != nil {
		s.Fail(err)
		e.drop()
		return nil
	}
	defer y.Drop()
	return s.leaf(y, true, e)
}

// again runs the part; the caller owns the result.
func (e entry) again() (*Tensor, error) {
	s := &Scope{held: map[*Tensor]struct{}{}, training: true}
	defer s.Close()
	y := s.Keep(e.run(s, s.Take(e.in.alias())))
	return y, s.err
}

// unwind carries the gradients back over the tape.
func (s *Scope) unwind() {
	if len(s.tape) == 0 || s.err != nil {
		return
	}
	after := map[Device][]byte{}
	for i := len(s.tape) - 1; i >= 0 && s.err == nil; i-- {
		e := s.tape[i]
		s.tape = s.tape[:i]
		for d, state := range e.draws {
			if _, ok := after[d]; !ok {
				now, err := d.GeneratorState()
				if err != nil {
					s.Fail(err)
				}
				after[d] = now
			}
			if err := d.RestoreGenerator(state); err != nil {
				s.Fail(err)
			}
		}
		from := e.source
		if e.run != nil {
			var err error
			if from, err = e.again(); err != nil {
				s.Fail(err)
			}
		}
		if s.err == nil && C.pm_backward_from(from.t.Ctensor(), e.leaf.t.Ctensor()) != 0 {
			s.Fail(fmt.Errorf("backward: %w", lastError()))
		}
		if e.run != nil {
			from.Drop()
		}
		e.drop()
	}
	for d, state := range after {
		if err := d.RestoreGenerator(state); err != nil {
			s.Fail(err)
		}
	}
}

// generators are the devices whose generators a pass on d may draw from.
func generators(d Device) []Device {
	if d.IsCPU() {
		return []Device{CPU}
	}
	return []Device{CPU, d}
}

// alias is another handle on the same variable; the caller owns it.
func (t *Tensor) alias() (*Tensor, error) {
	x, err := t.t.ShallowClone()
	if err != nil {
		return nil, fmt.Errorf("alias: %w", err)
	}
	return wrap(x), nil
}
