package results

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"google.golang.org/protobuf/encoding/protowire"
)

// exported are records with all that makes an export hard: a failed run, numbers that JSON has not, metrics of other names.
func exported() []*Record {
	a, b, c := sample("r1"), sample("r2"), sample("r3")
	a.Losses = append(a.Losses, math.NaN(), math.Inf(1))
	a.GradNorms = Floats{1, 2, 3, 4, math.NaN(), math.Inf(1)}
	a.Metrics = Metrics{"accuracy": 0.75, "eval_loss": math.NaN(), "accuracy/validation_mismatched": 0.5}
	b.Metrics = Metrics{"matthews_correlation": -0.25}
	b.Model, b.Memory.PeakReserved = "häßlich/模型 \"x\"", 4096
	b.Inputs = append(b.Inputs, Input{Role: "weights", SHA256: "w1"}, Input{Role: "weights", SHA256: "w2"})
	c.State, c.Error, c.Memory, c.Metrics, c.Losses = Failed, "no <room>\nleft", nil, nil, nil
	return []*Record{a, b, c}
}

func TestParquetAndJSONLinesAreOneTable(t *testing.T) {
	var p, j bytes.Buffer
	if err := WriteParquet(&p, exported()); err != nil {
		t.Fatal(err)
	}
	if err := WriteJSONLines(&j, exported()); err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(p.Bytes()), int64(p.Len()))
	if err != nil {
		t.Fatal(err)
	}
	r := parquet.NewReader(f)
	defer r.Close()
	lines := strings.Split(strings.TrimSpace(j.String()), "\n")
	if len(lines) != 3 || f.NumRows() != 3 {
		t.Fatalf("%d lines, %d rows", len(lines), f.NumRows())
	}
	for i, line := range lines {
		fromParquet := map[string]any{}
		if err := r.Read(&fromParquet); err != nil {
			t.Fatal(err)
		}
		var fromJSON map[string]any
		if err := json.Unmarshal([]byte(line), &fromJSON); err != nil {
			t.Fatalf("line %d: %v", i, err)
		}
		if len(fromJSON) != len(fromParquet) {
			t.Errorf("row %d: %d columns and %d", i, len(fromJSON), len(fromParquet))
		}
		for _, k := range []string{"id", "state", "error", "model", "weights_sha256", "seed", "peak_allocated", "peak_reserved", "metric_accuracy", "metric_accuracy_validation_mismatched", "metric_matthews_correlation"} {
			b, _ := json.Marshal(fromParquet[k])
			var v any
			if err := json.Unmarshal(b, &v); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(v, fromJSON[k]); d != "" {
				t.Errorf("row %d, %s (-parquet +json):\n%s", i, k, d)
			}
		}
		if i == 0 {
			if v, ok := fromParquet["metric_eval_loss"].(float64); !ok || !math.IsNaN(v) || fromJSON["metric_eval_loss"] != nil {
				t.Errorf("NaN: %v in Parquet, %v in JSON", fromParquet["metric_eval_loss"], fromJSON["metric_eval_loss"])
			}
			if d := cmp.Diff([]any{0.1, float64(float32(0.7)), 1e-30, 123456789.125, nil, nil}, fromJSON["losses"]); d != "" {
				t.Error(d)
			}
		}
		if i == 2 && (fromJSON["peak_allocated"] != nil || fromJSON["metric_accuracy"] != nil || fromJSON["error"] != "no <room>\nleft") {
			t.Errorf("a failed run: %v", line)
		}
	}
}

// The bytes are those that TensorBoard 2.21's own RecordWriter wrote for the same two events.
func TestEventsAreTensorBoards(t *testing.T) {
	want, _ := hex.DecodeString("1800000000000000a37f4b220900002000de39da411a0d627261696e2e4576656e743a326e7f1f2720000000000000" +
		"0029eda9500900004000de39da4110032a130a110a0a747261696e2f6c6f7373150000003f89c11a2d")
	var b bytes.Buffer
	e := eventWriter{w: &b}
	e.write(1760000000.5, 0, func(b []byte) []byte {
		b = protowire.AppendTag(b, 3, protowire.BytesType)
		return protowire.AppendString(b, "brain.Event:2")
	})
	e.scalars(1760000001, 3, []scalar{{"train/loss", 0.5}})
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("got  %x\nwant %x", b.Bytes(), want)
	}
}

var interop = flag.String("export", "", "output folder in which TestExport leaves its records and exports, for interop/run.sh")

func TestExport(t *testing.T) {
	s := open(t)
	if *interop != "" {
		var err error
		if s, err = Open(*interop); err != nil {
			t.Fatal(err)
		}
		defer func() { // records too, for what reads them beside the tables
			for _, r := range exported() {
				if err := s.Write(r); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	for range 2 { // again in place
		paths, err := s.Export(exported(), true)
		if err != nil || len(paths) != 2 {
			t.Fatal(paths, err)
		}
	}
	events, err := filepath.Glob(filepath.Join(s.Dir(), "runs", "*", "events.out.tfevents.*"))
	if err != nil || len(events) != 3 {
		t.Fatalf("event files %v, %v", events, err)
	}
	data, err := os.ReadFile(events[0])
	if err != nil {
		t.Fatal(err)
	}
	frames := 0
	for ; len(data) > 0; frames++ {
		n := binary.LittleEndian.Uint64(data)
		event, sum := data[12:12+n], binary.LittleEndian.Uint32(data[12+n:])
		if masked(event) != sum || masked(data[:8]) != binary.LittleEndian.Uint32(data[8:]) {
			t.Fatalf("frame %d: checksum", frames)
		}
		data = data[16+n:]
	}
	if frames != 1+6+1 {
		t.Errorf("%d frames", frames)
	}
	if records, _, err := s.All(); err != nil || len(records) != 0 {
		t.Errorf("exports are taken for records: %v %v", records, err)
	}
}

// Whatever a record holds, both tables can be written.
func FuzzExport(f *testing.F) {
	f.Add("accuracy", 0.5, "a model")
	f.Add("a/b c\"`,", math.Inf(-1), "\x00\xff")
	f.Fuzz(func(t *testing.T, metric string, value float64, text string) {
		r := sample("r1")
		r.Metrics, r.Model, r.Notes = Metrics{metric: value, "accuracy": 1, metric + "_": 2}, text, []string{text}
		if err := WriteParquet(io.Discard, []*Record{r}); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := WriteJSONLines(&b, []*Record{r}); err != nil || !json.Valid(b.Bytes()) {
			t.Fatal(err, b.String())
		}
		if err := WriteEvents(io.Discard, r); err != nil {
			t.Fatal(err)
		}
	})
}
