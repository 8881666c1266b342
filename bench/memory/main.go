// Command memory measures the peak memory of training steps on the CPU and sets it beside PyTorch's, measured with the same
// counting allocator (-cases, the format of parity/memory.json), and beside the forecast from shapes. Weights are zeros: memory
// does not depend on values.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pema/datasets"
	"pema/models/checkpoint"
	"pema/models/encoder"
	"pema/models/finetune"
	"pema/models/torch"
	"pema/results"
)

func main() {
	cases := flag.String("cases", "", "PyTorch's figures")
	hub := flag.String("hub", "", "folder of ORG/MODEL/config.json")
	only := flag.String("only", "", "only models whose name holds this")
	fits := flag.Float64("fits", 20, "GiB: what is forecast to take more is not run")
	rows := flag.Int64("rows", 5000, "rows that PEMA leaves, in the table of forecasts")
	out := flag.String("out", "", "file to write instead of stdout")
	keep := flag.String("keep", "", "file of what was measured, to go on from")
	flag.Parse()
	torch.SetThreads(2) // as PyTorch was measured
	w := worker{hub: *hub, only: *only, keep: *keep, limit: int64(*fits * (1 << 30)), done: map[string]*measured{}}
	err := w.open()
	if err == nil {
		err = w.parity(*cases)
	}
	if err == nil {
		err = w.forecasts(*rows)
	}
	if err == nil && *out != "" {
		err = results.WriteFile(*out, []byte(w.text.String()))
	} else {
		fmt.Print(w.text.String())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "memory:", err)
		os.Exit(1)
	}
}

// measured is what was measured of a run, beside its forecast.
type measured struct {
	Peak, Forecast int64
	Ledger         torch.Ledger
	Phase          string
	Phases         map[string]int64
	skipped        bool // forecast to take more than the limit
	other          bool // the forecast has another ledger
}

type worker struct {
	hub, only string
	keep      string
	limit     int64
	done      map[string]*measured
	text      strings.Builder
}

var optimizers = []string{"adamw-loop", "adamw-foreach", "adamw-fused"}

func (w *worker) open() error {
	b, err := os.ReadFile(w.keep)
	if w.keep == "" || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(b, &w.done)
}

func (w *worker) save() error {
	if w.keep == "" {
		return nil
	}
	b, err := json.MarshalIndent(w.done, "", " ")
	if err != nil {
		return err
	}
	return results.WriteFile(w.keep, b)
}

// run measures two steps of a model, all later ones being as the second; a call with the same arguments gets the same figures.
func (w *worker) run(model, optimizer string, batch, length int, rows int64) (*measured, error) {
	key := fmt.Sprintf("%s %s %d x %d, %d rows", model, optimizer, batch, length, rows)
	cfg, err := checkpoint.ReadConfig(filepath.Join(w.hub, model, "config.json"))
	if err != nil {
		return nil, err
	}
	form, err := torch.ParseForm(optimizer)
	if err != nil {
		return nil, err
	}
	s := encoder.Shapes{Labels: 2, Rows: rows, Batch: batch, Length: length, Optimizer: form, Steps: 2}
	forecast, ledger, err := encoder.Forecast(cfg, s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", model, err)
	}
	m := w.done[key]
	if m == nil {
		if forecast > w.limit {
			return &measured{Forecast: forecast, skipped: true}, nil
		}
		o, err := train(cfg, s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", model, err)
		}
		m = &measured{Peak: o.Peak, Ledger: o.Ledger, Phase: o.Phase, Phases: o.Phases}
		w.done[key] = m
		fmt.Fprintf(os.Stderr, "%s: %d bytes, forecast %d\n", key, m.Peak, forecast)
		if err := w.save(); err != nil {
			return nil, err
		}
	}
	m.Forecast, m.other = forecast, m.Ledger != ledger
	return m, nil
}

// zeros are a model's weights.
type zeros struct{}

func (zeros) Tensor(_ string, shape []int64) (*torch.Tensor, error) {
	t, err := torch.Empty(shape, torch.Float32)
	if err != nil {
		return nil, err
	}
	return t, t.Fill(0)
}

func (zeros) Selected() []int32 { return nil }

func train(cfg *checkpoint.Config, s encoder.Shapes) (*finetune.Outcome, error) {
	m, err := encoder.New(cfg, zeros{}, encoder.Options{Labels: s.Labels, Device: torch.CPU, Rows: s.Rows})
	if err != nil {
		return nil, err
	}
	defer m.Close()
	e := &datasets.Encoded{Offsets: []int64{0}}
	r := finetune.Recipe{BatchSize: s.Batch, EvalBatch: s.Batch, MaxLength: s.Length, Padding: "longest", Optimizer: s.Optimizer, LearningRate: 2e-5,
		MaxSteps: 2, Epochs: 2, ClipNorm: 1}
	lengths := []int{s.Length}
	if s.Batch <= 8 {
		// The first step is there for the optimizer's state, which its own memory does not depend on: short texts do.
		lengths = []int{4, s.Length}
		r.OrderSeed = shortFirst(s.Batch)
	}
	for _, n := range lengths {
		for i := range s.Batch {
			for j := range n {
				e.IDs = append(e.IDs, int32((i*n+j)%int(s.Rows)))
			}
			e.Offsets = append(e.Offsets, int64(len(e.IDs)))
			e.Second = append(e.Second, int32(n))
			e.Labels = append(e.Labels, float32(i%2))
		}
	}
	return finetune.Train(context.Background(), m, torch.CPU, e, r, finetune.Hooks{})
}

// shortFirst is a seed for an order of 2n examples that begins with the first n. (In another order all batches are long: that takes
// longer and measures the same.)
func shortFirst(n int) (seed int64) {
	for {
		seed++
		order := rand.New(rand.NewPCG(uint64(seed), 0)).Perm(2 * n)
		if slices.Max(order[:n]) < n {
			return seed
		}
	}
}

func (w *worker) line(format string, args ...any) { fmt.Fprintf(&w.text, format+"\n", args...) }

func mib(n int64) float64             { return float64(n) / (1 << 20) }
func percent(got, want int64) float64 { return 100 * (float64(got)/float64(want) - 1) }

var phases = []string{"forward", "backward", "clip", "step"}

// parity sets our peaks beside PyTorch's.
func (w *worker) parity(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var peer struct {
		How   string `json:"how"`
		Cases []struct {
			Model     string `json:"model"`
			Attention string `json:"attention"`
			Optimizer string `json:"optimizer"`
			Batch     int    `json:"batch_size"`
			Length    int    `json:"length"`
			Rows      int64  `json:"rows"`
			Peak      int64  `json:"peak_bytes"`
			Phases    []struct {
				Phase string `json:"phase"`
				Peak  int64  `json:"peak512"`
			} `json:"phases"`
		} `json:"cases"`
	}
	if err := json.Unmarshal(b, &peer); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	w.line("## Beside PyTorch\n\n%s\n\nDifference of the peak, and of each phase, in %%: below 0, pema takes less.\n", peer.How)
	w.line("| model | attention | optimizer | batch | rows | PyTorch MiB | pema MiB | peak %% | forward | backward | clip | step | where |")
	w.line("| --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
	worst, above, run := 0.0, 0, 0
	for _, c := range peer.Cases {
		if !strings.Contains(c.Model, w.only) {
			continue
		}
		m, err := w.run(c.Model, c.Optimizer, c.Batch, c.Length, c.Rows)
		if err != nil {
			w.line("| %s | %s | %s | %d x %d | %d | %.1f | not run: %s |", c.Model, c.Attention, c.Optimizer, c.Batch, c.Length, c.Rows, mib(c.Peak), err)
			continue
		}
		if m.skipped {
			w.line("| %s | %s | %s | %d x %d | %d | %.2f | not run |", c.Model, c.Attention, c.Optimizer, c.Batch, c.Length, c.Rows, mib(c.Peak))
			continue
		}
		theirs := map[string]int64{}
		for _, p := range c.Phases {
			name := strings.TrimRight(p.Phase, "0123456789")
			theirs[name] = max(theirs[name], p.Peak)
		}
		var each []string
		for _, p := range phases {
			each = append(each, fmt.Sprintf("%+.3f", percent(m.Phases[p], theirs[p])))
		}
		run++
		worst = max(worst, math.Abs(percent(m.Peak, c.Peak)))
		if c.Optimizer == "adamw-fused" && m.Peak > c.Peak {
			above++
		}
		w.line("| %s | %s | %s | %d x %d | %d | %.2f | %.2f | %+.3f | %s | %s |", c.Model, c.Attention, c.Optimizer, c.Batch, c.Length, c.Rows,
			mib(c.Peak), mib(m.Peak), percent(m.Peak, c.Peak), strings.Join(each, " | "), m.Phase)
	}
	w.line("\n%d of %d cases; the largest difference is %.3f %%; adamw-fused is above PyTorch in %d.\n", run, len(peer.Cases), worst, above)
	return nil
}

// forecasts sets what was forecast beside what was measured, for every model of the folder.
func (w *worker) forecasts(rows int64) error {
	var models []string
	if err := filepath.WalkDir(w.hub, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "config.json" {
			name, err := filepath.Rel(w.hub, filepath.Dir(path))
			if err != nil {
				return err
			}
			models = append(models, filepath.ToSlash(name))
		}
		return err
	}); err != nil {
		return err
	}
	slices.Sort(models)
	w.line("## Beside the forecast\n\nBatch 8 x 128, two labels, fp32 on the CPU, 2 threads, two steps (all later ones are as the second). The ledger is what was resident at the peak (embedding + rest); its rest is activations and temporaries.\n")
	w.line("| model | optimizer | rows | measured bytes | forecast bytes | error %% | parameters MiB | gradients | optimizer | activations and temporaries | where |")
	w.line("| --- | --- | ---: | ---: | ---: | ---: | --- | --- | --- | ---: | --- |")
	worst, others := map[string]float64{}, 0
	for _, model := range models {
		if !strings.Contains(model, w.only) {
			continue
		}
		cfg, err := checkpoint.ReadConfig(filepath.Join(w.hub, model, "config.json"))
		if err != nil {
			return err
		}
		if encoder.Known(cfg) != nil { // for counting only
			continue
		}
		for _, n := range []int64{int64(cfg.VocabSize), rows} {
			for _, o := range optimizers {
				m, err := w.run(model, o, 8, 128, n)
				switch {
				case err != nil:
					w.line("| %s | %s | %d | not run: %s |", model, o, n, err)
				case m.skipped:
					w.line("| %s | %s | %d | not run | %d | | | | | | |", model, o, n, m.Forecast)
				default:
					e := percent(m.Forecast, m.Peak)
					if m.other {
						others++
					}
					worst[cfg.ModelType] = max(worst[cfg.ModelType], math.Abs(e))
					l := m.Ledger
					rest := m.Peak
					var each []string
					for _, k := range [][2]int64{l.Parameters, l.Gradients, l.Optimizer} {
						rest -= k[0] + k[1]
						each = append(each, fmt.Sprintf("%.1f + %.1f", mib(k[0]), mib(k[1])))
					}
					w.line("| %s | %s | %d | %d | %d | %+.4f | %s | %.1f | %s |", model, o, n, m.Peak, m.Forecast, e, strings.Join(each, " | "), mib(rest), m.Phase)
				}
			}
		}
	}
	w.line("")
	for _, k := range slices.Sorted(func(yield func(string) bool) {
		for k := range worst {
			if !yield(k) {
				return
			}
		}
	}) {
		w.line("Largest error for %s: %.4f %%.", k, worst[k])
	}
	w.line("In %d runs the forecast has another ledger than was measured.", others)
	return nil
}
