package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"pema/experiments"
	"pema/models/torch"
	"pema/results"
)

// runJobs shares the runs between processes: libtorch's allocator and threads are the process's, so that a peak is a run's own only
// in a process of its own. They share the cores, unless OMP_NUM_THREADS says otherwise. The runs are parted by the locks of the output folder.
func runJobs(c *cobra.Command, args []string, out, device, only string, jobs int, every time.Duration, makeReport bool) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	w, err := prepare(c, args, out, device, only)
	if err != nil {
		return err
	}
	defer w.close()
	begin, store := time.Now(), w.runner.Store
	sum := experiments.Summary{}
	for _, r := range w.runs {
		if store.Has(r.ID) {
			sum.Skipped++
		}
	}
	devices := torch.CUDADevices()
	group, ctx := errgroup.WithContext(c.Context())
	for i := range jobs {
		dev := device
		if dev == "auto" && devices > 0 {
			dev = fmt.Sprintf("cuda:%d", i%devices)
		}
		argv := append([]string{"run", "--report=false", "--out", out, "--device", dev, "--only", only, "--checkpoint-every", every.String(), "--hub", c.Flag("hub").Value.String()}, args...)
		p := exec.CommandContext(ctx, self, argv...)
		p.Stderr, p.Env = c.ErrOrStderr(), os.Environ()
		if os.Getenv("OMP_NUM_THREADS") == "" {
			p.Env = append(p.Env, fmt.Sprintf("OMP_NUM_THREADS=%d", max(1, runtime.NumCPU()/jobs)), "OMP_WAIT_POLICY=passive")
		}
		p.Cancel = func() error { return p.Process.Signal(syscall.SIGINT) } // it finishes its step
		group.Go(func() error {
			err := p.Run()
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.ExitCode() == exitFailure {
				return nil // the records say what failed
			}
			return err
		})
	}
	err = group.Wait()
	if c.Context().Err() != nil {
		return fmt.Errorf("%w: what is recorded stays, the same command goes on", c.Context().Err())
	}
	if err != nil {
		return err
	}
	for _, r := range w.runs {
		rec, err := store.Read(r.ID)
		switch {
		case err != nil:
			sum.Failed++
			sum.Failures = append(sum.Failures, fmt.Sprintf("%s (%s): no record: its process ended before", r, r.ID))
		case rec.State == results.Failed:
			sum.Failed++
			sum.Failures = append(sum.Failures, fmt.Sprintf("%s (%s): %s", r, r.ID, rec.Error))
		case rec.Finished.After(begin):
			sum.Done++
		}
	}
	return finish(c, w.log, sum, store, makeReport)
}
