package finetune

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"pema/models/checkpoint"
	"pema/models/encoder"
	"pema/models/torch"
)

// killed is the recipe of the training that is killed: dropout, clipping, accumulation over the ends of epochs, and a decay.
var killed = Recipe{BatchSize: 6, EvalBatch: 16, Accumulation: 2, MaxLength: 16, Padding: "longest", GroupByLength: true, Optimizer: torch.Fused,
	LearningRate: 1e-3, Epochs: 20, WarmupRatio: 0.1, WeightDecay: 0.01, ClipNorm: 0.3, OrderSeed: 1, DropoutSeed: 2}

// final is what must have the same bits, however often a training was interrupted.
type final struct {
	Outcome *Outcome
	Weights string
}

// trainKilled trains the tiny model with checkpoints in dir ("": none) and says each step on stdout.
func trainKilled(ctx context.Context, dir string, r Recipe, h Hooks, note func(string)) (final, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	m, err := encoder.New(tiny, published{cfg: tiny}, encoder.Options{Labels: 2, Device: torch.CPU, HeadSeed: 11, Rows: 3000})
	if err != nil {
		return final{}, err
	}
	defer m.Close()
	data := corpus()
	if dir != "" {
		h.Checkpoint = &Checkpoint{Dir: dir, EverySteps: 2, Identity: "killed", Note: note}
	}
	h.Evaluate = func(int) (map[string]float64, error) {
		e, err := Evaluate(context.Background(), m, torch.CPU, data, r)
		if err != nil {
			return nil, err
		}
		return map[string]float64{"loss": e.Loss, "accuracy": e.Accuracy()}, nil
	}
	out, err := Train(ctx, m, torch.CPU, data, r, h)
	if err != nil {
		return final{}, err
	}
	tensors, err := m.Tensors()
	if err != nil {
		return final{}, err
	}
	sum, err := checkpoint.Hash(tensors)
	return final{out, sum}, err
}

const childDir = "PEMA_TEST_KILLED"

func TestMain(m *testing.M) {
	dir := os.Getenv(childDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	torch.SetThreads(1)
	f, err := trainKilled(context.Background(), dir, killed, Hooks{Progress: func(step, _ int, _ float64) { fmt.Println(step) }}, nil)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	b, _ := json.Marshal(f)
	fmt.Printf("%s\n", b)
}

func same(t *testing.T, what string, a, b final) {
	t.Helper()
	x, y := a.Outcome, b.Outcome
	if a.Weights != b.Weights || !reflect.DeepEqual(x.Losses, y.Losses) || !reflect.DeepEqual(x.GradNorms, y.GradNorms) || !reflect.DeepEqual(x.Epochs, y.Epochs) {
		t.Errorf("%s: weights %.8s and %.8s, losses\n%v and\n%v, norms\n%v and\n%v, evaluations %v and %v", what, a.Weights, b.Weights, x.Losses, y.Losses, x.GradNorms, y.GradNorms, x.Epochs, y.Epochs)
	}
	if x.Peak != y.Peak || x.Ledger != y.Ledger || x.Phase != y.Phase || !reflect.DeepEqual(x.Phases, y.Phases) {
		t.Errorf("%s: peak %d %v %s, want %d %v %s", what, x.Peak, x.Phases, x.Phase, y.Peak, y.Phases, y.Phase)
	}
	if len(x.StepSeconds) != len(x.Losses) {
		t.Errorf("%s: %d times for %d steps", what, len(x.StepSeconds), len(x.Losses))
	}
	for _, stage := range []string{"first step", "steady step", "evaluation"} {
		if x.Stages[stage] != y.Stages[stage] || x.Stages[stage].Allocated == 0 {
			t.Errorf("%s: %s took %v, want %v", what, stage, x.Stages[stage], y.Stages[stage])
		}
	}
}

// A training that is killed at random points 20 times ends with the bits of one that was left alone.
func TestKilledTwentyTimes(t *testing.T) {
	dir := t.TempDir()
	child := func(dir string) (*exec.Cmd, *bufio.Scanner) {
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), childDir+"="+dir)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		return c, lines
	}
	finish := func(dir string) final {
		c, lines := child(dir)
		var last []byte
		for lines.Scan() {
			last = bytes.Clone(lines.Bytes())
		}
		if err := c.Wait(); err != nil {
			t.Fatalf("%v: %s", err, last)
		}
		var f final
		if err := json.Unmarshal(last, &f); err != nil {
			t.Fatal(err)
		}
		return f
	}
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	for kill := range 20 {
		c, lines := child(dir)
		steps, wait := r.IntN(5), time.Duration(r.IntN(4000))*time.Microsecond
		for range steps {
			lines.Scan()
		}
		time.Sleep(wait)
		if err := c.Process.Kill(); err != nil {
			t.Fatalf("kill %d: %v (it had ended)", kill+1, err)
		}
		c.Wait() //nolint:errcheck // killed
	}
	got := finish(dir)
	if got.Outcome.Resumed == 0 {
		t.Error("the last part did not go on from a checkpoint")
	}
	runtime.LockOSThread() // the number of threads is this OS thread's
	defer runtime.UnlockOSThread()
	threads := torch.Threads()
	torch.SetThreads(1)
	defer torch.SetThreads(threads)
	want, err := trainKilled(context.Background(), "", killed, Hooks{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "killed 20 times", got, want)
}

// A training whose context ends finishes its step, saves, and goes on from there; a checkpoint that is not whole is ignored with a
// word, and one of another training is refused.
func TestInterruptedAndResumed(t *testing.T) {
	runtime.LockOSThread() // the number of threads is this OS thread's
	defer runtime.UnlockOSThread()
	threads := torch.Threads()
	torch.SetThreads(1)
	defer torch.SetThreads(threads)
	r := killed
	r.Epochs = 3
	want, err := trainKilled(context.Background(), "", r, Hooks{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(want.Outcome.Losses) != 3*5 || len(want.Outcome.Epochs) != 3 {
		t.Fatalf("%d steps, %d evaluations", len(want.Outcome.Losses), len(want.Outcome.Epochs))
	}
	dir := t.TempDir()
	for _, at := range []int{5, 9} {
		ctx, stop := context.WithCancel(context.Background())
		_, err := trainKilled(ctx, dir, r, Hooks{Progress: func(step, _ int, _ float64) {
			if step == at {
				stop()
			}
		}}, nil)
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 1 || filepath.Base(files[0]) != "step-00000009.safetensors" {
		t.Fatalf("%v %v", files, err)
	}
	good, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	other := r
	other.BatchSize, other.Accumulation = 12, 1
	if _, err := trainKilled(context.Background(), dir, other, Hooks{}, nil); !errors.Is(err, ErrOtherRun) {
		t.Errorf("another batch size: %v", err)
	}
	// A newer file that is cut, and one with a changed bit, are passed over.
	for i, bad := range [][]byte{good[:len(good)/2], bytes.Replace(good, []byte(`\"Batch\":`), []byte(`\"Batch\": `), 1), flip(good)} {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("step-0000001%d.safetensors", i)), bad, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, ".tmp-left"), good[:10], 0o600); err != nil {
		t.Fatal(err)
	}
	var notes []string
	got, err := trainKilled(context.Background(), dir, r, Hooks{}, func(s string) { notes = append(notes, s) })
	if err != nil {
		t.Fatal(err)
	}
	if len(notes) != 3 || !strings.Contains(notes[0], "hash") || !strings.Contains(notes[2], "truncated") {
		t.Errorf("notes %q", notes)
	}
	if got.Outcome.Resumed != 9 {
		t.Errorf("resumed at step %d", got.Outcome.Resumed)
	}
	same(t, "interrupted twice", got, want)
	if left, _ := filepath.Glob(filepath.Join(dir, ".tmp*")); len(left) > 0 {
		t.Errorf("%v stay", left)
	}
	if err := (&Checkpoint{Dir: dir}).Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the folder stays")
	}
}

func flip(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)-1000] ^= 1
	return b
}
