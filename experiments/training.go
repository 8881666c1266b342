package experiments

import (
	"cmp"
	"fmt"

	"pema/models/torch"
	"pema/results"
)

// Training is the recipe; a field that is absent keeps its default (see recipe).
type Training struct {
	BatchSize    *int     `yaml:"batch_size"`
	EvalBatch    *int     `yaml:"eval_batch_size"`
	MaxLength    *int     `yaml:"max_length"` // tokens; 0, where nothing is trained: no truncation
	Padding      *string  `yaml:"padding"`
	Optimizer    *string  `yaml:"optimizer"`
	LearningRate *float64 `yaml:"learning_rate"`
	Epochs       *int     `yaml:"epochs"`
	MaxSteps     *int     `yaml:"max_steps"`
	WarmupSteps  *int     `yaml:"warmup_steps"`
	WeightDecay  *float64 `yaml:"weight_decay"`
	ClipNorm     *float64 `yaml:"clip_norm"`

	Accumulation  *int     `yaml:"gradient_accumulation"` // batches a step
	WarmupRatio   *float64 `yaml:"warmup_ratio"`          // of all steps
	GroupByLength *bool    `yaml:"group_by_length"`
	Precision     *string  `yaml:"precision"` // fp32 or bf16
	TF32          *bool    `yaml:"tf32"`      // CUDA only
	EachEpoch     *bool    `yaml:"evaluate_each_epoch"`
}

// over is t with the fields that o gives.
func (t Training) over(o Training) Training {
	t.BatchSize, t.EvalBatch, t.MaxLength = cmp.Or(o.BatchSize, t.BatchSize), cmp.Or(o.EvalBatch, t.EvalBatch), cmp.Or(o.MaxLength, t.MaxLength)
	t.Padding, t.Optimizer = cmp.Or(o.Padding, t.Padding), cmp.Or(o.Optimizer, t.Optimizer)
	t.LearningRate, t.Epochs, t.MaxSteps = cmp.Or(o.LearningRate, t.LearningRate), cmp.Or(o.Epochs, t.Epochs), cmp.Or(o.MaxSteps, t.MaxSteps)
	t.Accumulation, t.WarmupRatio, t.GroupByLength = cmp.Or(o.Accumulation, t.Accumulation), cmp.Or(o.WarmupRatio, t.WarmupRatio), cmp.Or(o.GroupByLength, t.GroupByLength)
	t.Precision, t.TF32, t.EachEpoch = cmp.Or(o.Precision, t.Precision), cmp.Or(o.TF32, t.TF32), cmp.Or(o.EachEpoch, t.EachEpoch)
	t.WarmupSteps, t.WeightDecay, t.ClipNorm = cmp.Or(o.WarmupSteps, t.WarmupSteps), cmp.Or(o.WeightDecay, t.WeightDecay), cmp.Or(o.ClipNorm, t.ClipNorm)
	return t
}

func value[T any](p *T, otherwise T) T {
	if p != nil {
		return *p
	}
	return otherwise
}

// recipe fills in the defaults, those of the HF examples at 4.37, and checks the values.
func (t Training) recipe(weights string) (results.Training, error) {
	r := results.Training{
		Weights: weights, BatchSize: value(t.BatchSize, 8), EvalBatch: value(t.EvalBatch, 8), MaxLength: value(t.MaxLength, 128),
		Padding: value(t.Padding, "max_length"), Optimizer: value(t.Optimizer, "adamw-loop"), LearningRate: value(t.LearningRate, 5e-5),
		Epochs: float64(value(t.Epochs, 3)), MaxSteps: value(t.MaxSteps, 0), WarmupSteps: value(t.WarmupSteps, 0),
		WeightDecay: value(t.WeightDecay, 0), ClipNorm: value(t.ClipNorm, 1), Precision: value(t.Precision, "fp32"),
		Accumulation: value(t.Accumulation, 0), WarmupRatio: value(t.WarmupRatio, 0), GroupByLength: value(t.GroupByLength, false),
		TF32: value(t.TF32, false), EachEpoch: value(t.EachEpoch, false),
	}
	switch {
	case r.BatchSize < 1 || r.EvalBatch < 1 || r.Epochs < 1 || r.MaxSteps < 0 || r.WarmupSteps < 0:
		return r, fmt.Errorf("training: batch sizes and epochs start at 1, steps at 0")
	case r.MaxLength < 3:
		return r, fmt.Errorf("training: max_length %d leaves no room for text", r.MaxLength)
	case r.Padding != "max_length" && r.Padding != "longest":
		return r, fmt.Errorf("training: padding %q is not known: use max_length or longest", r.Padding)
	case !(r.LearningRate > 0) || r.WeightDecay < 0 || r.ClipNorm < 0:
		return r, fmt.Errorf("training: learning_rate must be above 0, weight_decay and clip_norm not below")
	}
	if r.Accumulation < 0 || r.WarmupRatio < 0 || r.WarmupRatio > 1 {
		return r, fmt.Errorf("training: gradient_accumulation must not be below 0, warmup_ratio not outside 0 to 1")
	}
	_, err := torch.ParseForm(r.Optimizer)
	if err == nil {
		_, err = torch.ParsePrecision(r.Precision)
	}
	return r, err
}

// counting is what of the recipe matters where nothing is trained.
func (t Training) counting() (results.Training, error) {
	r := results.Training{MaxLength: value(t.MaxLength, 128)}
	if rest := (Training{MaxLength: t.MaxLength}); t != rest {
		return r, fmt.Errorf("training: of a measure that trains nothing only max_length can be given")
	}
	if r.MaxLength < 0 || r.MaxLength == 1 || r.MaxLength == 2 {
		return r, fmt.Errorf("training: max_length %d leaves no room for text; 0 is no truncation", r.MaxLength)
	}
	return r, nil
}
