package finetune

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"pema/datasets"
	"pema/models/torch"
)

// Recipe is how to train, in the meaning of transformers' TrainingArguments at 4.37.
type Recipe struct {
	BatchSize, EvalBatch int
	Accumulation         int    // batches whose gradients make one step; 0 is 1
	MaxLength            int    // tokens
	Padding              string // max_length or longest
	GroupByLength        bool   // examples of like length share a batch
	Optimizer            torch.Form
	Precision            torch.Precision
	TF32                 bool // CUDA only
	LearningRate         float64
	Epochs               int
	MaxSteps             int     // 0: epochs decide
	WarmupSteps          int     // 0: WarmupRatio decides
	WarmupRatio          float64 // of all steps, rounded up
	WeightDecay          float64 // of all but biases and layer norms
	ClipNorm             float64 // 0: never
	OrderSeed            int64
	DropoutSeed          int64
}

func (r Recipe) check() error {
	switch {
	case r.BatchSize < 1 || r.EvalBatch < 1:
		return fmt.Errorf("batch sizes %d and %d: at least 1 is needed", r.BatchSize, r.EvalBatch)
	case r.Accumulation < 0 || r.Epochs < 0 || r.MaxSteps < 0 || r.WarmupSteps < 0 || r.WarmupRatio < 0 || r.WarmupRatio > 1:
		return fmt.Errorf("accumulation %d, epochs %d, max_steps %d, warmup_steps %d, warmup_ratio %v: none may be negative, nor the ratio above 1",
			r.Accumulation, r.Epochs, r.MaxSteps, r.WarmupSteps, r.WarmupRatio)
	case r.Padding != "max_length" && r.Padding != "longest":
		return fmt.Errorf("padding %q is not known: use max_length or longest", r.Padding)
	}
	return nil
}

func (r Recipe) accumulation() int { return max(1, r.Accumulation) }

func (r Recipe) batches(n int) int { return (n + r.BatchSize - 1) / r.BatchSize }

// Steps is the number of optimizer steps over n examples, as the Trainer counts them: batches that do not fill a step at the
// end of an epoch are not counted, and their gradients go into the next epoch's first step.
func (r Recipe) Steps(n int) int {
	if r.MaxSteps > 0 {
		return r.MaxSteps
	}
	return r.Epochs * max(1, r.batches(n)/r.accumulation())
}

// warmup is the number of steps in which the learning rate grows.
func (r Recipe) warmup(total int) int {
	if r.WarmupSteps > 0 {
		return r.WarmupSteps
	}
	return int(math.Ceil(float64(total) * r.WarmupRatio))
}

// rate is the learning rate of a step (0-based): linear warm-up, then linear decay to 0 after the last step.
func (r Recipe) rate(step, total int) float64 {
	w := r.warmup(total)
	if step < w {
		return r.LearningRate * (float64(step) / float64(w))
	}
	return r.LearningRate * max(0, float64(total-step)/float64(max(1, total-w)))
}

// decays says whether weight decay is for a parameter: biases and layer norms have none.
func (r Recipe) decays(name string) bool {
	name = strings.ToLower(name)
	return !strings.Contains(name, "bias") && !strings.Contains(name, "layernorm") && !strings.Contains(name, "layer_norm")
}

// Order is the order of the examples in an epoch (0-based).
func (r Recipe) Order(data *datasets.Encoded, epoch int) []int {
	order := rand.New(rand.NewPCG(uint64(r.OrderSeed), uint64(epoch))).Perm(data.Len())
	if r.GroupByLength {
		group(order, func(i int) int64 { return data.Offsets[i+1] - data.Offsets[i] }, r.BatchSize*r.accumulation())
	}
	return order
}

// group is transformers' LengthGroupedSampler over a shuffled order: megabatches of 50 batches (fewer where that leaves less than
// 4), each sorted by falling length, and the longest example of all first, so that the most memory is asked for at once.
func group(order []int, length func(int) int64, batch int) {
	n := len(order)
	mega := batch * max(1, min(n/(batch*4), 50))
	longest := 0 // where the longest example is
	for at := 0; at < n; at += mega {
		slices.SortStableFunc(order[at:min(at+mega, n)], func(a, b int) int { return cmp.Compare(length(b), length(a)) })
		if length(order[at]) > length(order[longest]) {
			longest = at
		}
	}
	order[0], order[longest] = order[longest], order[0]
}
