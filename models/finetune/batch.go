package finetune

import (
	"fmt"
	"math"
	"slices"

	"pema/datasets"
	"pema/models/encoder"
	"pema/models/torch"
)

// padded is a batch in Go's memory, made while the device works on the one before.
type padded struct {
	size, length int64
	ids, types   []int64
	mask         []float32
	classes      []int64 // or
	values       []float32
	rows         []int64 // of the embedding matrix, ascending
	err          error
}

// pad brings examples to one length.
func pad(m *encoder.Model, data *datasets.Encoded, examples []int, r Recipe) *padded {
	length := 0
	for _, x := range examples {
		length = max(length, int(data.Offsets[x+1]-data.Offsets[x]))
	}
	if r.Padding == "max_length" {
		length = max(length, r.MaxLength)
	}
	n := len(examples) * length
	p := &padded{size: int64(len(examples)), length: int64(length), ids: make([]int64, n), types: make([]int64, n), mask: make([]float32, n)}
	for i, x := range examples {
		row := data.IDs[data.Offsets[x]:data.Offsets[x+1]]
		for j := range length {
			at := i*length + j
			if j < len(row) {
				p.ids[at] = int64(row[j])
				if j >= int(data.Second[x]) {
					p.types[at] = 1
				}
				continue
			}
			p.ids[at], p.mask[at] = m.Padding, -math.MaxFloat32
		}
		if m.Labels == 1 {
			p.values = append(p.values, data.Labels[x])
			continue
		}
		y := int64(data.Labels[x])
		if y < 0 || y >= int64(m.Labels) {
			p.err = fmt.Errorf("example %d has label %d, the head has %d classes", x, y, m.Labels)
		}
		p.classes = append(p.classes, y)
	}
	p.rows = slices.Clone(p.ids)
	slices.Sort(p.rows)
	p.rows = slices.Compact(p.rows)
	return p
}

// upload puts a batch on the device.
func (p *padded) upload(s *torch.Scope, d torch.Device) (encoder.Batch, *torch.Tensor) {
	if p.err != nil {
		s.Fail(p.err)
		return encoder.Batch{}, nil
	}
	put := func(t *torch.Tensor, err error) *torch.Tensor {
		if err != nil {
			s.Fail(err)
			return nil
		}
		defer t.Drop()
		return s.Take(t.Upload(d))
	}
	b, l := p.size, p.length
	out := encoder.Batch{IDs: put(torch.Of(p.ids, b, l)), Types: put(torch.Of(p.types, b, l)), Mask: put(torch.Of(p.mask, b, 1, 1, l))}
	if p.values != nil {
		return out, put(torch.Of(p.values, b))
	}
	return out, put(torch.Of(p.classes, b))
}

// feed prepares the batches of an order, one ahead of its reader. stop ends it early.
func feed(m *encoder.Model, data *datasets.Encoded, order []int, r Recipe) (batches <-chan *padded, stop func()) {
	c, done := make(chan *padded), make(chan struct{})
	go func() {
		defer close(c)
		for at := 0; at < len(order); at += r.BatchSize {
			select {
			case c <- pad(m, data, order[at:min(at+r.BatchSize, len(order))], r):
			case <-done:
				return
			}
		}
	}()
	return c, func() { close(done) }
}
