package encoder

import (
	"fmt"
	"io"
	"math"
	"strings"

	"pema/models/checkpoint"
	"pema/models/torch"
)

// LoRA trains low-rank additions to the query and value matrices of every layer, and the classification head, and nothing else
// (Hu et al. 2021; peft's LoraConfig for sequence classification): y = Wx + b + Alpha/Rank B A dropout(x).
type LoRA struct {
	Rank    int
	Alpha   float64
	Dropout float64 // before A
}

// adapter is one addition: a (rank, in) and b (out, rank).
type adapter struct {
	a, b    *torch.Tensor
	scale   float64
	dropout float64
}

func (l *adapter) on(s *torch.Scope, x *torch.Tensor) *torch.Tensor {
	z := s.Dropout(x, l.dropout)
	if z != x {
		z = z.Last()
	}
	return s.Scale(s.Project(s.Project(z, l.a).Last(), l.b).Last(), l.scale)
}

// adapts says whether a parameter is trained beside the additions: the head, and what the checkpoint does not have.
func (b *builder) adapts(name string) bool {
	n := len(b.model.Fresh)
	return !strings.HasPrefix(name, b.prefix) || n > 0 && b.model.Fresh[n-1] == name
}

// adapted is a linear map of the attention with LoRA's addition, where it is asked for: A as kaiming_uniform(a=sqrt(5)) leaves it,
// which is even between -1/sqrt(in) and 1/sqrt(in), B zero, so that training begins at the model as it is.
func (b *builder) adapted(name string, out, in int64) linear {
	l := b.linear(name, required, out, in)
	o := b.opt.LoRA
	if o == nil || b.err != nil {
		return l
	}
	if o.Rank < 1 || o.Dropout < 0 || o.Dropout >= 1 {
		b.fail("LoRA of rank %d with dropout %v: a rank of at least 1 and a share below 1 are needed", o.Rank, o.Dropout)
		return l
	}
	rank := int64(o.Rank)
	bound := 1 / math.Sqrt(float64(in))
	l.low = &adapter{
		a:     b.addition(name+".lora_A.weight", []int64{rank, in}, func(t *torch.Tensor) error { return t.Uniform(-bound, bound) }),
		b:     b.addition(name+".lora_B.weight", []int64{out, rank}, func(t *torch.Tensor) error { return t.Fill(0) }),
		scale: o.Alpha / float64(o.Rank), dropout: o.Dropout,
	}
	b.model.adapters[name+".weight"] = l.low
	return l
}

// addition makes a trained parameter that no checkpoint has.
func (b *builder) addition(name string, shape []int64, begin func(*torch.Tensor) error) *torch.Tensor {
	if b.err != nil {
		return nil
	}
	var t, d, p *torch.Tensor
	if t, b.err = torch.Empty(shape, torch.Float32); b.err == nil {
		defer t.Drop()
		b.err = begin(t)
	}
	if b.err == nil {
		if d, b.err = t.To(b.opt.Device); b.err == nil {
			defer d.Drop()
			p, b.err = d.Parameter()
		}
	}
	if b.err != nil {
		return nil
	}
	b.model.Params = append(b.model.Params, Param{Name: name, Tensor: p})
	return p
}

// isAddition says whether a parameter is part of an adapter and not of the published architecture.
func isAddition(name string) bool {
	return strings.HasSuffix(name, ".lora_A.weight") || strings.HasSuffix(name, ".lora_B.weight")
}

// merged is a weight with its addition, W + Alpha/Rank B A, computed when it is streamed: the sum is what Hugging Face loads.
type merged struct {
	info checkpoint.Info
	w    *torch.Tensor
	low  *adapter
}

func (m merged) Info() checkpoint.Info { return m.info }

func (m merged) WriteTo(w io.Writer) (int64, error) {
	s := torch.NewScope(false)
	defer s.Close()
	sum := s.Add(m.w, s.Scale(s.Project(m.low.b, s.Transpose(m.low.a, 0, 1)).Last(), m.low.scale).Last())
	if s.Err() != nil {
		return 0, fmt.Errorf("tensor %s with LoRA: %w", m.info.Name, s.Err())
	}
	return onHost{m.info, sum}.WriteTo(w)
}
