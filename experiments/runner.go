package experiments

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"pema/datasets"
	"pema/datasets/hub"
	"pema/models/tokenizer"
	"pema/models/torch"
	"pema/results"
)

// Runner executes runs on one device and writes a record for each.
type Runner struct {
	Store  *results.Store
	Cache  string  // per-user cache
	Source *Source // nil: all is local
	Device torch.Device
	Env    results.Environment
	Now    func() time.Time
	// Progress is told of each step of a run (of total) and its loss; may be nil.
	Progress func(r *Run, step, total int, loss float64)
	// Log is told in one line what happens; may be nil.
	Log func(format string, args ...any)
	// CheckpointEvery is how often a training is saved, so that it can go on after a kill; 0: when it is interrupted only.
	CheckpointEvery time.Duration

	lastDir       string // of the tokenizer that is kept
	lastTokenizer *tokenizer.Tokenizer
	fetched       map[string][]results.Input // files of models of the hub, hashed once
}

// Summary counts how runs ended.
type Summary struct {
	Done, Skipped, Failed int
	Absent                int      // what the hub does not have, where the spec takes what is there
	Failures              []string // one line for each failed run
}

func (s *Summary) fail(r *Run, rec *results.Record) {
	s.Failed++
	s.Failures = append(s.Failures, fmt.Sprintf("%s (%s): %s", r, r.ID, rec.Error))
}

// Run executes each run that has no complete record. A failing run is recorded and stops no other; only ctx does, or an output folder
// that takes no record. Several runners may work on one folder: a run that another holds is left to it, and looked at again at the end.
func (x *Runner) Run(ctx context.Context, runs []*Run) (Summary, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var sum Summary
	begin := x.Now()
	number := map[*Run]int{}
	for i, r := range runs {
		number[r] = i + 1
	}
	for todo, waited := runs, false; len(todo) > 0; {
		var busy []*Run
		for _, r := range todo {
			if x.Store.Has(r.ID) {
				sum.Skipped++
				continue
			}
			if err := ctx.Err(); err != nil {
				return sum, err
			}
			unlock, err := x.Store.Lock(r.ID)
			if err != nil {
				return sum, err
			}
			if unlock == nil {
				busy = append(busy, r)
				continue
			}
			err = x.one(ctx, r, fmt.Sprintf("run %d of %d", number[r], len(runs)), begin, &sum)
			unlock()
			if err != nil {
				return sum, err
			}
		}
		if len(busy) == len(todo) {
			if !waited {
				x.log("%d runs are with another runner: waiting for them", len(busy))
			}
			waited = true
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
		todo = busy
	}
	return sum, nil
}

// one executes a run that this runner holds, unless another one recorded it meanwhile.
func (x *Runner) one(ctx context.Context, r *Run, place string, begin time.Time, sum *Summary) error {
	if x.Store.Has(r.ID) {
		sum.Skipped++
		return nil
	}
	if rec, err := x.Store.Read(r.ID); err == nil && rec.Finished.After(begin) {
		sum.fail(r, rec) // another runner tried it just now
		return nil
	}
	x.log("%s: %s", place, r)
	rec := &results.Record{
		Schema: results.Schema, ID: r.ID, State: results.Done, Spec: r.Spec.label(), Model: r.Model, Dataset: r.Dataset,
		Variant: r.Variant, Seed: r.Seed, Started: x.Now().UTC(), Training: r.Training, Inputs: r.Inputs, Environment: x.Env, Variables: variables(os.Environ()),
		Seeds: r.seeds(),
	}
	err := r.Blocked
	switch {
	case err != nil:
	case r.Spec.trains():
		err = x.train(ctx, r, rec)
	default:
		err = x.count(ctx, r, rec)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	rec.Finished = x.Now().UTC()
	rec.Time.Total = max(0, rec.Finished.Sub(rec.Started).Seconds())
	if err == nil {
		sum.Done++
		if n := len(rec.Notes); n > 0 && strings.HasPrefix(rec.Notes[n-1], "partial data") {
			x.log("%s", rec.Notes[n-1])
		}
	} else {
		rec.State, rec.Error = results.Failed, err.Error()
		if strings.Contains(err.Error(), "out of memory") {
			rec.State = results.OutOfMemory
		}
		if r.Spec.Partial && errors.Is(err, hub.ErrNotFound) {
			rec.State = results.Absent
			sum.Absent++
			x.log("left out: %v", err)
		} else {
			sum.fail(r, rec)
			x.log("failed: %v", err)
		}
	}
	if err := x.Store.Write(rec); err != nil {
		return fmt.Errorf("record of run %s: %w", r.ID, err)
	}
	if rec.State == results.Done && r.Spec.trains() {
		return x.checkpoint(r).Remove()
	}
	return nil
}

// String names a run for people.
func (r *Run) String() string {
	s := r.Model
	if r.Dataset != "" {
		s += " on " + r.Dataset
	}
	if r.Spec.trains() {
		s += fmt.Sprintf(", %s, seed %d", r.Variant, r.Seed)
	}
	return r.Spec.Name + ": " + s
}

func (x *Runner) log(format string, args ...any) {
	if x.Log != nil {
		x.Log(format, args...)
	}
}

func (s *Spec) label() results.Spec {
	return results.Spec{Name: s.Name, Source: s.Source, Title: s.Title, Measure: s.Measure, SHA256: s.SHA256,
		Table: results.Table{Rows: s.Table.Rows, Columns: s.Table.Columns, Cells: s.Table.Cells}}
}

type clock struct {
	now  func() time.Time
	last time.Time
}

// lap is the time in seconds since the last lap.
func (c *clock) lap() float64 {
	t := c.now()
	d := t.Sub(c.last).Seconds()
	c.last = t
	return max(0, d) // a clock may be set back
}

// dataset opens the run's dataset.
func (x *Runner) dataset(ctx context.Context, r *Run, splits []string) (*datasets.Dataset, error) {
	if r.Data != nil {
		return datasets.OpenFile(ctx, r.Data.File, datasets.Columns{Text: r.Data.Text, Pair: r.Data.Pair, Label: r.Data.Label},
			datasets.FileOptions{LabelAbove: r.Data.LabelAbove, Validation: r.Data.Validation})
	}
	return x.Source.Dataset(ctx, r.Dataset, splits)
}

// Kept are the special tokens that a selection always keeps.
func Kept(tok *tokenizer.Tokenizer) []int32 {
	s := tok.Specials()
	var ids []int32
	for _, id := range []int32{s.Pad, s.CLS, s.SEP, s.Unk, s.Mask} {
		if id >= 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// Tokens lets a tokenizer meet what datasets asks for.
type Tokens struct{ *tokenizer.Tokenizer }

// NewEncoder makes an encoder for one goroutine.
func (t Tokens) NewEncoder() datasets.Encoder { return t.Tokenizer.NewEncoder() }

// Environment describes this process's machine.
func Environment(code string, d torch.Device) results.Environment {
	host, _ := os.Hostname()
	return results.Environment{Code: code, Host: host, OS: runtime.GOOS + "/" + runtime.GOARCH, CPU: cpuName(), Device: d.String(), Driver: driver(d),
		Libtorch: torch.Version(), Go: runtime.Version(), Threads: torch.Threads()}
}

func cpuName() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return runtime.GOARCH
}
