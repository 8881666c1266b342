package checkpoint

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pema/internal/wholefile"
)

func sources(t testing.TB, c *Checkpoint) []Source {
	t.Helper()
	var out []Source
	for _, n := range c.Names() {
		x, ok := c.Tensor(n)
		if !ok {
			t.Fatalf("tensor %q is named and not there", n)
		}
		out = append(out, x)
	}
	return out
}

func mustOpen(t testing.TB, path string) *Checkpoint {
	t.Helper()
	c, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// What the reference library wrote is written again to the byte, in whatever order the tensors come.
func TestWriteEqualsReferenceLibrary(t *testing.T) {
	for _, name := range []string{"reference.safetensors", "state.safetensors"} {
		want, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		c := mustOpen(t, filepath.Join("testdata", name))
		list := sources(t, c)
		slices.Reverse(list)
		path := filepath.Join(t.TempDir(), "out.safetensors")
		if err := Write(path, c.Metadata(), list); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(path); !bytes.Equal(got, want) {
			t.Errorf("%s:\n%.600q\nwant\n%.600q", name, got, want)
		}
	}
}

// wrong announces one length and writes another.
type wrong struct {
	Tensor
	n int
}

func (w wrong) WriteTo(to io.Writer) (int64, error) {
	n, err := to.Write(make([]byte, w.n))
	return int64(n), err
}

func TestWriteRefuses(t *testing.T) {
	x, err := NewTensor("x", F32, []int64{2}, make([]byte, 8))
	if err != nil {
		t.Fatal(err)
	}
	huge := Tensor{Name: "h", DType: F64, Shape: []int64{1 << 59}}
	huge2 := huge
	huge2.Name = "i"
	dir := t.TempDir()
	path := filepath.Join(dir, "model.safetensors")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, list := range map[string][]Source{
		"twice":        {x, x},
		"too few":      {wrong{x, 7}},
		"too many":     {wrong{x, 9}},
		"element type": {Tensor{Name: "x", DType: "F8"}},
		"not possible": {Tensor{Name: "x", DType: F32, Shape: []int64{-1}}},
		"not allowed":  {Tensor{Name: "__metadata__", DType: F32}},
		"too large":    {huge, huge2},
	} {
		if err := Write(path, nil, list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if want == "too large" {
			continue
		}
		if _, err := Hash(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("hash: %v, want %q", err, want)
		}
	}
	if err := wholefile.Write(path, func(w io.Writer) error { return errors.New("disk") }); err == nil {
		t.Error("an error is lost")
	}
	if b, _ := os.ReadFile(path); string(b) != "old" {
		t.Error("a failed write changed the file")
	}
	if e, _ := os.ReadDir(dir); len(e) != 1 {
		t.Errorf("a failed write left %v", e)
	}
	if err := Write(filepath.Join(dir, "gone", "x"), nil, nil); err == nil {
		t.Error("a file was written into no folder")
	}
	if _, err := NewTensor("x", F32, []int64{2}, make([]byte, 7)); err == nil {
		t.Error("a tensor of the wrong length was made")
	}
}

// Whatever is written is read back, under the same hash; and the hash sees every part.
func TestWriteReadLaw(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(r *rapid.T) {
		var list []Source
		for _, name := range rapid.SliceOfNDistinct(rapid.StringN(1, 12, 40), 0, 6, rapid.ID).Draw(r, "names") {
			dtype := rapid.SampledFrom(order).Draw(r, "dtype")
			shape := rapid.SliceOfN(rapid.Int64Range(0, 4), 0, 3).Draw(r, "shape")
			n, err := Info{name, dtype, shape}.Size()
			if err != nil {
				r.Fatal(err)
			}
			x, err := NewTensor(name, dtype, shape, rapid.SliceOfN(rapid.Byte(), int(n), int(n)).Draw(r, "bytes"))
			if err != nil {
				r.Fatal(err)
			}
			list = append(list, x)
		}
		metadata := rapid.MapOfN(rapid.String(), rapid.String(), 0, 3).Draw(r, "metadata")
		path := filepath.Join(dir, "x.safetensors")
		if err := Write(path, metadata, list); err != nil {
			r.Fatal(err)
		}
		c, err := OpenFile(path)
		if err != nil {
			r.Fatal(err)
		}
		defer c.Close()
		got := c.Metadata()
		for k, v := range metadata {
			if got[k] != v {
				r.Fatalf("metadata %q: %q, want %q", k, got[k], v)
			}
		}
		a, errA := Hash(list)
		b, errB := Hash(sources(t, c))
		if errA != nil || errB != nil || a != b || len(c.Names()) != len(list) {
			r.Fatal(a, b, errA, errB)
		}
		for i, x := range list {
			if len(x.(Tensor).data) == 0 {
				continue
			}
			changed := slices.Clone(list)
			y := x.(Tensor)
			y.data = slices.Clone(y.data)
			y.data[0]++
			changed[i] = y
			if h, _ := Hash(changed); h == a {
				r.Fatal("the hash does not see a byte")
			}
		}
	})
}
