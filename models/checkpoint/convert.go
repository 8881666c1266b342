package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Widen converts floating-point elements to a type that holds every value of theirs: F16 and BF16 to F32 or F64, F32 to F64,
// and any type to itself. Other conversions would round and are refused. dst and src do not overlap and hold as many elements.
func Widen(dst []byte, to DType, src []byte, from DType) error {
	if from == to {
		if len(dst) != len(src) {
			return fmt.Errorf("convert %s: %d bytes into %d", from, len(src), len(dst))
		}
		copy(dst, src)
		return nil
	}
	var load func(b []byte) float64
	switch from {
	case F16:
		load = func(b []byte) float64 { return half(binary.LittleEndian.Uint16(b)) }
	case BF16:
		load = func(b []byte) float64 {
			return float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16))
		}
	case F32:
		load = func(b []byte) float64 { return float64(math.Float32frombits(binary.LittleEndian.Uint32(b))) }
	}
	if load == nil || !(to == F64 || to == F32 && from != F32) {
		return fmt.Errorf("convert %s to %s: only wider floats hold every value", from, to)
	}
	in, out := int(from.Size()), int(to.Size())
	if len(src)%in != 0 || len(dst)/out != len(src)/in || len(dst)%out != 0 {
		return fmt.Errorf("convert %s to %s: %d bytes into %d", from, to, len(src), len(dst))
	}
	for i := range len(src) / in {
		v := load(src[i*in:])
		if to == F32 {
			binary.LittleEndian.PutUint32(dst[i*out:], math.Float32bits(float32(v)))
		} else {
			binary.LittleEndian.PutUint64(dst[i*out:], math.Float64bits(v))
		}
	}
	return nil
}

// half is the value of an IEEE 754 half-precision number.
func half(b uint16) float64 {
	exponent, fraction := int(b>>10&0x1f), float64(b&0x3ff)
	var v float64
	switch exponent {
	case 0:
		v = math.Ldexp(fraction, -24)
	case 0x1f:
		v = math.Inf(1)
		if fraction != 0 {
			v = math.NaN()
		}
	default:
		v = math.Ldexp(fraction+1024, exponent-25)
	}
	if b>>15 == 1 {
		v = math.Copysign(v, -1)
	}
	return v
}
