// Package checkpoint reads model files: safetensors, memory-mapped with every offset checked, and config.json.
package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// DType is an element type by its safetensors name.
type DType string

var sizes = map[DType]int64{"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}

// Size is the bytes of one element; 0: not known.
func (d DType) Size() int64 { return sizes[d] }

// Tensor is a view into a mapped file, valid until its checkpoint is closed.
type Tensor struct {
	Name  string
	DType DType
	Shape []int64
	data  []byte
}

// Bytes are the elements in row-major order, little-endian. Writing to them does not change the file.
func (t Tensor) Bytes() []byte { return t.data }

// Checkpoint is one or more mapped files. Close unmaps them.
type Checkpoint struct {
	maps    [][]byte
	tensors map[string]Tensor
	names   []string
}

const maxHeader = 100 << 20 // the reference library's limit

// Open maps the weights of a model folder: model.safetensors, or the shards that model.safetensors.index.json names.
func Open(dir string) (*Checkpoint, error) {
	single := filepath.Join(dir, "model.safetensors")
	index := single + ".index.json"
	if _, err := os.Stat(single); err == nil {
		return OpenFile(single)
	}
	b, err := os.ReadFile(index)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("model folder %s has no weights: neither model.safetensors nor model.safetensors.index.json is there", dir)
	}
	if err != nil {
		return nil, err
	}
	var x struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(b, &x); err != nil {
		return nil, fmt.Errorf("%s: %w", index, err)
	}
	var shards []string
	for _, s := range x.WeightMap {
		if s != filepath.Base(s) {
			return nil, fmt.Errorf("%s: shard %q is not a plain file name", index, s)
		}
		shards = append(shards, s)
	}
	slices.Sort(shards)
	c := &Checkpoint{tensors: map[string]Tensor{}}
	for _, s := range slices.Compact(shards) {
		if err := c.add(filepath.Join(dir, s)); err != nil {
			c.Close()
			return nil, err
		}
	}
	for name := range x.WeightMap {
		if _, ok := c.tensors[name]; !ok {
			c.Close()
			return nil, fmt.Errorf("%s: no shard has tensor %q", index, name)
		}
	}
	return c, nil
}

// OpenFile maps one safetensors file.
func OpenFile(path string) (*Checkpoint, error) {
	c := &Checkpoint{tensors: map[string]Tensor{}}
	if err := c.add(path); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Checkpoint) add(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.Size() < 8 {
		return fmt.Errorf("%s: truncated: %d bytes are no safetensors file", path, st.Size())
	}
	m, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("%s: map: %w", path, err)
	}
	c.maps = append(c.maps, m)
	list, err := parse(m)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, t := range list {
		if _, ok := c.tensors[t.Name]; ok {
			return fmt.Errorf("%s: tensor %q is in two files", path, t.Name)
		}
		c.tensors[t.Name] = t
		c.names = append(c.names, t.Name)
	}
	return nil
}

// parse checks a safetensors file: the tensors' ranges must fill its data part without gap or overlap.
func parse(m []byte) ([]Tensor, error) {
	if len(m) < 8 {
		return nil, errors.New("truncated header")
	}
	n := binary.LittleEndian.Uint64(m)
	if n > maxHeader || n > uint64(len(m)-8) {
		return nil, fmt.Errorf("header of %d bytes does not fit: the file has %d (truncated?)", n, len(m))
	}
	header, data := m[8:8+n], m[8+n:]
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(header, &raw); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	delete(raw, "__metadata__")
	type at struct {
		Tensor
		begin, end int64
	}
	var list []at
	for name, r := range raw {
		var x struct {
			DType   DType   `json:"dtype"`
			Shape   []int64 `json:"shape"`
			Offsets []int64 `json:"data_offsets"`
		}
		d := json.NewDecoder(bytes.NewReader(r))
		d.DisallowUnknownFields()
		if err := d.Decode(&x); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		if x.DType.Size() == 0 {
			return nil, fmt.Errorf("tensor %q: element type %q is not known", name, x.DType)
		}
		size := x.DType.Size()
		for _, d := range x.Shape {
			if d < 0 || d > 0 && size > math.MaxInt64/d {
				return nil, fmt.Errorf("tensor %q: shape %v is not possible", name, x.Shape)
			}
			size *= d
		}
		if len(x.Offsets) != 2 || x.Offsets[0] < 0 || x.Offsets[1] < x.Offsets[0] || x.Offsets[1] > int64(len(data)) {
			return nil, fmt.Errorf("tensor %q: offsets %v point outside the file's %d bytes of data (truncated?)", name, x.Offsets, len(data))
		}
		if x.Offsets[1]-x.Offsets[0] != size {
			return nil, fmt.Errorf("tensor %q: %d bytes for %s %v, %d are needed", name, x.Offsets[1]-x.Offsets[0], x.DType, x.Shape, size)
		}
		list = append(list, at{Tensor{name, x.DType, x.Shape, data[x.Offsets[0]:x.Offsets[1]:x.Offsets[1]]}, x.Offsets[0], x.Offsets[1]})
	}
	slices.SortFunc(list, func(a, b at) int {
		if a.begin != b.begin {
			return int(min(1, max(-1, a.begin-b.begin)))
		}
		if a.end != b.end {
			return int(min(1, max(-1, a.end-b.end)))
		}
		return strings.Compare(a.Name, b.Name)
	})
	out, next := make([]Tensor, len(list)), int64(0)
	for i, x := range list {
		if x.begin != next {
			return nil, fmt.Errorf("tensor %q begins at %d: the data before it ends at %d", x.Name, x.begin, next)
		}
		next, out[i] = x.end, x.Tensor
	}
	if next != int64(len(data)) {
		return nil, fmt.Errorf("%d bytes of data belong to no tensor", int64(len(data))-next)
	}
	return out, nil
}

// Names lists the tensors in file order.
func (c *Checkpoint) Names() []string { return c.names }

// Tensor finds a tensor by its name.
func (c *Checkpoint) Tensor(name string) (Tensor, bool) {
	t, ok := c.tensors[name]
	return t, ok
}

// Close unmaps the files; tensors are not to be used afterwards.
func (c *Checkpoint) Close() error {
	var err error
	for _, m := range c.maps {
		err = errors.Join(err, unix.Munmap(m))
	}
	c.maps, c.tensors, c.names = nil, nil, nil
	return err
}
