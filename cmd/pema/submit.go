package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pema/experiments"
	"pema/experiments/cluster"
	"pema/models/checkpoint"
	"pema/models/encoder"
	"pema/models/torch"
	"pema/results"
)

func submitCommand() *cobra.Command {
	var s submit
	c := &cobra.Command{Use: "submit SPEC...", Short: "hand the missing runs to Slurm or Kubernetes, one task a run",
		Long: `Hands the runs that have no record yet, and are not queued, to a scheduler: a fetch first where the hub is needed, one task a run,
the report last. The same call again submits only what is missing by then.

The output folder must be one that the nodes share. --engine slurm calls sbatch. --engine kubernetes writes a manifest for kubectl apply, and
does not ask the cluster what is queued: apply a second one when the first has ended. Memory is the forecast's, time is three times what
such runs took before and ten minutes; --mem and --time say otherwise.

With --status the arguments are submissions; without any, all are shown.`,
		Example: `  pema submit paper --engine slurm --out /shared/out --device cuda --partition gpu --array-slots 8
  pema submit --status --out /shared/out
  pema submit paper --engine kubernetes --out /data/out --image registry/pema:1 --volume claim:/data --array-slots 8`}
	f := c.Flags()
	f.StringVar(&s.engine, "engine", "slurm", "slurm or kubernetes")
	f.StringVar(&s.job.Out, "out", defaultOut, "output folder, shared by the nodes")
	f.StringVar(&s.job.Device, "device", "auto", "auto, cpu, or cuda: one GPU a task")
	f.IntVar(&s.job.Slots, "array-slots", 0, "tasks that may run at once; 0: no limit")
	f.IntVar(&s.job.CPUs, "cpus", 1, "cores of a task")
	f.StringVar(&s.mem, "mem", "", "host memory of a task, as 16G; else the forecast's")
	f.DurationVar(&s.job.Time, "time", 0, "time limit of a task, as 2h; else from the guess")
	f.StringVar(&s.job.Partition, "partition", "", "Slurm's partition")
	f.StringVar(&s.job.Account, "account", "", "Slurm's account")
	f.StringVar(&s.job.Image, "image", "", "Kubernetes: container image with pema in its PATH")
	f.StringVar(&s.job.Volume, "volume", "", "Kubernetes: CLAIM:/path of the volume that holds the output folder and the caches")
	f.StringVar(&s.only, "only", "", onlyHelp)
	f.BoolVar(&s.dryRun, "dry-run", false, "show what would be handed over, write nothing")
	f.BoolVar(&s.status, "status", false, "show how the submitted runs fare")
	f.DurationVar(&s.wait, "wait", 0, "with --status: come back when nothing is queued or running, or after this time")
	f.BoolVar(&s.asJSON, "json", false, "for programs")
	c.RunE = func(c *cobra.Command, args []string) error { return s.run(c, args) }
	return c
}

type submit struct {
	job                    cluster.Job
	engine, mem, only      string
	dryRun, status, asJSON bool
	wait                   time.Duration
	slurm                  cluster.Slurm
}

func (s *submit) run(c *cobra.Command, args []string) (err error) {
	j := &s.job
	if j.Out, err = filepath.Abs(j.Out); err != nil {
		return err
	}
	if s.status {
		return s.showStatus(c, args)
	}
	if err := specArgs(c, args); err != nil {
		return err
	}
	if err := s.check(args); err != nil {
		return err
	}
	src, closeBars, err := source(c)
	if err != nil {
		return err
	}
	defer closeBars()
	runs, err := plan(c.Context(), args, s.only, src)
	if err != nil {
		return err
	}
	if !s.dryRun {
		release, err := cluster.Lock(j.Out)
		if err != nil {
			return err
		}
		defer release()
	}
	queued, err := s.queued(c.Context())
	if err != nil {
		return err
	}
	// A folder that is not there yet is only made by a real call.
	var store *results.Store
	if _, err := os.Stat(j.Out); err == nil {
		if store, err = results.Open(j.Out); err != nil {
			return err
		}
	}
	took, err := times(store)
	if err != nil {
		return err
	}
	done, waiting := 0, 0
	for _, r := range runs {
		switch {
		case store != nil && store.Has(r.ID):
			done++
		case queued[r.ID].Waits():
			waiting++
		case r.Blocked != nil:
			logTo(c.ErrOrStderr())("left out: %s: %v", r, r.Blocked)
		default:
			j.Fetch = j.Fetch || r.ModelDir == "" || r.Data == nil
			t := task(c.Context(), src, r, j.Device)
			t.Seconds = took[timed{r.Spec.Name, r.Model, r.Dataset}]
			j.Tasks = append(j.Tasks, t)
		}
	}
	return s.hand(c, done, waiting)
}

func (s *submit) check(specs []string) (err error) {
	j := &s.job
	j.Specs = specs
	switch {
	case s.engine != "slurm" && s.engine != "kubernetes":
		return usageError{fmt.Errorf("engine %q is not known: use slurm or kubernetes", s.engine)}
	case j.Device != "auto" && j.Device != "cpu" && j.Device != "cuda":
		return usageError{fmt.Errorf("device %q is not known: use auto, cpu or cuda", j.Device)}
	case j.Slots < 0 || j.CPUs < 1 || j.Time < 0:
		return usageError{errors.New("--array-slots and --time start at 0, --cpus at 1")}
	case s.wait != 0:
		return usageError{errors.New("--wait goes with --status")}
	}
	if j.Memory, err = parseBytes(s.mem); err != nil {
		return err
	}
	if j.Dir, err = os.Getwd(); err != nil {
		return err
	}
	if s.engine == "kubernetes" {
		claim, mount, ok := strings.Cut(j.Volume, ":")
		if !ok || claim == "" || !filepath.IsAbs(mount) || j.Image == "" {
			return usageError{errors.New("kubernetes needs --image NAME and --volume CLAIM:/path")}
		}
		j.Volume, j.Mount, j.Pema = claim, mount, "pema"
		return nil
	}
	j.Pema, err = os.Executable()
	return err
}

// queued is what the scheduler has of earlier submissions. Without a scheduler a dry run still shows its scripts.
func (s *submit) queued(ctx context.Context) (map[string]cluster.State, error) {
	subs, err := cluster.Submissions(s.job.Out)
	if err != nil || s.engine != "slurm" {
		return nil, err
	}
	states, err := s.slurm.States(ctx, subs)
	if s.dryRun && errors.Is(err, cluster.ErrNoSlurm) {
		return nil, nil
	}
	return states, err
}

// hand gives the tasks to the scheduler, or shows what it would be given.
func (s *submit) hand(c *cobra.Command, done, waiting int) error {
	j, out := &s.job, c.OutOrStdout()
	answer := struct {
		*cluster.Submission
		Engine string `json:"engine"`
		Folder string `json:"folder,omitempty"`
		Done   int    `json:"done"`
		Queued int    `json:"queued"`
	}{Submission: &cluster.Submission{Tasks: []cluster.Task{}, Parts: []*cluster.Part{}}, Engine: s.engine, Done: done, Queued: waiting}
	say := logTo(c.ErrOrStderr())
	if len(j.Tasks) == 0 {
		if s.asJSON {
			return encode(out, answer)
		}
		say("nothing to submit: %d runs are done, %d queued or running", done, waiting)
		return nil
	}
	sub := cluster.New(s.engine, j, time.Now())
	answer.Submission, answer.Folder = sub, sub.Dir(j.Out)
	var manifest []byte
	var err error
	if s.engine == "kubernetes" {
		if manifest, err = cluster.Manifest(j, sub); err != nil {
			return err
		}
	}
	switch {
	case s.dryRun && s.engine == "slurm":
		scripts, err := s.slurm.Scripts(c.Context(), j, sub)
		if err != nil {
			return err
		}
		for _, x := range scripts {
			if !s.asJSON {
				fmt.Fprintf(out, "# %s.sbatch\n%s\n", x.Part.Name, x.Text)
			}
		}
	case s.dryRun:
		if !s.asJSON {
			fmt.Fprintf(out, "%s", manifest)
		}
	case s.engine == "slurm":
		if err := s.slurm.Submit(c.Context(), j, sub); err != nil {
			return err
		}
	default:
		if err := sub.Write(j.Out, map[string][]byte{"job.yaml": manifest}); err != nil {
			return err
		}
	}
	if s.asJSON {
		return encode(out, answer)
	}
	switch {
	case s.dryRun:
		say("%d runs would be submitted, %d are done, %d queued or running; nothing was written", len(j.Tasks), done, waiting)
	case s.engine == "slurm":
		say("%d runs submitted as %s, %d are done, %d queued or running; logs in %s", len(j.Tasks), sub.Name, done, waiting, filepath.Join(answer.Folder, "logs"))
		say("hint: pema submit --status --out %s", j.Out)
	default:
		say("%d runs are in %s, %d are done", len(j.Tasks), filepath.Join(answer.Folder, "job.yaml"), done)
		say("hint: kubectl apply -f %s", filepath.Join(answer.Folder, "job.yaml"))
	}
	return nil
}

type taskStatus struct {
	ID         string `json:"id"`
	Label      string `json:"label"`
	State      string `json:"state"` // done, out_of_memory, failed, pending, running, cancelled ..., missing
	Job        string `json:"job,omitempty"`
	Reason     string `json:"reason,omitempty"`
	Submission string `json:"submission"`
	Log        string `json:"log,omitempty"`
}

// showStatus tells of every run that was ever submitted how it stands: its record counts first, then the scheduler's word.
func (s *submit) showStatus(c *cobra.Command, names []string) error {
	deadline := time.Now().Add(s.wait)
	for {
		list, open, err := s.statuses(c.Context(), names)
		if err != nil {
			return err
		}
		if open == 0 || s.wait == 0 || time.Now().After(deadline) {
			if s.asJSON {
				return encode(c.OutOrStdout(), map[string]any{"runs": list})
			}
			count := map[string]int{}
			for _, t := range list {
				count[t.State]++
				why := t.Reason
				if t.State != "done" && t.State != "pending" && t.Log != "" {
					why = strings.TrimSpace(why + "  " + t.Log)
				}
				fmt.Fprintf(c.OutOrStdout(), "%s  %-13s %-12s %s  %s\n", t.ID, t.State, t.Job, t.Label, why)
			}
			var words []string
			for _, k := range slices.Sorted(maps.Keys(count)) {
				words = append(words, fmt.Sprintf("%d %s", count[k], k))
			}
			logTo(c.ErrOrStderr())("%d runs submitted: %s", len(list), cmp.Or(strings.Join(words, ", "), "none"))
			return nil
		}
		select {
		case <-c.Context().Done():
			return c.Context().Err()
		case <-time.After(min(5*time.Second, time.Until(deadline))):
		}
	}
}

// statuses lists the submitted runs; open counts those that are queued or running or, where no scheduler can be asked, have no
// record.
func (s *submit) statuses(ctx context.Context, names []string) (list []taskStatus, open int, err error) {
	subs, err := cluster.Submissions(s.job.Out)
	if err != nil {
		return nil, 0, err
	}
	for _, n := range names {
		if !slices.ContainsFunc(subs, func(x *cluster.Submission) bool { return x.Name == n }) {
			return nil, 0, usageError{fmt.Errorf("%s has no submission %s", s.job.Out, n)}
		}
	}
	if len(names) > 0 {
		subs = slices.DeleteFunc(subs, func(x *cluster.Submission) bool { return !slices.Contains(names, x.Name) })
	}
	states, err := s.slurm.States(ctx, subs)
	if err != nil && !errors.Is(err, cluster.ErrNoSlurm) {
		return nil, 0, err
	}
	store, err := results.Open(s.job.Out)
	if err != nil {
		return nil, 0, err
	}
	at := map[string]int{}
	for _, sub := range subs {
		for i, t := range sub.Tasks {
			x := taskStatus{ID: t.ID, Label: t.Label, State: "missing", Submission: sub.Name, Log: sub.Log(s.job.Out, i)}
			st, known := states[t.ID]
			if known {
				x.State, x.Job, x.Reason = strings.ToLower(st.State), st.Job, st.Reason
				if st.State == "OUT_OF_MEMORY" { // the node's, not the device's: no outcome of the run
					x.State, x.Reason = "killed", "Slurm's memory limit; hint: submit again with a larger --mem"
				}
			}
			rec, err := store.Read(t.ID)
			recorded := err == nil && (rec.State != results.Failed || !st.Waits())
			if recorded {
				x.State, x.Reason = string(rec.State), rec.Error
			}
			if old, ok := at[t.ID]; ok {
				list[old] = x
				continue
			}
			at[t.ID] = len(list)
			list = append(list, x)
		}
	}
	for _, x := range list {
		if st, known := states[x.ID]; known && st.Waits() || !known && x.State == "missing" {
			open++
		}
	}
	return list, open, nil
}

// task says what a run needs of a node.
func task(ctx context.Context, src *experiments.Source, r *experiments.Run, device string) cluster.Task {
	t := cluster.Task{ID: r.ID, Label: fmt.Sprintf("%s on %s, %s, seed %d", r.Model, r.Dataset, r.Variant, r.Seed)}
	if peak := forecast(ctx, src, r); peak > 0 || device == "cuda" {
		t.Memory = hostBase + peak
		if device == "cuda" {
			t.Memory = hostBaseCUDA
		}
	}
	return t
}

// timed are runs that take about the same time.
type timed struct{ spec, model, dataset string }

// times are the longest that such runs took, of those that are done.
func times(store *results.Store) (map[timed]float64, error) {
	took := map[timed]float64{}
	if store == nil {
		return took, nil
	}
	records, _, err := store.All()
	for _, r := range records {
		if k := (timed{r.Spec.Name, r.Model, r.Dataset}); r.State == results.Done {
			took[k] = max(took[k], r.Time.Total)
		}
	}
	return took, err
}

// Host memory of a run beside what it allocates for tensors: the program with libtorch, the dataset and its ids, and the mapped
// weights; with CUDA also the driver's context.
const (
	hostBase     = 1 << 30
	hostBaseCUDA = 8 << 30
)

// forecast is the peak of a run's tensors with the full vocabulary, which is at least PEMA's; 0: not known. The plan has
// brought the config already.
func forecast(ctx context.Context, src *experiments.Source, r *experiments.Run) int64 {
	dir := r.ModelDir
	if dir == "" {
		id, _, _ := strings.Cut(r.Model, "@")
		var err error
		if dir, _, err = src.Model(ctx, id+"@"+r.Commit, experiments.Describe); err != nil {
			return 0
		}
	}
	cfg, err := checkpoint.ReadConfig(filepath.Join(dir, "config.json"))
	if err != nil {
		return 0
	}
	form, err := torch.ParseForm(r.Training.Optimizer)
	if err != nil {
		return 0
	}
	peak, _, err := encoder.Forecast(cfg, encoder.Shapes{Labels: 2, Rows: int64(cfg.VocabSize), Batch: r.Training.BatchSize, Length: r.Training.MaxLength, Optimizer: form, Steps: 2})
	if err != nil {
		return 0 // the user says how much
	}
	return peak
}

// parseBytes reads a size as 16G or 512M.
func parseBytes(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	var n int64
	var unit string
	_, err := fmt.Sscanf(s, "%d%s", &n, &unit)
	shift, ok := map[string]int{"M": 20, "G": 30, "MiB": 20, "GiB": 30}[unit]
	if err != nil || !ok || n < 1 || n > 1<<30 {
		return 0, usageError{fmt.Errorf("size %q: want a number with M or G", s)}
	}
	return n << shift, nil
}

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
