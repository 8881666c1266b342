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
	"pema/models/torch"
	"pema/results"
)

// train executes a run that fine-tunes a model.
func (x *Runner) train(ctx context.Context, r *Run, rec *results.Record) error {
	c := &clock{x.Now, x.Now()}
	need := Train
	if r.Spec.Weights == "random" {
		need = Tokenize
	}
	dir, err := x.folder(ctx, r, need)
	if err != nil {
		return err
	}
	cfg, err := checkpoint.ReadConfig(filepath.Join(dir, "config.json"))
	if err != nil {
		return err
	}
	weights, err := checkpoint.Open(dir)
	if err != nil {
		return err
	}
	defer weights.Close()
	tok, err := x.tokenizer(dir)
	if err != nil {
		return err
	}
	data, err := x.data(ctx, r, r.Splits)
	if err != nil {
		return err
	}
	rec.Time.Load = c.lap()

	encoded := map[string]*datasets.Encoded{}
	var named []vocabulary.Named
	for _, split := range r.Splits {
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

	source := &encoder.File{Checkpoint: weights}
	opt := encoder.Options{Labels: data.NumLabels, Device: x.Device, HeadSeed: rec.Seeds.Head, Rows: int64(cfg.VocabSize), Padding: int64(special.Pad)}
	if r.Variant == "pema" {
		for _, e := range encoded {
			if e.IDs, err = sel.Remap(make([]int32, 0, len(e.IDs)), e.IDs); err != nil {
				return err
			}
		}
		pad, _ := sel.Map(special.Pad)
		source.Rows, opt.Rows, opt.Padding = sel.IDs, int64(len(sel.IDs)), int64(pad)
	}
	rec.Time.Select = c.lap()
	m, err := encoder.New(cfg, source, opt)
	if err != nil {
		return err
	}
	defer m.Close()
	if len(m.Fresh) > 0 {
		rec.Notes = append(rec.Notes, "newly initialised: "+strings.Join(m.Fresh, ", "))
	}
	countParameters(rec, cfg, m)
	rec.Time.Load += c.lap()

	recipe, err := r.recipe(rec.Seeds)
	if err != nil {
		return err
	}
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
	peak, resident := encoder.Forecast(cfg, encoder.Shapes{Labels: data.NumLabels, Rows: opt.Rows, Batch: recipe.BatchSize, Length: recipe.MaxLength, Optimizer: recipe.Optimizer, Steps: len(out.Losses)})
	rec.Memory.Forecast = &results.Forecast{PeakAllocated: peak, Ledger: ledger(peak, resident)}

	if r.Spec.Measure == "memory" {
		return nil // the peak is all that is asked for
	}

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
	if rec.FinalWeights, err = x.keep(r, dir, cfg, m, sel, weights, data.Labels); err != nil {
		return err
	}
	rec.Time.Restore = c.lap()
	return nil
}

// countParameters counts the model as it was built, and as it is with all rows.
func countParameters(rec *results.Record, cfg *checkpoint.Config, m *encoder.Model) {
	p := &rec.Parameters
	width := int64(1)
	for _, param := range m.Params {
		n := int64(1)
		for _, d := range param.Tensor.Shape() {
			n *= d
		}
		p.Total += n
		if param.Embedding {
			p.Embedding, width = n, n/param.Tensor.Shape()[0]
		}
	}
	p.FullEmbedding = int64(cfg.VocabSize) * width
	p.FullTotal = p.Total - p.Embedding + p.FullEmbedding
}

func (r *Run) recipe(seeds results.Seeds) (finetune.Recipe, error) {
	t := r.Training
	form, err := torch.ParseForm(t.Optimizer)
	return finetune.Recipe{BatchSize: t.BatchSize, EvalBatch: t.EvalBatch, MaxLength: t.MaxLength,
		Padding: t.Padding, Optimizer: form, LearningRate: t.LearningRate, Epochs: int(t.Epochs),
		MaxSteps: t.MaxSteps, WarmupSteps: t.WarmupSteps, WeightDecay: t.WeightDecay,
		ClipNorm: t.ClipNorm, OrderSeed: seeds.Order, DropoutSeed: seeds.Dropout}, err
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
