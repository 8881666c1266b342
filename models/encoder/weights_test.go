package encoder

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pema/models/checkpoint"
	"pema/models/torch"
)

// Shards, half precision and PyTorch's own files give the same rows.
func TestSelectedRowsOfAnyFile(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	rows := []int32{0, 3, 4, 5, 39}
	read := func(form string, rows []int32) []float32 {
		c, err := checkpoint.Open(filepath.Join("testdata", "matrix", form))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		x, err := (&File{Checkpoint: c, Rows: rows}).Tensor("bert."+wordEmbeddings, nil)
		if err != nil {
			t.Fatal(form, err)
		}
		defer x.Drop()
		v, err := x.Floats()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	all := read("float32", nil)
	var want []float32
	for _, r := range rows {
		want = append(want, all[6*r:6*r+6]...)
	}
	for _, form := range []string{"float32", "bfloat16-shards", "float16-bin"} {
		if !slices.Equal(read(form, nil), all) || !slices.Equal(read(form, rows), want) {
			t.Errorf("%s: other values", form)
		}
	}
}

// Loading with PEMA from a file whose embedding matrix has 1 GiB never holds that matrix: the peak of the resident memory of
// a process that does nothing else says so.
func TestLoadingHoldsNoFullMatrix(t *testing.T) {
	const rows, h, inner = 1 << 19, 512, 64
	if dir := os.Getenv("PEMA_TEST_LOAD"); dir != "" {
		loadReduced(t, dir, rows)
		return
	}
	dir := t.TempDir()
	config := map[string]any{"model_type": "bert", "vocab_size": rows, "hidden_size": h, "num_hidden_layers": 1, "num_attention_heads": 8, "intermediate_size": inner,
		"max_position_embeddings": 16, "type_vocab_size": 2, "pad_token_id": 0}
	b, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	header, size := map[string]any{}, 0
	add := func(name string, shape ...int) {
		n := 4
		for _, d := range shape {
			n *= d
		}
		header["bert."+name] = map[string]any{"dtype": "F32", "shape": shape, "data_offsets": []int{size, size + n}}
		size += n
	}
	add(wordEmbeddings, rows, h)
	add("embeddings.position_embeddings.weight", 16, h)
	add("embeddings.token_type_embeddings.weight", 2, h)
	for _, n := range []string{"embeddings.LayerNorm", "encoder.layer.0.attention.output.LayerNorm", "encoder.layer.0.output.LayerNorm"} {
		add(n+".weight", h)
		add(n+".bias", h)
	}
	for n, d := range map[string][2]int{"attention.self.query": {h, h}, "attention.self.key": {h, h}, "attention.self.value": {h, h},
		"attention.output.dense": {h, h}, "intermediate.dense": {inner, h}, "output.dense": {h, inner}} {
		add("encoder.layer.0."+n+".weight", d[0], d[1])
		add("encoder.layer.0."+n+".bias", d[0])
	}
	if b, err = json.Marshal(header); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "model.safetensors")
	if err := os.WriteFile(path, append(binary.LittleEndian.AppendUint64(nil, uint64(len(b))), b...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(8+len(b)+size)); err != nil { // a hole: no disk is used
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, "-test.run", "^"+t.Name()+"$", "-test.v")
	c.Env = append(os.Environ(), "PEMA_TEST_LOAD="+dir)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func loadReduced(t *testing.T, dir string, rows int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := peakResident(t)
	cfg, err := checkpoint.ReadConfig(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	w, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var keep []int32
	for i := 0; i < rows; i += rows / 5000 {
		keep = append(keep, int32(i))
	}
	m, err := New(cfg, &File{Checkpoint: w, Rows: keep}, Options{Labels: 2, Device: torch.CPU, Rows: int64(len(keep))})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	matrix := int64(len(keep)) * 512 * 4
	if grown := peakResident(t) - before; grown < matrix || grown > 64<<20 {
		t.Fatalf("the peak of the resident memory grew by %d bytes for %d of selected rows", grown, matrix)
	}
}

// peakResident is the highest resident memory of this process so far, in bytes.
func peakResident(t *testing.T) int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	var kB int64
	if _, err := fmt.Sscan(rest, &kB); err != nil {
		t.Fatal(err)
	}
	return kB << 10
}
