package encoder

import (
	"fmt"
	"io"
	"strings"

	"pema/models/checkpoint"
	"pema/models/pema"
	"pema/models/torch"
)

var dtypes = map[checkpoint.DType]torch.DType{checkpoint.F32: torch.Float32, checkpoint.F64: torch.Float64, checkpoint.F16: torch.Float16, checkpoint.BF16: torch.BFloat16}

// File gives a model the tensors of a mapped checkpoint. With Rows it copies only those rows of the embedding matrix, so that
// the full matrix never enters memory.
type File struct {
	Checkpoint *checkpoint.Checkpoint
	Rows       []int32 // ascending; nil: all
}

const wordEmbeddings = "embeddings.word_embeddings.weight"

// Selected implements Weights.
func (f *File) Selected() []int32 { return f.Rows }

// Tensor implements Weights.
func (f *File) Tensor(name string, _ []int64) (*torch.Tensor, error) {
	src, ok := f.Checkpoint.Tensor(name)
	if !ok {
		return nil, nil
	}
	dt, ok := dtypes[src.DType]
	if !ok {
		return nil, fmt.Errorf("tensor %s has element type %s, floats are needed", name, src.DType)
	}
	shape := append([]int64(nil), src.Shape...)
	selected := f.Rows != nil && strings.HasSuffix(name, wordEmbeddings)
	if selected {
		shape[0] = int64(len(f.Rows))
	}
	t, err := torch.Empty(shape, dt)
	if err != nil {
		return nil, err
	}
	b, err := t.Bytes()
	if err == nil && selected {
		err = pema.Gather(b, src, f.Rows)
	} else if err == nil && len(b) > 0 {
		_, err = src.ReadAt(b, 0)
	}
	if err != nil {
		t.Drop()
		return nil, fmt.Errorf("tensor %s: %w", name, err)
	}
	if dt == torch.Float32 {
		return t, nil
	}
	defer t.Drop()
	return t.As(torch.Float32)
}

// Tensors are the parameters of a model under their Hugging Face names, LoRA's additions summed in, as sources to write or hash;
// they share the model's memory, and are brought to the host one at a time.
func (m *Model) Tensors() ([]checkpoint.Source, error) {
	out := make([]checkpoint.Source, 0, len(m.Params))
	for _, p := range m.Params {
		low := m.adapters[p.Name]
		if isAddition(p.Name) {
			continue
		}
		info := checkpoint.Info{Name: p.Name, DType: checkpoint.F32, Shape: p.Tensor.Shape()}
		if low != nil {
			out = append(out, merged{info, p.Tensor, low})
			continue
		}
		out = append(out, onHost{info, p.Tensor})
	}
	return out, nil
}

// Source streams a float32 tensor of any device under a name; the tensor stays the caller's.
func Source(name string, t *torch.Tensor) checkpoint.Source {
	return onHost{checkpoint.Info{Name: name, DType: checkpoint.F32, Shape: t.Shape()}, t}
}

// onHost is a float32 tensor that comes to the host when it is streamed.
type onHost struct {
	info checkpoint.Info
	t    *torch.Tensor
}

func (h onHost) Info() checkpoint.Info { return h.info }

func (h onHost) WriteTo(w io.Writer) (int64, error) {
	x, err := h.t.To(torch.CPU)
	if err != nil {
		return 0, err
	}
	defer x.Drop()
	b, err := x.Bytes()
	if err != nil {
		return 0, fmt.Errorf("tensor %s: %w", h.info.Name, err)
	}
	n, err := w.Write(b)
	return int64(n), err
}
