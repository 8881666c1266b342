//go:build !linux && !darwin

package hub

import "errors"

// FreeSpace is not known here: a full disk shows as an error of the write.
func FreeSpace(string) (uint64, error) { return 0, errors.ErrUnsupported }
