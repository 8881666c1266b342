package finetune

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pema/datasets"
	"pema/models/encoder"
)

// Steps and rates as the Trainer of 4.37 computes them: num_update_steps_per_epoch = max(len(dataloader) // accumulation, 1),
// get_linear_schedule_with_warmup, warm-up rounded up.
func TestStepsAndRates(t *testing.T) {
	for _, c := range []struct {
		n    int
		r    Recipe
		want int
	}{
		{3668, Recipe{BatchSize: 32, Epochs: 3}, 345},                                // 115 batches, the last of 20
		{3668, Recipe{BatchSize: 32, Epochs: 3, Accumulation: 4}, 84},                // 28 an epoch, 3 batches left over
		{10, Recipe{BatchSize: 8, Epochs: 5, Accumulation: 4}, 5},                    // fewer batches than a step has
		{10, Recipe{BatchSize: 8, Epochs: 5, Accumulation: 4, MaxSteps: 7}, 7},       //
		{635, Recipe{BatchSize: 32, Epochs: 5, WarmupSteps: 3, WarmupRatio: 1}, 100}, //
	} {
		if got := c.r.Steps(c.n); got != c.want {
			t.Errorf("%+v over %d: %d steps, want %d", c.r, c.n, got, c.want)
		}
	}
	r := Recipe{LearningRate: 2e-5, WarmupRatio: 0.06}
	if w := r.warmup(345); w != 21 { // ceil(20.7)
		t.Errorf("%d warm-up steps", w)
	}
	for step, want := range map[int]float64{0: 0, 7: 2e-5 * 7 / 21, 21: 2e-5, 183: 1e-5, 344: 2e-5 / 324} {
		if got := r.rate(step, 345); math.Abs(got-want) > 1e-20 {
			t.Errorf("rate of step %d is %g, want %g", step, got, want)
		}
	}
	for name, want := range map[string]bool{"bert.encoder.layer.0.output.dense.weight": true, "bert.embeddings.word_embeddings.weight": true,
		"classifier.bias": false, "bert.embeddings.LayerNorm.weight": false, "distilbert.transformer.layer.0.sa_layer_norm.weight": false} {
		if r.decays(name) != want {
			t.Errorf("weight decay of %s: %v", name, !want)
		}
	}
}

// group against transformers' get_length_grouped_indices written out, on a shuffled order.
func TestGroupByLength(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{1, 5, 31, 64, 1000, 4097} {
		lengths := make([]int64, n)
		for i := range lengths {
			lengths[i] = int64(r.IntN(20))
		}
		order := r.Perm(n)
		const batch = 8
		mult := min(n/(batch*4), 50)
		if mult == 0 {
			mult = 1
		}
		var mega [][]int
		for c := range slices.Chunk(slices.Clone(order), mult*batch) {
			for i := 1; i < len(c); i++ { // insertion sort: stable
				for j := i; j > 0 && lengths[c[j]] > lengths[c[j-1]]; j-- {
					c[j], c[j-1] = c[j-1], c[j]
				}
			}
			mega = append(mega, c)
		}
		best := 0
		for i, c := range mega {
			if lengths[c[0]] > lengths[mega[best][0]] {
				best = i
			}
		}
		mega[0][0], mega[best][0] = mega[best][0], mega[0][0]
		group(order, func(i int) int64 { return lengths[i] }, batch)
		if !slices.Equal(order, slices.Concat(mega...)) {
			t.Errorf("%d examples: another order", n)
		}
	}
}

func TestOrderIsOfSeedAndEpoch(t *testing.T) {
	data := corpus()
	r := Recipe{BatchSize: 8, OrderSeed: 1}
	a, b := r.Order(data, 0), r.Order(data, 1)
	if slices.Equal(a, b) || !slices.Equal(a, r.Order(data, 0)) {
		t.Error("the order does not follow from seed and epoch")
	}
	slices.Sort(b)
	if b[0] != 0 || b[len(b)-1] != data.Len()-1 {
		t.Error("an example is missing")
	}
}

// The recipe's lengths: longest pads to the batch's longest example, and a batch's rows are its ids.
func TestPad(t *testing.T) {
	data := &datasets.Encoded{IDs: []int32{5, 9, 5, 7}, Offsets: []int64{0, 3, 4}, Second: []int32{2, 1}, Labels: []float32{1, 0}}
	p := pad(&modelOfTwo, data, []int{0, 1}, Recipe{Padding: "longest", MaxLength: 16})
	if p.length != 3 || !slices.Equal(p.ids, []int64{5, 9, 5, 7, 3, 3}) || !slices.Equal(p.types, []int64{0, 0, 1, 0, 0, 0}) || !slices.Equal(p.rows, []int64{3, 5, 7, 9}) {
		t.Errorf("%+v", p)
	}
	if p = pad(&modelOfTwo, data, []int{1}, Recipe{Padding: "max_length", MaxLength: 16}); p.length != 16 {
		t.Errorf("length %d", p.length)
	}
}

var modelOfTwo = encoder.Model{Labels: 2, Padding: 3}
