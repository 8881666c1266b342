package finetune

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pema/datasets"
	"pema/models/encoder"
	"pema/models/torch"
)

func sides(t *testing.T) (base, small Side) {
	t.Helper()
	data := corpus()
	sel, reduced, pad := reduce(t, data)
	build := func(w published, rows, padding int64) *encoder.Model {
		m, err := encoder.New(tiny, w, encoder.Options{Labels: 2, Device: torch.CPU, HeadSeed: 11, Rows: rows, Padding: padding})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		return m
	}
	return Side{Model: build(published{cfg: tiny}, 3000, 0), Data: data},
		Side{Model: build(published{cfg: tiny, rows: sel.IDs}, int64(len(sel.IDs)), int64(pad)), Data: reduced, Rows: sel.IDs}
}

func TestVerify(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	threads := torch.Threads()
	torch.SetThreads(1)
	defer torch.SetThreads(threads)
	r := Recipe{BatchSize: 16, EvalBatch: 8, MaxLength: 16, Padding: "max_length", Optimizer: torch.Fused, LearningRate: 1e-2, Epochs: 2, ClipNorm: 0.5, OrderSeed: 1, DropoutSeed: 2}
	verify := func(r Recipe, change func(base, small Side)) *Verdict {
		t.Helper()
		base, small := sides(t)
		if change != nil {
			change(base, small)
		}
		v, err := Verify(context.Background(), torch.CPU, base, small, r, nil)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := verify(r, nil); v.First != nil || v.Steps != 8 || v.Unused < 2000 || v.Decayed != 0 || !strings.Contains(v.Explain(), "as published in both") {
		t.Errorf("%+v: %s", v, v.Explain())
	}
	decayed := r
	decayed.WeightDecay = 0.1
	if v := verify(decayed, nil); v.First != nil || v.Decayed != v.Unused || v.Factor >= 1 || !strings.Contains(v.Explain(), "weight decay") {
		t.Errorf("%+v: %s", v, v.Explain())
	}
	// One value of one used row is another: found before the first step, by the row's id in the full vocabulary.
	var id int64
	v := verify(r, func(_, small Side) {
		id = int64(small.Rows[5])
		b, err := small.Model.Embedding().Tensor.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		b[5*64*4] ^= 1
		if small.Rows[5] == 5 {
			t.Fatal("the row has the same number in both")
		}
	})
	if v.First == nil || v.First.Step != 0 || v.First.What != "bert.embeddings.word_embeddings.weight" || v.First.Row != id {
		t.Errorf("%+v", v.First)
	}
	// Another token in one example: the first loss differs.
	v = verify(r, func(_, small Side) {
		ids := slices.Clone(small.Data.IDs)
		for i := range ids {
			ids[i] = ids[(i+1)%len(ids)]
		}
		*small.Data = datasets.Encoded{IDs: ids, Offsets: small.Data.Offsets, Second: small.Data.Second, Labels: small.Data.Labels}
	})
	if v.First == nil || v.First.Step != 1 || v.First.What != "loss" || !strings.Contains(v.Explain(), "step 1, loss") {
		t.Errorf("%+v", v.First)
	}
}
