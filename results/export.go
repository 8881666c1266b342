package results

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/parquet-go/parquet-go"
)

// real is a number that JSON may have to leave out: NaN and the infinities have no form there and become null. Parquet holds
// them as they are.
type real float64

// MarshalJSON writes null for what is not finite.
func (v real) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
		return []byte("null"), nil
	}
	return appendNumber(nil, float64(v)), nil
}

// row is one run as a line of a table; the metrics of the records follow as further columns, metric_accuracy and so on. Bytes
// are bytes, times are seconds. What a run does not have (a run that failed has no peak) is null.
type row struct {
	ID         string    `parquet:"id" json:"id"`
	State      string    `parquet:"state" json:"state"`
	Error      string    `parquet:"error" json:"error"`
	Spec       string    `parquet:"spec" json:"spec"`
	Measure    string    `parquet:"measure" json:"measure"`
	Model      string    `parquet:"model" json:"model"`
	Dataset    string    `parquet:"dataset" json:"dataset"`
	Variant    string    `parquet:"variant" json:"variant"`
	Seed       int64     `parquet:"seed" json:"seed"`
	Started    time.Time `parquet:"started,timestamp(microsecond)" json:"started"`
	Finished   time.Time `parquet:"finished,timestamp(microsecond)" json:"finished"`
	Weights    string    `parquet:"weights" json:"weights"`
	BatchSize  int64     `parquet:"batch_size" json:"batch_size"`
	MaxLength  int64     `parquet:"max_length" json:"max_length"`
	Padding    string    `parquet:"padding" json:"padding"`
	Optimizer  string    `parquet:"optimizer" json:"optimizer"`
	Rate       real      `parquet:"learning_rate" json:"learning_rate"`
	Epochs     real      `parquet:"epochs" json:"epochs"`
	Steps      int64     `parquet:"steps" json:"steps"`
	Decay      real      `parquet:"weight_decay" json:"weight_decay"`
	ClipNorm   real      `parquet:"clip_norm" json:"clip_norm"`
	Precision  string    `parquet:"precision" json:"precision"`
	Examples   int64     `parquet:"examples" json:"examples"` // of all splits
	Tokens     int64     `parquet:"tokens" json:"tokens"`
	NumLabels  int64     `parquet:"num_labels" json:"num_labels"`
	Rows       int64     `parquet:"vocabulary_rows" json:"vocabulary_rows"`
	Used       int64     `parquet:"vocabulary_used" json:"vocabulary_used"`
	Kept       int64     `parquet:"vocabulary_kept" json:"vocabulary_kept"`
	UsedSHA256 string    `parquet:"vocabulary_used_sha256" json:"vocabulary_used_sha256"`

	ParamEmbedding int64  `parquet:"parameters_embedding" json:"parameters_embedding"`
	ParamTotal     int64  `parquet:"parameters_total" json:"parameters_total"`
	FullEmbedding  int64  `parquet:"parameters_full_embedding" json:"parameters_full_embedding"`
	FullTotal      int64  `parquet:"parameters_full_total" json:"parameters_full_total"`
	Peak           *int64 `parquet:"peak_allocated,optional" json:"peak_allocated"`
	Reserved       *int64 `parquet:"peak_reserved,optional" json:"peak_reserved"`
	Forecast       *int64 `parquet:"peak_forecast,optional" json:"peak_forecast"`
	LedgerParamE   *int64 `parquet:"ledger_parameters_embedding,optional" json:"ledger_parameters_embedding"`
	LedgerParamR   *int64 `parquet:"ledger_parameters_rest,optional" json:"ledger_parameters_rest"`
	LedgerGradE    *int64 `parquet:"ledger_gradients_embedding,optional" json:"ledger_gradients_embedding"`
	LedgerGradR    *int64 `parquet:"ledger_gradients_rest,optional" json:"ledger_gradients_rest"`
	LedgerOptE     *int64 `parquet:"ledger_optimizer_embedding,optional" json:"ledger_optimizer_embedding"`
	LedgerOptR     *int64 `parquet:"ledger_optimizer_rest,optional" json:"ledger_optimizer_rest"`
	LedgerAct      *int64 `parquet:"ledger_activations,optional" json:"ledger_activations"`

	TimeTotal    real   `parquet:"time_total" json:"time_total"`
	TimeTrain    real   `parquet:"time_train" json:"time_train"`
	TimeEvaluate real   `parquet:"time_evaluate" json:"time_evaluate"`
	TimeSelect   real   `parquet:"time_select" json:"time_select"`
	TimeRestore  real   `parquet:"time_restore" json:"time_restore"`
	StepMedian   real   `parquet:"time_step_median" json:"time_step_median"`
	Code         string `parquet:"code" json:"code"`
	Host         string `parquet:"host" json:"host"`
	CPU          string `parquet:"cpu" json:"cpu"`
	Device       string `parquet:"device" json:"device"`
	Driver       string `parquet:"driver" json:"driver"`
	Libtorch     string `parquet:"libtorch" json:"libtorch"`
	Threads      int64  `parquet:"threads" json:"threads"`
	TF32         bool   `parquet:"tf32" json:"tf32"`

	SpecSHA256      string   `parquet:"spec_sha256" json:"spec_sha256"`
	WeightsSHA256   string   `parquet:"weights_sha256" json:"weights_sha256"` // of several files all, with commas
	TokenizerSHA256 string   `parquet:"tokenizer_sha256" json:"tokenizer_sha256"`
	DataSHA256      string   `parquet:"data_sha256" json:"data_sha256"`
	FinalWeights    string   `parquet:"final_weights" json:"final_weights"`
	Notes           []string `parquet:"notes,list" json:"notes"`
	Losses          []real   `parquet:"losses,list" json:"losses"`
	GradNorms       []real   `parquet:"grad_norms,list" json:"grad_norms"`
}

func rowOf(r *Record) row {
	t, p, d, e := r.Training, r.Parameters, r.Time, r.Environment
	x := row{
		ID: r.ID, State: string(r.State), Error: r.Error, Spec: r.Spec.Name, Measure: r.Spec.Measure, Model: r.Model, Dataset: r.Dataset, Variant: r.Variant, Seed: r.Seed,
		Started: r.Started.UTC(), Finished: r.Finished.UTC(),
		Weights: t.Weights, BatchSize: int64(t.BatchSize), MaxLength: int64(t.MaxLength), Padding: t.Padding, Optimizer: t.Optimizer, Rate: real(t.LearningRate),
		Epochs: real(t.Epochs), Steps: int64(t.Steps), Decay: real(t.WeightDecay), ClipNorm: real(t.ClipNorm), Precision: t.Precision,
		NumLabels: int64(r.Data.NumLabels), Rows: r.Vocabulary.Rows, Used: r.Vocabulary.Used, Kept: r.Vocabulary.Kept, UsedSHA256: r.Vocabulary.UsedSHA256,
		ParamEmbedding: p.Embedding, ParamTotal: p.Total, FullEmbedding: p.FullEmbedding, FullTotal: p.FullTotal,
		TimeTotal: real(d.Total), TimeTrain: real(d.Train), TimeEvaluate: real(d.Evaluate), TimeSelect: real(d.Select), TimeRestore: real(d.Restore), StepMedian: real(d.StepMedian),
		Code: e.Code, Host: e.Host, CPU: e.CPU, Device: e.Device, Driver: e.Driver, Libtorch: e.Libtorch, Threads: int64(e.Threads), TF32: e.TF32,
		SpecSHA256: r.Spec.SHA256, WeightsSHA256: r.sums("weights"), TokenizerSHA256: r.sums("tokenizer"), DataSHA256: r.sums("data"), FinalWeights: r.FinalWeights,
		Notes: r.Notes, Losses: reals(r.Losses), GradNorms: reals(r.GradNorms),
	}
	for _, s := range r.Data.Splits {
		x.Examples += s.Examples
		x.Tokens += s.Tokens
	}
	if m := r.Memory; m != nil {
		l := m.Ledger
		x.Peak, x.LedgerParamE, x.LedgerParamR, x.LedgerGradE, x.LedgerGradR = &m.PeakAllocated, &l.ParametersEmbedding, &l.ParametersRest, &l.GradientsEmbedding, &l.GradientsRest
		x.LedgerOptE, x.LedgerOptR, x.LedgerAct = &l.OptimizerEmbedding, &l.OptimizerRest, &l.Activations
		if m.PeakReserved > 0 {
			x.Reserved = &m.PeakReserved
		}
		if m.Forecast != nil {
			x.Forecast = &m.Forecast.PeakAllocated
		}
	}
	return x
}

// sums are the hashes of the inputs with a role.
func (r *Record) sums(role string) string {
	var out []string
	for _, in := range r.Inputs {
		if in.Role == role {
			out = append(out, in.SHA256)
		}
	}
	return strings.Join(out, ",")
}

func reals(f Floats) []real {
	out := make([]real, len(f)) // empty, not null
	for i, v := range f {
		out[i] = real(v)
	}
	return out
}

// rows makes the table: a struct of row's fields and one for each metric that any record has.
func rows(records []*Record) (typ reflect.Type, out []any) {
	names := map[string]bool{}
	for _, r := range records {
		for m := range r.Metrics {
			names[m] = true
		}
	}
	metrics := slices.Sorted(maps.Keys(names))
	plain := reflect.TypeFor[row]()
	var fields []reflect.StructField
	for i := range plain.NumField() {
		fields = append(fields, plain.Field(i))
	}
	taken := map[string]int{}
	for i, m := range metrics {
		name := column(m)
		if taken[name]++; taken[name] > 1 {
			name = fmt.Sprintf("%s_%d", name, taken[name])
		}
		fields = append(fields, reflect.StructField{Name: fmt.Sprintf("M%d", i), Type: reflect.TypeFor[*real](),
			Tag: reflect.StructTag(fmt.Sprintf(`parquet:"%s,optional" json:"%s"`, name, name))})
	}
	typ = reflect.StructOf(fields)
	for _, r := range records {
		v, x := reflect.New(typ).Elem(), reflect.ValueOf(rowOf(r))
		for i := range plain.NumField() {
			v.Field(i).Set(x.Field(i))
		}
		for i, m := range metrics {
			if value, ok := r.Metrics[m]; ok {
				f := real(value)
				v.Field(plain.NumField() + i).Set(reflect.ValueOf(&f))
			}
		}
		out = append(out, v.Addr().Interface())
	}
	return typ, out
}

// column is a metric's name as a column that needs no quotes: accuracy/validation_mismatched is metric_accuracy_validation_mismatched.
func column(metric string) string {
	return "metric_" + strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return r
		}
		return '_'
	}, metric)
}

// WriteParquet writes the records as one Parquet file, a row for each.
func WriteParquet(w io.Writer, records []*Record) error {
	typ, table := rows(records)
	p := parquet.NewWriter(w, parquet.SchemaOf(reflect.New(typ).Interface()), parquet.Compression(&parquet.Zstd), parquet.CreatedBy("pema", "1", ""))
	for i, x := range table {
		if err := p.Write(x); err != nil {
			return fmt.Errorf("export record %s: %w", records[i].ID, err)
		}
	}
	if err := p.Close(); err != nil {
		return fmt.Errorf("export records: %w", err)
	}
	return nil
}

// WriteJSONLines writes the same table with one JSON object a line.
func WriteJSONLines(w io.Writer, records []*Record) error {
	_, table := rows(records)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for i, x := range table {
		if err := e.Encode(x); err != nil {
			return fmt.Errorf("export record %s: %w", records[i].ID, err)
		}
	}
	return nil
}

// Export writes runs.parquet and runs.jsonl into the store's folder and, with events, each run's TensorBoard file into
// runs/<id>/. It returns the paths of the two tables.
func (s *Store) Export(records []*Record, events bool) (paths []string, err error) {
	for name, write := range map[string]func(io.Writer, []*Record) error{"runs.parquet": WriteParquet, "runs.jsonl": WriteJSONLines} {
		var b bytes.Buffer
		if err := write(&b, records); err != nil {
			return nil, err
		}
		path := filepath.Join(s.dir, name)
		if err := WriteFile(path, b.Bytes()); err != nil {
			return nil, fmt.Errorf("export: %w", err)
		}
		paths = append(paths, path)
	}
	slices.Sort(paths)
	if !events {
		return paths, nil
	}
	for _, r := range records {
		if err := s.writeEvents(r); err != nil {
			return nil, err
		}
	}
	return paths, nil
}
