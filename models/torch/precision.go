package torch

// #include "shim.h"
// #include "training.h"
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

const uint8Type = gotch.Uint8

// Precision is the element type that matrix products are computed in; weights, gradients and moments are float32 always.
type Precision int

const (
	FP32 Precision = iota
	BF16           // autocast, as torch.autocast(dtype=torch.bfloat16)
)

// ParsePrecision reads fp32 or bf16.
func ParsePrecision(name string) (Precision, error) {
	switch name {
	case "fp32":
		return FP32, nil
	case "bf16":
		return BF16, nil
	}
	return 0, fmt.Errorf("precision %q is not known: use fp32 or bf16", name)
}

// Autocast switches bfloat16 autocast of a device on or off, for this OS thread. Off drops the copies of the weights.
func (d Device) Autocast(on bool) error {
	if C.pm_autocast(C.int(d.index), flag(on)) != 0 {
		return fmt.Errorf("autocast on %s: %w", d, lastError())
	}
	return nil
}

// AllowTF32 lets CUDA round the inputs of float32 matrix products to TF32, for the whole process.
func AllowTF32(on bool) { C.pm_tf32(flag(on)) }

func flag(on bool) C.int {
	if on {
		return 1
	}
	return 0
}

// Copy overwrites t's elements with those of a tensor of the same shape, on whatever device each is.
func (t *Tensor) Copy(from *Tensor) error {
	if C.pm_copy(t.t.Ctensor(), from.t.Ctensor()) != 0 {
		return fmt.Errorf("copy tensor: %w", lastError())
	}
	return nil
}

// Upload is To that does not wait for what the device is doing.
func (t *Tensor) Upload(d Device) (*Tensor, error) {
	return handle(C.pm_to(t.t.Ctensor(), C.int(d.index)), "move tensor to "+d.String())
}

// Detach is another handle on the same memory without history; a leaf collects gradients of its own. The caller owns it.
func (t *Tensor) Detach(leaf bool) (*Tensor, error) {
	return handle(C.pm_detach(t.t.Ctensor(), flag(leaf)), "detach tensor")
}

// Same says whether two tensors of one device have equal elements (NaN equals nothing).
func (t *Tensor) Same(u *Tensor) (bool, error) {
	n := C.pm_same(t.t.Ctensor(), u.t.Ctensor())
	if n < 0 {
		return false, fmt.Errorf("compare tensors: %w", lastError())
	}
	return n == 1, nil
}

// IsCPU says whether the device is the host: there nothing runs behind the caller's back.
func (d Device) IsCPU() bool { return d.index < 0 }

// handle makes a tensor of what the shim returned.
func handle(c unsafe.Pointer, what string) (*Tensor, error) {
	if c == nil {
		return nil, fmt.Errorf("%s: %w", what, lastError())
	}
	return wrap(ts.FromCtensor(c)), nil
}

// Item is the value of a tensor of one element; on CUDA it waits for the device.
func (t *Tensor) Item() (float64, error) {
	var v C.double
	if C.pm_item(t.t.Ctensor(), &v) != 0 {
		return 0, fmt.Errorf("read scalar: %w", lastError())
	}
	return float64(v), nil
}

// Uniform fills the tensor with libtorch's generator, evenly from low to high.
func (t *Tensor) Uniform(low, high float64) error {
	if C.pm_uniform(t.t.Ctensor(), C.double(low), C.double(high)) != 0 {
		return fmt.Errorf("uniform: %w", lastError())
	}
	return nil
}

// Scale is x * by.
func (s *Scope) Scale(x *Tensor, by float64) *Tensor {
	return s.op("scale", func() (*ts.Tensor, error) { return x.t.MulScalar(ts.FloatScalar(by), false) }, x)
}
