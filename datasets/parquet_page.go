package datasets

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"sync"
	"unicode/utf8"
	"unsafe"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"
)

var (
	errPage = errors.New("malformed page")
	errUTF8 = errors.New("text is not UTF-8")
)

// columnReader decodes the pages of one column, a page at a time, to texts or numbers.
type columnReader struct {
	col  parquetColumn
	text bool // to texts; else to numbers

	window window
	codec  format.CompressionCodec
	left   int64 // values of the chunk in pages that are still to come

	dictTexts []string
	dictNums  []float64
	hasDict   bool

	n, at int      // values of the page, and the next one
	texts []string // empty for nulls
	nums  []float64
	nulls []bool // nil: the page has none

	levels  []int32
	indexes []int32
}

// init checks the column's type: text columns are byte arrays, labels numbers or byte arrays.
func (c *columnReader) init(col parquetColumn, mustBeText bool) error {
	c.col = col
	c.text = col.kind == format.ByteArray
	switch col.kind {
	case format.ByteArray:
		return nil
	case format.Int32, format.Int64, format.Float, format.Double, format.Boolean:
		if !mustBeText {
			return nil
		}
	}
	want := "a string"
	if !mustBeText {
		want = "a number or a string"
	}
	return fmt.Errorf("column %q: expected %s, found %v", col.name, want, col.kind)
}

func (c *columnReader) open(p *parquetFile, chunk *format.ColumnChunk, rows int64) error {
	m := &chunk.MetaData
	start := m.DataPageOffset
	if d := m.DictionaryPageOffset; d > 0 && d < start {
		start = d
	}
	switch {
	case chunk.FilePath != "":
		return fmt.Errorf("column %q lies in another file", c.col.name)
	case start < 4 || m.TotalCompressedSize < 0 || start > p.size || m.TotalCompressedSize > p.size-start:
		return fmt.Errorf("column %q lies outside the file", c.col.name)
	case m.Type != c.col.kind:
		return fmt.Errorf("column %q: schema says %v, chunk says %v", c.col.name, c.col.kind, m.Type)
	case m.NumValues != rows:
		return fmt.Errorf("column %q has %d values for %d rows", c.col.name, m.NumValues, rows)
	}
	c.window = window{r: p.r, off: start, end: start + m.TotalCompressedSize, mem: c.window.mem}
	c.codec, c.left = m.Codec, rows
	c.n, c.at, c.hasDict = 0, 0, false
	return nil
}

func (c *columnReader) null(i int) bool { return c.nulls != nil && c.nulls[i] }

// value returns cell i as a label.
func (c *columnReader) value(i int) value {
	switch {
	case c.null(i):
		return value{}
	case c.text:
		return parseValue(c.texts[i])
	case c.col.kind == format.Float || c.col.kind == format.Double:
		return value{kind: decimal, num: c.nums[i]}
	case c.col.kind == format.Boolean:
		return value{kind: word, text: [2]string{"false", "true"}[int(c.nums[i])]}
	default:
		return value{kind: integer, num: c.nums[i]}
	}
}

// nextPage decodes the next data page that has values.
func (c *columnReader) nextPage() error {
	for {
		var h format.PageHeader
		if err := c.window.pageHeader(&h); err != nil {
			return err
		}
		size := h.CompressedPageSize
		if size < 0 || size > maxPage || h.UncompressedPageSize < 0 || h.UncompressedPageSize > maxPage {
			return fmt.Errorf("page of %d bytes, %d uncompressed: %w", size, h.UncompressedPageSize, errPage)
		}
		body, err := c.window.peek(int(size))
		if err != nil {
			return err
		}
		if len(body) < int(size) {
			return fmt.Errorf("page ends after %d of %d bytes: %w", len(body), size, errPage)
		}
		body = body[:size]
		if h.CRC != 0 && crc32.ChecksumIEEE(body) != uint32(h.CRC) {
			return fmt.Errorf("page checksum: %w", errPage)
		}
		switch {
		case h.Type == format.DictionaryPage && h.DictionaryPageHeader.Valid:
			err = c.readDictionary(&h, body)
		case h.Type == format.DataPage && h.DataPageHeader.Valid:
			err = c.readDataV1(&h, body)
		case h.Type == format.DataPageV2 && h.DataPageHeaderV2.Valid:
			err = c.readDataV2(&h, body)
		case h.Type == format.IndexPage:
		default:
			err = fmt.Errorf("page of type %v: %w", h.Type, errPage)
		}
		if err != nil {
			return err
		}
		c.window.skip(int(size))
		if c.at < c.n {
			return nil
		}
	}
}

func (c *columnReader) readDictionary(h *format.PageHeader, body []byte) error {
	d := &h.DictionaryPageHeader.V
	if d.Encoding != format.Plain && d.Encoding != format.PlainDictionary {
		return fmt.Errorf("dictionary in encoding %v: %w", d.Encoding, errPage)
	}
	if c.hasDict || d.NumValues < 0 || d.NumValues > maxPageValues {
		return fmt.Errorf("dictionary of %d values: %w", d.NumValues, errPage)
	}
	data, err := decompress(c.codec, body, int(h.UncompressedPageSize))
	if err != nil {
		return err
	}
	c.hasDict = true
	if c.text {
		c.dictTexts, err = plainTexts(c.dictTexts[:0], data, int(d.NumValues))
	} else {
		c.dictNums, err = plainNumbers(c.dictNums[:0], c.col.kind, data, int(d.NumValues))
	}
	return err
}

func (c *columnReader) readDataV1(h *format.PageHeader, body []byte) error {
	d := &h.DataPageHeader.V
	if err := c.begin(d.NumValues); err != nil {
		return err
	}
	data, err := decompress(c.codec, body, int(h.UncompressedPageSize))
	if err != nil {
		return err
	}
	if c.col.optional {
		if d.DefinitionLevelEncoding != format.RLE || len(data) < 4 {
			return fmt.Errorf("levels in encoding %v: %w", d.DefinitionLevelEncoding, errPage)
		}
		n := binary.LittleEndian.Uint32(data)
		if uint64(n) > uint64(len(data)-4) {
			return errPage
		}
		if err := c.readLevels(data[4 : 4+n]); err != nil {
			return err
		}
		data = data[4+n:]
	}
	return c.readValues(d.Encoding, data)
}

func (c *columnReader) readDataV2(h *format.PageHeader, body []byte) error {
	d := &h.DataPageHeaderV2.V
	if err := c.begin(d.NumValues); err != nil {
		return err
	}
	reps, defs := int64(d.RepetitionLevelsByteLength), int64(d.DefinitionLevelsByteLength)
	if reps < 0 || defs < 0 || reps+defs > int64(len(body)) || reps+defs > int64(h.UncompressedPageSize) {
		return errPage
	}
	if c.col.optional {
		if err := c.readLevels(body[reps : reps+defs]); err != nil {
			return err
		}
	}
	data := body[reps+defs:]
	size := int(int64(h.UncompressedPageSize) - reps - defs)
	codec := c.codec
	if d.IsCompressed.Valid && !d.IsCompressed.V {
		codec = format.Uncompressed
	}
	data, err := decompress(codec, data, size)
	if err != nil {
		return err
	}
	return c.readValues(d.Encoding, data)
}

func (c *columnReader) begin(values int32) error {
	if values < 0 || values > maxPageValues || int64(values) > c.left {
		return fmt.Errorf("page of %d values where %d are to come: %w", values, c.left, errPage)
	}
	c.left -= int64(values)
	c.n, c.at, c.nulls = int(values), 0, nil
	return nil
}

// readLevels finds the nulls among the page's values.
func (c *columnReader) readLevels(b []byte) error {
	var err error
	if c.levels, err = hybrid(c.levels, b, 1, c.n); err != nil {
		return err
	}
	for _, l := range c.levels {
		if l == 0 {
			c.nulls = make([]bool, c.n)
			for i, l := range c.levels {
				c.nulls[i] = l == 0
			}
			break
		}
	}
	return nil
}

// readValues decodes the values of a page and spreads them over its nulls.
func (c *columnReader) readValues(enc format.Encoding, data []byte) (err error) {
	n := c.n
	for _, null := range c.nulls {
		if null {
			n--
		}
	}
	c.texts, c.nums = c.texts[:0], c.nums[:0]
	switch {
	case enc == format.RLEDictionary || enc == format.PlainDictionary:
		err = c.lookUp(data, n)
	case enc == format.Plain && c.text:
		c.texts, err = plainTexts(c.texts, data, n)
	case enc == format.Plain:
		c.nums, err = plainNumbers(c.nums, c.col.kind, data, n)
	case enc == format.DeltaLengthByteArray && c.text:
		if c.texts, err = deltaTexts(c.texts, data, n); err == nil && slices.ContainsFunc(c.texts, func(s string) bool { return !utf8.ValidString(s) }) {
			err = errUTF8
		}
	case enc == format.DeltaByteArray && c.text:
		c.texts, err = frontCodedTexts(c.texts, data, n)
	case enc == format.DeltaBinaryPacked && (c.col.kind == format.Int32 || c.col.kind == format.Int64):
		var ints []int64
		if ints, _, err = deltaInts(data, n); err == nil {
			for _, v := range ints {
				c.nums = append(c.nums, float64(v))
			}
		}
	case enc == format.RLE && c.col.kind == format.Boolean:
		if len(data) < 4 {
			return errPage
		}
		if c.indexes, err = hybrid(c.indexes, data[4:], 1, n); err == nil {
			for _, v := range c.indexes {
				c.nums = append(c.nums, float64(v))
			}
		}
	default:
		return fmt.Errorf("encoding %v of %v is not supported; write the file with plain or dictionary encoding", enc, c.col.kind)
	}
	if err != nil {
		return err
	}
	if c.nulls != nil {
		c.texts, c.nums = spread(c.texts, c.nulls), spread(c.nums, c.nulls)
	}
	return nil
}

// spread moves values to their places among nulls, from the back.
func spread[T any](values []T, nulls []bool) []T {
	from := len(values)
	if from == 0 && cap(values) == 0 {
		return make([]T, len(nulls))
	}
	var zero T
	for len(values) < len(nulls) {
		values = append(values, zero)
	}
	for i := len(nulls) - 1; i >= 0; i-- {
		if nulls[i] {
			values[i] = zero
			continue
		}
		from--
		values[i] = values[from]
	}
	return values
}

func (c *columnReader) lookUp(data []byte, n int) (err error) {
	if !c.hasDict {
		return fmt.Errorf("page without its dictionary: %w", errPage)
	}
	if n == 0 {
		return nil
	}
	if len(data) == 0 || data[0] > 32 {
		return errPage
	}
	if c.indexes, err = hybrid(c.indexes, data[1:], uint(data[0]), n); err != nil {
		return err
	}
	if c.text {
		for _, i := range c.indexes {
			if uint(i) >= uint(len(c.dictTexts)) {
				return fmt.Errorf("index outside the dictionary: %w", errPage)
			}
			c.texts = append(c.texts, c.dictTexts[i])
		}
		return nil
	}
	for _, i := range c.indexes {
		if uint(i) >= uint(len(c.dictNums)) {
			return fmt.Errorf("index outside the dictionary: %w", errPage)
		}
		c.nums = append(c.nums, c.dictNums[i])
	}
	return nil
}

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
