// Command step times the training step of a model with random weights from a folder's config: batch x length random ids, fp32,
// AdamW, clipping, two labels, as step.py does with PyTorch and transformers. It prints, of a step, the median in seconds, the mean
// CPU seconds and page faults, and the peak in bytes. run.sh runs both in turn.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"pema/datasets"
	"pema/models/checkpoint"
	"pema/models/encoder"
	"pema/models/finetune"
	"pema/models/torch"
)

func main() {
	batch := flag.Int("batch", 32, "examples in a batch")
	length := flag.Int("length", 128, "tokens in an example")
	steps := flag.Int("steps", 12, "timed steps, after two")
	threads := flag.Int("threads", 2, "threads inside an operator")
	optimizer := flag.String("optimizer", "adamw-fused", "adamw-loop, adamw-foreach or adamw-fused")
	rows := flag.Int("rows", 0, "rows of the embedding matrix; 0: the config's")
	flag.Parse()
	if err := run(flag.Arg(0), *batch, *length, *steps, *threads, *rows, *optimizer); err != nil {
		fmt.Fprintln(os.Stderr, "step:", err)
		os.Exit(1)
	}
}

func run(dir string, batch, length, steps, threads, rows int, optimizer string) error {
	torch.SetThreads(threads)
	form, err := torch.ParseForm(optimizer)
	if err != nil {
		return err
	}
	cfg, err := checkpoint.ReadConfig(filepath.Join(dir, "config.json"))
	if err != nil {
		return err
	}
	if rows > 0 { // a matrix of that height, as PEMA would leave it
		cfg.VocabSize = rows
	}
	m, err := encoder.New(cfg, &encoder.Random{Config: cfg, Seed: 1}, encoder.Options{Labels: 2, Device: torch.CPU, HeadSeed: 1, Rows: int64(cfg.VocabSize), Padding: int64(cfg.PadTokenID)})
	if err != nil {
		return err
	}
	defer m.Close()
	r := rand.New(rand.NewPCG(1, 1))
	e := &datasets.Encoded{Offsets: []int64{0}}
	for range batch {
		for range length {
			e.IDs = append(e.IDs, int32(1000+r.IntN(int(cfg.VocabSize)-1000)))
		}
		e.Offsets = append(e.Offsets, int64(len(e.IDs)))
		e.Second = append(e.Second, int32(length))
		e.Labels = append(e.Labels, float32(r.IntN(2)))
	}
	var usage [2]unix.Rusage
	out, err := finetune.Train(context.Background(), m, torch.CPU, e, finetune.Recipe{BatchSize: batch, EvalBatch: batch, MaxLength: length,
		Padding: "max_length", Optimizer: form, LearningRate: 2e-5, Epochs: steps + 2, ClipNorm: 1}, finetune.Hooks{Progress: func(step, total int, _ float64) {
		if step == 2 || step == total {
			unix.Getrusage(unix.RUSAGE_SELF, &usage[step/total]) //nolint:errcheck // cannot fail
		}
	}})
	if err != nil {
		return err
	}
	s := slices.Sorted(slices.Values(out.StepSeconds[2:]))
	cpu := func(u unix.Rusage) float64 { return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9 }
	n := float64(steps)
	fmt.Printf("%.6f %.6f %.0f %d\n", s[len(s)/2], (cpu(usage[1])-cpu(usage[0]))/n, float64(usage[1].Minflt-usage[0].Minflt)/n, out.Peak)
	return nil
}
