package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"pema/experiments"
	"pema/models/torch"
	"pema/results"
)

const defaultOut = "results/out"

func specArgs(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usageError{fmt.Errorf("name at least one spec: a file, an embedded one (%s) or a profile (%s)",
			strings.Join(experiments.Names(), ", "), strings.Join(experiments.Profiles(), ", "))}
	}
	return nil
}

// plan makes the runs of specs; only (key=value,...) chooses from them.
func plan(ctx context.Context, names []string, only string, src *experiments.Source) ([]*experiments.Run, error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	chosen, err := parseOnly(only)
	if err != nil {
		return nil, err
	}
	specs, err := experiments.LoadAll(names)
	if err != nil {
		return nil, err
	}
	var runs []*experiments.Run
	for _, s := range specs {
		r, err := experiments.Plan(ctx, s, cache, src)
		if err != nil {
			return nil, err
		}
		for _, r := range r {
			if chosen(runFields(r)) {
				runs = append(runs, r)
			}
		}
	}
	if len(runs) == 0 {
		return nil, usageError{fmt.Errorf("--only %s fits no run of the specs; hint: pema plan lists them", only)}
	}
	return runs, nil
}

func runCommand() *cobra.Command {
	var out, device, only string
	var jobs int
	var makeReport bool
	var every time.Duration
	c := &cobra.Command{Use: "run SPEC...", Short: "run what is missing, then report", Args: specArgs}
	c.Flags().StringVar(&out, "out", defaultOut, "output folder")
	c.Flags().StringVar(&device, "device", "auto", "auto, cpu or cuda:N")
	c.Flags().StringVar(&only, "only", "", onlyHelp)
	c.Flags().IntVar(&jobs, "jobs", 1, "processes that share the runs; with CUDA one for each device")
	c.Flags().DurationVar(&every, "checkpoint-every", 5*time.Minute, "how often a training is saved, to go on from there after a kill; 0: when interrupted only")
	c.Flags().BoolVar(&makeReport, "report", true, "make the report at the end")
	c.RunE = func(c *cobra.Command, args []string) error {
		if jobs < 1 {
			return usageError{errors.New("--jobs starts at 1")}
		}
		if jobs > 1 {
			return runJobs(c, args, out, device, only, jobs, every, makeReport)
		}
		w, err := prepare(c, args, out, device, only)
		if err != nil {
			return err
		}
		defer w.close()
		look, err := experiments.Look(c.Context(), w.runs, w.runner.Store, nil, w.runner.Device)
		if err != nil {
			return err
		}
		for _, warning := range look.Warnings {
			w.log("warning: %s", warning)
		}
		bars := newBars(c.ErrOrStderr())
		w.runner.Progress, w.runner.CheckpointEvery = bars.step, every
		sum, err := w.runner.Run(c.Context(), w.runs)
		bars.close()
		if err != nil {
			return fmt.Errorf("%w: %d runs done, %d were there; what is recorded stays, the same command goes on", err, sum.Done, sum.Skipped)
		}
		return finish(c, w.log, sum, w.runner.Store, makeReport)
	}
	return c
}

// finish reports on an output folder, if it is asked to, and says what failed.
func finish(c *cobra.Command, log func(string, ...any), sum experiments.Summary, store *results.Store, makeReport bool) error {
	log("%d runs done, %d were there, %d failed", sum.Done, sum.Skipped, sum.Failed)
	if sum.Absent > 0 {
		log("%d runs need what the hub does not have: they are left out", sum.Absent)
	}
	if makeReport {
		if err := writeReport(c.OutOrStdout(), log, store); err != nil {
			return err
		}
		records, _, err := store.All()
		if err == nil {
			_, err = store.Export(records, false)
		}
		if err != nil {
			return err
		}
	}
	if sum.Failed == 0 {
		return nil
	}
	for _, f := range sum.Failures {
		log("failed: %s", f)
	}
	return fmt.Errorf("%d runs failed: their records in %s say why; the same command tries them again", sum.Failed, store.Dir())
}

// work is what executing specs needs.
type work struct {
	runs   []*experiments.Run
	runner experiments.Runner
	log    func(format string, args ...any)
	close  func()
}

// prepare plans specs for a device and an output folder. The device is looked for first, since CUDA must be loaded before
// anything else uses libtorch.
func prepare(c *cobra.Command, specs []string, out, device, only string) (*work, error) {
	runtime.LockOSThread() // for good: libtorch keeps state by thread
	d, err := pickDevice(device)
	if err != nil {
		return nil, err
	}
	src, done, err := source(c)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*work, error) {
		done()
		return nil, err
	}
	runs, err := plan(c.Context(), specs, only, src)
	if err != nil {
		return fail(err)
	}
	store, err := results.Open(out)
	if err == nil {
		err = store.Writable()
	}
	if err != nil {
		return fail(err)
	}
	cache, err := cacheDir()
	if err != nil {
		return fail(err)
	}
	w := &work{runs: runs, log: logTo(c.ErrOrStderr()), close: done}
	w.runner = experiments.Runner{Store: store, Cache: cache, Source: src, Device: d, Env: experiments.Environment(codeVersion(), d), Now: time.Now, Log: w.log}
	return w, nil
}

func logTo(w io.Writer) func(string, ...any) {
	return func(format string, a ...any) { fmt.Fprintf(w, "pema: "+format+"\n", a...) }
}

func pickDevice(name string) (torch.Device, error) {
	if name != "auto" {
		return torch.ParseDevice(name)
	}
	if d, err := torch.ParseDevice("cuda:0"); err == nil {
		return d, nil
	}
	return torch.CPU, nil
}

func codeVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "pema (unknown)"
	}
	v := map[string]string{}
	for _, s := range info.Settings {
		v[s.Key] = s.Value
	}
	rev := v["vcs.revision"]
	if rev == "" {
		rev = "unknown"
	}
	if v["vcs.modified"] == "true" {
		rev += "+changes"
	}
	return "pema " + rev
}

// bars shows one bar for the run under way; without a terminal it is silent.
type bars struct {
	p   *mpb.Progress
	bar *mpb.Bar
	run *experiments.Run
}

func newBars(w io.Writer) *bars { return &bars{p: terminal(w)} }

// terminal is a place for progress bars, or nil where nobody would see them.
func terminal(w io.Writer) *mpb.Progress {
	if !isTerminal(w) {
		return nil
	}
	return mpb.New(mpb.WithOutput(w), mpb.WithWidth(40))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (b *bars) step(r *experiments.Run, step, total int, loss float64) {
	if b.p == nil {
		return
	}
	if b.run != r {
		b.run = r
		b.bar = b.p.AddBar(int64(total), mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Name(r.Model+" "+r.Variant+" "), decor.CountersNoUnit("%d/%d")),
			mpb.AppendDecorators(decor.AverageETA(decor.ET_STYLE_GO)))
	}
	b.bar.SetCurrent(int64(step))
}

func (b *bars) close() {
	if b.p == nil {
		return
	}
	if b.bar != nil && !b.bar.Completed() {
		b.bar.Abort(true)
	}
	b.p.Wait()
}
