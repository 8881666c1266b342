package checkpoint

import (
	"archive/zip"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strings"
)

// First bytes of what torch.save writes: a zip file, or before version 1.6 a row of pickles, the first a fixed number.
var (
	zipMagic    = []byte("PK\x03\x04")
	legacyMagic = []byte("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.")
)

const legacyProtocol = 1001

var storages = map[global]DType{
	"torch.DoubleStorage": F64, "torch.FloatStorage": F32, "torch.HalfStorage": F16, "torch.BFloat16Storage": BF16, "torch.LongStorage": I64,
	"torch.IntStorage": I32, "torch.ShortStorage": I16, "torch.CharStorage": I8, "torch.ByteStorage": U8, "torch.BoolStorage": Bool,
}

const (
	orderedDict   global = "collections.OrderedDict"
	rebuildTensor global = "torch._utils._rebuild_tensor_v2"
	rebuildParam  global = "torch._utils._rebuild_parameter"
)

// storage is a run of elements that tensors are views of.
type storage struct {
	key    string
	dtype  DType
	numel  int64
	offset int64 // in the file; known once the file's table of contents was read
}

// view is a contiguous tensor in a storage.
type view struct {
	storage *storage
	offset  int64 // in elements
	shape   []int64
}

// stateDict reads the pickled state dict of torch.save.
type stateDict struct{ storages map[string]*storage }

func (s *stateDict) machine() *machine {
	return &machine{call: s.call, load: s.load, known: func(fn global) bool {
		_, ok := storages[fn]
		return ok || fn == orderedDict || fn == rebuildTensor || fn == rebuildParam
	}}
}

// load makes a storage of ('storage', class, key, location, numel), which old files end with a None.
func (s *stateDict) load(id tuple) (any, error) {
	if len(id) == 6 && id[5] == nil {
		id = id[:5]
	}
	if len(id) != 5 || id[0] != "storage" {
		return nil, errors.New("a persistent object that is no storage")
	}
	class, ok1 := id[1].(global)
	dtype, ok2 := storages[class]
	key, ok3 := id[2].(string)
	numel, ok4 := id[4].(int64)
	if !ok1 || !ok2 || !ok3 || !ok4 || numel < 0 || numel > math.MaxInt64/8 || len(key) > maxName {
		return nil, errors.New("a storage with a wrong description")
	}
	old := s.storages[key]
	if old == nil {
		old = &storage{key: key, dtype: dtype, numel: numel}
		s.storages[key] = old
	}
	if old.dtype != dtype || old.numel != numel {
		return nil, fmt.Errorf("storage %.20q is described twice and differently", key)
	}
	return old, nil
}

func (s *stateDict) call(fn global, args tuple) (any, error) {
	switch {
	case fn == orderedDict && len(args) == 0:
		return dict{}, nil
	case fn == rebuildParam && len(args) >= 1: // data, requires_grad, backward_hooks
		if v, ok := args[0].(*view); ok {
			return v, nil
		}
	case fn == rebuildTensor && len(args) >= 4: // storage, offset, size, stride, requires_grad, backward_hooks
		st, ok1 := args[0].(*storage)
		offset, ok2 := args[1].(int64)
		shape, ok3 := ints(args[2])
		stride, ok4 := ints(args[3])
		if ok1 && ok2 && ok3 && ok4 {
			return newView(st, offset, shape, stride)
		}
	}
	return nil, fmt.Errorf("a call of %s with wrong arguments", fn)
}

func ints(v any) ([]int64, bool) {
	t, ok := v.(tuple)
	if !ok || len(t) > maxDims {
		return nil, false
	}
	out := make([]int64, len(t))
	for i, x := range t {
		if out[i], ok = x.(int64); !ok {
			return nil, false
		}
	}
	return out, true
}

func newView(st *storage, offset int64, shape, stride []int64) (*view, error) {
	size, err := Info{DType: st.dtype, Shape: shape}.Size()
	if err != nil {
		return nil, err
	}
	if len(stride) != len(shape) {
		return nil, fmt.Errorf("shape %v with strides %v", shape, stride)
	}
	numel := size / st.dtype.Size()
	step := int64(1)
	for i := len(shape) - 1; i >= 0 && numel > 0; i-- {
		if shape[i] != 1 && stride[i] != step {
			return nil, fmt.Errorf("a tensor of shape %v has strides %v: only contiguous ones are read (save it again after .contiguous())", shape, stride)
		}
		step *= shape[i]
	}
	if offset < 0 || offset > st.numel || numel > st.numel-offset {
		return nil, fmt.Errorf("a tensor of shape %v at element %d does not fit its storage of %d", shape, offset, st.numel)
	}
	return &view{st, offset, shape}, nil
}

// tensors gives the views of a state dict as tensors in file order. Every storage's offset is known.
func (s *stateDict) tensors(value any, file []byte) ([]Tensor, error) {
	d, ok := value.(dict)
	if !ok {
		return nil, fmt.Errorf("it holds a %T, a dict of tensors is expected", value)
	}
	out := make([]Tensor, 0, len(d))
	for name, x := range d {
		v, ok := x.(*view)
		if !ok || len(name) > maxName {
			return nil, fmt.Errorf("entry %.80q is no tensor: a plain state dict is expected", name)
		}
		size, err := Info{name, v.storage.dtype, v.shape}.Size()
		if err != nil {
			return nil, err
		}
		at := v.storage.offset + v.offset*v.storage.dtype.Size()
		out = append(out, Tensor{Name: name, DType: v.storage.dtype, Shape: v.shape, data: file[at : at+size : at+size], offset: at})
	}
	slices.SortFunc(out, func(a, b Tensor) int { return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.Name, b.Name)) })
	return out, nil
}

// parseZip reads what torch.save writes since version 1.6: a zip file without compression, of a pickle and one entry per
// storage, in which the tensors lie as they are used.
func parseZip(file []byte) ([]Tensor, error) {
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, fmt.Errorf("%w (truncated?)", err)
	}
	entries, root := map[string]*zip.File{}, ""
	for _, f := range z.File {
		if entries[f.Name] != nil {
			return nil, fmt.Errorf("zip entry %.80q is there twice", f.Name)
		}
		entries[f.Name] = f
		if r, ok := strings.CutSuffix(f.Name, "/data.pkl"); ok && !strings.Contains(r, "/") {
			if root != "" {
				return nil, errors.New("two entries are called data.pkl")
			}
			root = r
		}
	}
	if root == "" {
		return nil, errors.New("a zip file without data.pkl: not made by torch.save")
	}
	entry := func(name string) (offset int64, data []byte, err error) {
		f := entries[root+"/"+name]
		if f == nil {
			return 0, nil, fmt.Errorf("zip entry %.80q is missing", name)
		}
		if f.Method != zip.Store || f.CompressedSize64 != f.UncompressedSize64 {
			return 0, nil, fmt.Errorf("zip entry %.80q is compressed: torch.save does not compress", name)
		}
		if offset, err = f.DataOffset(); err != nil {
			return 0, nil, fmt.Errorf("zip entry %.80q: %w", name, err)
		}
		if offset < 0 || offset > int64(len(file)) || f.UncompressedSize64 > uint64(int64(len(file))-offset) {
			return 0, nil, fmt.Errorf("zip entry %.80q lies outside the file (truncated?)", name)
		}
		return offset, file[offset : offset+int64(f.UncompressedSize64)], nil
	}
	if entries[root+"/byteorder"] != nil {
		if _, b, err := entry("byteorder"); err != nil || string(b) != "little" {
			return nil, errors.New("byte order: only little-endian files are read")
		}
	}
	_, code, err := entry("data.pkl")
	if err != nil {
		return nil, err
	}
	if len(code) > maxPickle {
		return nil, fmt.Errorf("data.pkl has %d bytes: at most %d are read", len(code), maxPickle)
	}
	if crc32.ChecksumIEEE(code) != entries[root+"/data.pkl"].CRC32 {
		return nil, errors.New("data.pkl does not have its checksum: the file is damaged")
	}
	s := &stateDict{map[string]*storage{}}
	value, rest, err := s.machine().run(code)
	if err != nil {
		return nil, err
	}
	if len(rest) != 0 {
		return nil, errors.New("data.pkl has bytes after its end")
	}
	for _, st := range s.storages {
		offset, data, err := entry("data/" + st.key)
		if err != nil {
			return nil, err
		}
		if int64(len(data)) != st.numel*st.dtype.Size() {
			return nil, fmt.Errorf("storage %.20q has %d bytes for %d elements of %s", st.key, len(data), st.numel, st.dtype)
		}
		st.offset = offset
	}
	return s.tensors(value, file)
}

// parseLegacy reads what torch.save wrote before version 1.6: pickles of a fixed number, the protocol, the machine, the state
// dict and the list of storages, then for each of these its number of elements as int64 and the elements.
func parseLegacy(file []byte) ([]Tensor, error) {
	s := &stateDict{map[string]*storage{}}
	m := s.machine()
	var values [5]any
	rest := file
	for i := range values {
		var err error
		if values[i], rest, err = m.run(rest); err != nil {
			return nil, err
		}
	}
	system, ok := values[2].(dict)
	if values[1] != int64(legacyProtocol) || !ok || system["little_endian"] != true {
		return nil, errors.New("not a little-endian file of protocol 1001")
	}
	keys, ok := values[4].(*list)
	if !ok {
		return nil, errors.New("the list of storages is missing")
	}
	seen := map[string]bool{}
	for _, k := range keys.items {
		key, _ := k.(string)
		st := s.storages[key]
		if st == nil || seen[key] {
			return nil, fmt.Errorf("storage %.20q is in the list twice, or no tensor has it", key)
		}
		seen[key] = true
		size := st.numel * st.dtype.Size()
		if len(rest) < 8 || int64(binary.LittleEndian.Uint64(rest)) != st.numel || int64(len(rest)-8) < size {
			return nil, fmt.Errorf("storage %.20q does not have its %d elements (truncated?)", key, st.numel)
		}
		st.offset = int64(len(file)-len(rest)) + 8
		rest = rest[8+size:]
	}
	if len(seen) != len(s.storages) || len(rest) != 0 {
		return nil, errors.New("the storages do not fill the file")
	}
	return s.tensors(values[3], file)
}
