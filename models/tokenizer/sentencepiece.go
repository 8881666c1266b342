package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// spModel is what matters of a SentencePiece model file, a ModelProto of protocol buffers.
type spModel struct {
	pieces   []spPiece
	typ      uint64 // 1: Unigram
	unk      int
	charsmap []byte
}

// spPiece is a token with its score.
type spPiece struct {
	text  string
	score float32
	kind  uint64
}

// Kinds of pieces and the type of model, as sentencepiece_model.proto numbers them.
const (
	spNormal      = 1
	spControl     = 3
	spUserDefined = 4

	spUnigram = 1
)

// parseSentencePiece reads a SentencePiece model.
func parseSentencePiece(b []byte) (*spModel, error) {
	m := &spModel{typ: spUnigram}
	err := fields(b, func(n protowire.Number, v value) error {
		switch n {
		case 1:
			p := spPiece{kind: spNormal}
			err := v.message(func(n protowire.Number, v value) error {
				switch n {
				case 1:
					p.text = string(v.bytes)
					return v.is(protowire.BytesType)
				case 2:
					p.score = math.Float32frombits(uint32(v.number))
					return v.is(protowire.Fixed32Type)
				case 3:
					p.kind = v.number
					return v.is(protowire.VarintType)
				}
				return nil
			})
			if err == nil && !utf8.ValidString(p.text) {
				err = errors.New("not UTF-8")
			}
			if err != nil {
				return fmt.Errorf("piece %d: %w", len(m.pieces), err)
			}
			m.pieces = append(m.pieces, p)
		case 2:
			return v.message(func(n protowire.Number, v value) error {
				switch n {
				case 3:
					m.typ = v.number
					return v.is(protowire.VarintType)
				case 40:
					if v.number > maxPieces {
						return fmt.Errorf("unk_id %d", v.number)
					}
					m.unk = int(v.number)
					return v.is(protowire.VarintType)
				}
				return nil
			})
		case 3:
			return v.message(func(n protowire.Number, v value) error {
				if n == 2 {
					m.charsmap = v.bytes
					return v.is(protowire.BytesType)
				}
				return nil
			})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	switch {
	case m.typ != spUnigram:
		return nil, fmt.Errorf("model type %d: only Unigram (1) is supported", m.typ)
	case len(m.pieces) == 0:
		return nil, errors.New("there are no pieces")
	}
	return m, nil
}

// value is a field of a protocol buffer.
type value struct {
	typ    protowire.Type
	number uint64
	bytes  []byte
}

func (v value) is(t protowire.Type) error {
	if v.typ != t {
		return fmt.Errorf("wire type %d, not %d", v.typ, t)
	}
	return nil
}

func (v value) message(f func(protowire.Number, value) error) error {
	if err := v.is(protowire.BytesType); err != nil {
		return err
	}
	return fields(v.bytes, f)
}

// fields calls f for each field of a message.
func fields(b []byte, f func(protowire.Number, value) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		v := value{typ: typ}
		switch typ {
		case protowire.VarintType:
			v.number, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var x uint32
			x, n = protowire.ConsumeFixed32(b)
			v.number = uint64(x)
		case protowire.BytesType:
			v.bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		if err := f(num, v); err != nil {
			return fmt.Errorf("field %d: %w", num, err)
		}
		b = b[n:]
	}
	return nil
}
