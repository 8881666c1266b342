package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Limits of a header. The first is the reference library's; the others keep a hostile header from costing more memory than
// a small multiple of its length.
const (
	maxHeader = 100_000_000
	maxName   = 1 << 10
	maxDims   = 64
)

// parseSafetensors checks a safetensors file as strictly as the reference library: the tensors' ranges fill the data part
// without gap or overlap. It returns them in file order.
func parseSafetensors(file []byte) ([]Tensor, map[string]string, error) {
	if len(file) < 8 {
		return nil, nil, errors.New("truncated: a safetensors file has at least 8 bytes")
	}
	n := binary.LittleEndian.Uint64(file)
	if n > maxHeader {
		return nil, nil, fmt.Errorf("header of %d bytes: at most %d are read (is this a safetensors file?)", n, maxHeader)
	}
	if n > uint64(len(file)-8) {
		return nil, nil, fmt.Errorf("header of %d bytes does not fit: the file has %d (truncated?)", n, len(file))
	}
	data := file[8+n:]
	spans, metadata, err := parseHeader(file[8:8+n], int64(len(data)))
	if err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	slices.SortFunc(spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end), cmp.Compare(a.Name, b.Name))
	})
	out, next := make([]Tensor, len(spans)), int64(0)
	for i, s := range spans {
		if s.begin != next {
			return nil, nil, fmt.Errorf("tensor %q begins at byte %d of the data, where the one before it ends at %d", s.Name, s.begin, next)
		}
		out[i] = Tensor{Name: s.Name, DType: s.DType, Shape: s.Shape, data: data[s.begin:s.end:s.end], offset: 8 + int64(n) + s.begin}
		next = s.end
	}
	if next != int64(len(data)) {
		return nil, nil, fmt.Errorf("%d bytes of data belong to no tensor", int64(len(data))-next)
	}
	return out, metadata, nil
}

// span is a tensor of a header: its elements are the bytes [begin, end) of the data part.
type span struct {
	Info
	begin, end int64
}

// parseHeader reads a header token by token, since a document of this size must not be built before it is checked.
func parseHeader(header []byte, data int64) ([]span, map[string]string, error) {
	if !utf8.Valid(header) {
		return nil, nil, errors.New("not UTF-8")
	}
	d := tokens{json.NewDecoder(bytes.NewReader(header))}
	d.UseNumber()
	var spans []span
	var metadata map[string]string
	seen := map[string]bool{}
	err := d.object(func(name string) error {
		if len(name) > maxName {
			return fmt.Errorf("a name of %d bytes", len(name))
		}
		if seen[name] {
			return fmt.Errorf("%q is there twice", name)
		}
		seen[name] = true
		if name == "__metadata__" {
			metadata = map[string]string{}
			return d.object(func(key string) (err error) {
				if _, ok := metadata[key]; ok {
					return fmt.Errorf("metadata key %.80q is there twice", key)
				}
				metadata[key], err = d.text()
				return err
			})
		}
		s, err := d.span(name, data)
		if err != nil {
			return err
		}
		spans = append(spans, s)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, nil, errors.New("text after its end")
	}
	return spans, metadata, nil
}

// tokens reads JSON of a known form.
type tokens struct{ *json.Decoder }

func (d tokens) delim(want json.Delim) error {
	t, err := d.Token()
	if err == nil && t != want {
		err = fmt.Errorf("%.40q where %q is expected", fmt.Sprint(t), want)
	}
	return eof(err)
}

// eof makes an early end an error of its own.
func eof(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (d tokens) text() (string, error) {
	t, err := d.Token()
	if err != nil {
		return "", eof(err)
	}
	s, ok := t.(string)
	if !ok {
		return "", fmt.Errorf("%.40q where a string is expected", fmt.Sprint(t))
	}
	return s, nil
}

func (d tokens) object(field func(key string) error) error {
	if err := d.delim('{'); err != nil {
		return err
	}
	for d.More() {
		key, err := d.text()
		if err != nil {
			return err
		}
		if err := field(key); err != nil {
			return err
		}
	}
	return d.delim('}')
}

// counts reads a list of at most limit whole numbers from 0.
func (d tokens) counts(limit int) ([]int64, error) {
	if err := d.delim('['); err != nil {
		return nil, err
	}
	out := []int64{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, eof(err)
		}
		n, ok := t.(json.Number)
		v, err := strconv.ParseInt(n.String(), 10, 64)
		if !ok || err != nil || v < 0 {
			return nil, fmt.Errorf("%.40q where a whole number from 0 is expected", fmt.Sprint(t))
		}
		if len(out) == limit {
			return nil, fmt.Errorf("a list of more than %d", limit)
		}
		out = append(out, v)
	}
	return out, d.delim(']')
}

// span reads the entry of a tensor and checks it against the length of the data part.
func (d tokens) span(name string, data int64) (span, error) {
	var dtype string
	var shape, offsets []int64
	seen := map[string]bool{}
	err := d.object(func(key string) (err error) {
		if seen[key] {
			return fmt.Errorf("key %.20q is there twice", key)
		}
		seen[key] = true
		switch key {
		case "dtype":
			dtype, err = d.text()
		case "shape":
			shape, err = d.counts(maxDims)
		case "data_offsets":
			offsets, err = d.counts(2)
		default:
			return fmt.Errorf("key %.20q is not known", key)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	})
	if err == nil && len(seen) != 3 {
		err = errors.New("dtype, shape and data_offsets are needed")
	}
	if err == nil && len(offsets) != 2 {
		err = errors.New("data_offsets: two numbers are needed")
	}
	if err != nil {
		return span{}, fmt.Errorf("tensor %q: %w", name, err)
	}
	s := span{Info{name, DType(dtype), shape}, offsets[0], offsets[1]}
	size, err := s.Size()
	if err != nil {
		return span{}, err
	}
	if s.begin > s.end || s.end > data {
		return span{}, fmt.Errorf("tensor %q: offsets %v point outside the file's %d bytes of data (truncated?)", name, offsets, data)
	}
	if s.end-s.begin != size {
		return span{}, fmt.Errorf("tensor %q: %d bytes for %s %v, %d are needed", name, s.end-s.begin, dtype, shape, size)
	}
	return s, nil
}
