package torch

// #include "shim.h"
import "C"

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

var live atomic.Int64

// Live counts the tensors that Go holds: a test that ends with more than it began with has forgotten one.
func Live() int64 { return live.Load() }

// DType is a tensor's element type.
type DType = gotch.DType

const (
	Float32  = gotch.Float
	Float64  = gotch.Double
	Float16  = gotch.Half
	BFloat16 = gotch.BFloat16
	Int64    = gotch.Int64
)

// Tensor is a handle on a libtorch tensor. A scope's tensors end with the scope; others end with Drop.
type Tensor struct {
	t     *ts.Tensor
	scope *Scope // owner; nil: the caller
	last  bool
}

func wrap(t *ts.Tensor) *Tensor {
	live.Add(1)
	return &Tensor{t: t}
}

// Last says that the operator which gets the tensor is the last to use it: the operator drops it. What autograd still
// needs stays; so a pass holds what PyTorch's would.
func (t *Tensor) Last() *Tensor {
	if t != nil {
		t.last = true
	}
	return t
}

// Drop frees the handle. Dropping twice, or nil, is nothing.
func (t *Tensor) Drop() {
	if t == nil || t.t == nil {
		return
	}
	t.t.Drop() //nolint:errcheck // a deleted handle cannot fail
	t.t = nil
	live.Add(-1)
	if t.scope != nil {
		delete(t.scope.held, t)
	}
}

// Shape is the tensor's size in each dimension.
func (t *Tensor) Shape() []int64 {
	s, err := t.t.Size()
	if err != nil {
		return nil
	}
	return s
}

func dims(shape []int64) (*C.int64_t, C.size_t) {
	if len(shape) == 0 {
		return nil, 0
	}
	return (*C.int64_t)(unsafe.Pointer(&shape[0])), C.size_t(len(shape))
}

// Empty makes an uninitialised CPU tensor, owned by the caller; Bytes gives access to fill it.
func Empty(shape []int64, dtype DType) (*Tensor, error) { return CPU.Empty(shape, dtype) }

// Empty makes an uninitialised tensor on the device, owned by the caller.
func (d Device) Empty(shape []int64, dtype DType) (*Tensor, error) {
	p, n := dims(shape)
	c := C.pm_empty(p, n, C.int(dtype.CInt()), C.int(d.index))
	if c == nil {
		return nil, fmt.Errorf("tensor of shape %v: %w", shape, lastError())
	}
	return wrap(ts.FromCtensor(c)), nil
}

// Bytes is the memory of a contiguous CPU tensor, valid until it is dropped.
func (t *Tensor) Bytes() ([]byte, error) {
	var n C.int64_t
	p := C.pm_data(t.t.Ctensor(), &n)
	if p == nil {
		if n == 0 && t.Shape() != nil {
			return nil, nil
		}
		return nil, fmt.Errorf("tensor bytes: %w", lastError())
	}
	return unsafe.Slice((*byte)(p), int(n)), nil
}

// FromMemory wraps memory that Go's collector does not manage (a mapped file) without a copy; it must outlive the tensor.
func FromMemory(b []byte, shape []int64, dtype DType) (*Tensor, error) {
	if len(b) == 0 {
		return Empty(shape, dtype)
	}
	p, n := dims(shape)
	c := C.pm_from_blob(unsafe.Pointer(&b[0]), p, n, C.int(dtype.CInt()))
	if c == nil {
		return nil, fmt.Errorf("tensor of shape %v: %w", shape, lastError())
	}
	return wrap(ts.FromCtensor(c)), nil
}

// Number is an element of a Go slice that becomes a tensor.
type Number interface {
	~float32 | ~float64 | ~int64
}

// Of copies a slice to a CPU tensor of the given shape.
func Of[T Number](values []T, shape ...int64) (*Tensor, error) {
	var zero T
	dt := Float32
	switch any(zero).(type) {
	case int64:
		dt = Int64
	case float64:
		dt = Float64
	}
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	if n != int64(len(values)) {
		return nil, fmt.Errorf("tensor of shape %v from %d values", shape, len(values))
	}
	t, err := Empty(shape, dt)
	if err != nil || n == 0 {
		return t, err
	}
	b, err := t.Bytes()
	if err != nil {
		t.Drop()
		return nil, err
	}
	copy(unsafe.Slice((*T)(unsafe.Pointer(&b[0])), n), values)
	return t, nil
}

// Floats copies the values of a tensor of any device and float type.
func (t *Tensor) Floats() ([]float32, error) {
	c, err := t.t.To(gotch.CPU, false)
	if err != nil {
		return nil, fmt.Errorf("read tensor: %w", err)
	}
	x := wrap(c)
	defer x.Drop()
	f, err := x.t.Totype(Float32, false)
	if err != nil {
		return nil, fmt.Errorf("read tensor: %w", err)
	}
	y := wrap(f)
	defer y.Drop()
	g, err := y.t.Contiguous(false)
	if err != nil {
		return nil, fmt.Errorf("read tensor: %w", err)
	}
	z := wrap(g)
	defer z.Drop()
	b, err := z.Bytes()
	if err != nil || len(b) == 0 {
		return nil, err
	}
	return append([]float32(nil), unsafe.Slice((*float32)(unsafe.Pointer(&b[0])), len(b)/4)...), nil
}

// To copies the tensor to a device (on the same device: another handle on it); the caller owns the result.
func (t *Tensor) To(d Device) (*Tensor, error) {
	if d == Meta {
		return d.Empty(t.Shape(), t.t.DType())
	}
	x, err := t.t.To(d.gotch(), false)
	if err != nil {
		return nil, fmt.Errorf("move tensor to %s: %w", d, err)
	}
	return wrap(x), nil
}

// As converts to another element type; the caller owns the result.
func (t *Tensor) As(dtype DType) (*Tensor, error) {
	x, err := t.t.Totype(dtype, false)
	if err != nil {
		return nil, fmt.Errorf("convert tensor: %w", err)
	}
	return wrap(x), nil
}

// Parameter makes a leaf on the same memory that collects gradients; the caller owns both.
func (t *Tensor) Parameter() (*Tensor, error) {
	c := C.pm_new_param(t.t.Ctensor())
	if c == nil {
		return nil, fmt.Errorf("parameter: %w", lastError())
	}
	return wrap(ts.FromCtensor(c)), nil
}

// Grad is another handle on the gradient; the caller owns it.
func (t *Tensor) Grad() (*Tensor, error) {
	g, err := t.t.Grad(false)
	if err != nil {
		return nil, fmt.Errorf("gradient: %w", err)
	}
	return wrap(g), nil
}

// Normal fills the tensor from a normal distribution with libtorch's generator.
func (t *Tensor) Normal(mean, std float64) error {
	if C.pm_normal(t.t.Ctensor(), C.double(mean), C.double(std)) != 0 {
		return fmt.Errorf("normal: %w", lastError())
	}
	return nil
}

// Fill sets every element.
func (t *Tensor) Fill(v float64) error {
	if C.pm_fill(t.t.Ctensor(), C.double(v)) != 0 {
		return fmt.Errorf("fill: %w", lastError())
	}
	return nil
}
