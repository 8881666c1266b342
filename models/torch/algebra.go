package torch

import (
	"math"

	"github.com/sugarme/gotch/ts"
)

// BatchMatrix multiplies matrices one by one: (n, a, b) x (n, b, c) -> (n, a, c).
func (s *Scope) BatchMatrix(a, b *Tensor) *Tensor {
	return s.op("batch matrix product", func() (*ts.Tensor, error) { return a.t.Bmm(b.t, false) }, a, b)
}

// Project is x W^T: x (..., in), w (out, in).
func (s *Scope) Project(x, w *Tensor) *Tensor {
	return s.op("linear", func() (*ts.Tensor, error) { return ts.Linear(x.t, w.t, ts.None) }, x, w)
}

// Mul is a * b with broadcasting.
func (s *Scope) Mul(a, b *Tensor) *Tensor {
	return s.op("multiply", func() (*ts.Tensor, error) { return a.t.Mul(b.t, false) }, a, b)
}

// Divide is x / by.
func (s *Scope) Divide(x *Tensor, by float64) *Tensor {
	return s.op("divide", func() (*ts.Tensor, error) { return x.t.DivScalar(ts.FloatScalar(by), false) }, x)
}

// Softmax is over the last dimension.
func (s *Scope) Softmax(x *Tensor) *Tensor {
	return s.op("softmax", func() (*ts.Tensor, error) { return x.t.Softmax(-1, Float32, false) }, x)
}

// Mask puts the lowest float32 where mask (bool, broadcast) is true.
func (s *Scope) Mask(x, mask *Tensor) *Tensor {
	return s.op("mask", func() (*ts.Tensor, error) { return x.t.MaskedFill(mask.t, ts.FloatScalar(-math.MaxFloat32), false) }, x, mask)
}

// Gather picks by index along the last dimension: out[..., j] = x[..., index[..., j]].
func (s *Scope) Gather(x, index *Tensor) *Tensor {
	return s.op("gather", func() (*ts.Tensor, error) { return x.t.Gather(-1, index.t, false, false) }, x, index)
}

// Repeat copies x the given number of times along each dimension.
func (s *Scope) Repeat(x *Tensor, times ...int64) *Tensor {
	return s.op("repeat", func() (*ts.Tensor, error) { return x.t.Repeat(times, false) }, x)
}

// Expand gives dimensions of size 1 another size without a copy.
func (s *Scope) Expand(x *Tensor, shape ...int64) *Tensor {
	return s.op("expand", func() (*ts.Tensor, error) { return x.t.Expand(shape, false, false) }, x)
}

// NotEqual is true where x differs from v.
func (s *Scope) NotEqual(x *Tensor, v float64) *Tensor {
	return s.op("compare", func() (*ts.Tensor, error) { return x.t.Ne(ts.FloatScalar(v), false) }, x)
}

// Equal is true where x is v.
func (s *Scope) Equal(x *Tensor, v float64) *Tensor {
	return s.op("compare", func() (*ts.Tensor, error) { return x.t.Eq(ts.FloatScalar(v), false) }, x)
}

// Convert is x in another element type.
func (s *Scope) Convert(x *Tensor, dtype DType) *Tensor {
	return s.op("convert", func() (*ts.Tensor, error) { return x.t.Totype(dtype, false) }, x)
}

// Positions numbers the tokens of each text from first+1 and gives padding the number first: ids (batch, length) int64.
func (s *Scope) Positions(ids *Tensor, padding, first int64) *Tensor {
	token := s.op("positions", func() (*ts.Tensor, error) { return ids.t.Ne(ts.IntScalar(padding), false) }, ids)
	token = s.Convert(token.Last(), Int64)
	count := s.op("positions", func() (*ts.Tensor, error) { return token.t.Cumsum(1, Int64, false) }, token)
	count = s.Mul(count.Last(), token.Last())
	return s.op("positions", func() (*ts.Tensor, error) { return count.t.AddScalar(ts.IntScalar(first), false) }, count.Last())
}
