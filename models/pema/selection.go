package pema

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
)

// Selection is the set of kept rows. IDs ascend, so that the remap is monotone: kept tokens stay in the order of their ids.
// Select makes one, and ReadManifest.
type Selection struct {
	Rows int64   // of the full matrix
	IDs  []int32 // used ids and always-kept specials; row i of the reduced matrix is row IDs[i] of the full one
	Used int     // distinct used ids before the specials were added

	rank []int32 // id -> row of the reduced matrix, -1: not selected
}

// Select keeps the used ids and the special tokens. Both may come in any order and repeat.
func Select(used, specials []int32, rows int64) (*Selection, error) {
	ids := slices.Concat(used, specials)
	for _, id := range ids {
		if id < 0 || int64(id) >= rows {
			return nil, fmt.Errorf("selection: id %d is outside the matrix's %d rows (do tokenizer and weights belong together?)", id, rows)
		}
	}
	u := slices.Clone(used)
	slices.Sort(u)
	slices.Sort(ids)
	return newSelection(slices.Compact(ids), len(slices.Compact(u)), rows), nil
}

// newSelection takes ascending ids below rows.
func newSelection(ids []int32, used int, rows int64) *Selection {
	s := &Selection{Rows: rows, IDs: ids, Used: used, rank: make([]int32, rows)}
	for i := range s.rank {
		s.rank[i] = -1
	}
	for i, id := range ids {
		s.rank[id] = int32(i)
	}
	return s
}

// Map gives the row that an id has in the reduced matrix.
func (s *Selection) Map(id int32) (int32, bool) {
	if id < 0 || int(id) >= len(s.rank) || s.rank[id] < 0 {
		return 0, false
	}
	return s.rank[id], true
}

// Remap appends the reduced rows of src to dst, which may be src[:0].
func (s *Selection) Remap(dst, src []int32) ([]int32, error) {
	for i, id := range src {
		r, ok := s.Map(id)
		if !ok {
			return nil, fmt.Errorf("remap: id %d at position %d is not selected", id, i)
		}
		dst = append(dst, r)
	}
	return dst, nil
}

// SHA256 names the selection, in hex: over the kept ids, ascending, as little-endian int32.
func (s *Selection) SHA256() string {
	b := make([]byte, 0, 4*len(s.IDs))
	for _, id := range s.IDs {
		b = binary.LittleEndian.AppendUint32(b, uint32(id))
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
