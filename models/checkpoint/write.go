package checkpoint

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"pema/internal/wholefile"
)

// Write streams a safetensors file, byte for byte as the reference library writes it: wide element types first, then by name,
// the header padded with spaces to a multiple of 8. The file appears whole or not at all. Metadata is usually
// {"format": "pt"}, which transformers asks for.
func Write(path string, metadata map[string]string, tensors []Source) error {
	header, sorted, err := layout(metadata, tensors)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	err = wholefile.Write(path, func(w io.Writer) error {
		if _, err := w.Write(header); err != nil {
			return err
		}
		for _, t := range sorted {
			if err := stream(w, t); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// order of the element types in a file: the reverse of the reference library's enumeration, so that every tensor is aligned.
var order = []DType{I64, F64, F32, I32, BF16, F16, I16, I8, U8, Bool}

func layout(metadata map[string]string, tensors []Source) (header []byte, sorted []Source, err error) {
	if err := check(tensors); err != nil {
		return nil, nil, err
	}
	sorted = slices.SortedFunc(slices.Values(tensors), func(a, b Source) int {
		x, y := a.Info(), b.Info()
		return cmp.Or(cmp.Compare(slices.Index(order, x.DType), slices.Index(order, y.DType)), cmp.Compare(x.Name, y.Name))
	})
	var b bytes.Buffer
	b.Write(make([]byte, 8))
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	put := func(before byte, value any) {
		b.WriteByte(before)
		err = cmp.Or(err, e.Encode(value))
		b.Truncate(b.Len() - 1) // the line end
	}
	separator := byte('{')
	entry := func(key string, value any) {
		put(separator, key)
		put(':', value)
		separator = ','
	}
	if len(metadata) > 0 {
		entry("__metadata__", metadata)
	}
	at := int64(0)
	for _, t := range sorted {
		i := t.Info()
		n, _ := i.Size() // checked above
		if n > math.MaxInt64-at {
			return nil, nil, errors.New("the tensors are too large for one file")
		}
		entry(i.Name, struct {
			DType   DType    `json:"dtype"`
			Shape   []int64  `json:"shape"`
			Offsets [2]int64 `json:"data_offsets"`
		}{i.DType, append([]int64{}, i.Shape...), [2]int64{at, at + n}})
		at += n
	}
	if err != nil {
		return nil, nil, err
	}
	if separator == '{' {
		b.WriteByte('{')
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len()-8 > maxHeader {
		return nil, nil, fmt.Errorf("header of %d bytes: readers take %d", b.Len()-8, maxHeader)
	}
	header = b.Bytes()
	binary.LittleEndian.PutUint64(header, uint64(len(header)-8))
	return header, sorted, nil
}

// check refuses tensors that a file cannot hold.
func check(tensors []Source) error {
	seen := map[string]bool{}
	for _, t := range tensors {
		i := t.Info()
		if _, err := i.Size(); err != nil {
			return err
		}
		if i.Name == "__metadata__" || len(i.Name) > maxName || len(i.Shape) > maxDims {
			return fmt.Errorf("tensor %.80q: the name or the number of dimensions is not allowed", i.Name)
		}
		if seen[i.Name] {
			return fmt.Errorf("tensor %q is there twice", i.Name)
		}
		seen[i.Name] = true
	}
	return nil
}

// stream writes the elements of a tensor and holds it to the length that it announced.
func stream(w io.Writer, t Source) error {
	size, err := t.Info().Size()
	if err != nil {
		return err
	}
	c := &counter{w: w, left: size}
	if _, err = t.WriteTo(c); err == nil && c.left != 0 {
		err = fmt.Errorf("%d bytes too few", c.left)
	}
	if err != nil {
		return fmt.Errorf("tensor %q: %w", t.Info().Name, err)
	}
	return nil
}

type counter struct {
	w    io.Writer
	left int64
}

func (c *counter) Write(p []byte) (int, error) {
	if int64(len(p)) > c.left {
		return 0, fmt.Errorf("%d bytes too many", int64(len(p))-c.left)
	}
	n, err := c.w.Write(p)
	c.left -= int64(n)
	return n, err
}

// Hash is the SHA-256, in hex, over name, element type, shape and elements of every tensor, by name: two sets of weights are
// equal to the bit where their hashes are. The tensors are streamed.
func Hash(tensors []Source) (string, error) {
	if err := check(tensors); err != nil {
		return "", fmt.Errorf("hash of weights: %w", err)
	}
	h := sha256.New()
	byName := func(a, b Source) int { return cmp.Compare(a.Info().Name, b.Info().Name) }
	for _, t := range slices.SortedFunc(slices.Values(tensors), byName) {
		i := t.Info()
		fmt.Fprintf(h, "%q %s %d\n", i.Name, i.DType, i.Shape)
		if err := stream(h, t); err != nil {
			return "", fmt.Errorf("hash of weights: %w", err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
