package torch

// #include "shim.h"
import "C"

import "github.com/sugarme/gotch/ts"

// Embedding looks rows up: weight (rows, width), ids (...) -> (..., width). The row of padding (-1: none) gets no gradient.
func (s *Scope) Embedding(weight, ids *Tensor, padding int64) *Tensor {
	return s.op("embedding", func() (*ts.Tensor, error) { return ts.Embedding(weight.t, ids.t, padding, false, false) }, weight, ids)
}

// Linear is x W^T + b: x (..., in), w (out, in), b (out).
func (s *Scope) Linear(x, w, b *Tensor) *Tensor {
	return s.op("linear", func() (*ts.Tensor, error) { return ts.Linear(x.t, w.t, b.t) }, x, w, b)
}

// LayerNorm normalises over the last dimension.
func (s *Scope) LayerNorm(x, w, b *Tensor, eps float64) *Tensor {
	return s.op("layer norm", func() (*ts.Tensor, error) {
		return ts.LayerNorm(x.t, []int64{w.Shape()[0]}, w.t, b.t, eps, true)
	}, x, w, b)
}

// Dropout zeroes a share p of the elements while training; else it hands x on.
func (s *Scope) Dropout(x *Tensor, p float64) *Tensor {
	if !s.training || p == 0 {
		if x != nil {
			x.last = false
		}
		return x
	}
	return s.op("dropout", func() (*ts.Tensor, error) { return ts.Dropout(x.t, p, true) }, x)
}

// Gelu is the exact form (erf).
func (s *Scope) Gelu(x *Tensor) *Tensor {
	return s.op("gelu", func() (*ts.Tensor, error) { return x.t.Gelu("none", false) }, x)
}

// Relu is max(x, 0).
func (s *Scope) Relu(x *Tensor) *Tensor {
	return s.op("relu", func() (*ts.Tensor, error) { return x.t.Relu(false) }, x)
}

// Tanh is the hyperbolic tangent.
func (s *Scope) Tanh(x *Tensor) *Tensor {
	return s.op("tanh", func() (*ts.Tensor, error) { return x.t.Tanh(false) }, x)
}

// Add is a + b with broadcasting.
func (s *Scope) Add(a, b *Tensor) *Tensor {
	return s.op("add", func() (*ts.Tensor, error) { return a.t.Add(b.t, false) }, a, b)
}

// View gives the same memory another shape.
func (s *Scope) View(x *Tensor, shape ...int64) *Tensor {
	return s.op("view", func() (*ts.Tensor, error) { return x.t.View(shape, false) }, x)
}

// Reshape is View, with a copy where the memory's order asks for one.
func (s *Scope) Reshape(x *Tensor, shape ...int64) *Tensor {
	return s.op("reshape", func() (*ts.Tensor, error) { return x.t.Reshape(shape, false) }, x)
}

// Transpose swaps two dimensions.
func (s *Scope) Transpose(x *Tensor, a, b int64) *Tensor {
	return s.op("transpose", func() (*ts.Tensor, error) { return x.t.Transpose(a, b, false) }, x)
}

// Select takes one index of a dimension and drops the dimension.
func (s *Scope) Select(x *Tensor, dim, index int64) *Tensor {
	return s.op("select", func() (*ts.Tensor, error) { return x.t.Select(dim, index, false) }, x)
}

// Narrow takes a range of a dimension.
func (s *Scope) Narrow(x *Tensor, dim, start, length int64) *Tensor {
	return s.op("narrow", func() (*ts.Tensor, error) { return x.t.Narrow(dim, start, length, false) }, x)
}

// Attention is scaled dot-product attention: q, k, v (batch, heads, length, width), mask added to the scores.
func (s *Scope) Attention(q, k, v, mask *Tensor, dropout float64) *Tensor {
	if !s.training {
		dropout = 0
	}
	return s.op("attention", func() (*ts.Tensor, error) {
		c := C.pm_attention(q.t.Ctensor(), k.t.Ctensor(), v.t.Ctensor(), mask.t.Ctensor(), C.double(dropout))
		if c == nil {
			return nil, lastError()
		}
		return ts.FromCtensor(c), nil
	}, q, k, v, mask)
}

// CrossEntropy is the mean over the batch: logits (batch, classes), labels (batch) int64.
func (s *Scope) CrossEntropy(logits, labels *Tensor) *Tensor {
	return s.op("cross entropy", func() (*ts.Tensor, error) {
		return logits.t.CrossEntropyLoss(labels.t, ts.None, 1, -100, 0, false)
	}, logits, labels)
}

// MeanSquared is the mean squared error over the batch.
func (s *Scope) MeanSquared(x, labels *Tensor) *Tensor {
	return s.op("mean squared error", func() (*ts.Tensor, error) { return x.t.MseLoss(labels.t, 1, false) }, x, labels)
}
