package experiments

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

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

// trial is a run that fine-tunes a model, on its way from files to figures.
type trial struct {
	*Runner
	run  *Run
	rec  *results.Record
	time *clock

	dir     string // of the model's files
	config  *checkpoint.Config
	tok     *tokenizer.Tokenizer
	data    *datasets.Dataset // of the training split
	parts   []part
	sel     *pema.Selection
	file    *checkpoint.Checkpoint // nil: random weights
	weights encoder.Weights
	model   *encoder.Model
	recipe  finetune.Recipe
}

// part is one split that a run reads: the first is trained on, the others are evaluated.
type part struct {
	name    string // in the record: the split's, with the dataset's before it where that is not the run's
	encoded *datasets.Encoded
}

func (x *Runner) train(ctx context.Context, r *Run, rec *results.Record) error {
	t := &trial{Runner: x, run: r, rec: rec, time: &clock{x.Now, x.Now()}}
	defer t.close()
	stages := []func(context.Context) error{t.open, t.encode, t.reduce, t.build, t.fit}
	if r.Spec.Measure != "memory" { // the peak is all that is asked for there
		stages = append(stages, t.score, t.keep)
	}
	for _, stage := range stages {
		if err := stage(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (t *trial) close() {
	if t.model != nil {
		t.model.Close()
	}
	if t.file != nil {
		t.file.Close()
	}
}

func (t *trial) open(ctx context.Context) (err error) {
	need := Train
	if t.run.Spec.Weights == "random" {
		need = Tokenize
	}
	if t.dir, err = t.folder(ctx, t.run, t.rec, need); err != nil {
		return err
	}
	if t.config, err = checkpoint.ReadConfig(filepath.Join(t.dir, "config.json")); err != nil {
		return err
	}
	if err := encoder.Known(t.config); err != nil {
		return err
	}
	if need == Train {
		if t.file, err = checkpoint.Open(t.dir); err != nil {
			return err
		}
	}
	if t.tok, err = t.tokenizer(t.dir); err != nil {
		return err
	}
	t.data, err = t.dataset(ctx, t.run, t.run.Splits)
	t.rec.Time.Load = t.time.lap()
	return err
}

func (t *trial) encode(ctx context.Context) error {
	rec := t.rec
	add := func(data *datasets.Dataset, split, name string) error {
		e, err := datasets.Encode(ctx, data, split, Tokens{t.tok}, datasets.EncodeOptions{MaxLength: t.run.Training.MaxLength, CacheDir: filepath.Join(t.Cache, "encoded")})
		if err != nil {
			return err
		}
		t.parts = append(t.parts, part{name, e})
		rec.Data.Splits = append(rec.Data.Splits, results.Split{Name: name, Examples: int64(e.Len()), Tokens: e.Tokens()})
		rec.Vocabulary.Splits = append(rec.Vocabulary.Splits, name)
		return nil
	}
	for _, split := range t.run.Splits {
		if err := add(t.data, split, split); err != nil {
			return err
		}
	}
	for _, name := range t.run.Also {
		other, err := t.Source.Dataset(ctx, name, t.run.Evaluate)
		if err != nil {
			return err
		}
		for _, split := range t.run.Evaluate {
			if err := add(other, split, name+"/"+split); err != nil {
				return err
			}
		}
	}
	rec.Data.NumLabels, rec.Data.EncodedSHA = t.data.NumLabels, t.parts[0].encoded.SHA256()
	rec.Time.Encode = t.time.lap()
	return nil
}

// reduce counts the vocabulary that the run uses and, with PEMA, renumbers its texts.
func (t *trial) reduce(context.Context) error {
	var named []vocabulary.Named
	for _, p := range t.parts {
		named = append(named, vocabulary.Named{Name: p.name, Encoded: p.encoded})
	}
	rows := t.config.VocabSize
	usage, err := vocabulary.Count(rows, named...)
	if err != nil {
		return err
	}
	t.rec.Time.Count = t.time.lap()
	if t.sel, err = pema.Select(usage.Used(), Kept(t.tok), int64(rows)); err != nil {
		return err
	}
	v := &t.rec.Vocabulary
	v.Rows, v.Used, v.UsedSHA256, v.Kept = int64(rows), int64(len(usage.Used())), usage.UsedSHA256(), int64(len(t.sel.IDs))
	if t.run.reduced() {
		for _, p := range t.parts {
			if p.encoded.IDs, err = t.sel.Remap(make([]int32, 0, len(p.encoded.IDs)), p.encoded.IDs); err != nil {
				return err
			}
		}
	}
	t.rec.Time.Select = t.time.lap()
	return nil
}

func (t *trial) build(context.Context) (err error) {
	if t.recipe, err = t.run.recipe(t.rec.Seeds); err != nil {
		return err
	}
	pad := t.tok.Specials().Pad
	if pad < 0 {
		return errors.New("the tokenizer has no padding token")
	}
	opt := encoder.Options{Labels: t.data.NumLabels, Device: t.Device, HeadSeed: t.rec.Seeds.Head, Rows: int64(t.config.VocabSize), Padding: int64(pad)}
	t.run.alter(&opt)
	var rows []int32
	if t.run.reduced() {
		row, _ := t.sel.Map(pad)
		rows, opt.Rows, opt.Padding = t.sel.IDs, int64(len(t.sel.IDs)), int64(row)
	}
	if t.file != nil {
		t.weights = &encoder.File{Checkpoint: t.file, Rows: rows}
	} else {
		t.weights = &encoder.Random{Config: t.config, Seed: t.rec.Seeds.Head, Rows: rows}
	}
	if t.model, err = encoder.New(t.config, t.weights, opt); err != nil {
		return err
	}
	if len(t.model.Fresh) > 0 && t.file != nil {
		t.rec.Notes = append(t.rec.Notes, "newly initialised: "+strings.Join(t.model.Fresh, ", "))
	}
	t.countParameters()
	t.rec.Time.Load += t.time.lap()
	return nil
}

// countParameters counts the model as it was built, and as it is with all rows.
func (t *trial) countParameters() {
	p := &t.rec.Parameters
	width := int64(1)
	for _, param := range t.model.Params {
		n := int64(1)
		for _, d := range param.Tensor.Shape() {
			n *= d
		}
		p.Total += n
		if param.Embedding {
			p.Embedding, width = n, n/param.Tensor.Shape()[0]
		}
	}
	p.FullEmbedding = int64(t.config.VocabSize) * width
	p.FullTotal = p.Total - p.Embedding + p.FullEmbedding
}

func (t *trial) fit(ctx context.Context) error {
	rec := t.rec
	hooks := finetune.Hooks{
		Progress: func(step, total int, loss float64) {
			if t.Progress != nil {
				t.Progress(t.run, step, total, loss)
			}
		},
		Checkpoint: t.checkpoint(t.run),
	}
	if t.run.Training.EachEpoch {
		hooks.Evaluate = func(int) (map[string]float64, error) { return t.evaluate(ctx) }
	}
	out, err := finetune.Train(ctx, t.model, t.Device, t.parts[0].encoded, t.recipe, hooks)
	if err != nil {
		return err
	}
	rec.Time.Train = t.time.lap()
	rec.Losses, rec.GradNorms, rec.Training.Steps = out.Losses, out.GradNorms, len(out.Losses)
	rec.Time.StepMedian = median(out.StepSeconds)
	if out.Resumed > 0 {
		rec.Notes = append(rec.Notes, fmt.Sprintf("resumed after step %d: times are those of the last part", out.Resumed))
	}
	for _, e := range out.Epochs {
		rec.Epochs = append(rec.Epochs, results.Epoch{Epoch: float64(e.Epoch), Step: e.Step, Metrics: e.Metrics})
	}
	rec.Memory = &results.Memory{PeakAllocated: out.Peak, PeakReserved: out.PeakReserved, Phase: out.Phase, Phases: out.Phases, Ledger: ledger(out.Peak, out.Ledger)}
	peak, resident, err := encoder.Forecast(t.config, t.run.shapes(t.recipe, t.data.NumLabels, t.model.Embedding().Tensor.Shape()[0], len(out.Losses)))
	if err != nil {
		rec.Notes = append(rec.Notes, err.Error())
	} else {
		rec.Memory.Forecast = &results.Forecast{PeakAllocated: peak, Ledger: ledger(peak, resident)}
	}
	for name, s := range out.Stages {
		if rec.Memory.Stages == nil {
			rec.Memory.Stages = map[string]results.Stage{}
		}
		rec.Memory.Stages[name] = results.Stage{Allocated: s.Allocated, Reserved: s.Reserved}
	}
	return nil
}

// checkpoint is where a run's training is saved until its record takes the place.
func (x *Runner) checkpoint(r *Run) *finetune.Checkpoint {
	return &finetune.Checkpoint{Dir: filepath.Join(x.Store.Dir(), "runs", r.ID, "checkpoint"), Every: x.CheckpointEvery, Identity: r.ID,
		Note: func(s string) { x.log("%s", s) }}
}

// score is the final evaluation.
func (t *trial) score(ctx context.Context) (err error) {
	t.rec.Metrics, err = t.evaluate(ctx)
	t.rec.Time.Evaluate = t.time.lap()
	return err
}

// evaluate measures every split but the one that is trained on. The first one's metrics have their plain names, the others' carry
// the split's.
func (t *trial) evaluate(ctx context.Context) (map[string]float64, error) {
	metrics := map[string]float64{}
	for i, p := range t.parts[1:] {
		ev, err := finetune.Evaluate(ctx, t.model, t.Device, p.encoded, t.recipe)
		if err != nil {
			return nil, fmt.Errorf("split %s: %w", p.name, err)
		}
		suffix := ""
		if i > 0 {
			suffix = "/" + p.name
		}
		metrics["eval_loss"+suffix] = ev.Loss
		for _, name := range t.data.Metrics {
			v, err := ev.Metric(name)
			if err != nil {
				if note := err.Error() + " on " + p.name; !slices.Contains(t.rec.Notes, note) {
					t.rec.Notes = append(t.rec.Notes, note)
				}
				continue
			}
			metrics[name+suffix] = v
		}
	}
	return metrics, nil
}

// reduced says whether the run is with PEMA.
func (r *Run) reduced() bool {
	_, reduced := method(r.Variant)
	return reduced
}

// lora is what the LoRA variants add: peft's defaults for sequence classification, with the rank that its examples take.
var lora = encoder.LoRA{Rank: 8, Alpha: 16, Dropout: 0.1}

// alter sets what the run's method changes in the model.
func (r *Run) alter(o *encoder.Options) {
	switch m, _ := method(r.Variant); m {
	case "frozen":
		o.Frozen = true
	case "lora":
		l := lora
		o.LoRA = &l
	case "checkpointing":
		o.Recompute = true
	}
}

// shapes are what the run's peak is forecast from.
func (r *Run) shapes(recipe finetune.Recipe, labels int, rows int64, steps int) encoder.Shapes {
	var o encoder.Options
	r.alter(&o)
	return encoder.Shapes{Labels: labels, Rows: rows, Batch: recipe.BatchSize, Length: recipe.MaxLength, Optimizer: recipe.Optimizer, Steps: steps,
		Frozen: o.Frozen, LoRA: o.LoRA, Recompute: o.Recompute}
}

func (r *Run) recipe(seeds results.Seeds) (finetune.Recipe, error) {
	t := r.Training
	form, err := torch.ParseForm(t.Optimizer)
	if err != nil {
		return finetune.Recipe{}, err
	}
	precision, err := torch.ParsePrecision(t.Precision)
	return finetune.Recipe{BatchSize: t.BatchSize, EvalBatch: t.EvalBatch, Accumulation: t.Accumulation, MaxLength: t.MaxLength, Padding: t.Padding,
		GroupByLength: t.GroupByLength, Optimizer: form, Precision: precision, TF32: t.TF32, LearningRate: t.LearningRate, Epochs: int(t.Epochs),
		MaxSteps: t.MaxSteps, WarmupSteps: t.WarmupSteps, WarmupRatio: t.WarmupRatio, WeightDecay: t.WeightDecay, ClipNorm: t.ClipNorm,
		OrderSeed: seeds.Order, DropoutSeed: seeds.Dropout}, err
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
