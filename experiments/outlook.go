package experiments

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"pema/datasets"
	"pema/datasets/hub"
	"pema/models/checkpoint"
	"pema/models/encoder"
	"pema/models/torch"
	"pema/results"
)

// Outlook is what running a plan would take, said before anything runs.
type Outlook struct {
	Runs      []RunOutlook `json:"runs"`
	Downloads []Download   `json:"downloads"` // files that are not in the cache yet
	Missing   []string     `json:"missing"`   // what the hub does not have
	Warnings  []string     `json:"warnings"`

	DownloadBytes int64   `json:"download_bytes"`
	Peak          int64   `json:"peak_bytes"` // highest forecast of the runs to do; 0: none trains
	Free          int64   `json:"free_bytes"` // of the device's memory; 0: not known
	Seconds       float64 `json:"seconds"`    // of the runs whose time can be guessed
	Guessed       int     `json:"guessed"`    // how many those are
	Disk          int64   `json:"disk_bytes"` // that the runs to do will write to the output folder
	DiskFree      int64   `json:"disk_free"`  // 0: not known
	Todo          int     `json:"todo"`       // runs to do
}

// RunOutlook is one run of a plan.
type RunOutlook struct {
	ID      string  `json:"id"`
	Spec    string  `json:"spec"`
	Model   string  `json:"model"`
	Dataset string  `json:"dataset"`
	Variant string  `json:"variant"`
	Seed    int64   `json:"seed"`
	State   string  `json:"state"` // done, missing, failed
	Blocked string  `json:"blocked,omitempty"`
	Peak    int64   `json:"peak_bytes,omitempty"` // forecast; with PEMA and no count yet, of all rows
	Rows    int64   `json:"rows,omitempty"`       // that the forecast is for
	Seconds float64 `json:"seconds,omitempty"`    // guessed from measured steps
}

// Download is a file to fetch.
type Download struct {
	Repo string `json:"repo"`
	Path string `json:"path"`
	Size int64  `json:"size"` // bytes; -1: not known
}

// Look forecasts runs against what the store has. src may be nil: downloads are not looked for then.
func Look(ctx context.Context, runs []*Run, store *results.Store, src *Source, d torch.Device) (*Outlook, error) {
	records, _, err := store.All()
	if err != nil {
		return nil, err
	}
	l := &looker{device: d, kept: map[[2]string]int64{}, recorded: map[string]*results.Record{}, configs: map[string]*checkpoint.Config{}, peaks: map[string]int64{}}
	for _, r := range records {
		l.recorded[r.ID] = r
		l.learn(r)
	}
	o := &Outlook{Runs: []RunOutlook{}, Downloads: []Download{}, Missing: []string{}, Warnings: []string{}}
	var todo []*Run
	for _, r := range runs {
		x := RunOutlook{ID: r.ID, Spec: r.Spec.Name, Model: r.Model, Dataset: r.Dataset, Variant: r.Variant, Seed: r.Seed, State: "missing"}
		if r.Blocked != nil {
			x.Blocked = r.Blocked.Error()
		}
		if rec, ok := l.recorded[r.ID]; ok {
			switch rec.State {
			case results.Failed:
				x.State = "failed"
			case results.Done, results.OutOfMemory:
				x.State = "done"
			}
		}
		if x.State != "done" {
			todo = append(todo, r)
			o.Todo++
			if r.Blocked == nil && r.Spec.trains() {
				l.forecast(ctx, src, r, &x)
				o.Peak = max(o.Peak, x.Peak)
				if x.Seconds > 0 {
					o.Seconds += x.Seconds
					o.Guessed++
				}
				o.Disk += l.writes(r)
			}
		}
		o.Runs = append(o.Runs, x)
	}
	if src != nil {
		needs, missing, err := src.Needs(ctx, todo)
		if err != nil {
			return nil, err
		}
		o.Missing = append(o.Missing, missing...)
		for i, r := range runs {
			for _, what := range r.wants() {
				if x := &o.Runs[i]; x.State != "done" && x.Blocked == "" && slices.Contains(missing, what) {
					x.Blocked = "the hub does not have " + what
				}
			}
		}
		for _, n := range needs {
			if !n.Cached {
				o.Downloads = append(o.Downloads, Download{n.Repo.String(), n.Path, n.Size})
				o.DownloadBytes += max(0, n.Size)
			}
		}
	}
	o.Free = d.Free()
	if free, err := hub.FreeSpace(store.Dir()); err == nil {
		o.DiskFree = int64(free)
	}
	if o.Free > 0 && o.Peak > o.Free {
		n := 0
		for _, x := range o.Runs {
			if x.Peak > o.Free {
				n++
			}
		}
		o.Warnings = append(o.Warnings, fmt.Sprintf("%d runs are forecast to take more memory than the %s of %s that is free; they will be recorded as not fitting", n, gibibytes(o.Free), d))
	}
	if o.DiskFree > 0 && o.Disk > o.DiskFree {
		o.Warnings = append(o.Warnings, fmt.Sprintf("the checkpoints will take %s, the output folder's disk has %s free", gibibytes(o.Disk), gibibytes(o.DiskFree)))
	}
	return o, nil
}

func gibibytes(n int64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }

// looker knows what was measured before.
type looker struct {
	device   torch.Device
	recorded map[string]*results.Record
	kept     map[[2]string]int64 // by model and dataset
	rates    []float64           // seconds a step takes for each parameter outside the embedding matrix and token
	configs  map[string]*checkpoint.Config
	peaks    map[string]int64
}

func (l *looker) learn(r *results.Record) {
	if r.Vocabulary.Kept > 0 {
		l.kept[[2]string{r.Model, r.Dataset}] = r.Vocabulary.Kept
	}
	work := float64(r.Parameters.Total-r.Parameters.Embedding) * float64(r.Training.BatchSize*r.Training.MaxLength)
	if r.Time.StepMedian > 0 && work > 0 && r.Environment.Device == l.device.String() {
		l.rates = append(l.rates, r.Time.StepMedian/work)
		slices.Sort(l.rates)
	}
}

// config is a model's, from its folder or the cache; nil where it is not there.
func (l *looker) config(ctx context.Context, src *Source, r *Run) *checkpoint.Config {
	c, ok := l.configs[r.Model]
	if !ok {
		dir := r.ModelDir
		if dir == "" && src != nil {
			dir, _, _ = src.Model(ctx, r.Model, Describe)
		}
		c, _ = checkpoint.ReadConfig(filepath.Join(dir, "config.json"))
		l.configs[r.Model] = c
	}
	return c
}

func (l *looker) forecast(ctx context.Context, src *Source, r *Run, x *RunOutlook) {
	cfg := l.config(ctx, src, r)
	if cfg == nil {
		return
	}
	x.Rows = int64(cfg.VocabSize)
	if k := l.kept[[2]string{r.Model, r.Dataset}]; k > 0 && r.reduced() {
		x.Rows = k
	}
	recipe, err := r.recipe(results.Seeds{})
	if err != nil {
		return
	}
	const labels = 3 // one more or less is a few kilobytes
	key := fmt.Sprint(r.Model, x.Rows, recipe.BatchSize, recipe.MaxLength, recipe.Optimizer, strings.TrimSuffix(r.Variant, "+pema"))
	peak, ok := l.peaks[key]
	if !ok {
		if peak, _, err = encoder.Forecast(cfg, r.shapes(recipe, labels, x.Rows, 2)); err != nil {
			peak = 0
		}
		l.peaks[key] = peak
	}
	x.Peak = peak

	embedding, total, err := cfg.Parameters(labels)
	if err != nil || len(l.rates) == 0 {
		return
	}
	step := l.rates[len(l.rates)/2] * float64(total-embedding) * float64(recipe.BatchSize*recipe.MaxLength)
	steps, examples := recipe.MaxSteps, 0
	if r.Data == nil {
		infos, _ := datasets.Splits(r.Dataset)
		for _, i := range infos {
			if i.Name == r.Train && steps == 0 {
				steps = recipe.Steps(int(i.Rows))
			}
			if slices.Contains(r.Evaluate, i.Name) && r.Spec.Measure != "memory" {
				examples += int(i.Rows)
			}
		}
	}
	// A forward pass is a third of a step.
	x.Seconds = step * (float64(steps) + float64(examples)/float64(recipe.BatchSize)/3)
}

// writes is what a run leaves in the output folder beside its record.
func (l *looker) writes(r *Run) int64 {
	cfg := l.configs[r.Model]
	if cfg == nil || r.Spec.Save == "none" {
		return 0
	}
	_, total, _ := cfg.Parameters(3)
	return 4 * total
}
