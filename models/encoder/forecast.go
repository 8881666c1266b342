package encoder

import (
	"fmt"

	"pema/models/checkpoint"
	"pema/models/torch"
)

// Shapes say what a training step works on.
type Shapes struct {
	Labels        int
	Rows          int64 // of the embedding matrix as loaded
	Batch, Length int
	Optimizer     torch.Form
	Steps         int // the optimizer's state is there from the second step on

	Frozen, Recompute bool // see Options
	LoRA              *LoRA
}

// Forecast predicts the peak of fine-tuning on the CPU in fp32, and what is resident then, from shapes alone: the model's own
// code runs on tensors without values, so that it holds for every family and takes milliseconds at any size. It knows how many
// threads an operator uses (torch.SetThreads), some of which have a buffer each. What CUDA's kernels allocate it does not know.
func Forecast(cfg *checkpoint.Config, s Shapes) (peak int64, resident torch.Ledger, err error) {
	err = shadow(cfg, s, func(m *Model, opt *torch.AdamW) error {
		opt.Watch(torch.Meta)
		for range min(s.Steps, 2) { // all later ones are as the second
			if err := m.train(opt, s); err != nil {
				return err
			}
		}
		peak, resident = opt.AtPeak(torch.Meta)
		return nil
	})
	return peak, resident, err
}

// ForecastEvaluation predicts the peak of an evaluation in batches of s.Batch; with s.Steps > 0 the optimizer's state is kept beside.
func ForecastEvaluation(cfg *checkpoint.Config, s Shapes) (peak int64, err error) {
	err = shadow(cfg, s, func(m *Model, opt *torch.AdamW) error {
		if s.Steps > 0 {
			if err := m.train(opt, s); err != nil {
				return err
			}
		}
		if err := torch.Meta.ResetPeak(); err != nil {
			return err
		}
		pass := torch.NewScope(false)
		defer pass.Close()
		b, labels := blankBatch(pass, m, s)
		m.loss(pass, m.Forward(pass, b), labels)
		mem, err := torch.Meta.Memory()
		peak = mem.Peak
		if pass.Err() != nil {
			return pass.Err()
		}
		return err
	})
	return peak, err
}

// shadow runs f on a model without values and its optimizer; the peak begins with the model there.
func shadow(cfg *checkpoint.Config, s Shapes, f func(m *Model, opt *torch.AdamW) error) error {
	err := torch.Forecast(func() error {
		m, err := New(cfg, blank{}, Options{Labels: s.Labels, Device: torch.Meta, Rows: s.Rows, Frozen: s.Frozen, LoRA: s.LoRA, Recompute: s.Recompute})
		if err != nil {
			return err
		}
		defer m.Close()
		opt := torch.NewAdamW(0.9, 0.999, 1e-8, s.Optimizer)
		defer opt.Close()
		for _, p := range m.Params {
			if err := opt.Add(p.Tensor, 0, p.Embedding); err != nil {
				return fmt.Errorf("%s: %w", p.Name, err)
			}
		}
		if err := torch.Meta.ResetPeak(); err != nil {
			return err
		}
		return f(m, opt)
	})
	if err != nil {
		return fmt.Errorf("forecast: %w", err)
	}
	return nil
}

// train is one training step.
func (m *Model) train(opt *torch.AdamW, x Shapes) error {
	s := torch.NewScope(true)
	defer s.Close()
	b, labels := blankBatch(s, m, x)
	s.Backward(m.loss(s, m.Forward(s, b).Last(), labels))
	if s.Err() != nil {
		return s.Err()
	}
	norm, err := opt.ClipNorm(1, nil)
	if err != nil {
		return err
	}
	norm.Drop() // read at once on the CPU
	defer opt.ZeroGrad()
	return opt.Step(1e-5)
}

// blank are weights without values.
type blank struct{}

func (blank) Tensor(_ string, shape []int64) (*torch.Tensor, error) {
	return torch.Meta.Empty(shape, torch.Float32)
}

func (blank) Selected() []int32 { return nil }

// blankBatch is a batch and its labels without values.
func blankBatch(s *torch.Scope, m *Model, x Shapes) (Batch, *torch.Tensor) {
	b, l := int64(x.Batch), int64(x.Length)
	empty := func(t torch.DType, shape ...int64) *torch.Tensor { return s.Take(torch.Meta.Empty(shape, t)) }
	labels := torch.Int64
	if m.Labels == 1 {
		labels = torch.Float32
	}
	return Batch{IDs: empty(torch.Int64, b, l), Types: empty(torch.Int64, b, l), Mask: empty(torch.Float32, b, 1, 1, l)}, empty(labels, b)
}

// loss is what the head is trained on.
func (m *Model) loss(s *torch.Scope, logits, labels *torch.Tensor) *torch.Tensor {
	if m.Labels == 1 {
		return s.MeanSquared(s.View(logits, -1).Last(), labels)
	}
	return s.CrossEntropy(logits, labels)
}
