package encoder

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"pema/models/checkpoint"
	"pema/models/pema"
	"pema/models/torch"
)

var dtypes = map[checkpoint.DType]torch.DType{"F32": torch.Float32, "F64": torch.Float64, "F16": torch.Float16, "BF16": torch.BFloat16}

// File gives a model the tensors of a mapped checkpoint. With Rows it copies only those rows of the embedding matrix, so that
// the full matrix never enters memory.
type File struct {
	Checkpoint *checkpoint.Checkpoint
	Rows       []int32 // ascending; nil: all
}

const wordEmbeddings = "embeddings.word_embeddings.weight"

// Tensor implements Weights.
func (f *File) Tensor(name string) (*torch.Tensor, error) {
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
	} else if err == nil {
		copy(b, src.Bytes())
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

// Hash is the SHA-256 over name, shape and bytes of every parameter with the embedding matrix restored to full height: rows
// (ascending; nil: all) are the trained ones, the others come from the original checkpoint, chunk by chunk.
func (m *Model) Hash(original *checkpoint.Checkpoint, rows []int32) (string, error) {
	h := sha256.New()
	for _, p := range m.Params {
		b, err := p.Tensor.Bytes()
		if err != nil {
			return "", fmt.Errorf("hash of %s: %w", p.Name, err)
		}
		shape := p.Tensor.Shape()
		if !p.Embedding || rows == nil {
			fmt.Fprintln(h, p.Name, shape)
			h.Write(b)
			continue
		}
		src, ok := original.Tensor(p.Name)
		if !ok {
			src, ok = original.Tensor(strings.TrimPrefix(p.Name, "bert."))
		}
		if !ok || src.DType != "F32" || len(src.Shape) != 2 {
			return "", fmt.Errorf("hash of %s: the original matrix is not there in float32", p.Name)
		}
		fmt.Fprintln(h, p.Name, src.Shape)
		width := int(src.Shape[1]) * 4
		full, at := src.Bytes(), 0
		for i, id := range rows {
			h.Write(full[at : int(id)*width])
			h.Write(b[i*width : (i+1)*width])
			at = (int(id) + 1) * width
		}
		h.Write(full[at:])
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
