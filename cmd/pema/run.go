package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
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
		return usageError{errors.New("name at least one spec: a file, or the embedded one: sample")}
	}
	return nil
}

func plan(ctx context.Context, names []string, src *experiments.Source) ([]*experiments.Run, error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	var runs []*experiments.Run
	for _, n := range names {
		s, err := experiments.Load(n)
		if err != nil {
			return nil, err
		}
		r, err := experiments.Plan(ctx, s, cache, src)
		if err != nil {
			return nil, err
		}
		runs = append(runs, r...)
	}
	return runs, nil
}

func planCommand() *cobra.Command {
	var out string
	var asJSON bool
	c := &cobra.Command{Use: "plan SPEC...", Short: "what would run, and what is done", Args: specArgs}
	c.Flags().StringVar(&out, "out", defaultOut, "output folder")
	c.Flags().BoolVar(&asJSON, "json", false, "for programs")
	c.RunE = func(c *cobra.Command, args []string) error {
		src, done, err := source(c.ErrOrStderr())
		if err != nil {
			return err
		}
		defer done()
		runs, err := plan(c.Context(), args, src)
		if err != nil {
			return err
		}
		store, err := results.Open(out)
		if err != nil {
			return err
		}
		type row struct {
			ID      string `json:"id"`
			Spec    string `json:"spec"`
			Model   string `json:"model"`
			Dataset string `json:"dataset"`
			Variant string `json:"variant"`
			Seed    int64  `json:"seed"`
			State   string `json:"state"`
		}
		rows := []row{}
		for _, r := range runs {
			state := "missing"
			if store.Has(r.ID) {
				state = "done"
			} else if rec, err := store.Read(r.ID); err == nil {
				state = string(rec.State)
			}
			rows = append(rows, row{r.ID, r.Spec.Name, r.Model, r.Dataset, r.Variant, r.Seed, state})
		}
		if asJSON {
			e := json.NewEncoder(c.OutOrStdout())
			e.SetIndent("", "  ")
			return e.Encode(map[string]any{"runs": rows, "downloads": []string{}})
		}
		for _, r := range rows {
			fmt.Fprintf(c.OutOrStdout(), "%s  %-8s %-20s %-16s %-9s seed %d\n", r.ID, r.State, r.Model, r.Dataset, r.Variant, r.Seed)
		}
		return nil
	}
	return c
}

func runCommand() *cobra.Command {
	var out, device string
	c := &cobra.Command{Use: "run SPEC...", Short: "run what is missing, then report", Args: specArgs}
	c.Flags().StringVar(&out, "out", defaultOut, "output folder")
	c.Flags().StringVar(&device, "device", "auto", "auto, cpu or cuda:N")
	c.RunE = func(c *cobra.Command, args []string) error {
		w, err := prepare(c, args, out, device)
		if err != nil {
			return err
		}
		defer w.close()
		bars := newBars(c.ErrOrStderr())
		w.runner.Progress = bars.step
		sum, err := w.runner.Run(c.Context(), w.runs)
		bars.close()
		if err != nil {
			return fmt.Errorf("%w: %d runs done, %d were there; what is recorded stays, the same command goes on", err, sum.Done, sum.Skipped)
		}
		w.log("%d runs done, %d were there, %d failed", sum.Done, sum.Skipped, sum.Failed)
		if err := writeReport(c.OutOrStdout(), w.log, w.runner.Store); err != nil {
			return err
		}
		if sum.Failed > 0 {
			return fmt.Errorf("%d runs failed: their records in %s say why", sum.Failed, w.runner.Store.Dir())
		}
		return nil
	}
	return c
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
func prepare(c *cobra.Command, specs []string, out, device string) (*work, error) {
	runtime.LockOSThread() // for good: libtorch keeps state by thread
	d, err := pickDevice(device)
	if err != nil {
		return nil, err
	}
	src, done, err := source(c.ErrOrStderr())
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*work, error) {
		done()
		return nil, err
	}
	runs, err := plan(c.Context(), specs, src)
	if err != nil {
		return fail(err)
	}
	store, err := results.Open(out)
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
	if f, ok := w.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return mpb.New(mpb.WithOutput(w), mpb.WithWidth(40))
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
