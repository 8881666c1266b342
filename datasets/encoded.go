package datasets

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
)

// Encoder turns texts into ids. It is used by one goroutine at a time.
type Encoder interface {
	// Encode appends the ids of one example with its special tokens to dst. pair is nil for a single text. maxLength
	// limits the ids of the example, special tokens included, by longest_first truncation; 0 is no limit. second is
	// the index, relative to the first appended id, where ids of type 1 begin: their count where there are none.
	Encode(dst []int32, text string, pair *string, maxLength int) (ids []int32, second int)
}

// Tokenizer makes encoders, one for each goroutine. Fingerprint changes whenever any text could get other ids.
type Tokenizer interface {
	NewEncoder() Encoder
	Fingerprint() string
}

// Encoded is a split as token ids, without padding, in the order of the split.
type Encoded struct {
	IDs     []int32   // ids of all examples, one after the other
	Offsets []int64   // n+1 positions in IDs: example i is IDs[Offsets[i]:Offsets[i+1]]
	Second  []int32   // n indexes within the example where ids of type 1 begin; its length where there are none
	Labels  []float32 // n
}

// EncodedExample is a view of one example; IDs shares memory with the Encoded.
type EncodedExample struct {
	IDs    []int32
	Second int
	Label  float32
}

// Len is the number of examples.
func (e *Encoded) Len() int { return len(e.Labels) }

// Tokens is the number of ids.
func (e *Encoded) Tokens() int64 { return int64(len(e.IDs)) }

// Example returns a view of example i.
func (e *Encoded) Example(i int) EncodedExample {
	return EncodedExample{IDs: e.IDs[e.Offsets[i]:e.Offsets[i+1]:e.Offsets[i+1]], Second: int(e.Second[i]), Label: e.Labels[i]}
}

// SHA256 is the hash of all that is in e: count of examples, count of ids, ids, offsets, second, labels, little-endian.
func (e *Encoded) SHA256() string {
	h := sha256.New()
	e.writeTo(h)
	return hex.EncodeToString(h.Sum(nil))
}

func (e *Encoded) grow(o *Encoded) {
	if len(e.Offsets) == 0 {
		e.Offsets = append(e.Offsets, 0)
	}
	base := int64(len(e.IDs))
	e.IDs = append(e.IDs, o.IDs...)
	for _, off := range o.Offsets[1:] {
		e.Offsets = append(e.Offsets, base+off)
	}
	e.Second = append(e.Second, o.Second...)
	e.Labels = append(e.Labels, o.Labels...)
}

// writeTo writes e's canonical bytes. The writers used here (a hash, a buffered file) keep their first error.
func (e *Encoded) writeTo(w interface{ Write([]byte) (int, error) }) error {
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, writeChunk+8), uint64(e.Len()))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(e.IDs)))
	var err error
	flush := func(atLeast int) {
		if len(b) >= atLeast && err == nil {
			_, err = w.Write(b)
			b = b[:0]
		}
	}
	for _, v := range e.IDs {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
		flush(writeChunk)
	}
	for _, v := range e.Offsets {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
		flush(writeChunk)
	}
	for _, v := range e.Second {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
		flush(writeChunk)
	}
	for _, v := range e.Labels {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		flush(writeChunk)
	}
	flush(1)
	return err
}

const writeChunk = 64 << 10

// encodedSize is the length of the canonical bytes.
func encodedSize(examples, ids int64) int64 { return 16 + 4*ids + 8*(examples+1) + 8*examples }

// parseEncoded reads canonical bytes; ok is false where they are not those of a well-formed Encoded.
func parseEncoded(b []byte) (e *Encoded, ok bool) {
	if len(b) < 24 {
		return nil, false
	}
	n, m := int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint64(b[8:]))
	if n < 0 || m < 0 || n > int64(len(b)) || m > int64(len(b)) || encodedSize(n, m) != int64(len(b)) {
		return nil, false
	}
	b = b[16:]
	e = &Encoded{IDs: make([]int32, m), Offsets: make([]int64, n+1), Second: make([]int32, n), Labels: make([]float32, n)}
	for i := range e.IDs {
		e.IDs[i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
	}
	b = b[4*m:]
	for i := range e.Offsets {
		e.Offsets[i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
	}
	b = b[8*(n+1):]
	for i := range e.Second {
		e.Second[i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
	}
	b = b[4*n:]
	for i := range e.Labels {
		e.Labels[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	if e.Offsets[0] != 0 || e.Offsets[n] != m {
		return nil, false
	}
	for i := range e.Second {
		length := e.Offsets[i+1] - e.Offsets[i]
		if length < 0 || e.Second[i] < 0 || int64(e.Second[i]) > length {
			return nil, false
		}
	}
	return e, true
}

// Adapt makes a Tokenizer of one whose NewEncoder returns a type of its own, as packages do that know no datasets.
func Adapt[E Encoder](t interface {
	NewEncoder() E
	Fingerprint() string
}) Tokenizer {
	return adapter[E]{t}
}

type adapter[E Encoder] struct {
	t interface {
		NewEncoder() E
		Fingerprint() string
	}
}

func (a adapter[E]) NewEncoder() Encoder { return a.t.NewEncoder() }
func (a adapter[E]) Fingerprint() string { return a.t.Fingerprint() }
