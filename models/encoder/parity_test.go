package encoder

import (
	"encoding/binary"
	"math"
	"path/filepath"
	"runtime"
	"testing"

	"pema/internal/shared"
	"pema/models/checkpoint"
	"pema/models/torch"
)

func ints(t checkpoint.Tensor) []int64 {
	b := t.Bytes()
	v := make([]int64, len(b)/8)
	for i := range v {
		v[i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return v
}

func floats(t checkpoint.Tensor) []float32 {
	b := t.Bytes()
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}

// Logits, loss and gradients equal transformers' within 1e-5 of the largest entry; with PEMA the logits keep their bits.
func TestParityBERT(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	dir := filepath.Join(shared.Dir(t), "parity", "bert")
	cfg, err := checkpoint.ReadConfig(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.HiddenDropout, cfg.AttentionDropout = 0, 0
	weights, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer weights.Close()
	want, err := checkpoint.OpenFile(filepath.Join(dir, "expected.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	get := func(name string) checkpoint.Tensor {
		x, ok := want.Tensor(name)
		if !ok {
			t.Fatalf("expected.safetensors has no %s", name)
		}
		return x
	}
	var selected []int32
	for _, id := range ints(get("pema.selected_ids")) {
		selected = append(selected, int32(id))
	}
	forward := func(rows []int32, input string, n int64, check bool) []float32 {
		m, err := New(cfg, &File{Checkpoint: weights, Rows: rows}, Options{Labels: 3, Device: torch.CPU, Rows: n})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		s := torch.NewScope(true)
		defer s.Close()
		ids := get(input)
		b, l := ids.Shape[0], ids.Shape[1]
		mask := make([]float32, b*l)
		for i, on := range ints(get("attention_mask")) {
			if on == 0 {
				mask[i] = -math.MaxFloat32
			}
		}
		logits := m.Forward(s, Batch{IDs: s.Take(torch.Of(ints(ids), b, l)), Types: s.Take(torch.Of(ints(get("token_type_ids")), b, l)), Mask: s.Take(torch.Of(mask, b, 1, 1, l))})
		v := s.Floats(logits)
		if check {
			loss := s.CrossEntropy(logits, s.Take(torch.Of(ints(get("labels")), b)))
			near(t, "logits", v, floats(get("logits")))
			near(t, "loss", s.Floats(loss), floats(get("loss")))
			s.Backward(loss)
			checked := 0
			for _, p := range m.Params {
				if x, ok := want.Tensor("grad." + p.Name); ok {
					g := s.Take(p.Tensor.Grad())
					near(t, "gradient of "+p.Name, s.Floats(g), floats(x))
					checked++
				}
			}
			if checked < 3 {
				t.Errorf("%d gradients were compared", checked)
			}
		}
		if s.Err() != nil {
			t.Fatal(s.Err())
		}
		return v
	}
	full := forward(nil, "input_ids", int64(cfg.VocabSize), true)
	small := forward(selected, "pema.input_ids", int64(len(selected)), false)
	for i := range full {
		if full[i] != small[i] {
			t.Fatalf("logit %d is %v with PEMA, %v without", i, small[i], full[i])
		}
	}
}

func near(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", what, len(got), len(want))
		return
	}
	var worst, largest float64
	for i := range got {
		worst = max(worst, math.Abs(float64(got[i]-want[i])))
		largest = max(largest, math.Abs(float64(want[i])))
	}
	if !(worst <= 1e-5*max(1, largest)) {
		t.Errorf("%s: off by %g, the largest entry is %g", what, worst, largest)
	}
}

func TestUnknownFamilyAndMissingTensor(t *testing.T) {
	if _, err := New(&checkpoint.Config{ModelType: "gpt2"}, nil, Options{Labels: 2}); err == nil {
		t.Error("gpt2 was accepted")
	}
}
