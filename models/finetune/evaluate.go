package finetune

import (
	"context"
	"errors"
	"runtime"
	"slices"

	"pema/datasets"
	"pema/models/encoder"
	"pema/models/torch"
)

// Evaluation is the result over a split.
type Evaluation struct {
	Loss        float64
	Predictions []float64 // class index, or the value of a regression
	Labels      []float64
}

// Accuracy is the share of predictions that equal their label.
func (e *Evaluation) Accuracy() float64 {
	right := 0
	for i, p := range e.Predictions {
		if p == e.Labels[i] {
			right++
		}
	}
	return float64(right) / float64(len(e.Predictions))
}

// Evaluate runs the model over a split in its order, without dropout, in batches of EvalBatch. It draws no random number.
func Evaluate(ctx context.Context, m *encoder.Model, d torch.Device, data *datasets.Encoded, r Recipe) (*Evaluation, error) {
	runtime.LockOSThread() // libtorch keeps its gradient mode and errors by thread
	defer runtime.UnlockOSThread()
	n := data.Len()
	if n == 0 {
		return nil, errors.New("nothing to evaluate: the split is empty")
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	torch.AllowTF32(r.TF32)
	r.BatchSize = r.EvalBatch
	batches, stop := feed(m, data, order, r)
	defer stop()
	e := &Evaluation{}
	var sum float64
	for p := range batches {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		loss, err := e.add(m, d, p, r)
		if err != nil {
			return nil, err
		}
		sum += loss * float64(p.size)
	}
	for _, y := range data.Labels {
		e.Labels = append(e.Labels, float64(y))
	}
	e.Loss = sum / float64(n)
	return e, nil
}

// add predicts one batch and returns its mean loss.
func (e *Evaluation) add(m *encoder.Model, d torch.Device, p *padded, r Recipe) (float64, error) {
	s := torch.NewScope(false)
	defer s.Close()
	b, labels := p.upload(s, d)
	if s.Err() != nil {
		return 0, s.Err()
	}
	var logits, loss *torch.Tensor
	if err := cast(d, r, func() error {
		logits = m.Forward(s, b)
		loss = objective(s, m, logits, labels)
		return s.Err()
	}); err != nil {
		return 0, err
	}
	values, mean := s.Floats(logits), s.Scalar(loss)
	if s.Err() != nil {
		return 0, s.Err()
	}
	for i := range int(p.size) {
		row := values[i*m.Labels : (i+1)*m.Labels]
		v := float64(row[0])
		if m.Labels > 1 {
			v = float64(slices.Index(row, slices.Max(row)))
		}
		e.Predictions = append(e.Predictions, v)
	}
	return mean, nil
}

// cast runs a forward pass in the recipe's precision.
func cast(d torch.Device, r Recipe, f func() error) error {
	if r.Precision != torch.BF16 {
		return f()
	}
	if err := d.Autocast(true); err != nil {
		return err
	}
	return errors.Join(f(), d.Autocast(false))
}

// objective is the loss of a head: mean squared error for one label, else cross entropy. logits stay.
func objective(s *torch.Scope, m *encoder.Model, logits, labels *torch.Tensor) *torch.Tensor {
	if m.Labels == 1 {
		return s.MeanSquared(s.View(logits, -1).Last(), labels)
	}
	return s.CrossEntropy(logits, labels)
}
