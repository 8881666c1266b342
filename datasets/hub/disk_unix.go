//go:build linux || darwin

package hub

import "syscall"

// FreeSpace is the number of bytes that a user may still write below dir.
func FreeSpace(dir string) (uint64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return s.Bavail * uint64(s.Bsize), nil
}
