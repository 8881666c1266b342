package checkpoint

import (
	"encoding/binary"
	"math"
	"testing"
)

// half32 is the usual conversion by bits, to hold the arithmetical one against.
func half32(h uint16) uint32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch {
	case exponent == 0x1f:
		return sign | 0x7f800000 | fraction<<13
	case exponent != 0:
		return sign | (exponent+112)<<23 | fraction<<13
	case fraction == 0:
		return sign
	}
	exponent = 113
	for fraction&0x400 == 0 {
		fraction <<= 1
		exponent--
	}
	return sign | exponent<<23 | fraction&0x3ff<<13
}

func TestWidenIsExact(t *testing.T) {
	all := make([]byte, 0, 2<<16)
	for h := range 1 << 16 {
		all = binary.LittleEndian.AppendUint16(all, uint16(h))
	}
	to32, to64 := make([]byte, 4<<16), make([]byte, 8<<16)
	for _, from := range []DType{F16, BF16} {
		if err := Widen(to32, F32, all, from); err != nil {
			t.Fatal(err)
		}
		if err := Widen(to64, F64, all, from); err != nil {
			t.Fatal(err)
		}
		for h := range 1 << 16 {
			want := math.Float32frombits(uint32(h) << 16)
			if from == F16 {
				want = math.Float32frombits(half32(uint16(h)))
			}
			got := math.Float32frombits(binary.LittleEndian.Uint32(to32[4*h:]))
			wide := math.Float64frombits(binary.LittleEndian.Uint64(to64[8*h:]))
			if want != want {
				if got == got || wide == wide {
					t.Fatalf("%s %#x: %v, %v, want NaN", from, h, got, wide)
				}
				continue
			}
			if math.Float32bits(got) != math.Float32bits(want) || math.Float64bits(wide) != math.Float64bits(float64(want)) {
				t.Fatalf("%s %#x: %v, %v, want %v", from, h, got, wide, want)
			}
		}
	}
}

func TestWidenRefuses(t *testing.T) {
	for _, x := range [][2]DType{{F32, F16}, {F32, BF16}, {F64, F32}, {I32, I64}, {F16, BF16}, {I8, F32}} {
		if err := Widen(nil, x[1], nil, x[0]); err == nil {
			t.Errorf("%s to %s", x[0], x[1])
		}
	}
	if Widen(make([]byte, 4), F32, make([]byte, 4), F16) == nil || Widen(make([]byte, 4), F32, make([]byte, 3), F32) == nil || Widen(make([]byte, 5), F32, make([]byte, 2), F16) == nil {
		t.Error("lengths that do not fit were taken")
	}
}
