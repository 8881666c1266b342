package torch

import (
	"math"
	"runtime"
	"slices"
	"testing"
)

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestCountingAllocatorIsExact(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, _ := CPU.Memory()
	x := must[*Tensor](t)(Empty([]int64{1000, 1000}, Float32))
	y := must[*Tensor](t)(Empty([]int64{1}, Float32))
	after, _ := CPU.Memory()
	if got, want := after.Allocated-before.Allocated, int64(4_000_256+512); got != want {
		t.Errorf("allocated %d bytes, want %d", got, want)
	}
	x.Drop()
	y.Drop()
	if end, _ := CPU.Memory(); end.Allocated != before.Allocated {
		t.Errorf("%d bytes stay after drop", end.Allocated-before.Allocated)
	}
}

func TestErrorsStickAndNothingLeaks(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := Live()
	s := NewScope(true)
	a := s.Take(Of([]float32{1, 2, 3, 4}, 2, 2))
	b := s.Take(Of([]float32{1, 2, 3}, 3))
	c := s.Add(a, b)
	if c != nil || s.Err() == nil {
		t.Fatal("adding (2,2) and (3) worked")
	}
	if s.Tanh(c) != nil {
		t.Fatal("an operator ran after an error")
	}
	s.Close()
	s = NewScope(true)
	x := s.Take(Of([]float32{1, 2}, 2))
	s.Tanh(x.Last())
	if s.Tanh(x) != nil || s.Err() == nil {
		t.Fatal("a tensor could be used after its last use")
	}
	s.Close()
	if Live() != before {
		t.Fatalf("%d tensors forgotten", Live()-before)
	}
}

func TestDeviceThatIsNotThere(t *testing.T) {
	for _, name := range []string{"cuda:0", "cuda:7", "tpu", "cuda:x", "cuda0"} {
		if _, err := ParseDevice(name); err == nil {
			t.Logf("%s is there: not an error on this machine", name)
			if name != "cuda:0" {
				t.Errorf("device %q was accepted", name)
			}
		}
	}
}

// The three forms compute the same update, and the norm of a matrix keeps its bits when rows of zeros come in between.
func TestAdamWFormsAgree(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var want []float32
	for form := Loop; form <= Fused; form++ {
		s := NewScope(true)
		w := must[*Tensor](t)(Of([]float32{0.5, -1, 2, 0.25, 1, 3}, 2, 3))
		p := must[*Tensor](t)(w.Parameter())
		x := s.Take(Of([]float32{1, 2, 3}, 1, 3))
		y := s.Take(Of([]float32{0.3, -0.7}, 1, 2))
		zero := s.Take(Of([]float32{0, 0}, 2))
		o := NewAdamW(0.9, 0.999, 1e-8, form)
		if err := o.Add(p, 0.01, true); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			s.Backward(s.MeanSquared(s.Linear(x, p, zero).Last(), y))
			if n := item(t)(o.ClipNorm(1, []int64{0, 1})); n <= 0 {
				t.Fatal(n)
			}
			if err := o.Step(0.1); err != nil {
				t.Fatal(err)
			}
			o.ZeroGrad()
		}
		if s.Err() != nil {
			t.Fatal(s.Err())
		}
		got := must[[]float32](t)(p.Floats())
		if want == nil {
			want = got
		}
		for i := range got {
			if math.Abs(float64(got[i]-want[i])) > 1e-6 {
				t.Errorf("form %d: %v, want %v", form, got, want)
				break
			}
		}
		o.Close()
		p.Drop()
		w.Drop()
		s.Close()
	}
}

func TestNormIgnoresZeroRows(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const width = 381 // no multiple of a vector register
	norm := func(rows int64, ids []int64, dtype DType) float64 {
		s := NewScope(true)
		defer s.Close()
		w := must[*Tensor](t)(Empty([]int64{rows, width}, dtype))
		defer w.Drop()
		if err := w.Fill(0.1); err != nil {
			t.Fatal(err)
		}
		p := must[*Tensor](t)(w.Parameter())
		defer p.Drop()
		o := NewAdamW(0.9, 0.999, 1e-8, Fused)
		defer o.Close()
		if err := o.Add(p, 0, true); err != nil {
			t.Fatal(err)
		}
		v := make([]float64, len(ids)*width)
		for i := range v {
			v[i] = math.Sin(float64(i))
		}
		s.Backward(s.MeanSquared(s.Embedding(p, s.Take(Of(ids, int64(len(ids)))), -1), s.Take(s.Take(Of(v, int64(len(ids)), width)).As(dtype))))
		if s.Err() != nil {
			t.Fatal(s.Err())
		}
		used := slices.Clone(ids)
		slices.Sort(used)
		return item(t)(o.ClipNorm(0, slices.Compact(used)))
	}
	for _, dtype := range []DType{Float32, Float64} { // float64 takes the way of CUDA
		a, b := norm(5000, []int64{7, 99, 1234, 4999, 99}, dtype), norm(4, []int64{0, 1, 2, 3, 1}, dtype)
		if a != b || a <= 0 {
			t.Fatalf("norm %v with the unused rows, %v without", a, b)
		}
	}
}

// item reads a scalar and drops it.
func item(t *testing.T) func(*Tensor, error) float64 {
	return func(x *Tensor, err error) float64 {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer x.Drop()
		return must[float64](t)(x.Item())
	}
}

// A backward pass takes on the meta device what it takes on the CPU, also where a weight and a value have several uses.
func TestMetaCountsAsTheCPU(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	mixed := func(s *Scope, empty func(shape ...int64) *Tensor) *Tensor {
		w := s.Take(empty(96, 96).Parameter())
		x, b := empty(7, 96), empty(96)
		y := s.Linear(x, w, b)
		z := s.Add(s.Tanh(s.Linear(y, w, b).Last()).Last(), s.Gelu(y).Last())
		return s.MeanSquared(s.Add(s.Add(z.Last(), s.Relu(y).Last()).Last(), y.Last()).Last(), empty(7, 96))
	}
	sums := func(s *Scope, empty func(shape ...int64) *Tensor) *Tensor { // the peak is where gradients are added up
		w := s.Take(empty(96, 96).Parameter())
		return s.MeanSquared(s.Add(s.Add(s.Gelu(w).Last(), s.Gelu(w).Last()).Last(), s.Gelu(w).Last()).Last(), empty(96, 96))
	}
	gathered := func(s *Scope, empty func(shape ...int64) *Tensor) *Tensor {
		w := s.Take(empty(96, 96).Parameter())
		index := s.Convert(s.NotEqual(empty(96, 8), 0).Last(), Int64)
		return s.MeanSquared(s.Gather(s.Gelu(w).Last(), index.Last()).Last(), empty(96, 8))
	}
	backward := func(d Device, graph func(*Scope, func(...int64) *Tensor) *Tensor) (peak, kept int64) {
		s := NewScope(true)
		defer s.Close()
		loss := graph(s, func(shape ...int64) *Tensor { return s.Take(d.Empty(shape, Float32)) })
		before := must[Memory](t)(d.Memory())
		if err := d.ResetPeak(); err != nil {
			t.Fatal(err)
		}
		s.Backward(loss)
		if s.Err() != nil {
			t.Fatal(s.Err())
		}
		after := must[Memory](t)(d.Memory())
		return after.Peak - before.Allocated, after.Allocated - before.Allocated
	}
	for i, graph := range []func(*Scope, func(...int64) *Tensor) *Tensor{mixed, sums, gathered} {
		peak, kept := backward(CPU, graph)
		if err := Forecast(func() error {
			if p, k := backward(Meta, graph); p != peak || k != kept {
				t.Errorf("graph %d: peak %d and %d kept on the meta device, %d and %d on the CPU", i, p, k, peak, kept)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}
