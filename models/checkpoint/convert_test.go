package checkpoint

import (
	"encoding/binary"
	"math"
	"testing"
)

// value is a half-precision number by the definition of the format, to hold the conversion by bits against.
func value(h uint16) float64 {
	exponent, fraction := int(h>>10&0x1f), float64(h&0x3ff)
	var v float64
	switch {
	case exponent == 0x1f && fraction != 0:
		return math.NaN()
	case exponent == 0x1f:
		v = math.Inf(1)
	case exponent == 0:
		v = math.Ldexp(fraction, -24)
	default:
		v = math.Ldexp(fraction+1024, exponent-25)
	}
	if h>>15 == 1 {
		v = math.Copysign(v, -1)
	}
	return v
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
				want = float32(value(uint16(h)))
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
