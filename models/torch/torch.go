// Package torch is the only door to libtorch: gotch and our C++ shim live behind it. Its calls work on the calling OS
// thread's state (gradient mode, errors): a goroutine that uses it calls runtime.LockOSThread first.
package torch

// #cgo CXXFLAGS: -std=c++17 -O2 -g0 -w -D_GLIBCXX_USE_CXX11_ABI=1 -I${SRCDIR}/../../.libtorch/include -I${SRCDIR}/../../.libtorch/include/torch/csrc/api/include
// #cgo LDFLAGS: -L${SRCDIR}/../../.libtorch/lib -Wl,-rpath,${SRCDIR}/../../.libtorch/lib -ltorch_cpu -lc10 -lstdc++ -ldl
// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"github.com/sugarme/gotch"
)

func init() { C.pm_count_enable() } // before the first tensor, so that every byte is counted

func lastError() error {
	if e := C.pm_last_error(); e != nil {
		defer C.free(unsafe.Pointer(e))
		return brief(errors.New(C.GoString(e)))
	}
	return errors.New("unknown libtorch error")
}

// brief leaves stack traces out of an error of libtorch.
func brief(err error) error {
	first, _, _ := strings.Cut(err.Error(), "\nException raised from")
	if _, rest, ok := strings.Cut(first, "Libtorch API Error: "); ok {
		first = rest
	}
	return errors.New(first)
}

// Version is libtorch's.
func Version() string { return C.GoString(C.pm_version()) }

// SetThreads is how many threads an operator may use when this OS thread calls it (lock it first); others keep theirs.
func SetThreads(n int) { C.pm_set_threads(C.int(n)) }

// Threads is the number of threads inside an operator.
func Threads() int { return int(C.pm_get_threads()) }

// Seed seeds libtorch's generators of all devices.
func Seed(seed int64) error {
	if C.pm_manual_seed(C.int64_t(seed)) != 0 {
		return fmt.Errorf("seed: %w", lastError())
	}
	return nil
}

// LiveBlocks counts the CPU allocator's blocks in use: flat from step to step, or something is forgotten.
func LiveBlocks() int64 { return int64(C.pm_live_blocks()) }

// Device is where tensors live.
type Device struct{ index int } // -1: CPU, -2: Meta

var (
	CPU = Device{-1} // the host
	// Meta is libtorch's device of tensors that have a shape and no values. Operators, autograd and optimizer run there in
	// microseconds, whatever the size, and what they would allocate on the CPU is counted: see Forecast.
	Meta = Device{-2}
)

var forecasting sync.Mutex

// Forecast runs f, which works on Meta, with Meta's count to itself: what f allocates on its thread counts there, and neither
// the CPU's figures nor its generators are touched.
func Forecast(f func() error) error {
	forecasting.Lock()
	defer forecasting.Unlock()
	runtime.LockOSThread() // where blocks count is the thread's state
	defer runtime.UnlockOSThread()
	C.pm_forecast(1)
	defer C.pm_forecast(0)
	if err := Meta.ResetPeak(); err != nil {
		return err
	}
	return f()
}

// ParseDevice reads "cpu", "cuda" or "cuda:N" and makes sure that it is there. CUDA is loaded at run time, at the first
// use of libtorch: ask for it before anything else.
func ParseDevice(name string) (Device, error) {
	runtime.LockOSThread() // the error is the thread's
	defer runtime.UnlockOSThread()
	if name == "cpu" {
		return CPU, nil
	}
	rest, ok := strings.CutPrefix(name, "cuda")
	n := 0
	if ok && rest != "" {
		var err error
		if n, err = strconv.Atoi(strings.TrimPrefix(rest, ":")); err != nil || n < 0 || rest[0] != ':' {
			ok = false
		}
	}
	if !ok {
		return CPU, fmt.Errorf("device %q is not known: use cpu or cuda:N", name)
	}
	path := C.CString("")
	defer C.free(unsafe.Pointer(path))
	if C.pm_cuda_load(path) != 0 {
		return CPU, fmt.Errorf("device %s is not there: %w", name, lastError())
	}
	if have := int(C.pm_cuda_count()); n >= have {
		return CPU, fmt.Errorf("device %s is not there: libtorch sees %d CUDA devices", name, max(have, 0))
	}
	return Device{n}, nil
}

func (d Device) String() string {
	switch d {
	case CPU:
		return "cpu"
	case Meta:
		return "meta"
	}
	return fmt.Sprintf("cuda:%d", d.index)
}

func (d Device) gotch() gotch.Device {
	if d.index < 0 {
		return gotch.CPU
	}
	return gotch.CudaBuilder(uint(d.index))
}

// Memory is what the device's allocator has given out, in bytes. On the CPU each block is rounded up to 512 bytes as
// CUDA's caching allocator does; nothing is reserved there.
type Memory struct{ Allocated, Peak, Reserved, ReservedPeak int64 }

// Memory reads the allocator's statistics.
func (d Device) Memory() (Memory, error) {
	var s C.pm_stats
	if C.pm_stats_get(C.int(d.index), &s) != 0 {
		return Memory{}, fmt.Errorf("memory of %s: %w", d, lastError())
	}
	return Memory{int64(s.allocated), int64(s.allocated_peak), int64(s.reserved), int64(s.reserved_peak)}, nil
}

// ResetPeak makes what is allocated now the peak.
func (d Device) ResetPeak() error {
	if C.pm_peak_reset(C.int(d.index)) != 0 {
		return fmt.Errorf("memory of %s: %w", d, lastError())
	}
	return nil
}

// Free is the memory of the device in bytes that nobody uses; 0 where it is not known.
func (d Device) Free() int64 {
	if d.index < 0 {
		b, _ := os.ReadFile("/proc/meminfo")
		for line := range strings.Lines(string(b)) {
			var kib int64
			if n, _ := fmt.Sscanf(line, "MemAvailable: %d kB", &kib); n == 1 {
				return kib << 10
			}
		}
		return 0
	}
	out, err := exec.Command("nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits", "-i", strconv.Itoa(d.index)).Output()
	if err != nil {
		return 0
	}
	mib, _ := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	return mib << 20
}

// CUDADevices counts the CUDA devices that libtorch sees; 0 where it has no CUDA.
func CUDADevices() int {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	path := C.CString("")
	defer C.free(unsafe.Pointer(path))
	if C.pm_cuda_load(path) != 0 {
		return 0
	}
	return max(0, int(C.pm_cuda_count()))
}
