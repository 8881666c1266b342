package checkpoint

import (
	"fmt"
	"io"
	"math"
)

// DType is an element type by its safetensors name.
type DType string

// The element types that checkpoints of the known families hold.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	I64  DType = "I64"
	I32  DType = "I32"
	I16  DType = "I16"
	I8   DType = "I8"
	U8   DType = "U8"
	Bool DType = "BOOL"
)

// Size is the bytes of one element; 0: not known.
func (d DType) Size() int64 {
	switch d {
	case F64, I64:
		return 8
	case F32, I32:
		return 4
	case F16, BF16, I16:
		return 2
	case I8, U8, Bool:
		return 1
	}
	return 0
}

// Info is what a checkpoint says of a tensor beside its elements.
type Info struct {
	Name  string
	DType DType
	Shape []int64 // empty: a scalar
}

// Size is the length of the elements in bytes. A type that is not known, a negative dimension and an overflow are errors.
func (i Info) Size() (int64, error) {
	size, empty := i.DType.Size(), false
	if size == 0 {
		return 0, fmt.Errorf("tensor %.80q: element type %.20q is not known", i.Name, string(i.DType))
	}
	for _, d := range i.Shape {
		if d < 0 || d > 0 && size > math.MaxInt64/d {
			return 0, fmt.Errorf("tensor %.80q: shape %v is not possible", i.Name, i.Shape)
		}
		size *= max(d, 1) // an empty tensor's other dimensions must not overflow either
		empty = empty || d == 0
	}
	if empty {
		return 0, nil
	}
	return size, nil
}

// Source is a tensor that can be streamed: from a mapped file, from memory, or computed on the way.
type Source interface {
	Info() Info
	// WriteTo writes exactly Info().Size() bytes: the elements in row-major order, little-endian.
	WriteTo(w io.Writer) (int64, error)
}

// Tensor is a tensor in a mapped file, valid until its checkpoint is closed, or one in memory. It is a Source.
type Tensor struct {
	Name  string
	DType DType
	Shape []int64

	data   []byte
	file   io.ReaderAt // nil: data only
	offset int64       // of the elements in file
}

// NewTensor is a tensor over elements in memory, which it does not copy.
func NewTensor(name string, dtype DType, shape []int64, data []byte) (Tensor, error) {
	t := Tensor{Name: name, DType: dtype, Shape: shape, data: data}
	size, err := t.Info().Size()
	if err != nil {
		return Tensor{}, err
	}
	if size != int64(len(data)) {
		return Tensor{}, fmt.Errorf("tensor %.80q: %d bytes for %s %v, %d are needed", name, len(data), dtype, shape, size)
	}
	return t, nil
}

// Bytes are the elements in row-major order, little-endian. In a mapped file reading them makes pages resident, and writing to
// them changes this process's copy of the page only, never the file.
func (t Tensor) Bytes() []byte { return t.data }

// Numel is the number of elements.
func (t Tensor) Numel() int64 { return int64(len(t.data)) / t.DType.Size() }

// Info implements Source.
func (t Tensor) Info() Info { return Info{t.Name, t.DType, t.Shape} }

// ReadAt reads the elements as they are in the file, past the map: no page of it becomes resident, and what was written to
// Bytes is not seen.
func (t Tensor) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("tensor %.80q: read at %d", t.Name, off)
	}
	if off >= int64(len(t.data)) {
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), int64(len(t.data))-off)]
	if t.file == nil {
		copy(want, t.data[off:])
	} else if n, err := t.file.ReadAt(want, t.offset+off); n < len(want) {
		return n, fmt.Errorf("tensor %.80q: %w", t.Name, err)
	}
	if len(want) < len(p) {
		return len(want), io.EOF
	}
	return len(want), nil
}

// chunk is what streams hold of a tensor at a time.
const chunk = 1 << 20

// WriteTo implements Source, in pieces of ReadAt.
func (t Tensor) WriteTo(w io.Writer) (int64, error) {
	if t.file == nil {
		n, err := w.Write(t.data)
		return int64(n), err
	}
	buf, done := make([]byte, min(chunk, len(t.data))), int64(0)
	for done < int64(len(t.data)) {
		n, err := t.ReadAt(buf, done)
		if err != nil && err != io.EOF {
			return done, err
		}
		n, err = w.Write(buf[:n])
		done += int64(n)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}
