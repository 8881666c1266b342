package datasets

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"sync"
	"unicode/utf8"
	"unsafe"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"
)

// hybrid decodes n values of the RLE and bit-packing hybrid. Writers may leave out trailing zeros of width 0.
func hybrid(dst []int32, b []byte, width uint, n int) ([]int32, error) {
	dst = dst[:0]
	for len(dst) < n {
		if len(b) == 0 && width == 0 {
			dst = append(dst, make([]int32, n-len(dst))...)
			break
		}
		head, k := binary.Uvarint(b)
		if k <= 0 {
			return dst, errPage
		}
		b = b[k:]
		left := uint64(n - len(dst))
		if head&1 == 0 { // one value, repeated
			bytes := int(width+7) / 8
			if len(b) < bytes || head>>1 == 0 {
				return dst, errPage
			}
			v := uint32(0)
			for i := bytes - 1; i >= 0; i-- {
				v = v<<8 | uint32(b[i])
			}
			b = b[bytes:]
			for range min(head>>1, left) {
				dst = append(dst, int32(v))
			}
			continue
		}
		groups := head >> 1 // of eight values, width bytes each
		if groups == 0 || (width > 0 && groups > uint64(len(b))/uint64(width)+1) {
			return dst, errPage
		}
		packed := b[:min(uint64(len(b)), groups*uint64(width))] // the last group may be cut off
		b = b[len(packed):]
		take := min(groups*8, left)
		if uint64(len(packed))*8 < take*uint64(width) {
			return dst, errPage
		}
		mask := uint64(1)<<width - 1
		acc, bits, at := uint64(0), uint(0), 0
		for range take {
			for bits < width {
				acc |= uint64(packed[at]) << bits
				at, bits = at+1, bits+8
			}
			dst = append(dst, int32(acc&mask))
			acc, bits = acc>>width, bits-width
		}
	}
	return dst, nil
}

// plainTexts reads n byte arrays. The strings share data's memory.
func plainTexts(dst []string, data []byte, n int) ([]string, error) {
	for range n {
		if len(data) < 4 {
			return dst, errPage
		}
		size := binary.LittleEndian.Uint32(data)
		if uint64(size) > uint64(len(data)-4) {
			return dst, errPage
		}
		s := data[4 : 4+size]
		if !utf8.Valid(s) {
			return dst, errUTF8
		}
		dst = append(dst, unsafe.String(unsafe.SliceData(s), len(s)))
		data = data[4+size:]
	}
	return dst, nil
}

func plainNumbers(dst []float64, kind format.Type, data []byte, n int) ([]float64, error) {
	size := 4
	switch kind {
	case format.Int64, format.Double:
		size = 8
	case format.Boolean:
		if len(data) < (n+7)/8 {
			return dst, errPage
		}
		for i := range n {
			dst = append(dst, float64(data[i/8]>>(i%8)&1))
		}
		return dst, nil
	}
	if len(data)/size < n {
		return dst, errPage
	}
	for i := range n {
		b := data[i*size:]
		switch kind {
		case format.Int32:
			dst = append(dst, float64(int32(binary.LittleEndian.Uint32(b))))
		case format.Int64:
			dst = append(dst, float64(int64(binary.LittleEndian.Uint64(b))))
		case format.Float:
			dst = append(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(b))))
		default:
			dst = append(dst, math.Float64frombits(binary.LittleEndian.Uint64(b)))
		}
	}
	return dst, nil
}

// deltaTexts reads n byte arrays whose lengths come first, delta-packed. Whether they are UTF-8 is the caller's to check.
func deltaTexts(dst []string, data []byte, n int) ([]string, error) {
	lengths, used, err := deltaInts(data, n)
	if err != nil {
		return dst, err
	}
	data = data[used:]
	for _, size := range lengths {
		if size < 0 || size > int64(len(data)) {
			return dst, errPage
		}
		s := data[:size]
		dst = append(dst, unsafe.String(unsafe.SliceData(s), len(s)))
		data = data[size:]
	}
	return dst, nil
}

// frontCodedTexts reads n byte arrays that share a prefix with the one before.
func frontCodedTexts(dst []string, data []byte, n int) ([]string, error) {
	prefixes, used, err := deltaInts(data, n)
	if err != nil {
		return dst, err
	}
	start := len(dst)
	if dst, err = deltaTexts(dst, data[used:], n); err != nil {
		return dst, err
	}
	last, total := "", int64(0)
	for i, keep := range prefixes {
		if total += keep; keep < 0 || keep > int64(len(last)) || total > maxPage {
			return dst, errPage
		}
		last = last[:keep] + dst[start+i]
		if !utf8.ValidString(last) {
			return dst, errUTF8
		}
		dst[start+i] = last
	}
	return dst, nil
}

// deltaInts reads n integers of the delta encoding and the bytes that they take.
func deltaInts(data []byte, n int) (out []int64, used int, err error) {
	at := 0
	next := func() uint64 {
		v, k := binary.Uvarint(data[at:])
		if k <= 0 {
			err = errPage
			return 0
		}
		at += k
		return v
	}
	signed := func() int64 { v := next(); return int64(v>>1) ^ -int64(v&1) }
	block, minis, total, value := next(), next(), next(), signed()
	if err != nil || total != uint64(n) || minis == 0 || minis > 1024 || block%minis != 0 || block/minis%8 != 0 || block == 0 || block > 1<<20 {
		return nil, 0, errPage
	}
	per := int(block / minis)
	if n > 0 {
		out = append(make([]int64, 0, n), value)
	}
	for len(out) < n {
		least := signed()
		if err != nil || len(data)-at < int(minis) {
			return nil, 0, errPage
		}
		widths := data[at : at+int(minis)]
		at += int(minis)
		for _, w := range widths {
			if len(out) == n {
				break // widths of miniblocks without values say nothing
			}
			size := per / 8 * int(w)
			if w > 64 || len(data)-at < size {
				return nil, 0, errPage
			}
			for i := 0; i < per && len(out) < n; i++ {
				value += least + int64(bitsAt(data[at:at+size], i*int(w), uint(w)))
				out = append(out, value)
			}
			at += size
		}
	}
	return out, at, nil
}

// bitsAt reads width bits from the bit at, lowest first.
func bitsAt(b []byte, at int, width uint) uint64 {
	v := uint64(0)
	for i := uint(0); i < width; {
		bit := uint(at) + i
		take := min(8-bit%8, width-i)
		v |= uint64(b[bit/8]>>(bit%8)&(1<<take-1)) << i
		i += take
	}
	return v
}

// zstdDecoders decode without goroutines of their own and never beyond a page.
var zstdDecoders = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPage), zstd.WithDecoderLowmem(true))
	if err != nil {
		return err
	}
	return d
}}

// decompress returns a page's bytes in memory of their own.
func decompress(codec format.CompressionCodec, b []byte, size int) (out []byte, err error) {
	if codec == format.Uncompressed {
		if len(b) != size {
			return nil, errPage
		}
		return bytes.Clone(b), nil
	}
	if size > 1<<20 && size/maxExpansion > len(b) {
		return nil, fmt.Errorf("page grows from %d to %d bytes: %w", len(b), size, errPage)
	}
	if size == 0 {
		return nil, nil
	}
	switch codec {
	case format.Snappy:
		if n, err := snappy.DecodedLen(b); err != nil || n != size {
			return nil, fmt.Errorf("snappy: %w", errPage)
		}
		out, err = snappy.Decode(make([]byte, size), b)
	case format.Gzip:
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(b)); err == nil {
			out = make([]byte, size)
			_, err = io.ReadFull(z, out)
		}
	case format.Zstd:
		switch d := zstdDecoders.Get().(type) {
		case *zstd.Decoder:
			out, err = d.DecodeAll(b, make([]byte, 0, size))
			zstdDecoders.Put(d)
		case error:
			err = d
		}
	case format.Lz4Raw:
		out = make([]byte, size)
		var n int
		if n, err = lz4.UncompressBlock(b, out); err == nil {
			out = out[:n]
		}
	default:
		return nil, fmt.Errorf("compression %v is not supported; write the file with snappy, zstd, gzip or lz4", codec)
	}
	if err == nil && len(out) != size {
		err = fmt.Errorf("%d bytes instead of %d: %w", len(out), size, errPage)
	}
	if err != nil {
		return nil, fmt.Errorf("decompress page: %w", err)
	}
	return out, nil
}
