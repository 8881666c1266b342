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
	var load func(b []byte) float32 // every value of the three is one of F32
	switch from {
	case F16:
		load = func(b []byte) float32 { return half(binary.LittleEndian.Uint16(b)) }
	case BF16:
		load = func(b []byte) float32 { return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16) }
	case F32:
		load = func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }
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
			binary.LittleEndian.PutUint32(dst[i*out:], math.Float32bits(v))
		} else {
			binary.LittleEndian.PutUint64(dst[i*out:], math.Float64bits(float64(v)))
		}
	}
	return nil
}

// half is the value of an IEEE 754 half-precision number.
func half(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch exponent {
	case 0x1f: // infinity, NaN
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	case 0: // zero and subnormal: a whole multiple of 2^-24
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)*0x1p-24))
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}
