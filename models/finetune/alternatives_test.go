package finetune

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pema/datasets"
	"pema/models/encoder"
	"pema/models/torch"
)

// trained is a tiny model after a few steps.
type trained struct {
	out     *Outcome
	params  map[string][]float32
	saved   map[string][]float32 // as Tensors gives them
	trained int                  // parameters
}

func trainTiny(t *testing.T, o encoder.Options, w published, data *datasets.Encoded, r Recipe) trained {
	t.Helper()
	o.Labels, o.Device, o.HeadSeed, o.Rows = 2, torch.CPU, 11, 3000
	if w.rows != nil {
		o.Rows = int64(len(w.rows))
	}
	m, err := encoder.New(tiny, w, o)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	out, err := Train(context.Background(), m, torch.CPU, data, r, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	x := trained{out: out, params: map[string][]float32{}, saved: map[string][]float32{}}
	for _, p := range m.Params {
		v, err := p.Tensor.Floats()
		if err != nil {
			t.Fatal(err)
		}
		if x.params[p.Name] = v; !p.Frozen {
			x.trained += len(v)
		}
	}
	tensors, err := m.Tensors()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range tensors {
		var b strings.Builder
		if _, err := s.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		x.saved[s.Info().Name] = floats32([]byte(b.String()))
	}
	return x
}

// Every alternative to full fine-tuning has the same bits with PEMA and without, and does what its name says.
func TestAlternatives(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	threads := torch.Threads()
	torch.SetThreads(1)
	defer torch.SetThreads(threads)
	const word = "bert.embeddings.word_embeddings.weight"
	data := corpus()
	sel, small, pad := reduce(t, data)
	r := Recipe{BatchSize: 8, EvalBatch: 8, MaxLength: 16, Padding: "max_length", Optimizer: torch.Fused, LearningRate: 1e-2, Epochs: 2, ClipNorm: 0.5, OrderSeed: 1, DropoutSeed: 2}
	lora := &encoder.LoRA{Rank: 4, Alpha: 8, Dropout: 0.1}
	plain := map[string]trained{}
	for _, c := range []struct {
		name string
		o    encoder.Options
		r    func(*Recipe)
	}{
		{"full", encoder.Options{}, nil},
		{"frozen", encoder.Options{Frozen: true}, nil},
		{"lora", encoder.Options{LoRA: lora}, nil},
		{"recompute", encoder.Options{Recompute: true}, nil},
		{"lora recompute", encoder.Options{LoRA: lora, Recompute: true}, nil},
		{"bf16", encoder.Options{}, func(r *Recipe) { r.Precision = torch.BF16 }},
		{"accumulate", encoder.Options{}, func(r *Recipe) { r.BatchSize, r.Accumulation = 4, 2 }},
	} {
		recipe := r
		if c.r != nil {
			c.r(&recipe)
		}
		base := trainTiny(t, c.o, published{cfg: tiny}, data, recipe)
		c.o.Padding = int64(pad)
		got := trainTiny(t, c.o, published{cfg: tiny, rows: sel.IDs}, small, recipe)
		plain[c.name] = base
		if !slices.Equal(base.out.Losses, got.out.Losses) || !slices.Equal(base.out.GradNorms, got.out.GradNorms) {
			t.Errorf("%s: losses or norms differ with PEMA", c.name)
		}
		for name, v := range base.params {
			if name != word && !slices.Equal(v, got.params[name]) {
				t.Errorf("%s: %s differs with PEMA", c.name, name)
			}
		}
		for i, id := range sel.IDs {
			if !slices.Equal(got.params[word][i*64:(i+1)*64], base.params[word][int(id)*64:(int(id)+1)*64]) {
				t.Errorf("%s: row %d differs with PEMA", c.name, id)
				break
			}
		}
		if got.out.Peak >= base.out.Peak {
			t.Errorf("%s: peak %d with PEMA, %d without", c.name, got.out.Peak, base.out.Peak)
		}
	}
	full := plain["full"]
	start := trainTiny(t, encoder.Options{}, published{cfg: tiny}, data, Recipe{BatchSize: 8, EvalBatch: 8, MaxLength: 16, Padding: "max_length"})
	unchanged := func(name, param string) {
		if !slices.Equal(plain[name].params[param], start.params[param]) {
			t.Errorf("%s: %s was trained", name, param)
		}
	}
	unchanged("frozen", word)
	unchanged("lora", word)
	unchanged("lora", "bert.encoder.layer.0.attention.self.query.weight")
	f := plain["frozen"].out
	if f.Ledger.Gradients[0] != 0 || f.Ledger.Optimizer[0] != 0 || f.Ledger.Parameters != full.out.Ledger.Parameters {
		t.Errorf("frozen: ledger %+v", f.Ledger)
	}
	// 2 layers x 2 matrices x (A and B), classifier, and the pooler, which this checkpoint does not have
	if n := plain["lora"].trained; n != 2*2*2*4*64+2*64+2+64*64+64 {
		t.Errorf("lora trains %d parameters", n)
	}
	if _, ok := plain["lora"].saved["bert.encoder.layer.0.attention.self.query.lora_A.weight"]; ok || len(plain["lora"].saved) != len(full.saved) {
		t.Error("lora: what is saved is not the published architecture")
	}
	p := plain["lora"].params
	const q = "bert.encoder.layer.1.attention.self.value"
	a, b := p[q+".lora_A.weight"], p[q+".lora_B.weight"]
	for i := range 64 {
		for j := range 64 {
			want := float64(p[q+".weight"][i*64+j])
			for k := range 4 {
				want += 2 * float64(b[i*4+k]) * float64(a[k*64+j])
			}
			if math.Abs(want-float64(plain["lora"].saved[q+".weight"][i*64+j])) > 1e-6 {
				t.Fatalf("merged weight %d,%d is %v, want %v", i, j, plain["lora"].saved[q+".weight"][i*64+j], want)
			}
		}
	}
	for _, name := range []string{"", "lora "} {
		x, y := plain[strings.TrimSuffix(name, " ")], plain[name+"recompute"]
		if name == "" {
			x = full
		}
		if !slices.Equal(x.out.Losses, y.out.Losses) || fmt.Sprint(x.params) != fmt.Sprint(y.params) {
			t.Errorf("%srecompute: another result", name)
		}
		if y.out.Phases["forward"] >= x.out.Phases["forward"] {
			t.Errorf("%srecompute: forward takes %d, %d without", name, y.out.Phases["forward"], x.out.Phases["forward"])
		}
	}
	if slices.Equal(plain["bf16"].out.Losses, full.out.Losses) || math.Abs(plain["bf16"].out.Losses[0]-full.out.Losses[0]) > 0.02 {
		t.Errorf("bf16: first losses %v and %v", plain["bf16"].out.Losses[0], full.out.Losses[0])
	}
	if len(plain["accumulate"].out.Losses) != len(full.out.Losses) {
		t.Errorf("accumulation: %d steps", len(plain["accumulate"].out.Losses))
	}
}

// Two batches of 4 without dropout have the gradient of one of 8, up to rounding.
func TestAccumulationIsTheMean(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cfg := *tiny
	cfg.HiddenDropout, cfg.AttentionDropout = 0, 0
	run := func(batch, accumulation int) *Outcome {
		m, err := encoder.New(&cfg, published{cfg: tiny}, encoder.Options{Labels: 2, Device: torch.CPU, HeadSeed: 11, Rows: 3000})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		out, err := Train(context.Background(), m, torch.CPU, corpus(), Recipe{BatchSize: batch, Accumulation: accumulation, EvalBatch: 8, MaxLength: 16,
			Padding: "max_length", Optimizer: torch.Fused, LearningRate: 1e-3, Epochs: 1, ClipNorm: 1}, Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	a, b := run(8, 1), run(4, 2)
	for i := range a.Losses {
		if math.Abs(a.Losses[i]-b.Losses[i]) > 1e-4 || math.Abs(a.GradNorms[i]-b.GradNorms[i]) > 1e-3*a.GradNorms[i] {
			t.Errorf("step %d: loss %v and %v, norm %v and %v", i+1, a.Losses[i], b.Losses[i], a.GradNorms[i], b.GradNorms[i])
		}
	}
}

func floats32(b []byte) []float32 {
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}
