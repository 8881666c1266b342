package experiments

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"pema/datasets"
	"pema/datasets/vocabulary"
	"pema/models/checkpoint"
	"pema/models/encoder"
	"pema/models/finetune"
	"pema/models/pema"
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
}

// Summary counts how runs ended.
type Summary struct{ Done, Skipped, Failed int }

// Run executes each run that has no complete record. A failing run is recorded and does not stop the others; only ctx does.
func (x *Runner) Run(ctx context.Context, runs []*Run) (Summary, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var sum Summary
	for i, r := range runs {
		if x.Store.Has(r.ID) {
			sum.Skipped++
			continue
		}
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		x.log("run %d of %d: %s on %s, %s, seed %d", i+1, len(runs), r.Model, r.Dataset, r.Variant, r.Seed)
		rec := &results.Record{
			Schema: results.Schema, ID: r.ID, State: results.Done, Spec: r.Spec.label(), Model: r.Model, Dataset: r.Dataset,
			Variant: r.Variant, Seed: r.Seed, Started: x.Now().UTC(), Training: r.Training, Inputs: r.Inputs, Environment: x.Env,
			Seeds: results.Seeds{Head: r.Seed*1000 + 1, Order: r.Seed*1000 + 2, Dropout: r.Seed*1000 + 3},
		}
		err := x.execute(ctx, r, rec)
		if ctx.Err() != nil {
			return sum, ctx.Err()
		}
		if err != nil {
			rec.State, rec.Error = results.Failed, err.Error()
			if strings.Contains(err.Error(), "out of memory") {
				rec.State = results.OutOfMemory
			}
			x.log("failed: %v", err)
			sum.Failed++
		} else {
			sum.Done++
		}
		rec.Finished = x.Now().UTC()
		rec.Time.Total = rec.Finished.Sub(rec.Started).Seconds()
		if err := x.Store.Write(rec); err != nil {
			return sum, fmt.Errorf("record of run %s: %w", r.ID, err)
		}
	}
	return sum, nil
}

func (x *Runner) log(format string, args ...any) {
	if x.Log != nil {
		x.Log(format, args...)
	}
}

func (s *Spec) label() results.Spec {
	return results.Spec{Name: s.Name, Title: s.Title, Measure: s.Measure, SHA256: s.SHA256,
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
	return d
}

func (x *Runner) execute(ctx context.Context, r *Run, rec *results.Record) error {
	c := &clock{x.Now, x.Now()}
	dir := r.ModelDir
	if dir == "" {
		id, _, _ := strings.Cut(r.Model, "@")
		var err error
		need := Train
		if r.Spec.Weights == "random" {
			need = Tokenize
		}
		if dir, _, err = x.Source.Model(ctx, id+"@"+r.Commit, need); err != nil {
			return err
		}
	}
	cfg, err := checkpoint.ReadConfig(filepath.Join(dir, "config.json"))
	if err != nil {
		return err
	}
	start, err := open(r.Spec.Weights, dir, cfg, rec.Seeds.Head)
	if err != nil {
		return err
	}
	defer start.close()
	tok, err := tokenizer.Load(dir)
	if err != nil {
		return err
	}
	splits := append([]string{r.Train}, r.Evaluate...)
	data, err := x.data(ctx, r, splits)
	if err != nil {
		return err
	}
	rec.Time.Load = c.lap()

	encoded := map[string]*datasets.Encoded{}
	var named []vocabulary.Named
	for _, split := range splits {
		e, err := datasets.Encode(ctx, data, split, Tokens{tok}, datasets.EncodeOptions{MaxLength: r.Training.MaxLength, CacheDir: filepath.Join(x.Cache, "encoded")})
		if err != nil {
			return err
		}
		encoded[split] = e
		named = append(named, vocabulary.Named{Name: split, Encoded: e})
		rec.Data.Splits = append(rec.Data.Splits, results.Split{Name: split, Examples: int64(e.Len()), Tokens: e.Tokens()})
		rec.Vocabulary.Splits = append(rec.Vocabulary.Splits, split)
	}
	rec.Data.NumLabels, rec.Data.EncodedSHA = data.NumLabels, encoded[r.Train].SHA256()
	rec.Time.Encode = c.lap()

	usage, err := vocabulary.Count(cfg.VocabSize, named...)
	if err != nil {
		return err
	}
	rec.Time.Count = c.lap()

	special := tok.Specials()
	if special.Pad < 0 {
		return errors.New("the tokenizer has no padding token")
	}
	sel, err := pema.Select(usage.Used(), Kept(tok), int64(cfg.VocabSize))
	if err != nil {
		return err
	}
	v := &rec.Vocabulary
	v.Rows, v.Used, v.UsedSHA256, v.Kept = int64(cfg.VocabSize), int64(len(usage.Used())), usage.UsedSHA256(), int64(len(sel.IDs))

	opt := encoder.Options{Labels: data.NumLabels, Device: x.Device, HeadSeed: rec.Seeds.Head, Rows: int64(cfg.VocabSize), Padding: int64(special.Pad)}
	var selected []int32
	if r.Variant == "pema" {
		for _, e := range encoded {
			if e.IDs, err = sel.Remap(make([]int32, 0, len(e.IDs)), e.IDs); err != nil {
				return err
			}
		}
		pad, _ := sel.Map(special.Pad)
		selected, opt.Rows, opt.Padding = sel.IDs, int64(len(sel.IDs)), int64(pad)
	}
	rec.Time.Select = c.lap()
	m, err := encoder.New(cfg, start.rows(selected), opt)
	if err != nil {
		return err
	}
	defer m.Close()
	if len(m.Fresh) > 0 {
		rec.Notes = append(rec.Notes, "newly initialised: "+strings.Join(m.Fresh, ", "))
	}
	p := &rec.Parameters
	for _, param := range m.Params {
		n := int64(1)
		for _, d := range param.Tensor.Shape() {
			n *= d
		}
		p.Total += n
		if param.Embedding {
			p.Embedding = n
		}
	}
	p.FullEmbedding = int64(cfg.VocabSize) * int64(cfg.HiddenSize)
	p.FullTotal = p.Total - p.Embedding + p.FullEmbedding
	rec.Time.Load += c.lap()

	form, err := torch.ParseForm(r.Training.Optimizer)
	if err != nil {
		return err
	}
	recipe := finetune.Recipe{BatchSize: r.Training.BatchSize, EvalBatch: r.Training.EvalBatch, MaxLength: r.Training.MaxLength,
		Padding: r.Training.Padding, Optimizer: form, LearningRate: r.Training.LearningRate, Epochs: int(r.Training.Epochs),
		MaxSteps: r.Training.MaxSteps, WarmupSteps: r.Training.WarmupSteps, WeightDecay: r.Training.WeightDecay,
		ClipNorm: r.Training.ClipNorm, OrderSeed: rec.Seeds.Order, DropoutSeed: rec.Seeds.Dropout}
	out, err := finetune.Train(ctx, m, x.Device, encoded[r.Train], recipe, func(step, total int, loss float64) {
		if x.Progress != nil {
			x.Progress(r, step, total, loss)
		}
	})
	if err != nil {
		return err
	}
	rec.Time.Train = c.lap()
	rec.Losses, rec.GradNorms, rec.Training.Steps = out.Losses, out.GradNorms, len(out.Losses)
	rec.Time.StepMedian = median(out.StepSeconds)
	rec.Memory = memory(out)
	peak, resident := encoder.Forecast(cfg, encoder.Shapes{Labels: data.NumLabels, Rows: opt.Rows, Batch: recipe.BatchSize, Length: recipe.MaxLength, Optimizer: form, Steps: len(out.Losses)})
	rec.Memory.Forecast = &results.Forecast{PeakAllocated: peak, Ledger: ledger(peak, resident)}

	rec.Metrics = map[string]float64{}
	for i, split := range r.Evaluate {
		ev, err := finetune.Evaluate(ctx, m, x.Device, encoded[split], recipe)
		if err != nil {
			return fmt.Errorf("split %s: %w", split, err)
		}
		suffix := "" // further splits carry their name
		if i > 0 {
			suffix = "/" + split
		}
		rec.Metrics["eval_loss"+suffix] = ev.Loss
		for _, name := range data.Metrics {
			v, err := ev.Metric(name)
			if err != nil {
				rec.Notes = append(rec.Notes, err.Error()+" on "+split)
				continue
			}
			rec.Metrics[name+suffix] = v
		}
	}
	rec.Time.Evaluate = c.lap()
	if rec.FinalWeights, err = x.keep(r, dir, cfg, m, sel, start, data.Labels); err != nil {
		return err
	}
	rec.Time.Restore = c.lap()
	return nil
}

// data opens the run's dataset.
func (x *Runner) data(ctx context.Context, r *Run, splits []string) (*datasets.Dataset, error) {
	if r.Data != nil {
		return datasets.OpenFile(ctx, r.Data.File, datasets.Columns{Text: r.Data.Text, Pair: r.Data.Pair, Label: r.Data.Label},
			datasets.FileOptions{LabelAbove: r.Data.LabelAbove, Validation: r.Data.Validation})
	}
	return x.Source.Dataset(ctx, r.Dataset, splits)
}

func memory(o *finetune.Outcome) *results.Memory {
	return &results.Memory{PeakAllocated: o.Peak, PeakReserved: o.PeakReserved, Phase: o.Phase, Phases: o.Phases, Ledger: ledger(o.Peak, o.Ledger)}
}

// ledger explains a peak: what was resident, and the rest as activations and temporaries.
func ledger(peak int64, resident torch.Ledger) results.Ledger {
	l := results.Ledger{
		ParametersEmbedding: resident.Parameters[0], ParametersRest: resident.Parameters[1],
		GradientsEmbedding: resident.Gradients[0], GradientsRest: resident.Gradients[1],
		OptimizerEmbedding: resident.Optimizer[0], OptimizerRest: resident.Optimizer[1],
	}
	l.Activations = peak - l.Sum()
	return l
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
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
	return results.Environment{Code: code, Host: host, OS: runtime.GOOS + "/" + runtime.GOARCH, CPU: cpuName(), Device: d.String(),
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
