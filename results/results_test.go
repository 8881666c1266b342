package results

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func sample(id string) *Record {
	return &Record{
		Schema: Schema, ID: id, State: Done,
		Spec:    Spec{Name: "sample", Title: "A sample", Measure: "accuracy", SHA256: strings.Repeat("a", 64)},
		Model:   "org/model",
		Dataset: "reviews", Variant: "pema", Seed: 7,
		Started:    time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Finished:   time.Date(2026, 1, 2, 3, 5, 5, 0, time.UTC),
		Inputs:     []Input{{Role: "data", Name: "a.csv", Size: 3, SHA256: strings.Repeat("b", 64)}},
		Vocabulary: Vocabulary{Rows: 100, Used: 40, Kept: 42, Splits: []string{"train ]", "validation"}},
		Parameters: Parameters{Embedding: 420, Total: 1000, FullEmbedding: 1000, FullTotal: 1580},
		Memory: &Memory{PeakAllocated: 3072, Phase: "backward", Phases: map[string]int64{"backward": 3072},
			Ledger: Ledger{ParametersEmbedding: 512, ParametersRest: 1024, Activations: 1536}},
		Losses:  Floats{0.1, float64(float32(0.7)), 1e-30, 123456789.125},
		Epochs:  []Epoch{{Epoch: 1, Step: 4, Metrics: Metrics{"accuracy": 0.5}}},
		Metrics: Metrics{"accuracy": 0.75},
		Notes:   []string{"N ]", `a "quoted" note`, "\n\t\"sha256\": \"x\""},
	}
}

func TestRoundTrip(t *testing.T) {
	s := open(t)
	r := sample("r1")
	r.Losses = append(r.Losses, math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1))
	r.Metrics["loss"] = math.NaN()
	if err := s.Write(r); err != nil {
		t.Fatal(err)
	}
	got, err := s.Read("r1")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(r, got, cmpopts.EquateNaNs(), cmpopts.IgnoreFields(Record{}, "SHA256")); d != "" {
		t.Fatalf("record changed on disk (-wrote +read):\n%s", d)
	}
	for i, v := range r.Losses {
		if math.Float64bits(v) != math.Float64bits(got.Losses[i]) && !math.IsNaN(v) {
			t.Errorf("loss %d: %x, want %x", i, got.Losses[i], v)
		}
	}
	a, _ := os.ReadFile(s.Path("r1"))
	b, err := Encode(got)
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("encoding what was read gives other bytes (%v)", err)
	}
	if !strings.Contains(string(a), "\"losses\": [0.1, ") || !strings.Contains(string(a), `"NaN", "+Inf", "-Inf", -0]`) {
		t.Errorf("losses are not on one line:\n%s", a)
	}
}

func TestWriteRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Record)
		want   string
	}{
		"ledger short":    {func(r *Record) { r.Memory.PeakAllocated++ }, "3072 B explained, 3073 B allocated"},
		"ledger negative": {func(r *Record) { r.Memory.Ledger.Activations = -1 }, "do not sum"},
		"ledger overflow": {func(r *Record) {
			r.Memory.Ledger.Activations, r.Memory.Ledger.GradientsRest = math.MaxInt64, math.MaxInt64
		}, "do not sum"},
		"forecast":         {func(r *Record) { r.Memory.Forecast = &Forecast{PeakAllocated: 1} }, "memory forecast"},
		"id with a path":   {func(r *Record) { r.ID = "../x" }, "cannot name a file"},
		"state":            {func(r *Record) { r.State = "maybe" }, "unknown state"},
		"schema":           {func(r *Record) { r.Schema = 0 }, "schema 0"},
		"used over rows":   {func(r *Record) { r.Vocabulary.Used = 101 }, "used 101"},
		"embedding":        {func(r *Record) { r.Parameters.Embedding = 1001 }, "embedding 1001"},
		"NaN where no one": {func(r *Record) { r.Time.Train = math.NaN() }, "unsupported value"},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			r := sample("r1")
			tc.change(r)
			err := s.Write(r)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want one with %q", err, tc.want)
			}
			if left, _ := os.ReadDir(filepath.Join(s.Dir(), "runs")); len(left) != 0 {
				t.Fatalf("a refused record left %v", left)
			}
		})
	}
}

// Every changed byte of a record is found, wherever it is.
func TestFlippedByte(t *testing.T) {
	data, err := Encode(sample("r1"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 1
		if r, err := Decode(bad); err == nil {
			t.Fatalf("byte %d changed from %q to %q went unseen: %+v", i, data[i], bad[i], r)
		}
		if _, err := Decode(data[:i]); err == nil {
			t.Fatalf("a record cut at byte %d was taken for whole", i)
		}
	}
}

func TestForms(t *testing.T) {
	data, err := Encode(sample("r1"))
	if err != nil {
		t.Fatal(err)
	}
	newer := bytes.Replace(data, []byte(`"schema": 1`), []byte(`"schema": 2`), 1)
	if _, err := Decode(newer); !errors.Is(err, ErrNewer) {
		t.Errorf("newer schema: %v, want ErrNewer", err)
	}
	wider := reseal(bytes.Replace(data, []byte(`"seed": 7`), []byte(`"seed": 7,`+"\n\t"+`"colour": "grey"`), 1))
	r, err := Decode(wider)
	if err != nil || r.Seed != 7 {
		t.Errorf("unknown field: %v", err)
	}
	if _, err := Decode(bytes.Replace(data, []byte("0.75"), []byte("0.85"), 1)); !errors.Is(err, ErrSeal) {
		t.Errorf("edited figure: %v, want ErrSeal", err)
	}
}

func reseal(data []byte) []byte {
	i := bytes.LastIndex(data, []byte("\n\t\"sha256\": \"")) + len("\n\t\"sha256\": \"")
	copy(data[i:], noSeal)
	copy(data[i:], seal(data))
	return data
}

func TestAllNamesBroken(t *testing.T) {
	s := open(t)
	for _, id := range []string{"b", "a", "half"} {
		r := sample(id)
		if id == "b" {
			r.State = Failed
		}
		if err := s.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	data, _ := os.ReadFile(s.Path("half"))
	os.WriteFile(s.Path("half"), data[:len(data)/2], 0o644)
	data, _ = os.ReadFile(s.Path("a"))
	os.WriteFile(s.Path("moved"), data, 0o644)
	os.WriteFile(filepath.Join(s.Dir(), "runs", ".tmp-123"), []byte("{"), 0o644)
	os.Mkdir(filepath.Join(s.Dir(), "runs", "a"), 0o755)
	records, broken, err := s.All()
	if err != nil || len(records) != 2 || records[0].ID != "a" || records[1].ID != "b" {
		t.Fatalf("records %v, error %v", records, err)
	}
	if len(broken) != 2 || !strings.Contains(broken[0].Error(), "half.json") || !strings.Contains(broken[1].Error(), "moved.json: holds the record of a") {
		t.Fatalf("broken: %v", broken)
	}
	for id, want := range map[string]bool{"a": true, "b": false, "half": false, "moved": false, "none": false, "../a": false} {
		if s.Has(id) != want {
			t.Errorf("Has(%q) = %v, want %v", id, !want, want)
		}
	}
	if _, err := s.Read("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no record: %v, want ErrNotExist", err)
	}
}

// Readers beside writers of the same identity see one whole record or another.
func TestConcurrentWriters(t *testing.T) {
	s := open(t)
	if err := s.Write(sample("r")); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for range 10 {
				r := sample("r")
				r.Seed = int64(w)
				if err := s.Write(r); err != nil {
					t.Error(err)
				}
				if _, err := s.Read("r"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestWriteFileFailureKeepsOld(t *testing.T) {
	dir := t.TempDir()
	if err := WriteFile(filepath.Join(dir, "missing", "f"), nil); err == nil {
		t.Error("no folder: no error")
	}
	target := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(target, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(target, []byte("new")); err == nil {
		t.Error("a folder was replaced")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".tmp-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func FuzzDecode(f *testing.F) {
	data, err := Encode(sample("r1"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	for _, change := range [][2]string{{"0.75", `"NaN"`}, {`"seed": 7`, `"seed": 7e3`}, {`"schema": 1`, `"schema": 99`}, {"3072", "-3072"}, {"[0.1,", "[null,"}, {"org/model", "\\ud800"}} {
		f.Add(reseal(bytes.Replace(bytes.Clone(data), []byte(change[0]), []byte(change[1]), 1)))
	}
	f.Add([]byte(`{}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, in []byte) {
		// Sealed anew, so that the fuzzer gets past the seal.
		if bytes.Contains(in, []byte("\n\t\"sha256\": \"")) && len(in)-bytes.LastIndex(in, []byte("\n\t\"sha256\": \"")) > 80 {
			in = reseal(bytes.Clone(in))
		}
		r, err := Decode(in)
		if err != nil {
			return
		}
		out, err := Encode(r)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := Decode(out)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if d := cmp.Diff(r, again, cmpopts.EquateNaNs(), cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Record{}, "SHA256")); d != "" {
			t.Fatal(d)
		}
	})
}
