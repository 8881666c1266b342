package torch

// #include "shim.h"
// #include "training.h"
import "C"

import (
	"fmt"

	"github.com/sugarme/gotch/ts"
)

// GeneratorState is the state of the device's default random generator; RestoreGenerator brings it back, and the draws that
// followed it follow again.
func (d Device) GeneratorState() ([]byte, error) {
	c := C.pm_generator_state(C.int(d.index))
	if c == nil {
		return nil, fmt.Errorf("generator of %s: %w", d, lastError())
	}
	t := wrap(ts.FromCtensor(c))
	defer t.Drop()
	b, err := t.Bytes()
	return append([]byte(nil), b...), err
}

// RestoreGenerator sets the state of the device's default random generator.
func (d Device) RestoreGenerator(state []byte) error {
	t, err := Empty([]int64{int64(len(state))}, uint8Type)
	if err != nil {
		return err
	}
	defer t.Drop()
	b, err := t.Bytes()
	if err != nil {
		return err
	}
	copy(b, state)
	if C.pm_generator_restore(C.int(d.index), t.t.Ctensor()) != 0 {
		return fmt.Errorf("generator of %s: %w", d, lastError())
	}
	return nil
}
