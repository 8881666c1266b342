package encoder

import (
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
}

// Forecast predicts the peak of a BERT training step on the CPU in fp32, and what is resident then, from shapes alone.
//
// Three moments compete. Early backward: all saved activations, the last layer's gradient in flight and the gradients of the
// pooler and the last feed-forward matrix. Late backward: all gradients. The optimizer's step: its temporaries.
// For T = batch x length tokens, width H, inner I, N layers, h heads, autograd saves 3H per token below the layers (sum, dropout
// noise, output) and per layer 10H (query, key, value, context, 2 noises, 2 sums, 2 outputs) + 2I (before and after the
// activation) + 3hL (softmax, noise, product): libtorch's attention with a mask takes the math path on the CPU.
func Forecast(c *checkpoint.Config, s Shapes) (peak int64, resident torch.Ledger) {
	h, inner, n := int64(c.HiddenSize), int64(c.Intermediate), int64(c.Layers)
	embedding := 4 * s.Rows * h
	rest := 4 * ((int64(c.MaxPositions)+int64(c.TypeVocab)+2)*h + n*(4*h*(h+1)+2*h*inner+inner+h+4*h) + h*(h+1) + int64(s.Labels)*(h+1))
	l := int64(s.Length)
	t := int64(s.Batch) * l
	wide := 4 * t * h
	saved := 4*t*(3*h+n*(10*h+2*inner+3*int64(c.Heads)*l)) + (2*n+1)*8*t + 20*t // layer norms' statistics; ids, types, mask
	state := int64(0)
	if s.Steps > 1 {
		state = 2
	}
	first := 4 * (h*h + h*inner)

	early := torch.Ledger{Parameters: [2]int64{embedding, rest}, Gradients: [2]int64{0, first}, Optimizer: [2]int64{state * embedding, state * rest}}
	peak, resident = sum(early)+saved+3*wide, early

	late := early
	late.Gradients = [2]int64{embedding, rest}
	if p := sum(late) + 2*wide; p > peak {
		peak, resident = p, late
	}
	step := late
	step.Optimizer = [2]int64{2 * embedding, 2 * rest}
	temporary := int64(0)
	switch s.Optimizer {
	case torch.Loop:
		temporary = 2 * max(embedding, 4*h*inner)
	case torch.Foreach:
		temporary = embedding + rest
	}
	if p := sum(step) + temporary; p > peak {
		peak, resident = p, step
	}
	return peak, resident
}

func sum(l torch.Ledger) int64 {
	return l.Parameters[0] + l.Parameters[1] + l.Gradients[0] + l.Gradients[1] + l.Optimizer[0] + l.Optimizer[1]
}
