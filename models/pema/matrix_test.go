package pema

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pema/models/checkpoint"
)

func floats(v ...float32) []byte {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

func tensor(t testing.TB, name string, dtype checkpoint.DType, shape []int64, data []byte) checkpoint.Tensor {
	t.Helper()
	x, err := checkpoint.NewTensor(name, dtype, shape, data)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func stream(t testing.TB, s checkpoint.Source) []byte {
	t.Helper()
	var b bytes.Buffer
	if n, err := s.WriteTo(&b); err != nil || n != int64(b.Len()) {
		t.Fatal(n, b.Len(), err)
	}
	return b.Bytes()
}

// rows4 is a 4 x 4 matrix whose row i is filled with v[i].
func rows4(t testing.TB, v ...float32) checkpoint.Tensor {
	var all []float32
	for _, x := range v {
		all = append(all, x, x, x, x)
	}
	return tensor(t, "embeddings.weight", checkpoint.F32, []int64{int64(len(v)), 4}, floats(all...))
}

// The four cases of the official code's tests: rows 1, 2, 3, 4, of which [3, 1] are selected. There a selection need not be
// sorted; here it ascends, so the trained 5 (row 3) and 6 (row 1) come in the other order.
func TestOfficialCases(t *testing.T) {
	original := rows4(t, 1, 2, 3, 4)
	got := make([]byte, 2*16)
	if err := Gather(got, original, []int32{3, 1}); err != nil || !bytes.Equal(got, rows4(t, 4, 2).Bytes()) { // prepare
		t.Error(got, err)
	}
	s, err := Select([]int32{3, 1}, nil, 4)
	if err != nil {
		t.Fatal(err)
	}
	full, err := Full(rows4(t, 6, 5), s, original) // restore and state_dict
	if err != nil {
		t.Fatal(err)
	}
	if got := stream(t, full); !bytes.Equal(got, rows4(t, 1, 6, 3, 5).Bytes()) {
		t.Error(got)
	}
	if err := Gather(got, rows4(t, 5, 6, 7, 8), []int32{3, 1}); err != nil || !bytes.Equal(got, rows4(t, 8, 6).Bytes()) { // load_state_dict
		t.Error(got, err)
	}
}

// dribble streams a tensor in pieces of n bytes, which end anywhere in a row.
type dribble struct {
	checkpoint.Tensor
	n int
}

func (d dribble) WriteTo(w io.Writer) (int64, error) {
	for b := range slices.Chunk(d.Bytes(), d.n) {
		if n, err := w.Write(b); err != nil || n != len(b) {
			return 0, fmt.Errorf("%d of %d: %w", n, len(b), err)
		}
	}
	return int64(len(d.Bytes())), nil
}

// Reduce, train, restore: the kept rows are the trained ones, every other row is the original's to the bit.
func TestFullLaw(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		rows, width := rapid.Int64Range(1, 60).Draw(r, "rows"), rapid.Int64Range(0, 5).Draw(r, "width")
		types := rapid.SampledFrom([][2]checkpoint.DType{{"F32", "F32"}, {"F16", "F16"}, {"F16", "F32"}, {"BF16", "F32"}, {"F32", "F64"}, {"I8", "I8"}}).Draw(r, "types")
		from, to := types[0], types[1]
		bytesOf := func(label string, n int64) []byte {
			return rapid.SliceOfN(rapid.ByteRange(0, 0x3b), int(n), int(n)).Draw(r, label) // no NaN in any type
		}
		original := tensor(t, "e", from, []int64{rows, width}, bytesOf("original", rows*width*from.Size()))
		s, err := Select(rapid.SliceOfN(rapid.Int32Range(0, int32(rows-1)), 1, 40).Draw(r, "used"), nil, rows)
		if err != nil {
			r.Fatal(err)
		}
		kept := int64(len(s.IDs))
		gathered := make([]byte, kept*width*from.Size())
		if err := Gather(gathered, original, s.IDs); err != nil {
			r.Fatal(err)
		}
		if from == to {
			same, err := Full(tensor(t, "e", to, []int64{kept, width}, gathered), s, original)
			if err != nil {
				r.Fatal(err)
			}
			if !bytes.Equal(stream(t, same), original.Bytes()) {
				r.Fatal("untrained rows do not lead back")
			}
		}
		trained := tensor(t, "e", to, []int64{kept, width}, bytesOf("trained", kept*width*to.Size()))
		full, err := Full(dribble{trained, rapid.IntRange(1, 9).Draw(r, "piece")}, s, original)
		if err != nil {
			r.Fatal(err)
		}
		want := make([]byte, rows*width*to.Size())
		if err := checkpoint.Widen(want, to, original.Bytes(), from); err != nil {
			r.Fatal(err)
		}
		line := width * to.Size()
		for i, id := range s.IDs {
			copy(want[int64(id)*line:], trained.Bytes()[int64(i)*line:int64(i+1)*line])
		}
		if i := full.Info(); i.Name != "e" || i.DType != to || i.Shape[0] != rows || i.Shape[1] != width {
			r.Fatal(i)
		}
		if !bytes.Equal(stream(t, full), want) {
			r.Fatal("the restored matrix differs")
		}
	})
}

func TestMatrixRefuses(t *testing.T) {
	original := rows4(t, 1, 2, 3, 4)
	s, err := Select([]int32{1, 3}, nil, 4)
	if err != nil {
		t.Fatal(err)
	}
	five, err := Select([]int32{1, 3}, nil, 5)
	if err != nil {
		t.Fatal(err)
	}
	line := tensor(t, "e", checkpoint.F32, []int64{8}, make([]byte, 32))
	narrow := tensor(t, "e", checkpoint.F32, []int64{2, 2}, make([]byte, 16))
	halves := tensor(t, "e", checkpoint.F16, []int64{2, 4}, make([]byte, 16))
	for want, f := range map[string]func() error{
		"a matrix is needed": func() error { return Gather(make([]byte, 32), line, []int32{1}) },
		"bytes for 1 rows":   func() error { return Gather(make([]byte, 15), original, []int32{1}) },
		"row 4 is outside":   func() error { return Gather(make([]byte, 32), original, []int32{0, 4}) },
		"row -1 is outside":  func() error { return Gather(make([]byte, 16), original, []int32{-1}) },
		"4 rows, the selection is of 5": func() error {
			_, err := Full(rows4(t, 1, 2), five, original)
			return err
		},
		"3 rows for 2 kept": func() error { _, err := Full(rows4(t, 1, 2, 3), s, original); return err },
		"2 wide":            func() error { _, err := Full(narrow, s, original); return err },
		"only wider floats": func() error { _, err := Full(halves, s, original); return err },
		"original: tensor":  func() error { _, err := Full(rows4(t, 1, 2), s, line); return err },
		"no tensor is called x": func() error {
			_, err := Restored([]checkpoint.Source{original}, "x", s, original)
			return err
		},
		"ended early": func() error {
			x, err := Full(short{rows4(t, 1, 2), 31}, s, original)
			if err == nil {
				_, err = x.WriteTo(io.Discard)
			}
			return err
		},
		"longer than": func() error {
			x, err := Full(short{rows4(t, 1, 2), 33}, s, original)
			if err == nil {
				_, err = x.WriteTo(io.Discard)
			}
			return err
		},
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// short writes n bytes, whatever it announces.
type short struct {
	checkpoint.Tensor
	n int
}

func (s short) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(make([]byte, s.n))
	return int64(n), err
}

func TestOriginalFindsThePrefix(t *testing.T) {
	make1 := func(names ...string) *checkpoint.Checkpoint {
		path := filepath.Join(t.TempDir(), "model.safetensors")
		var list []checkpoint.Source
		for _, n := range names {
			list = append(list, tensor(t, n, checkpoint.F32, []int64{1, 1}, floats(1)))
		}
		if err := checkpoint.Write(path, nil, list); err != nil {
			t.Fatal(err)
		}
		c, err := checkpoint.OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	const short, long = "embeddings.word_embeddings.weight", "bert.embeddings.word_embeddings.weight"
	for _, x := range []struct {
		file       *checkpoint.Checkpoint
		name, want string
	}{
		{make1(short, "x"), long, short},
		{make1(long, "x"), short, long},
		{make1(long, short), long, long},
		{make1("x"), long, ""},
		{make1("a."+short, "b."+short), short, ""},
	} {
		got, err := Original(x.file, x.name)
		if got.Name != x.want || (err == nil) != (x.want != "") {
			t.Errorf("%s among %q: %q, %v", x.name, x.file.Names(), got.Name, err)
		}
	}
}

// status reads a line of /proc/self/status, in bytes.
func status(t *testing.T, key string) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Skipf("%s is not told", key)
	return 0
}

// A file of 1 GB, without holes to the reader and almost without blocks on disk: reading 1,000 rows of its matrix, and streaming
// the whole restored matrix, leave the process small.
func TestFullMatrixIsNeverResident(t *testing.T) {
	const rows, width = 349_525, 768 // 1.07 GB of float32
	size := int64(rows * width * 4)
	header := fmt.Sprintf(`{"e":{"dtype":"F32","shape":[%d,%d],"data_offsets":[0,%d]}}`, rows, width, size)
	path := filepath.Join(t.TempDir(), "model.safetensors")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	var ids []int32
	for i := range 1000 {
		ids = append(ids, int32(i*349+i%7))
	}
	start := int64(8 + len(header))
	_, err = f.Write(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...))
	for i, id := range ids {
		if err == nil {
			_, err = f.WriteAt(floats(float32(i+1)), start+int64(id)*width*4)
		}
	}
	if err == nil {
		err = f.Truncate(start + size)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()

	before := status(t, "VmHWM")
	c, err := checkpoint.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	e, ok := c.Tensor("e")
	if !ok {
		t.Fatal(c.Names())
	}
	b := make([]byte, len(ids)*width*4)
	if err := Gather(b, e, ids); err != nil {
		t.Fatal(err)
	}
	for i := range ids {
		if got := math.Float32frombits(binary.LittleEndian.Uint32(b[i*width*4:])); got != float32(i+1) {
			t.Fatalf("row %d begins with %v", i, got)
		}
	}
	if grown := status(t, "VmHWM") - before; grown > 16<<20 {
		t.Errorf("reading 1,000 rows (3 MB) made the peak grow by %d bytes", grown)
	}
	s, err := Select(ids, nil, rows)
	if err != nil {
		t.Fatal(err)
	}
	full, err := Full(tensor(t, "e", checkpoint.F32, []int64{int64(len(s.IDs)), width}, b), s, e)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := full.WriteTo(io.Discard); err != nil || n != size {
		t.Fatal(n, err)
	}
	if grown := status(t, "VmHWM") - before; grown > 32<<20 {
		t.Errorf("streaming the full matrix made the peak grow by %d bytes", grown)
	}
	t.Logf("peak resident %d MB, file %d MB", status(t, "VmHWM")>>20, size>>20)
}
