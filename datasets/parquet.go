package datasets

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/parquet-go/parquet-go/format"
)

// Reading Parquet: parquet-go decodes the metadata, behind a guard; pages are decoded here, because a label and two
// texts in flat columns need little, no Value per cell, and bounds that hold on hostile files, which the library's
// decoders of runs and its caches of pages do not have. Row groups and pages are read one after the other: memory is
// that of one page for each column.

// parquetFile is an open file with its metadata.
type parquetFile struct {
	r    io.ReaderAt
	size int64
	meta format.FileMetaData
	cols []parquetColumn // leaf columns in order
}

// parquetColumn is a leaf of the schema.
type parquetColumn struct {
	name     string
	kind     format.Type
	optional bool
	nested   bool // below another column, or repeated: cannot be read as text or label
	text     bool // annotated as UTF-8
}

func openParquet(r io.ReaderAt, size int64) (*parquetFile, error) {
	var head [4]byte
	var tail [8]byte
	if size < int64(len(head)+len(tail)) {
		return nil, errors.New("not a Parquet file: too short")
	}
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return nil, fmt.Errorf("read Parquet header: %w", err)
	}
	if _, err := r.ReadAt(tail[:], size-8); err != nil {
		return nil, fmt.Errorf("read Parquet footer: %w", err)
	}
	if string(head[:]) != "PAR1" || string(tail[4:]) != "PAR1" {
		if string(head[:]) == "PARE" {
			return nil, errors.New("the Parquet file is encrypted")
		}
		return nil, errors.New("not a Parquet file, or one that was cut off")
	}
	n := int64(binary.LittleEndian.Uint32(tail[:]))
	if n > maxFooter || n > size-12 {
		return nil, fmt.Errorf("parquet footer of %d bytes does not fit a file of %d", n, size)
	}
	footer := make([]byte, n)
	if _, err := r.ReadAt(footer, size-8-n); err != nil {
		return nil, fmt.Errorf("read Parquet footer: %w", err)
	}
	p := &parquetFile{r: r, size: size}
	if _, err := decodeThrift(footer, &p.meta); err != nil {
		return nil, fmt.Errorf("parquet footer: %w", err)
	}
	if err := p.readSchema(); err != nil {
		return nil, fmt.Errorf("parquet schema: %w", err)
	}
	return p, p.checkGroups()
}

// readSchema lists the leaf columns of the flattened tree.
func (p *parquetFile) readSchema() error {
	if len(p.meta.Schema) == 0 {
		return errors.New("it is empty")
	}
	left := []int{children(&p.meta.Schema[0])} // children that are still to come, for each open group
	for i := range p.meta.Schema[1:] {
		e := &p.meta.Schema[i+1]
		for len(left) > 0 && left[len(left)-1] == 0 {
			left = left[:len(left)-1]
		}
		if len(left) == 0 {
			return errors.New("elements are left over")
		}
		left[len(left)-1]--
		if n := children(e); n > 0 {
			left = append(left, n)
			continue
		}
		rep := e.RepetitionType.V
		p.cols = append(p.cols, parquetColumn{
			name: e.Name, kind: e.Type.V, optional: rep == format.Optional,
			nested: len(left) > 1 || rep == format.Repeated || !e.Type.Valid,
			text:   e.ConvertedType.Valid && e.ConvertedType.V == 0,
		})
	}
	for _, n := range left {
		if n != 0 {
			return errors.New("elements are missing")
		}
	}
	return nil
}

func children(e *format.SchemaElement) int {
	if !e.NumChildren.Valid || e.NumChildren.V < 0 {
		return 0
	}
	return int(e.NumChildren.V)
}

func (p *parquetFile) checkGroups() error {
	rows := int64(0)
	for i := range p.meta.RowGroups {
		g := &p.meta.RowGroups[i]
		if len(g.Columns) != len(p.cols) || g.NumRows < 0 || rows+g.NumRows < rows {
			return fmt.Errorf("parquet row group %d: %w", i, errThrift)
		}
		rows += g.NumRows
	}
	if rows != p.meta.NumRows {
		return fmt.Errorf("parquet footer names %d rows, its row groups hold %d", p.meta.NumRows, rows)
	}
	return nil
}

func (p *parquetFile) names() []string {
	names := make([]string, len(p.cols))
	for i, c := range p.cols {
		names[i] = c.name
	}
	return names
}

// find returns the index of a column that can be read as text or label.
func (p *parquetFile) find(name string) (int, error) {
	for i, c := range p.cols {
		if c.name != name {
			continue
		}
		if c.nested {
			return 0, fmt.Errorf("column %q is nested or repeated", name)
		}
		return i, nil
	}
	return 0, missingColumn(name, p.names())
}

// parquetRows streams the rows of a local file.
func parquetRows(ctx context.Context, path string, cols Columns) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(row{}, err)
			return
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			yield(row{}, err)
			return
		}
		readParquet(ctx, f, info.Size(), cols, yield)
	}
}

// readParquet streams rows. The strings of a row stay valid.
func readParquet(ctx context.Context, r io.ReaderAt, size int64, cols Columns, yield func(row, error) bool) {
	p, err := openParquet(r, size)
	if err != nil {
		yield(row{}, err)
		return
	}
	text, pair, label := &columnReader{}, (*columnReader)(nil), (*columnReader)(nil)
	readers := []*columnReader{text}
	if cols.Pair != "" {
		pair = &columnReader{}
		readers = append(readers, pair)
	}
	if cols.Label != "" {
		label = &columnReader{}
		readers = append(readers, label)
	}
	index := make([]int, len(readers))
	for i, name := range cols.names() {
		if index[i], err = p.find(name); err == nil {
			err = readers[i].init(p.cols[index[i]], readers[i] != label)
		}
		if err != nil {
			yield(row{}, err)
			return
		}
	}
	n := int64(0)
	for gi := range p.meta.RowGroups {
		g := &p.meta.RowGroups[gi]
		if g.NumRows == 0 {
			continue
		}
		for i, c := range readers {
			if err := c.open(p, &g.Columns[index[i]], g.NumRows); err != nil {
				yield(row{}, fmt.Errorf("row group %d: %w", gi, err))
				return
			}
		}
		for left := g.NumRows; left > 0; {
			run := left // rows for which every column has a value at hand
			for _, c := range readers {
				if c.at == c.n {
					if err := c.nextPage(); err != nil {
						yield(row{}, fmt.Errorf("row group %d, column %q: %w", gi, c.col.name, err))
						return
					}
				}
				run = min(run, int64(c.n-c.at))
			}
			if ctx.Err() != nil {
				yield(row{}, ctx.Err())
				return
			}
			for range run {
				n++
				x := row{n: n, text: text.texts[text.at]}
				if text.null(text.at) {
					yield(x, fmt.Errorf("column %q is empty (null)", cols.Text))
					return
				}
				text.at++
				if pair != nil {
					if pair.null(pair.at) {
						yield(x, fmt.Errorf("column %q is empty (null)", cols.Pair))
						return
					}
					x.pair = pair.texts[pair.at]
					pair.at++
				}
				if label != nil {
					x.label = label.value(label.at)
					label.at++
				}
				if !yield(x, nil) {
					return
				}
			}
			left -= run
		}
	}
}

// parquetInfo is what the registry checks of a file before it is read.
func parquetInfo(path string) (rows int64, cols []parquetColumn, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, nil, err
	}
	p, err := openParquet(f, info.Size())
	if err != nil {
		return 0, nil, err
	}
	return p.meta.NumRows, p.cols, nil
}

// window reads a column chunk from front to back. Small chunks are read at once.
type window struct {
	r   io.ReaderAt
	off int64 // of the next byte to read
	end int64
	buf []byte // read and not yet taken
	mem []byte
}

const windowSize = 256 << 10

// peek returns at least n bytes, or all that are left.
func (w *window) peek(n int) ([]byte, error) {
	if len(w.buf) >= n || w.off == w.end {
		return w.buf, nil
	}
	want := int(min(int64(max(n, windowSize)-len(w.buf)), w.end-w.off))
	have := len(w.buf)
	if have+want > cap(w.mem) {
		w.mem = make([]byte, 0, have+want)
	}
	w.mem = append(w.mem[:0], w.buf...)[:have+want] // append copies as memmove does: the ranges may overlap
	if _, err := w.r.ReadAt(w.mem[have:], w.off); err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	w.off += int64(want)
	w.buf = w.mem
	return w.buf, nil
}

func (w *window) skip(n int) { w.buf = w.buf[n:] }

// pageHeader reads the header of the next page.
func (w *window) pageHeader(h *format.PageHeader) error {
	for n := 512; ; n *= 4 {
		b, err := w.peek(n)
		if err != nil {
			return err
		}
		_, more, err := guardThrift(b)
		if err != nil && more && len(b) >= n && n < maxPageHeader {
			continue
		}
		if len(b) == 0 {
			return io.ErrUnexpectedEOF
		}
		*h = format.PageHeader{}
		used, err := decodeThrift(b, h)
		if err != nil {
			return fmt.Errorf("page header: %w", err)
		}
		w.skip(used)
		return nil
	}
}
