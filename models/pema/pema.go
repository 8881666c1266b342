// Package pema is Partial Embedding Matrix Adaptation (Williams & Aletras, 2025): train only the rows of the embedding matrix
// that a corpus uses, and put them back afterwards.
package pema

import (
	"fmt"
	"slices"

	"pema/models/checkpoint"
)

// Selection is the set of kept rows. IDs ascend, so that the remap is monotone.
type Selection struct {
	Rows int64   // of the full matrix
	IDs  []int32 // used ids and always-kept specials
	Used int     // distinct used ids before the specials were added
}

// Select keeps the used ids and the special tokens.
func Select(used, specials []int32, rows int64) (*Selection, error) {
	ids := slices.Concat(used, specials)
	for _, id := range ids {
		if id < 0 || int64(id) >= rows {
			return nil, fmt.Errorf("selection: id %d is outside the matrix's %d rows", id, rows)
		}
	}
	u := slices.Clone(used)
	slices.Sort(u)
	slices.Sort(ids)
	return &Selection{Rows: rows, IDs: slices.Compact(ids), Used: len(slices.Compact(u))}, nil
}

// Map gives the row that an id has in the reduced matrix.
func (s *Selection) Map(id int32) (int32, bool) {
	i, ok := slices.BinarySearch(s.IDs, id)
	return int32(i), ok
}

// Remap appends the reduced rows of src to dst.
func (s *Selection) Remap(dst, src []int32) ([]int32, error) {
	table := make([]int32, s.Rows)
	for i := range table {
		table[i] = -1
	}
	for i, id := range s.IDs {
		table[id] = int32(i)
	}
	for i, id := range src {
		if id < 0 || int64(id) >= s.Rows || table[id] < 0 {
			return nil, fmt.Errorf("remap: id %d at position %d is not selected", id, i)
		}
		dst = append(dst, table[id])
	}
	return dst, nil
}

// Gather copies the rows ids of a mapped matrix to dst, len(ids) x row bytes; the other rows are not read.
func Gather(dst []byte, t checkpoint.Tensor, ids []int32) error {
	if len(t.Shape) != 2 || t.Shape[0] == 0 {
		return fmt.Errorf("gather: %s has shape %v, a matrix is needed", t.Name, t.Shape)
	}
	row, src := int(t.Shape[1]*t.DType.Size()), t.Bytes()
	if len(dst) != len(ids)*row {
		return fmt.Errorf("gather: %d bytes for %d rows of %d", len(dst), len(ids), row)
	}
	for i, id := range ids {
		if id < 0 || int64(id) >= t.Shape[0] {
			return fmt.Errorf("gather: row %d is outside the matrix's %d", id, t.Shape[0])
		}
		copy(dst[i*row:(i+1)*row], src[int(id)*row:])
	}
	return nil
}
