package tokenizer

import "fmt"

// template says how the sequences and the special tokens are put together.
type template struct {
	pieces  []piece
	special int // number of special ids
}

// piece is one part of a template: a sequence (0 or 1), or special ids (sequence -1).
type piece struct {
	sequence int8
	typ      int8 // token type of its ids
	ids      []int32
}

func newTemplate(pieces ...piece) (template, error) {
	t := template{pieces: pieces}
	last := int8(0)
	for _, p := range pieces {
		if p.typ != 0 && p.typ != 1 {
			return t, fmt.Errorf("token type %d: only 0 and 1 are supported", p.typ)
		}
		if p.typ < last {
			return t, fmt.Errorf("token type 0 after type 1 is not supported")
		}
		last = p.typ
		t.special += len(p.ids)
	}
	return t, nil
}

func special(typ int8, ids ...int32) piece { return piece{sequence: -1, typ: typ, ids: ids} }
func sequence(i, typ int8) piece           { return piece{sequence: i, typ: typ} }

// fill appends the filled template and returns where token type 1 begins.
func (t *template) fill(dst, a, b []int32) ([]int32, int) {
	from, second := len(dst), -1
	for i := range t.pieces {
		p := &t.pieces[i]
		if p.typ == 1 && second < 0 {
			second = len(dst) - from
		}
		switch p.sequence {
		case 0:
			dst = append(dst, a...)
		case 1:
			dst = append(dst, b...)
		default:
			dst = append(dst, p.ids...)
		}
	}
	if second < 0 {
		second = len(dst) - from
	}
	return dst, second
}
