package pema

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"pema/models/checkpoint"
)

// Gather copies the rows ids of a matrix to dst, len(ids) x width elements of its type. It reads them from the file, neighbours
// together, so that no other row and no page of the map becomes resident; ids may come in any order.
func Gather(dst []byte, t checkpoint.Tensor, ids []int32) error {
	rows, width, err := matrix(t.Info())
	if err != nil {
		return fmt.Errorf("gather: %w", err)
	}
	if int64(len(dst)) != int64(len(ids))*width {
		return fmt.Errorf("gather from %s: %d bytes for %d rows of %d", t.Name, len(dst), len(ids), width)
	}
	for _, id := range ids {
		if id < 0 || int64(id) >= rows {
			return fmt.Errorf("gather from %s: row %d is outside the matrix's %d", t.Name, id, rows)
		}
	}
	for len(ids) > 0 {
		run := 1
		for run < len(ids) && int64(ids[run]) == int64(ids[0])+int64(run) {
			run++
		}
		n := int64(run) * width
		if _, err := t.ReadAt(dst[:n], int64(ids[0])*width); err != nil && !(n == 0 && err == io.EOF) {
			return fmt.Errorf("gather: %w", err)
		}
		dst, ids = dst[n:], ids[run:]
	}
	return nil
}

// matrix gives the height of a matrix and the bytes of a row.
func matrix(i checkpoint.Info) (rows, width int64, err error) {
	if len(i.Shape) != 2 {
		return 0, 0, fmt.Errorf("tensor %s has shape %v, a matrix is needed", i.Name, i.Shape)
	}
	if _, err := i.Size(); err != nil {
		return 0, 0, err
	}
	return i.Shape[0], i.Shape[1] * i.DType.Size(), nil
}

// Original finds a tensor of a model in its published checkpoint, which may have been saved with or without the name of the
// backbone before it: "bert.embeddings.word_embeddings.weight" and "embeddings.word_embeddings.weight" are the same.
func Original(c *checkpoint.Checkpoint, name string) (checkpoint.Tensor, error) {
	if t, ok := c.Tensor(name); ok {
		return t, nil
	}
	if _, short, ok := strings.Cut(name, "."); ok {
		if t, ok := c.Tensor(short); ok {
			return t, nil
		}
	}
	var found []string
	for _, n := range c.Names() {
		if _, short, ok := strings.Cut(n, "."); ok && short == name {
			found = append(found, n)
		}
	}
	if len(found) != 1 {
		return checkpoint.Tensor{}, fmt.Errorf("original checkpoint %s: no tensor %s, with or without a prefix (candidates: %q)", c.Dir(), name, found)
	}
	t, _ := c.Tensor(found[0])
	return t, nil
}

// Rows is a matrix that is read piece by piece: a checkpoint's tensor, or one that is computed.
type Rows interface {
	Info() checkpoint.Info
	io.ReaderAt // of the elements in row-major order, little-endian
}

// Full is the embedding matrix at full height as a stream: the selected rows from reduced, every other row from original. The
// original's rows are read from its file and, where its type is narrower, converted exactly; no more than a piece of the matrix
// is in memory.
func Full(reduced checkpoint.Source, s *Selection, original Rows) (checkpoint.Source, error) {
	i, o := reduced.Info(), original.Info()
	height, _, err := matrix(i)
	if err != nil {
		return nil, fmt.Errorf("full matrix: %w", err)
	}
	rows, width, err := matrix(o)
	if err != nil {
		return nil, fmt.Errorf("full matrix: original: %w", err)
	}
	switch {
	case rows != s.Rows:
		return nil, fmt.Errorf("full matrix: original %s has %d rows, the selection is of %d", o.Name, rows, s.Rows)
	case height != int64(len(s.IDs)):
		return nil, fmt.Errorf("full matrix: %s has %d rows for %d kept ids", i.Name, height, len(s.IDs))
	case i.Shape[1] != o.Shape[1]:
		return nil, fmt.Errorf("full matrix: %s is %d wide, the original %d", i.Name, i.Shape[1], o.Shape[1])
	}
	if err := checkpoint.Widen(nil, i.DType, nil, o.DType); err != nil {
		return nil, fmt.Errorf("full matrix: original: %w", err)
	}
	return &full{reduced, s.IDs, original, o, width}, nil
}

type full struct {
	reduced  checkpoint.Source
	ids      []int32
	original Rows
	rows     checkpoint.Info // of original
	width    int64           // bytes of an original row
}

// Info implements checkpoint.Source.
func (f *full) Info() checkpoint.Info {
	i := f.reduced.Info()
	return checkpoint.Info{Name: i.Name, DType: i.DType, Shape: f.rows.Shape}
}

// WriteTo implements checkpoint.Source.
func (f *full) WriteTo(w io.Writer) (int64, error) {
	i := f.reduced.Info()
	m := &merger{full: f, w: w, dtype: i.DType, row: i.Shape[1] * i.DType.Size()}
	if _, err := f.reduced.WriteTo(m); err != nil {
		return m.written, err
	}
	if m.row > 0 && (m.next != len(f.ids) || m.left > 0) {
		return m.written, errors.New("the reduced matrix ended early")
	}
	return m.written, m.fill(f.rows.Shape[0])
}

// merger receives the reduced matrix and writes the full one: before each of its rows come the original's up to there.
type merger struct {
	*full
	w       io.Writer
	dtype   checkpoint.DType // of what is written
	row     int64            // bytes of a written row
	next    int              // index of the reduced row that begins next
	left    int64            // bytes of the current reduced row still to come
	at      int64            // row of the full matrix that comes next
	written int64
	in, out []byte
}

// Write implements io.Writer.
func (m *merger) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		if m.left == 0 {
			if m.next == len(m.ids) {
				return done, errors.New("the reduced matrix is longer than the selection")
			}
			if err := m.fill(int64(m.ids[m.next])); err != nil {
				return done, err
			}
			m.next, m.at, m.left = m.next+1, m.at+1, m.row
		}
		n, err := m.w.Write(p[done : done+int(min(m.left, int64(len(p)-done)))])
		done, m.left, m.written = done+n, m.left-int64(n), m.written+int64(n)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

const piece = 1 << 20

// fill writes the original's rows from m.at to before end.
func (m *merger) fill(end int64) error {
	if m.width == 0 {
		return nil
	}
	if m.in == nil {
		n := max(1, piece/m.width)
		m.in, m.out = make([]byte, n*m.width), make([]byte, n*m.row)
	}
	for m.at < end {
		n := min(end-m.at, int64(len(m.in))/m.width)
		in, out := m.in[:n*m.width], m.out[:n*m.row]
		if _, err := m.original.ReadAt(in, m.at*m.width); err != nil {
			return err
		}
		if err := checkpoint.Widen(out, m.dtype, in, m.rows.DType); err != nil {
			return err
		}
		k, err := m.w.Write(out)
		m.written += int64(k)
		if err != nil {
			return err
		}
		m.at += n
	}
	return nil
}

// Restored replaces the embedding matrix called name among the tensors of a reduced model by the full one, for
// checkpoint.Write, or for checkpoint.Hash where the weights are only to be compared.
func Restored(tensors []checkpoint.Source, name string, s *Selection, original Rows) ([]checkpoint.Source, error) {
	out, found := make([]checkpoint.Source, len(tensors)), false
	for i, t := range tensors {
		out[i] = t
		if t.Info().Name != name {
			continue
		}
		f, err := Full(t, s, original)
		if err != nil {
			return nil, err
		}
		out[i], found = f, true
	}
	if !found {
		return nil, fmt.Errorf("full matrix: no tensor is called %s", name)
	}
	return out, nil
}
