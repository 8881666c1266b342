package finetune

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"pema/models/checkpoint"
	"pema/models/encoder"
	"pema/models/torch"
)

// Checkpoint says where a training is saved, and when. A checkpoint is one safetensors file that appears whole or not at all: the
// weights that are trained, AdamW's moments, losses, norms, times and the generators' states as tensors, the rest as JSON in its
// metadata, with a hash over everything. With PEMA it holds the reduced matrix only. Data order needs no state: it follows
// from the recipe's seed, the epoch and the position.
type Checkpoint struct {
	Dir        string        // of this training alone; made when it is needed
	EverySteps int           // 0: not by steps
	Every      time.Duration // 0: not by time
	Identity   string        // all that can change the result and is not in the recipe: which weights, which head seed
	Note       func(string)  // told of a file that is ignored since it is not whole; may be nil
}

// ErrOtherRun says that a checkpoint is whole but belongs to another training.
var ErrOtherRun = errors.New("the checkpoint belongs to a training with another recipe, data or model")

// Remove deletes the checkpoints: a finished run's record takes their place.
func (c *Checkpoint) Remove() error {
	paths, err := c.files()
	for _, p := range paths {
		err = errors.Join(err, os.Remove(p))
	}
	if e := os.Remove(c.Dir); e != nil && !errors.Is(e, fs.ErrNotExist) {
		err = errors.Join(err, e)
	}
	return err
}

const (
	filePrefix = "step-"
	stateKey   = "pema.state"
	hashKey    = "pema.sha256"
)

// files lists the checkpoints, the newest first, and removes what killed writers left behind.
func (c *Checkpoint) files() ([]string, error) {
	entries, err := os.ReadDir(c.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		switch path := filepath.Join(c.Dir, e.Name()); {
		case strings.HasPrefix(e.Name(), ".tmp-"):
			os.Remove(path) //nolint:errcheck // only room is lost
		case strings.HasPrefix(e.Name(), filePrefix):
			out = append(out, path)
		}
	}
	slices.Reverse(out)
	return out, nil
}

// state is what a checkpoint holds beside its tensors.
type state struct {
	Version      int              `json:"version"`
	Identity     string           `json:"identity"`
	At           position         `json:"at"`
	Peak         int64            `json:"peak"`
	PeakReserved int64            `json:"peak_reserved"`
	Ledger       torch.Ledger     `json:"ledger"`
	Phases       map[string]int64 `json:"phases"`
	Stages       map[string]Stage `json:"stages"`
	Epochs       []savedEpoch     `json:"epochs"`
}

const stateVersion = 1

// savedEpoch is an Epoch in JSON, which knows no NaN.
type savedEpoch struct {
	Epoch, Step int
	Metrics     map[string]string
}

// identity names the training: two that can end with other bits have other identities.
func (t *trainer) identity() (string, error) {
	type param struct {
		Name      string
		Shape     []int64
		Embedding bool
		Frozen    bool
	}
	all := struct {
		Identity, Data, Device string
		Labels                 int
		Padding                int64
		Recipe                 Recipe
		Params                 []param
	}{t.hooks.Checkpoint.Identity, t.data.SHA256(), "cpu", t.m.Labels, t.m.Padding, t.r, nil}
	if !t.d.IsCPU() {
		all.Device = "cuda"
	}
	for _, p := range t.m.Params {
		all.Params = append(all.Params, param{p.Name, p.Tensor.Shape(), p.Embedding, p.Frozen})
	}
	b, err := json.Marshal(all)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), err
}

// due says whether it is time to save.
func (t *trainer) due() bool {
	c := t.hooks.Checkpoint
	return c != nil && t.at.Step > t.saved.Step &&
		(c.EverySteps > 0 && t.at.Step-t.saved.Step >= c.EverySteps || c.Every > 0 && time.Since(t.last) >= c.Every)
}

// save writes a checkpoint between two steps, and removes the one before when it is on disk.
func (t *trainer) save() error {
	c := t.hooks.Checkpoint
	if c == nil || t.at.Step == 0 || t.at == t.saved {
		return nil
	}
	if err := t.read(); err != nil {
		return err
	}
	stage, err := Measure(t.d, func() error { return t.write(c) })
	if err != nil {
		return fmt.Errorf("save the training: %w", err)
	}
	t.stage("checkpoint", stage)
	t.saved, t.last = t.at, time.Now()
	return nil
}

func (t *trainer) write(c *Checkpoint) error {
	s := state{Version: stateVersion, At: t.at, PeakReserved: t.out.PeakReserved, Phases: t.out.Phases, Stages: t.out.Stages}
	s.Peak, s.Ledger = t.peak()
	for _, e := range t.out.Epochs {
		m := map[string]string{}
		for name, v := range e.Metrics {
			m[name] = strconv.FormatFloat(v, 'g', -1, 64)
		}
		s.Epochs = append(s.Epochs, savedEpoch{e.Epoch, e.Step, m})
	}
	var err error
	if s.Identity, err = t.identity(); err != nil {
		return err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	tensors, drop, err := t.tensors()
	defer drop()
	if err != nil {
		return err
	}
	sum, err := seal(text, tensors)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return err
	}
	old, err := c.files()
	if err != nil {
		return err
	}
	path := filepath.Join(c.Dir, fmt.Sprintf("%s%08d.safetensors", filePrefix, t.at.Step))
	if err := checkpoint.Write(path, map[string]string{stateKey: string(text), hashKey: sum}, tensors); err != nil {
		return err
	}
	for _, p := range old {
		if p != path {
			err = errors.Join(err, os.Remove(p))
		}
	}
	return err
}

// seal hashes all that a checkpoint holds.
func seal(text []byte, tensors []checkpoint.Source) (string, error) {
	weights, err := checkpoint.Hash(tensors)
	sum := sha256.Sum256(append(slices.Clone(text), weights...))
	return hex.EncodeToString(sum[:]), err
}

// figures are the numbers of each step.
func (t *trainer) figures() map[string]*[]float64 {
	return map[string]*[]float64{"losses": &t.out.Losses, "grad_norms": &t.out.GradNorms, "step_seconds": &t.out.StepSeconds}
}

// generators are the devices whose random numbers a training draws.
func (t *trainer) generators() map[string]torch.Device {
	g := map[string]torch.Device{"generator.cpu": torch.CPU}
	if !t.d.IsCPU() {
		g["generator.cuda"] = t.d
	}
	return g
}

// visit goes over the tensors of the training: the weights that are trained, and the optimizer's state; create makes what the
// first step would.
func (t *trainer) visit(create bool, f func(name string, x *torch.Tensor) error) error {
	for i, p := range t.m.Params {
		if p.Frozen { // as it was
			continue
		}
		if err := f("weight."+p.Name, p.Tensor); err != nil {
			return err
		}
		for k, x := range t.opt.State(i, create) {
			if x == nil {
				continue
			}
			err := f(torch.StateNames[k]+"."+p.Name, x)
			x.Drop()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// tensors are the parts of a checkpoint, streamed one at a time; drop frees their handles.
func (t *trainer) tensors() (out []checkpoint.Source, drop func(), err error) {
	var held []*torch.Tensor
	drop = func() {
		for _, x := range held {
			x.Drop()
		}
	}
	memory := func(name string, dt checkpoint.DType, n int, b []byte) error {
		x, err := checkpoint.NewTensor(name, dt, []int64{int64(n)}, b)
		out = append(out, x)
		return err
	}
	for name, v := range t.figures() {
		b := make([]byte, 0, 8*len(*v))
		for _, f := range *v {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(f))
		}
		if err := memory(name, checkpoint.F64, len(*v), b); err != nil {
			return nil, drop, err
		}
	}
	for name, d := range t.generators() {
		b, err := d.GeneratorState()
		if err == nil {
			err = memory(name, checkpoint.U8, len(b), b)
		}
		if err != nil {
			return nil, drop, err
		}
	}
	err = t.visit(false, func(name string, x *torch.Tensor) error {
		y, err := x.Detach(false)
		if err != nil {
			return err
		}
		held = append(held, y)
		out = append(out, encoder.Source(name, y))
		return nil
	})
	return out, drop, err
}

// resume goes on from the newest checkpoint that is whole, if there is one.
func (t *trainer) resume() error {
	c := t.hooks.Checkpoint
	t.last = time.Now()
	paths, err := c.files()
	if err != nil {
		return fmt.Errorf("checkpoints: %w", err)
	}
	for _, path := range paths {
		f, s, err := openCheckpoint(path)
		if err != nil {
			if c.Note != nil {
				c.Note(fmt.Sprintf("checkpoint %s is ignored: %v", filepath.Base(path), err))
			}
			continue
		}
		err = t.load(f, s)
		f.Close()
		if err != nil {
			return fmt.Errorf("checkpoint %s: %w", path, err)
		}
		return nil
	}
	return nil
}

// openCheckpoint opens a file and makes sure that it is what was written.
func openCheckpoint(path string) (*checkpoint.Checkpoint, *state, error) {
	f, err := checkpoint.OpenFile(path)
	if err != nil {
		return nil, nil, err
	}
	s, err := readState(f)
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, s, nil
}

func readState(f *checkpoint.Checkpoint) (*state, error) {
	var tensors []checkpoint.Source
	for _, name := range f.Names() {
		x, _ := f.Tensor(name)
		tensors = append(tensors, x)
	}
	text := f.Metadata()[stateKey]
	sum, err := seal([]byte(text), tensors)
	if err != nil {
		return nil, err
	}
	if sum != f.Metadata()[hashKey] {
		return nil, errors.New("its hash is another than the one it was written with")
	}
	s := &state{}
	if err := json.Unmarshal([]byte(text), s); err != nil {
		return nil, err
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("it has version %d, this program reads %d", s.Version, stateVersion)
	}
	return s, nil
}

// load puts a checkpoint in place.
func (t *trainer) load(f *checkpoint.Checkpoint, s *state) error {
	want, err := t.identity()
	if err != nil {
		return err
	}
	if s.Identity != want {
		return fmt.Errorf("%w; remove it, or give this one another folder", ErrOtherRun)
	}
	for name, v := range t.figures() {
		x, ok := f.Tensor(name)
		if !ok || x.DType != checkpoint.F64 {
			return fmt.Errorf("it has no %s", name)
		}
		*v = floats(x.Bytes())
	}
	for name, d := range t.generators() {
		x, ok := f.Tensor(name)
		if !ok {
			return fmt.Errorf("it has no %s", name)
		}
		if err := d.RestoreGenerator(x.Bytes()); err != nil {
			return err
		}
	}
	t.opt.Resume(s.At.Step)
	err = t.visit(true, func(name string, x *torch.Tensor) error {
		src, ok := f.Tensor(name)
		if !ok && strings.HasPrefix(name, "weight.") {
			return fmt.Errorf("it has no %s", name)
		}
		if !ok { // a parameter that no step has reached has no moments, or zeros
			return nil
		}
		return fill(x, src)
	})
	if err != nil {
		return err
	}
	t.at, t.saved, t.before, t.timed = s.At, s.At, s, len(t.out.Losses)
	t.out.PeakReserved, t.out.Resumed = s.PeakReserved, s.At.Step
	maps.Copy(t.out.Phases, s.Phases)
	maps.Copy(t.out.Stages, s.Stages)
	for _, e := range s.Epochs {
		m := map[string]float64{}
		for name, text := range e.Metrics {
			if m[name], err = strconv.ParseFloat(text, 64); err != nil {
				return err
			}
		}
		t.out.Epochs = append(t.out.Epochs, Epoch{e.Epoch, e.Step, m})
	}
	return nil
}

// fill reads a tensor's elements from a file; on the CPU straight into its memory.
func fill(x *torch.Tensor, src checkpoint.Tensor) error {
	if src.DType != checkpoint.F32 || !slices.Equal(src.Shape, x.Shape()) {
		return fmt.Errorf("tensor %s is %s %v, %v is needed", src.Name, src.DType, src.Shape, x.Shape())
	}
	to := x
	b, err := x.Bytes()
	if err != nil { // on another device
		if to, err = torch.Empty(x.Shape(), torch.Float32); err != nil {
			return err
		}
		defer to.Drop()
		if b, err = to.Bytes(); err != nil {
			return err
		}
	}
	if len(b) > 0 {
		if _, err := src.ReadAt(b, 0); err != nil {
			return err
		}
	}
	if to == x {
		return nil
	}
	return x.Copy(to)
}

func floats(b []byte) []float64 {
	out := make([]float64, len(b)/8)
	for i := range out {
		out[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return out
}
