package datasets

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go/format"
)

// plainDictionary is the older name of both encodings of a dictionary, in its own page and in those that refer to it.
const plainDictionary format.Encoding = 2

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
	if d.Encoding != format.Plain && d.Encoding != plainDictionary {
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
	case enc == format.RLEDictionary || enc == plainDictionary:
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
