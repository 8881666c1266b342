package encoder

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pema/internal/shared"
	"pema/models/checkpoint"
	"pema/models/torch"
)

// vectors are inputs and outputs of a transformers model, in a folder with its config and weights.
type vectors struct {
	t       *testing.T
	cfg     *checkpoint.Config
	weights *checkpoint.Checkpoint
	want    *checkpoint.Checkpoint
	labels  int
	extra   map[string][]float32 // tensors in place of the checkpoint's
}

func openVectors(t *testing.T, dir, weights string) *vectors {
	t.Helper()
	cfg, err := checkpoint.ReadConfig(filepath.Join(weights, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	w, err := checkpoint.Open(weights)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	want, err := checkpoint.OpenFile(filepath.Join(dir, "expected.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { want.Close() })
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	v := &vectors{t: t, cfg: cfg, weights: w, want: want}
	logits, _ := want.Tensor("logits")
	v.labels = int(logits.Shape[len(logits.Shape)-1])
	return v
}

func (v *vectors) has(name string) bool { _, ok := v.want.Tensor(name); return ok }

func (v *vectors) tensor(name string) checkpoint.Tensor {
	v.t.Helper()
	x, ok := v.want.Tensor(name)
	if !ok {
		v.t.Fatalf("expected.safetensors has no %s", name)
	}
	return x
}

func (v *vectors) ints(name string) []int64 {
	b := v.tensor(name).Bytes()
	out := make([]int64, len(b)/8)
	for i := range out {
		out[i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return out
}

func (v *vectors) floats(name string) []float32 {
	b := v.tensor(name).Bytes()
	out := make([]float32, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out
}

// replaced gives some tensors other values.
type replaced struct {
	Weights
	extra map[string][]float32
}

func (r replaced) Tensor(name string, shape []int64) (*torch.Tensor, error) {
	if x, ok := r.extra[name]; ok {
		return torch.Of(x, shape...)
	}
	return r.Weights.Tensor(name, shape)
}

// model builds the model with all rows, or with the selected ones.
func (v *vectors) model(selected []int32) *Model {
	v.t.Helper()
	rows, pad := int64(v.cfg.VocabSize), int64(v.cfg.PadTokenID)
	if selected != nil {
		rows, pad = int64(len(selected)), row(selected, v.cfg.PadTokenID)
	}
	m, err := New(v.cfg, replaced{&File{Checkpoint: v.weights, Rows: selected}, v.extra}, Options{Labels: v.labels, Device: torch.CPU, Rows: rows, Padding: pad})
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(m.Close)
	return m
}

func (v *vectors) batch(s *torch.Scope, ids string) Batch {
	shape := v.tensor(ids).Shape
	b, l := shape[0], shape[1]
	mask, types := make([]float32, b*l), make([]int64, b*l)
	for i, on := range v.ints("attention_mask") {
		if on == 0 {
			mask[i] = -math.MaxFloat32
		}
	}
	if v.has("token_type_ids") {
		types = v.ints("token_type_ids")
	}
	return Batch{IDs: s.Take(torch.Of(v.ints(ids), b, l)), Types: s.Take(torch.Of(types, b, l)), Mask: s.Take(torch.Of(mask, b, 1, 1, l))}
}

func (v *vectors) loss(s *torch.Scope, logits *torch.Tensor) *torch.Tensor {
	if v.labels == 1 {
		y := v.floats("labels")
		return s.MeanSquared(s.View(logits, -1), s.Take(torch.Of(y, int64(len(y)))))
	}
	y := v.ints("labels")
	return s.CrossEntropy(logits, s.Take(torch.Of(y, int64(len(y)))))
}

// pass runs forward and backward without dropout.
func (v *vectors) pass(m *Model, ids string, check func(s *torch.Scope, logits, loss []float32)) {
	v.t.Helper()
	s := torch.NewScope(true)
	defer s.Close()
	logits := m.Forward(s, v.batch(s, ids))
	loss := v.loss(s, logits)
	s.Backward(loss)
	if s.Err() == nil {
		check(s, s.Floats(logits), s.Floats(loss))
	}
	if s.Err() != nil {
		v.t.Fatal(s.Err())
	}
}

func gradient(s *torch.Scope, p Param) []float32 { return s.Floats(s.Take(p.Tensor.Grad())) }

// checkTiny compares a whole folder of vectors: logits, loss, gradients, three optimizer steps; and the same with PEMA.
func checkTiny(t *testing.T, dir string) {
	v := openVectors(t, dir, dir)
	hidden, attention, head, pooler := v.cfg.HiddenDropout, v.cfg.AttentionDropout, v.cfg.ClassifierDropout, 0.0
	off := 0.0
	v.cfg.HiddenDropout, v.cfg.AttentionDropout, v.cfg.ClassifierDropout = 0, 0, &off
	if d := v.cfg.Disentangled; d != nil {
		pooler, d.PoolerDropout = d.PoolerDropout, 0
	}
	var selected []int32
	for _, id := range v.ints("pema.selected_ids") {
		selected = append(selected, int32(id))
	}
	full, reduced := v.model(nil), v.model(selected)
	var logits []float32
	gradients := map[string][]float32{}
	v.pass(full, "input_ids", func(s *torch.Scope, l, loss []float32) {
		logits = l
		near(t, "logits", l, v.floats("logits"))
		near(t, "loss", loss, v.floats("loss"))
		checked := 0
		for _, p := range full.Params {
			gradients[p.Name] = gradient(s, p)
			if v.has("grad." + p.Name) {
				near(t, "gradient of "+p.Name, gradients[p.Name], v.floats("grad."+p.Name))
				checked++
			}
		}
		if checked < 3 {
			t.Errorf("%d gradients were compared", checked)
		}
	})
	v.pass(reduced, "pema.input_ids", func(s *torch.Scope, l, _ []float32) {
		equal(t, "logits with PEMA", l, logits)
		for _, p := range reduced.Params {
			g, want := gradient(s, p), gradients[p.Name]
			if p.Embedding {
				var rows []float32
				h := len(g) / len(selected)
				for _, id := range selected {
					rows = append(rows, want[int(id)*h:(int(id)+1)*h]...)
				}
				want = rows
			}
			equal(t, "gradient with PEMA of "+p.Name, g, want)
		}
	})
	checkSteps(v)

	if !v.has("dropout.losses") {
		return
	}
	v.cfg.HiddenDropout, v.cfg.AttentionDropout, v.cfg.ClassifierDropout = hidden, attention, head
	if d := v.cfg.Disentangled; d != nil {
		d.PoolerDropout = pooler
	}
	m := v.model(nil)
	if err := torch.Seed(7); err != nil {
		t.Fatal(err)
	}
	var losses []float32
	for range 2 {
		v.pass(m, "input_ids", func(_ *torch.Scope, _, loss []float32) { losses = append(losses, loss...) })
	}
	near(t, "losses with dropout", losses, v.floats("dropout.losses"))
}

// checkSteps trains three steps on the batch: AdamW with clipping to norm 1 and rate 1e-3.
func checkSteps(v *vectors) {
	m := v.model(nil)
	o := torch.NewAdamW(0.9, 0.999, 1e-8, torch.Fused)
	defer o.Close()
	for _, p := range m.Params {
		if err := o.Add(p.Tensor, 0, p.Embedding); err != nil {
			v.t.Fatal(err)
		}
	}
	var got []float32
	for range 3 {
		v.pass(m, "input_ids", func(_ *torch.Scope, _, loss []float32) {
			rows := make([]int64, m.Embedding().Tensor.Shape()[0])
			for i := range rows {
				rows[i] = int64(i)
			}
			norm, err := o.ClipNorm(1, rows)
			if err != nil {
				v.t.Fatal(err)
			}
			defer norm.Drop()
			n, err := norm.Item()
			if err == nil {
				err = o.Step(1e-3)
			}
			if err != nil {
				v.t.Fatal(err)
			}
			got = append(got, loss[0], float32(n))
		})
		o.ZeroGrad()
	}
	within(v.t, "losses and gradient norms of three steps", got, v.floats("adamw.loss_and_gradnorm_3_steps"), 1e-4)
	v.pass(m, "input_ids", func(_ *torch.Scope, logits, _ []float32) {
		within(v.t, "logits after three steps", logits, v.floats("adamw.logits_after_3_steps"), 1e-4)
	})
}

func TestParity(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join("testdata", "*", "expected.safetensors"))
	if err != nil || len(dirs) < 5 {
		t.Fatal(len(dirs), "folders of vectors", err)
	}
	for _, d := range dirs {
		t.Run(filepath.Base(filepath.Dir(d)), func(t *testing.T) { checkTiny(t, filepath.Dir(d)) })
	}
}

func TestParityShared(t *testing.T) {
	root := filepath.Join(shared.Dir(t), "parity")
	for _, name := range []string{"bert", "distilbert", "roberta", "xlm-roberta", "deberta-v2"} {
		t.Run(name, func(t *testing.T) { checkTiny(t, filepath.Join(root, name)) })
	}
	for _, name := range []string{"all-MiniLM-L6-v2", "splade-tiny"} {
		t.Run(name, func(t *testing.T) { checkPublished(t, filepath.Join(root, name), sample(t, name)) })
	}
}

// sample is a model's folder in the per-user cache, where make sample puts it.
func sample(t *testing.T, name string) string {
	dir := os.Getenv("PEMA_CACHE")
	if dir == "" {
		c, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		dir = filepath.Join(c, "pema")
	}
	dir = filepath.Join(dir, "sample", name)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("%s is absent: make sample fetches it", name)
	}
	return dir
}

// checkPublished compares a model with published weights under a fixed head.
func checkPublished(t *testing.T, dir, weights string) {
	v := openVectors(t, dir, weights)
	v.cfg.HiddenDropout, v.cfg.AttentionDropout = 0, 0
	v.extra = map[string][]float32{"classifier.weight": v.floats("head.weight"), "classifier.bias": make([]float32, v.labels)}
	if _, ok := v.weights.Tensor("pooler.dense.weight"); !ok { // then the vectors have the identity for it
		h := v.cfg.HiddenSize
		eye := make([]float32, h*h)
		for i := range h {
			eye[i*h+i] = 1
		}
		v.extra["bert.pooler.dense.weight"], v.extra["bert.pooler.dense.bias"] = eye, make([]float32, h)
	}
	m := v.model(nil)
	v.pass(m, "input_ids", func(s *torch.Scope, logits, loss []float32) {
		near(t, "logits", logits, v.floats("logits"))
		near(t, "loss", loss, v.floats("loss"))
		checked := 0
		for _, p := range m.Params {
			name := "grad." + strings.TrimPrefix(p.Name, "bert.")
			g := gradient(s, p)
			if p.Embedding {
				name = "grad.word_embeddings_used_rows"
				var rows []float32
				for _, id := range v.ints("used_ids") {
					rows = append(rows, g[id*int64(v.cfg.HiddenSize):][:v.cfg.HiddenSize]...)
				}
				g = rows
			}
			if v.has(name) {
				near(t, name, g, v.floats(name))
				checked++
			}
		}
		if checked != 3 {
			t.Errorf("%d gradients were compared", checked)
		}
	})
}

func near(t *testing.T, what string, got, want []float32) {
	t.Helper()
	within(t, what, got, want, 1e-5)
}

// within compares relative to the largest entry.
func within(t *testing.T, what string, got, want []float32, tolerance float64) {
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
	if !(worst <= tolerance*largest) {
		t.Errorf("%s: off by %g, the largest entry is %g", what, worst, largest)
	}
}

func equal(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: not the same bits", what)
	}
}

func TestUnknownFamily(t *testing.T) {
	for name, want := range map[string]string{"gpt2": "counting only", "t5": "known are"} {
		cfg := &checkpoint.Config{ModelType: name, VocabSize: 100, TieWordEmbeddings: true}
		_, err := New(cfg, nil, Options{Labels: 2, Rows: 100})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err = New(cfg, nil, Options{Labels: 2, Rows: 10}); !strings.Contains(fmt.Sprint(err), "tie_word_embeddings") {
			t.Errorf("%s with PEMA: %v", name, err)
		}
	}
}
