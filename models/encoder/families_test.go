package encoder

import (
	"bytes"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"pema/internal/tiny"
	"pema/models/checkpoint"
	"pema/models/pema"
	"pema/models/torch"
)

// source opens the weights of a tiny model: nil rows for all.
type source func(rows []int32) Weights

func open(t *testing.T, family string) (*checkpoint.Config, map[string]source) {
	t.Helper()
	dir := t.TempDir()
	tiny.Model(t, dir, family)
	cfg, err := checkpoint.ReadConfig(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	weights, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { weights.Close() })
	return cfg, map[string]source{
		"file":   func(rows []int32) Weights { return &File{Checkpoint: weights, Rows: rows} },
		"random": func(rows []int32) Weights { return &Random{Config: cfg, Seed: 5, Rows: rows} },
	}
}

// texts are padded ids with their mask; one text holds the padding token in its middle.
func texts(cfg *checkpoint.Config) (ids []int64, mask []float32) {
	r := rand.New(rand.NewPCG(9, 9))
	for _, n := range []int{12, 7, 20, 3} {
		for j := range 20 {
			id, m := int64(cfg.PadTokenID), float32(-math.MaxFloat32)
			if j < n {
				id, m = int64(7+3*r.IntN(60)), 0
			}
			ids, mask = append(ids, id), append(mask, m)
		}
	}
	ids[4] = int64(cfg.PadTokenID)
	return ids, mask
}

// trainStep returns the logits and the gradients of a pass with dropout.
func trainStep(t *testing.T, m *Model, ids []int64, mask []float32) ([]float32, map[string][]float32) {
	t.Helper()
	s := torch.NewScope(true)
	defer s.Close()
	const b = 4
	l := int64(len(ids)) / b
	if err := torch.Seed(3); err != nil {
		t.Fatal(err)
	}
	logits := m.Forward(s, Batch{IDs: s.Take(torch.Of(ids, b, l)), Types: s.Take(torch.Of(make([]int64, len(ids)), b, l)), Mask: s.Take(torch.Of(mask, b, 1, 1, l))})
	out := s.Floats(logits)
	s.Backward(s.CrossEntropy(logits.Last(), s.Take(torch.Of([]int64{0, 1, 1, 0}, b))))
	gradients := map[string][]float32{}
	for _, p := range m.Params {
		if s.Err() == nil {
			gradients[p.Name] = gradient(s, p)
		}
	}
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	return out, gradients
}

// With its unused rows left out a model computes the same bits, dropout on: logits and the gradient of every parameter.
func TestReducedModelHasTheSameBits(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, family := range tiny.Families() {
		cfg, sources := open(t, family)
		ids, mask := texts(cfg)
		var used, small []int32
		for _, id := range ids {
			used = append(used, int32(id))
		}
		sel, err := pema.Select(used, []int32{2, 3}, int64(cfg.VocabSize))
		if err != nil {
			t.Fatal(err)
		}
		if small, err = sel.Remap(nil, used); err != nil {
			t.Fatal(err)
		}
		remapped := make([]int64, len(small))
		for i, id := range small {
			remapped[i] = int64(id)
		}
		for kind, weights := range sources {
			build := func(rows []int32, n, pad int64) *Model {
				m, err := New(cfg, weights(rows), Options{Labels: 2, Device: torch.CPU, HeadSeed: 1, Rows: n, Padding: pad})
				if err != nil {
					t.Fatalf("%s, %s: %v", family, kind, err)
				}
				return m
			}
			pad, _ := sel.Map(int32(cfg.PadTokenID))
			full, reduced := build(nil, int64(cfg.VocabSize), int64(cfg.PadTokenID)), build(sel.IDs, int64(len(sel.IDs)), int64(pad))
			want, wantGradients := trainStep(t, full, ids, mask)
			got, gradients := trainStep(t, reduced, remapped, mask)
			if !slices.Equal(got, want) {
				t.Errorf("%s, %s: logits differ", family, kind)
			}
			for name, g := range gradients {
				w := wantGradients[name]
				if name == full.Embedding().Name {
					var rows []float32
					for _, id := range sel.IDs {
						rows = append(rows, w[id*tiny.Hidden:(id+1)*tiny.Hidden]...)
					}
					w = rows
					if p := g[pad*tiny.Hidden : (pad+1)*tiny.Hidden]; slices.Max(p) != 0 || slices.Min(p) != 0 {
						t.Errorf("%s, %s: the padding token has a gradient", family, kind)
					}
				}
				if !slices.Equal(g, w) {
					t.Errorf("%s, %s: gradient of %s differs", family, kind, name)
				}
			}
			full.Close()
			reduced.Close()
		}
	}
}

// Live tensors, blocks and bytes are the same after every pass, and none stay behind a closed model.
func TestPassesLeakNothing(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, family := range tiny.Families() {
		cfg, sources := open(t, family)
		ids, mask := texts(cfg)
		live, blocks := torch.Live(), torch.LiveBlocks()
		m, err := New(cfg, sources["file"](nil), Options{Labels: 2, Device: torch.CPU, Rows: int64(cfg.VocabSize), Padding: int64(cfg.PadTokenID)})
		if err != nil {
			t.Fatal(err)
		}
		var first [3]int64
		for i := range 20 {
			trainStep(t, m, ids, mask)
			mem, err := torch.CPU.Memory()
			if err != nil {
				t.Fatal(err)
			}
			now := [3]int64{torch.Live(), torch.LiveBlocks(), mem.Allocated}
			if i == 1 {
				first = now
			}
			if i > 1 && now != first {
				t.Fatalf("%s, pass %d: tensors, blocks and bytes %v, were %v", family, i, now, first)
			}
		}
		for _, p := range m.Params {
			if g, err := p.Tensor.Grad(); err == nil {
				g.Drop()
			}
		}
		m.Close()
		if torch.Live() != live || torch.LiveBlocks() != blocks {
			t.Errorf("%s: %d tensors and %d blocks stay", family, torch.Live()-live, torch.LiveBlocks()-blocks)
		}
	}
}

// The matrix that is computed where it is read is the one that a model gets, at any offset.
func TestRandomMatrix(t *testing.T) {
	cfg := &checkpoint.Config{ModelType: "roberta", VocabSize: 3000, HiddenSize: 24, PadTokenID: 1, InitializerRange: 0.02}
	r := &Random{Config: cfg, Seed: 1}
	const name, positions = "roberta.embeddings.word_embeddings.weight", "roberta.embeddings.position_embeddings.weight"
	whole := func(r *Random, name string, rows int64) []byte {
		x, err := r.Tensor(name, []int64{rows, 24})
		if err != nil {
			t.Fatal(err)
		}
		defer x.Drop()
		b, err := x.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Clone(b)
	}
	want := whole(r, name, 3000)
	m := r.Matrix(name)
	for _, at := range [][2]int64{{0, int64(len(want))}, {96, 960}, {5, 1}, {100, 500}, {96 * 2999, 96}, {96*2999 + 7, 60}} {
		got := make([]byte, at[1])
		if _, err := m.ReadAt(got, at[0]); err != nil || !bytes.Equal(got, want[at[0]:at[0]+at[1]]) {
			t.Errorf("%d bytes at %d differ (%v)", at[1], at[0], err)
		}
	}
	if n, err := m.ReadAt(make([]byte, 200), int64(len(want))-10); n != 10 || err == nil {
		t.Errorf("at the end %d bytes were read, error %v", n, err)
	}
	zero := make([]byte, 96)
	if !bytes.Equal(want[96:192], zero) || bytes.Equal(want[:96], zero) || !bytes.Equal(whole(r, positions, 40)[96:192], zero) {
		t.Error("not the padding token's embedding and position are 0")
	}
	if bytes.Equal(whole(&Random{Config: cfg, Seed: 2}, name, 3000), want) || bytes.Equal(whole(r, "classifier.dense.weight", 3000), want) {
		t.Error("another seed or tensor has the same values")
	}
	var sum, square float64
	x, err := r.Tensor(name, []int64{3000, 24})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Drop()
	v, err := x.Floats()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range v {
		sum, square = sum+float64(f), square+float64(f)*float64(f)
	}
	n := float64(len(v))
	if mean, deviation := sum/n, math.Sqrt(square/n); math.Abs(mean) > 3e-4 || math.Abs(deviation/0.02-1) > 0.02 {
		t.Errorf("mean %g, deviation %g", mean, deviation)
	}
}
