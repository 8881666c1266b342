package results

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// WriteEvents writes a record as a TensorBoard event file: loss and gradient norm of each step, the evaluations after
// epochs, and at the last step the final metrics and the peak of memory. TensorBoard keeps float32. A record has no time of
// each step, so the steps are spread evenly over the training.
//
// The file is a TFRecord of tensorflow.Event messages (tensorflow/core/util/event.proto, tensorflow/core/framework/summary.proto).
func WriteEvents(w io.Writer, r *Record) error {
	e := eventWriter{w: w}
	begin := seconds(r.Finished) - r.Time.Train - r.Time.Evaluate - r.Time.Restore
	e.write(begin, 0, func(b []byte) []byte {
		b = protowire.AppendTag(b, 3, protowire.BytesType) // file_version
		return protowire.AppendString(b, "brain.Event:2")
	})
	at := func(step int) float64 { return begin + r.Time.Train*float64(step)/float64(max(len(r.Losses), 1)) }
	epochs := r.Epochs
	for i := range r.Losses {
		step := i + 1
		s := []scalar{{"train/loss", r.Losses[i]}}
		if i < len(r.GradNorms) {
			s = append(s, scalar{"train/grad_norm", r.GradNorms[i]})
		}
		for len(epochs) > 0 && epochs[0].Step <= step {
			s = append(s, scalars("epoch/", epochs[0].Metrics)...)
			epochs = epochs[1:]
		}
		e.scalars(at(step), step, s)
	}
	last := scalars("eval/", r.Metrics)
	if r.Memory != nil {
		last = append(last, scalar{"memory/peak_allocated", float64(r.Memory.PeakAllocated)})
	}
	if r.Vocabulary.Kept > 0 {
		last = append(last, scalar{"vocabulary/kept", float64(r.Vocabulary.Kept)})
	}
	e.scalars(seconds(r.Finished), len(r.Losses), last)
	return e.err
}

// writeEvents puts a run's event file into runs/<id>/, in place of the one of an earlier export.
func (s *Store) writeEvents(r *Record) error {
	dir := filepath.Join(s.dir, "runs", r.ID)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("export events: %w", err)
	}
	var b bytes.Buffer
	if err := WriteEvents(&b, r); err != nil {
		return fmt.Errorf("export events of %s: %w", r.ID, err)
	}
	name := fmt.Sprintf("events.out.tfevents.%010d.pema", r.Started.Unix())
	old, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*.pema"))
	if err != nil {
		return fmt.Errorf("export events: %w", err)
	}
	if err := WriteFile(filepath.Join(dir, name), b.Bytes()); err != nil {
		return fmt.Errorf("export events: %w", err)
	}
	for _, f := range old { // of a run that was made again
		if filepath.Base(f) != name {
			os.Remove(f) //nolint:errcheck // TensorBoard then shows both
		}
	}
	return nil
}

type scalar struct {
	tag   string
	value float64
}

func scalars(prefix string, m Metrics) []scalar {
	var out []scalar
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, scalar{prefix + k, m[k]})
	}
	return out
}

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

type eventWriter struct {
	w   io.Writer
	err error
}

func (e *eventWriter) scalars(wall float64, step int, s []scalar) {
	if len(s) == 0 {
		return
	}
	e.write(wall, step, func(b []byte) []byte {
		var summary []byte
		for _, x := range s {
			var value []byte
			value = protowire.AppendTag(value, 1, protowire.BytesType) // tag
			value = protowire.AppendString(value, x.tag)
			value = protowire.AppendTag(value, 2, protowire.Fixed32Type) // simple_value
			value = protowire.AppendFixed32(value, math.Float32bits(float32(x.value)))
			summary = protowire.AppendTag(summary, 1, protowire.BytesType)
			summary = protowire.AppendBytes(summary, value)
		}
		b = protowire.AppendTag(b, 5, protowire.BytesType) // summary
		return protowire.AppendBytes(b, summary)
	})
}

// write frames one event: length, masked CRC of the length, bytes, masked CRC of the bytes.
func (e *eventWriter) write(wall float64, step int, what func([]byte) []byte) {
	if e.err != nil {
		return
	}
	var event []byte
	event = protowire.AppendTag(event, 1, protowire.Fixed64Type) // wall_time
	event = protowire.AppendFixed64(event, math.Float64bits(wall))
	if step > 0 {
		event = protowire.AppendTag(event, 2, protowire.VarintType) // step
		event = protowire.AppendVarint(event, uint64(step))
	}
	event = what(event)
	frame := binary.LittleEndian.AppendUint64(nil, uint64(len(event)))
	frame = binary.LittleEndian.AppendUint32(frame, masked(frame))
	frame = append(frame, event...)
	frame = binary.LittleEndian.AppendUint32(frame, masked(event))
	_, e.err = e.w.Write(frame)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is the CRC-32C as TFRecord stores it, so that a CRC of data that holds CRCs stays good (tensorflow/core/lib/hash/crc32c.h).
func masked(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}
