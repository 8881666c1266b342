// Command finetune trains and evaluates one model on one GLUE task as the official scripts do, and writes all that PyTorch needs
// to do the same: ids, labels, the order of every epoch, and the head's first values. replay.py does it; run.sh runs both.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"pema/datasets"
	"pema/experiments"
	"pema/models/checkpoint"
	"pema/models/encoder"
	"pema/models/finetune"
	"pema/models/tokenizer"
	"pema/models/torch"
)

// example is one text as ids, with where the second text begins.
type example struct {
	IDs    []int32 `json:"ids"`
	Second int     `json:"second"`
	Label  float32 `json:"label"`
}

// report is what replay.py reads, and what it is held against.
type report struct {
	Labels      int                  `json:"labels"`
	Metrics     map[string]float64   `json:"metrics"`
	Predictions []float64            `json:"predictions"`
	Losses      []float64            `json:"losses"`
	GradNorms   []float64            `json:"grad_norms"`
	Orders      [][]int              `json:"orders"`
	Train       []example            `json:"train"`
	Validation  []example            `json:"validation"`
	Fresh       map[string][]float32 `json:"fresh"` // parameters that the checkpoint does not have
}

func main() {
	task := flag.String("task", "mrpc", "GLUE task")
	data := flag.String("data", "", "folder with the task's parquet files")
	out := flag.String("out", "", "file to write")
	seed := flag.Int64("seed", 1, "seed of head, order and dropout")
	epochs := flag.Int("epochs", 3, "epochs")
	steps := flag.Int("steps", 0, "stop after so many steps; 0: epochs decide")
	dropout := flag.Bool("dropout", true, "dropout as the config has it")
	threads := flag.Int("threads", 2, "threads inside an operator")
	length := flag.Int("max-length", 128, "tokens in an example")
	padding := flag.String("padding", "max_length", "max_length or longest")
	flag.Parse()
	r := finetune.Recipe{BatchSize: 32, EvalBatch: 32, MaxLength: *length, Padding: *padding, Optimizer: torch.Fused, LearningRate: 2e-5,
		Epochs: *epochs, MaxSteps: *steps, ClipNorm: 1, OrderSeed: *seed*1000 + 2, DropoutSeed: *seed*1000 + 3}
	torch.SetThreads(*threads)
	if err := run(flag.Arg(0), *task, *data, *out, *seed, r, *dropout); err != nil {
		fmt.Fprintln(os.Stderr, "finetune:", err)
		os.Exit(1)
	}
}

func run(dir, task, data, out string, seed int64, r finetune.Recipe, dropout bool) error {
	runtime.LockOSThread()
	ctx := context.Background()
	cfg, err := checkpoint.ReadConfig(filepath.Join(dir, "config.json"))
	if err != nil {
		return err
	}
	if !dropout {
		cfg.HiddenDropout, cfg.AttentionDropout, cfg.ClassifierDropout = 0, 0, nil
	}
	weights, err := checkpoint.Open(dir)
	if err != nil {
		return err
	}
	defer weights.Close()
	tok, err := tokenizer.Load(dir)
	if err != nil {
		return err
	}
	ds, err := datasets.Open(ctx, "glue/"+task, datasets.Folder(data), datasets.OpenOptions{Splits: []string{"train", "validation"}})
	if err != nil {
		return err
	}
	var split [2]*datasets.Encoded
	for i, name := range []string{"train", "validation"} {
		if split[i], err = datasets.Encode(ctx, ds, name, experiments.Tokens{Tokenizer: tok}, datasets.EncodeOptions{MaxLength: r.MaxLength}); err != nil {
			return err
		}
	}
	m, err := encoder.New(cfg, &encoder.File{Checkpoint: weights}, encoder.Options{Labels: ds.NumLabels, Device: torch.CPU, HeadSeed: seed*1000 + 1,
		Rows: int64(cfg.VocabSize), Padding: int64(tok.Specials().Pad)})
	if err != nil {
		return err
	}
	defer m.Close()
	rep := report{Labels: ds.NumLabels, Metrics: map[string]float64{}, Train: examples(split[0]), Validation: examples(split[1]), Fresh: map[string][]float32{}}
	for _, p := range m.Params {
		if slices.Contains(m.Fresh, p.Name) {
			if rep.Fresh[p.Name], err = p.Tensor.Floats(); err != nil {
				return err
			}
		}
	}
	for epoch := range r.Epochs {
		rep.Orders = append(rep.Orders, r.Order(split[0], epoch))
	}
	o, err := finetune.Train(ctx, m, torch.CPU, split[0], r, finetune.Hooks{})
	if err != nil {
		return err
	}
	rep.Losses, rep.GradNorms = o.Losses, o.GradNorms
	if r.MaxSteps == 0 {
		e, err := finetune.Evaluate(ctx, m, torch.CPU, split[1], r)
		if err != nil {
			return err
		}
		rep.Predictions = e.Predictions
		for _, name := range ds.Metrics {
			if rep.Metrics[name], err = e.Metric(name); err != nil {
				fmt.Fprintln(os.Stderr, "finetune:", err)
				delete(rep.Metrics, name)
			}
		}
	}
	b, err := json.Marshal(rep)
	if err != nil {
		return err
	}
	return os.WriteFile(out, b, 0o644)
}

func examples(e *datasets.Encoded) []example {
	out := make([]example, e.Len())
	for i := range out {
		x := e.Example(i)
		out[i] = example{x.IDs, x.Second, x.Label}
	}
	return out
}
