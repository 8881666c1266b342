package datasets

import (
	"bytes"
	"encoding/binary"
	"math"
	"runtime"
	"testing"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// fileOf puts a page and a footer together.
func fileOf(page, footer []byte) []byte {
	b := append([]byte("PAR1"), page...)
	b = append(b, footer...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(footer)))
	return append(b, "PAR1"...)
}

// hostile makes a file of one text column whose chunk is the given page.
func hostile(t *testing.T, codec format.CompressionCodec, rows int64, header format.PageHeader, body []byte) []byte {
	t.Helper()
	var protocol thrift.CompactProtocol
	page, err := thrift.Marshal(&protocol, &header)
	if err != nil {
		t.Fatal(err)
	}
	page = append(page, body...)
	footer, err := thrift.Marshal(&protocol, &format.FileMetaData{
		Version: 1, NumRows: rows,
		Schema: []format.SchemaElement{
			{Name: "root", NumChildren: thrift.New[int32](1)},
			{Name: "text", Type: thrift.New(format.ByteArray), RepetitionType: thrift.New(format.Required)},
		},
		RowGroups: []format.RowGroup{{NumRows: rows, Columns: []format.ColumnChunk{{MetaData: format.ColumnMetaData{
			Type: format.ByteArray, PathInSchema: []string{"text"}, Codec: codec, NumValues: rows,
			TotalCompressedSize: int64(len(page)), DataPageOffset: 4,
		}}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return fileOf(page, footer)
}

// TestParquetHostileSizes feeds files of a few bytes that ask for gigabytes.
func TestParquetHostileSizes(t *testing.T) {
	data := func(values int32, enc format.Encoding, compressed, uncompressed int32) format.PageHeader {
		return format.PageHeader{Type: format.DataPage, CompressedPageSize: compressed, UncompressedPageSize: uncompressed,
			DataPageHeader: thrift.New(format.DataPageHeader{NumValues: values, Encoding: enc, DefinitionLevelEncoding: format.RLE})}
	}
	dictionary := func(values int32) format.PageHeader {
		return format.PageHeader{Type: format.DictionaryPage, CompressedPageSize: 4, UncompressedPageSize: 4,
			DictionaryPageHeader: thrift.New(format.DictionaryPageHeader{NumValues: values})}
	}
	varint := func(v uint64) []byte { return binary.AppendUvarint(nil, v) }
	list := func(field byte, typ thrift.Type, n uint64) []byte {
		return append(append([]byte{field<<4 | byte(thrift.LIST), 0xF0 | byte(typ)}, varint(n)...), make([]byte, 64)...)
	}
	body := []byte{0, 0, 0, 0}
	tests := map[string][]byte{
		"values":             hostile(t, format.Uncompressed, math.MaxInt32, data(math.MaxInt32, format.Plain, 4, 4), body),
		"rows":               hostile(t, format.Uncompressed, math.MaxInt64, data(1, format.Plain, 4, 4), body),
		"uncompressed size":  hostile(t, format.Snappy, 1, data(1, format.Plain, 4, math.MaxInt32), body),
		"expansion":          hostile(t, format.Zstd, 1, data(1, format.Plain, 4, maxPage), body),
		"compressed size":    hostile(t, format.Uncompressed, 1, data(1, format.Plain, math.MaxInt32, math.MaxInt32), body),
		"snappy length":      hostile(t, format.Snappy, 1, data(1, format.Plain, 5, 100), append(varint(1<<31), 0)),
		"dictionary values":  hostile(t, format.Uncompressed, 1, dictionary(math.MaxInt32), body),
		"delta count":        hostile(t, format.Uncompressed, 1, data(1, format.DeltaLengthByteArray, 12, 12), append(append([]byte{128, 1, 4}, varint(1<<40)...), 0, 0, 0)),
		"list of row groups": fileOf(nil, list(4, thrift.STRUCT, 1<<30)),
		"list of names":      fileOf(nil, list(2, thrift.BINARY, math.MaxInt32)),
		"string":             fileOf(nil, append([]byte{6<<4 | byte(thrift.BINARY)}, varint(math.MaxInt32)...)),
		"deep":               fileOf(nil, bytes.Repeat([]byte{1<<4 | byte(thrift.STRUCT)}, 1<<20)),
		"many structs":       fileOf(nil, append(append([]byte{4<<4 | byte(thrift.LIST), 0xF0 | byte(thrift.STRUCT)}, varint(8<<20)...), make([]byte, 8<<20+1)...)),
		"footer length":      append([]byte("PAR1aaaa"), 0xff, 0xff, 0xff, 0x7f, 'P', 'A', 'R', '1'),
	}
	for name, file := range tests {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := readAll(file, Columns{Text: "text"})
		runtime.ReadMemStats(&after)
		if grown := int64(after.TotalAlloc-before.TotalAlloc) - 3*int64(len(file)); err == nil || grown > 4<<20 {
			t.Errorf("%s: %v after %d KiB", name, err, grown>>10)
		}
	}
	// The largest run that is let through: 4 Mi values from a few bytes.
	run := append([]byte{0}, varint(uint64(maxPageValues)<<1)...)
	h := data(maxPageValues, format.RLEDictionary, int32(len(run)), int32(len(run)))
	if _, err := readAll(hostile(t, format.Uncompressed, maxPageValues, h, run), Columns{Text: "text"}); err == nil {
		t.Error("indexes without a dictionary")
	}
}
