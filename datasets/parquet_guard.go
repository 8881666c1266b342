package datasets

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/parquet-go/parquet-go/encoding/thrift"
)

// Bounds of what a Parquet file may ask for before any of it is allocated. They hold memory below 512 MiB on hostile
// input and are far above what writers produce (pages of about 1 MiB, dictionaries of the same size).
const (
	maxFooter       = 16 << 20
	maxPageHeader   = 1 << 20
	maxPage         = 128 << 20
	maxExpansion    = 64      // of a compressed page; text compresses less than tenfold
	maxPageValues   = 4 << 20 // values of a page, entries of a dictionary
	maxThriftStruct = 300_000 // structs in lists of one footer: row groups, column chunks
	maxThriftDepth  = 24
)

var errThrift = errors.New("malformed metadata")

// guardThrift walks one struct of Thrift's compact protocol and returns its length. The decoder allocates what a list or
// string says it holds before it reads it, so nothing is decoded that has not passed here. more is true where the struct
// goes on after the end of b.
func guardThrift(b []byte) (n int, more bool, err error) {
	g := thriftGuard{b: b}
	if g.structure(0) {
		return g.at, false, nil
	}
	return 0, g.short, errThrift
}

type thriftGuard struct {
	b       []byte
	at      int
	structs int
	short   bool
}

func (g *thriftGuard) take(n uint64) bool {
	if n > uint64(len(g.b)-g.at) {
		g.short = true
		return false
	}
	g.at += int(n)
	return true
}

func (g *thriftGuard) varint() (uint64, bool) {
	v, n := binary.Uvarint(g.b[g.at:])
	if n <= 0 {
		g.short = n == 0
		return 0, false
	}
	g.at += n
	return v, true
}

func (g *thriftGuard) structure(depth int) bool {
	if depth > maxThriftDepth {
		return false
	}
	for {
		if !g.take(1) {
			return false
		}
		head := g.b[g.at-1]
		if head == byte(thrift.STOP) {
			return true
		}
		if head>>4 == 0 { // the field's number follows
			if _, ok := g.varint(); !ok {
				return false
			}
		}
		typ := thrift.Type(head & 0xF)
		if typ == thrift.TRUE || typ == thrift.BOOL { // the value is in the type
			continue
		}
		if !g.value(typ, depth+1) {
			return false
		}
	}
}

func (g *thriftGuard) value(typ thrift.Type, depth int) bool {
	if depth > maxThriftDepth {
		return false
	}
	switch typ {
	case thrift.TRUE, thrift.BOOL, thrift.I8:
		return g.take(1)
	case thrift.I16, thrift.I32, thrift.I64:
		_, ok := g.varint()
		return ok
	case thrift.DOUBLE:
		return g.take(8)
	case thrift.BINARY:
		n, ok := g.varint()
		return ok && g.take(n)
	case thrift.LIST, thrift.SET:
		return g.list(depth)
	case thrift.STRUCT:
		return g.structure(depth)
	default: // maps do not occur in Parquet
		return false
	}
}

func (g *thriftGuard) list(depth int) bool {
	if !g.take(1) {
		return false
	}
	head := g.b[g.at-1]
	n := uint64(head >> 4)
	if n == 0xF {
		var ok bool
		if n, ok = g.varint(); !ok {
			return false
		}
	}
	typ := thrift.Type(head & 0xF)
	if n > uint64(len(g.b)-g.at) { // every element takes a byte at least
		g.short = true
		return false
	}
	if typ == thrift.STRUCT {
		if g.structs += int(n); g.structs > maxThriftStruct {
			return false
		}
	}
	for range n {
		if !g.value(typ, depth+1) {
			return false
		}
	}
	return true
}

// decodeThrift decodes one struct at the head of b after the guard has passed it, and returns its length.
func decodeThrift(b []byte, to any) (n int, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errThrift, r)
		}
	}()
	n, _, err = guardThrift(b)
	if err != nil {
		return 0, err
	}
	var protocol thrift.CompactProtocol
	if err := thrift.NewDecoder(protocol.NewReaderFromBytes(b[:n])).Decode(to); err != nil {
		return 0, fmt.Errorf("%w: %w", errThrift, err)
	}
	return n, nil
}
