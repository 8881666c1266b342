package finetune

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"pema/datasets"
	"pema/models/checkpoint"
	"pema/models/encoder"
	"pema/models/pema"
	"pema/models/torch"
)

// published gives every backbone tensor values that depend on its name alone, as a checkpoint would.
type published struct {
	cfg  *checkpoint.Config
	rows []int32
}

func (w published) Selected() []int32 { return w.rows }

func (w published) Tensor(name string, _ []int64) (*torch.Tensor, error) {
	h, inner := int64(w.cfg.HiddenSize), int64(w.cfg.Intermediate)
	shapes := map[string][]int64{
		"bert.embeddings.word_embeddings.weight": {int64(w.cfg.VocabSize), h}, "bert.embeddings.position_embeddings.weight": {int64(w.cfg.MaxPositions), h},
		"bert.embeddings.token_type_embeddings.weight": {int64(w.cfg.TypeVocab), h}, "bert.embeddings.LayerNorm.weight": {h}, "bert.embeddings.LayerNorm.bias": {h},
	}
	for _, l := range []string{"bert.encoder.layer.0.", "bert.encoder.layer.1."} {
		for _, n := range []string{"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"} {
			shapes[l+n+".weight"], shapes[l+n+".bias"] = []int64{h, h}, []int64{h}
		}
		shapes[l+"intermediate.dense.weight"], shapes[l+"intermediate.dense.bias"] = []int64{inner, h}, []int64{inner}
		shapes[l+"output.dense.weight"], shapes[l+"output.dense.bias"] = []int64{h, inner}, []int64{h}
		for _, n := range []string{"attention.output.LayerNorm", "output.LayerNorm"} {
			shapes[l+n+".weight"], shapes[l+n+".bias"] = []int64{h}, []int64{h}
		}
	}
	shape, ok := shapes[name]
	if !ok {
		return nil, nil
	}
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	seed := uint64(0)
	for _, c := range name {
		seed = seed*131 + uint64(c)
	}
	r := rand.New(rand.NewPCG(seed, 1))
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64()) * 0.05
	}
	if w.rows != nil && len(shape) == 2 && shape[0] == int64(w.cfg.VocabSize) {
		var cut []float32
		for _, id := range w.rows {
			cut = append(cut, v[int64(id)*h:(int64(id)+1)*h]...)
		}
		v, shape = cut, []int64{int64(len(w.rows)), h}
	}
	return torch.Of(v, shape...)
}

var tiny = &checkpoint.Config{ModelType: "bert", VocabSize: 3000, HiddenSize: 64, Layers: 2, Heads: 4, Intermediate: 128, MaxPositions: 32,
	TypeVocab: 2, LayerNormEps: 1e-12, Activation: "gelu", HiddenDropout: 0.1, AttentionDropout: 0.1, InitializerRange: 0.02}

func corpus() *datasets.Encoded {
	r := rand.New(rand.NewPCG(7, 7))
	e := &datasets.Encoded{Offsets: []int64{0}}
	for range 64 {
		n := 4 + r.IntN(12)
		for range n {
			e.IDs = append(e.IDs, int32(1+r.IntN(300)*9))
		}
		e.Offsets = append(e.Offsets, int64(len(e.IDs)))
		e.Second = append(e.Second, int32(n/2))
		e.Labels = append(e.Labels, float32(r.IntN(2)))
	}
	return e
}

func train(t *testing.T, w published, data *datasets.Encoded, padding int64, r Recipe, h Hooks) (*Outcome, []float32) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	rows := int64(tiny.VocabSize)
	if w.rows != nil {
		rows = int64(len(w.rows))
	}
	m, err := encoder.New(tiny, w, encoder.Options{Labels: 2, Device: torch.CPU, HeadSeed: 11, Rows: rows, Padding: padding})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	out, err := Train(context.Background(), m, torch.CPU, data, r, h)
	if err != nil {
		t.Fatal(err)
	}
	v, err := m.Embedding().Tensor.Floats()
	if err != nil {
		t.Fatal(err)
	}
	return out, v
}

// reduce is what PEMA makes of data: the selection, the renumbered data, and the row of the padding token.
func reduce(t *testing.T, data *datasets.Encoded) (*pema.Selection, *datasets.Encoded, int32) {
	t.Helper()
	used := slices.Clone(data.IDs)
	slices.Sort(used)
	sel, err := pema.Select(slices.Compact(used), []int32{0}, int64(tiny.VocabSize))
	if err != nil {
		t.Fatal(err)
	}
	small := *data
	if small.IDs, err = sel.Remap(nil, data.IDs); err != nil {
		t.Fatal(err)
	}
	pad, _ := sel.Map(0)
	return sel, &small, pad
}

// With weight decay 0 a run with PEMA and one without have the same bits: every loss, every norm, every row.
func TestPEMAIsBitIdentical(t *testing.T) {
	for _, form := range []torch.Form{torch.Loop, torch.Foreach, torch.Fused} {
		r := Recipe{BatchSize: 8, EvalBatch: 8, MaxLength: 16, Padding: "max_length", Optimizer: form, LearningRate: 1e-2, Epochs: 2, ClipNorm: 0.5, OrderSeed: 1, DropoutSeed: 2}
		data := corpus()
		base, full := train(t, published{cfg: tiny}, data, 0, r, Hooks{})
		sel, small, pad := reduce(t, data)
		got, rows := train(t, published{cfg: tiny, rows: sel.IDs}, small, int64(pad), r, Hooks{})
		if !slices.Equal(base.Losses, got.Losses) || !slices.Equal(base.GradNorms, got.GradNorms) {
			t.Errorf("form %d: losses or gradient norms differ", form)
		}
		if base.Losses[0] == base.Losses[len(base.Losses)-1] {
			t.Error("nothing was learned")
		}
		for i, id := range sel.IDs {
			if !slices.Equal(rows[i*64:(i+1)*64], full[int(id)*64:(int(id)+1)*64]) {
				t.Errorf("form %d: row %d differs", form, id)
				break
			}
		}
		if base.Peak <= got.Peak {
			t.Errorf("form %d: peak %d with PEMA, %d without", form, got.Peak, base.Peak)
		}
	}
}

// Live tensors, allocator blocks and bytes are flat from step to step.
func TestStepsLeakNothing(t *testing.T) {
	runtime.LockOSThread() // the number of threads is this OS thread's
	defer runtime.UnlockOSThread()
	threads := torch.Threads()
	torch.SetThreads(1) // operators this small only wait for each other where the machine is busy
	defer torch.SetThreads(threads)
	before := torch.Live()
	start, err := torch.CPU.Memory()
	if err != nil {
		t.Fatal(err)
	}
	r := Recipe{BatchSize: 4, EvalBatch: 4, MaxLength: 16, Padding: "max_length", LearningRate: 1e-3, Epochs: 1, MaxSteps: 220, Optimizer: torch.Fused, ClipNorm: 1}
	var live, blocks, bytes int64
	train(t, published{cfg: tiny}, corpus(), 0, r, Hooks{Progress: func(step, _ int, _ float64) {
		mem, err := torch.CPU.Memory()
		if err != nil {
			t.Fatal(err)
		}
		if step == 20 {
			live, blocks, bytes = torch.Live(), torch.LiveBlocks(), mem.Allocated
		}
		if step > 20 && (torch.Live() != live || torch.LiveBlocks() != blocks || mem.Allocated != bytes) {
			t.Fatalf("step %d: %d tensors, %d blocks, %d bytes; %d, %d, %d at step 20", step, torch.Live(), torch.LiveBlocks(), mem.Allocated, live, blocks, bytes)
		}
	}})
	if torch.Live() != before {
		t.Errorf("%d tensors stay", torch.Live()-before)
	}
	// A fresh head's memory once stayed behind a model that was closed, and counted in the next run's peak.
	if end, err := torch.CPU.Memory(); err != nil || end.Allocated != start.Allocated {
		t.Errorf("%d bytes stay after the model is closed (%v)", end.Allocated-start.Allocated, err)
	}
}

func TestBadData(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	m, err := encoder.New(tiny, published{cfg: tiny}, encoder.Options{Labels: 2, Device: torch.CPU, Rows: 3000})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	r := Recipe{BatchSize: 4, EvalBatch: 4, MaxLength: 16, Padding: "max_length", LearningRate: 1e-3, Epochs: 1, MaxSteps: 1}
	if _, err := Train(context.Background(), m, torch.CPU, &datasets.Encoded{Offsets: []int64{0}}, r, Hooks{}); err == nil {
		t.Error("an empty split was trained on")
	}
	data := corpus()
	for i := range data.Labels {
		data.Labels[i] = 2
	}
	if _, err := Train(context.Background(), m, torch.CPU, data, r, Hooks{}); err == nil {
		t.Error("a label out of range was trained on")
	}
}
