// Package results holds what a run measured: one Record per run, written once and atomically, and the Store that
// keeps the records of an output folder. Tables, plots and pages are made from records and from nothing else.
package results

import "time"

// Schema is the version of the record's form. A reader refuses a newer one.
const Schema = 1

// State says how a run ended.
type State string

const (
	Done        State = "done"
	Failed      State = "failed"
	OutOfMemory State = "out_of_memory" // "does not fit": an outcome, not an error
	Absent      State = "absent"        // not run: the hub does not have what it needs, and the spec takes what is there
)

// Record is everything that one run was given and measured. Bytes are bytes, times are seconds, shares are 0..1.
type Record struct {
	Schema int    `json:"schema"`
	ID     string `json:"id"` // the run's identity: hash of all that can change its result
	State  State  `json:"state"`
	Error  string `json:"error,omitempty"`

	Spec    Spec   `json:"spec"`
	Model   string `json:"model"`   // hub id, or the name a spec gives to a local folder
	Dataset string `json:"dataset"` // glue/cola, xnli/de, or a local file's name
	Variant string `json:"variant"` // baseline, pema, ...
	Seed    int64  `json:"seed"`

	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`

	Training   Training   `json:"training"`
	Seeds      Seeds      `json:"seeds"`
	Inputs     []Input    `json:"inputs"` // every file that went in, by hash
	Data       Data       `json:"data"`
	Vocabulary Vocabulary `json:"vocabulary"`
	Parameters Parameters `json:"parameters"`
	Memory     *Memory    `json:"memory,omitempty"`

	Losses    Floats  `json:"losses,omitempty"`     // training loss of each step, float32 widened: compare bit by bit
	GradNorms Floats  `json:"grad_norms,omitempty"` // total L2 norm before clipping, of each step
	Epochs    []Epoch `json:"epochs,omitempty"`     // evaluation after each epoch
	Metrics   Metrics `json:"metrics,omitempty"`    // final evaluation: accuracy, eval_loss, ...

	// FinalWeights hashes every tensor of the final model with the full vocabulary restored; equal for baseline and PEMA.
	FinalWeights string `json:"final_weights,omitempty"`

	Time        Time        `json:"time"`
	Environment Environment `json:"environment"`

	Variables map[string]string `json:"variables,omitempty"` // of the environment: OMP_*, MKL_*, CUDA_*, HF_* ..., no secrets
	Notes     []string          `json:"notes,omitempty"`     // "partial data", a warning, ...

	// SHA256 seals the file: the hash of its bytes with this value as 64 zeros. Encode sets it and Decode checks it.
	SHA256 string `json:"sha256"`
}

// Spec is what a table needs to know of the spec that asked for the run.
type Spec struct {
	Name    string `json:"name"`
	Source  string `json:"source,omitempty"` // the file as it was named, or the embedded one
	Title   string `json:"title"`
	Measure string `json:"measure"` // models, vocabulary, parameters, memory, accuracy, cost
	SHA256  string `json:"sha256"`
	Table   Table  `json:"table"`
}

// Table is the layout that a spec asks for. Rows and Columns name record fields (model, dataset, variant); Cells name figures.
type Table struct {
	Rows    string   `json:"rows,omitempty"`
	Columns string   `json:"columns,omitempty"`
	Cells   []string `json:"cells,omitempty"`
}

// Training is the recipe as it was run.
type Training struct {
	Weights      string  `json:"weights"` // pretrained or random
	BatchSize    int     `json:"batch_size"`
	EvalBatch    int     `json:"eval_batch_size"`
	MaxLength    int     `json:"max_length"`
	Padding      string  `json:"padding"`   // max_length or longest
	Optimizer    string  `json:"optimizer"` // adamw-loop, adamw-foreach, adamw-fused
	LearningRate float64 `json:"learning_rate"`
	Epochs       float64 `json:"epochs"`
	MaxSteps     int     `json:"max_steps,omitempty"` // 0: epochs decide
	Steps        int     `json:"steps"`               // steps actually run
	WarmupSteps  int     `json:"warmup_steps,omitempty"`
	WeightDecay  float64 `json:"weight_decay"`
	ClipNorm     float64 `json:"clip_norm"`
	Precision    string  `json:"precision"` // fp32, bf16

	Accumulation  int     `json:"gradient_accumulation,omitempty"` // batches a step; 0 is 1
	WarmupRatio   float64 `json:"warmup_ratio,omitempty"`
	GroupByLength bool    `json:"group_by_length,omitempty"`
	TF32          bool    `json:"tf32,omitempty"`
	EachEpoch     bool    `json:"evaluate_each_epoch,omitempty"`
}

// Seeds are the three seeds derived from the run's seed.
type Seeds struct {
	Head    int64 `json:"head"`
	Order   int64 `json:"order"`
	Dropout int64 `json:"dropout"`
}

// Input is one file by content.
type Input struct {
	Role   string `json:"role"` // weights, config, tokenizer, data
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Data counts what was read.
type Data struct {
	Splits     []Split `json:"splits"`
	NumLabels  int     `json:"num_labels"`
	EncodedSHA string  `json:"encoded_sha256,omitempty"` // hash of ids, offsets and labels
}

// Split counts one split: examples, and tokens without padding.
type Split struct {
	Name     string `json:"name"`
	Examples int64  `json:"examples"`
	Tokens   int64  `json:"tokens"`
}

// Vocabulary is the use of the embedding matrix's rows. Rows are the matrix's, not the tokenizer's length.
type Vocabulary struct {
	Rows       int64    `json:"rows"`
	Used       int64    `json:"used"`        // distinct ids over the named splits, special tokens in the texts included, no padding
	UsedSHA256 string   `json:"used_sha256"` // ascending ids as little-endian int32
	Kept       int64    `json:"kept"`        // used ids and the always-kept special tokens: the rows PEMA trains
	Splits     []string `json:"splits"`      // counted splits

	Growth   []Growth `json:"growth,omitempty"`   // how the used rows grow with the text read
	Shuffles int      `json:"shuffles,omitempty"` // orders of the examples that the growth was taken over
	Heaps    *Heaps   `json:"heaps,omitempty"`    // law fitted to the growth
}

// Growth is one point of a growth curve: after so many examples and tokens, so many distinct ids had been seen; of several
// shuffles the mean, with the least and the most.
type Growth struct {
	Examples int64 `json:"examples"`
	Tokens   int64 `json:"tokens"`
	Used     int64 `json:"used"`
	Low      int64 `json:"low,omitempty"`
	High     int64 `json:"high,omitempty"`
}

// Heaps is Heaps' law: used = K * tokens^Beta, fitted to the logarithms.
type Heaps struct {
	K    float64 `json:"k"`
	Beta float64 `json:"beta"`
	R2   float64 `json:"r2"`
}

// Parameters counts the model's parameters as run, and as they are without PEMA.
type Parameters struct {
	Embedding     int64 `json:"embedding"` // input word embedding as run
	Total         int64 `json:"total"`
	FullEmbedding int64 `json:"full_embedding"` // all rows
	FullTotal     int64 `json:"full_total"`
}

// Memory is the device memory of the training part of a run.
type Memory struct {
	PeakAllocated int64            `json:"peak_allocated"` // blocks rounded up to 512 bytes, as CUDA's caching allocator does
	PeakReserved  int64            `json:"peak_reserved,omitempty"`
	Phase         string           `json:"phase"`            // where the peak was: forward, backward, clip, step
	Phases        map[string]int64 `json:"phases"`           // peak of each phase
	Stages        map[string]Stage `json:"stages,omitempty"` // first step, steady step, evaluation, checkpoint
	Ledger        Ledger           `json:"ledger"`           // sums to PeakAllocated exactly
	Forecast      *Forecast        `json:"forecast,omitempty"`
}

// Stage is the most memory that a part of the run took, in bytes.
type Stage struct {
	Allocated int64 `json:"allocated"`
	Reserved  int64 `json:"reserved,omitempty"` // CUDA only
}

// Ledger explains every byte at the moment of the peak.
type Ledger struct {
	ParametersEmbedding int64 `json:"parameters_embedding"`
	ParametersRest      int64 `json:"parameters_rest"`
	GradientsEmbedding  int64 `json:"gradients_embedding"`
	GradientsRest       int64 `json:"gradients_rest"`
	OptimizerEmbedding  int64 `json:"optimizer_embedding"`
	OptimizerRest       int64 `json:"optimizer_rest"`
	Activations         int64 `json:"activations"` // activations, batches and temporaries
}

// Sum is the peak that the ledger explains.
func (l Ledger) Sum() int64 {
	return l.ParametersEmbedding + l.ParametersRest + l.GradientsEmbedding + l.GradientsRest +
		l.OptimizerEmbedding + l.OptimizerRest + l.Activations
}

// Forecast is made from shapes alone before anything runs.
type Forecast struct {
	PeakAllocated int64  `json:"peak_allocated"`
	Ledger        Ledger `json:"ledger"`
}

// Epoch is an evaluation during training.
type Epoch struct {
	Epoch   float64 `json:"epoch"`
	Step    int     `json:"step"`
	Metrics Metrics `json:"metrics"`
}

// Time is in seconds of wall time.
type Time struct {
	Total      float64 `json:"total"`
	Encode     float64 `json:"encode"` // text to ids, or reading the cached ids
	Count      float64 `json:"count"`
	Select     float64 `json:"select"` // selection, remap, reading the rows
	Load       float64 `json:"load"`
	Train      float64 `json:"train"`
	Evaluate   float64 `json:"evaluate"`
	Restore    float64 `json:"restore"`
	StepMedian float64 `json:"step_median"`
}

// Environment is where a run took place.
type Environment struct {
	Code     string `json:"code"` // pema version and commit
	Host     string `json:"host"`
	OS       string `json:"os"`
	CPU      string `json:"cpu"`
	Device   string `json:"device"` // cpu, cuda:0 and its name
	Driver   string `json:"driver,omitempty"`
	Libtorch string `json:"libtorch"`
	Go       string `json:"go"`
	Threads  int    `json:"threads"`
	TF32     bool   `json:"tf32"`
}
