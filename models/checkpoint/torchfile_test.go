package checkpoint

import (
	"archive/zip"
	"bytes"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// The same state dict as torch.save wrote it in both its forms and as the reference library wrote it.
func TestTorchFilesHoldWhatTorchSaved(t *testing.T) {
	want := mustOpen(t, "testdata/state.safetensors")
	for _, name := range []string{"zip.bin", "legacy.bin"} {
		c := mustOpen(t, filepath.Join("testdata", name))
		if len(c.Names()) != len(want.Names()) {
			t.Errorf("%s: %q", name, c.Names())
		}
		for _, n := range want.Names() {
			w, _ := want.Tensor(n)
			g, ok := c.Tensor(n)
			if !ok || g.DType != w.DType || fmt.Sprint(g.Shape) != fmt.Sprint(w.Shape) || !bytes.Equal(g.Bytes(), w.Bytes()) {
				t.Errorf("%s: %s: %v %s %v %v", name, n, ok, g.DType, g.Shape, g.Bytes())
			}
			p := make([]byte, len(w.Bytes()))
			if len(p) > 0 {
				if _, err := g.ReadAt(p, 0); err != nil || !bytes.Equal(p, w.Bytes()) {
					t.Errorf("%s: %s: read past the map: %v %v", name, n, p, err)
				}
			}
		}
		a, errA := Hash(sources(t, want))
		b, errB := Hash(sources(t, c))
		if a != b || errA != nil || errB != nil {
			t.Error(name, a, b, errA, errB)
		}
	}
}

func TestOpenFallsBackToTorchFiles(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile("testdata/zip.bin")
	if err != nil {
		t.Fatal(err)
	}
	put("shard-1.bin", b)
	put("pytorch_model.bin.index.json", []byte(`{"weight_map":{"tied.weight":"shard-1.bin"}}`))
	try := func(files, names int) {
		t.Helper()
		c, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if len(c.Files()) != files || len(c.Names()) != names {
			t.Errorf("%q: %q", c.Files(), c.Names())
		}
	}
	try(1, 19)
	put("pytorch_model.bin", b)
	try(1, 19)
	put("model.safetensors", safetensors(sound, 24))
	try(1, 2)
}

// torchFile wraps a pickle as torch.save does.
func torchFile(code string, entries map[string]string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	add := func(name, data string) {
		h := &zip.FileHeader{Name: "a/" + name, Method: zip.Store}
		h.CompressedSize64, h.UncompressedSize64, h.CRC32 = uint64(len(data)), uint64(len(data)), crc32.ChecksumIEEE([]byte(data))
		w, err := z.CreateRaw(h)
		if err == nil {
			_, err = w.Write([]byte(data))
		}
		if err != nil {
			panic(err)
		}
	}
	add("data.pkl", code)
	for name, data := range entries {
		add(name, data)
	}
	z.Close()
	return b.Bytes()
}

func text(s string) string {
	return fmt.Sprintf("X%c%c\x00\x00%s", len(s)&255, len(s)>>8, s)
}

// program is the pickle of one tensor over storage 0 of class with numel elements.
func program(class string, numel, offset int, shape, stride string) string {
	return "\x80\x02}" + text("x") + "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + "ctorch\n" + class + "\n" + text("0") + text("cpu") +
		fmt.Sprintf("K%ctQK%c", numel, offset) + shape + stride + "\x89}tRs."
}

func TestHostileTorchFiles(t *testing.T) {
	data := map[string]string{"data/0": strings.Repeat("\x00", 16)}
	good := program("FloatStorage", 4, 0, "K\x02K\x02\x86", "K\x02K\x01\x86")
	list, _, err := parse(torchFile(good, data))
	if err != nil || len(list) != 1 || len(list[0].Bytes()) != 16 {
		t.Fatal(list, err)
	}
	flipped := torchFile(good, data)
	flipped[bytes.Index(flipped, []byte("storage"))+1] ^= 1
	deflated := func() []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		w, _ := z.Create("a/data.pkl")
		w.Write([]byte(good))
		z.Close()
		return b.Bytes()
	}()
	system, err := os.ReadFile("testdata/system.bin")
	if err != nil {
		t.Fatal(err)
	}
	module, err := os.ReadFile("testdata/module.bin")
	if err != nil {
		t.Fatal(err)
	}
	strided, err := os.ReadFile("testdata/strided.bin")
	if err != nil {
		t.Fatal(err)
	}
	legacy, err := os.ReadFile("testdata/legacy.bin")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"os.system":         {system, `"posix.system"`},
		"module":            {module, "torch.nn.modules.linear.Linear"},
		"transposed":        {strided, "contiguous"},
		"eval":              {torchFile("\x80\x02c__builtin__\neval\n"+text("1")+"\x85R.", nil), "__builtin__.eval"},
		"getattr by dots":   {torchFile("\x80\x02ctorch._utils._rebuild_tensor_v2\n__globals__\n.", nil), "refused"},
		"inst":              {torchFile("\x80\x02(iposix\nsystem\n.", nil), "0x69"},
		"stack global":      {torchFile("\x80\x02"+text("os")+text("system")+"\x93.", nil), "0x93"},
		"extension":         {torchFile("\x80\x02\x82\x01.", nil), "0x82"},
		"protocol 4":        {torchFile("\x80\x04.", nil), "protocol 4"},
		"call of a dict":    {torchFile("\x80\x02})R.", nil), "no function"},
		"storage called":    {torchFile("\x80\x02ctorch\nFloatStorage\n)R.", nil), "wrong arguments"},
		"huge long":         {torchFile("\x80\x02\x8b\xff\xff\xff\x7f.", nil), "0x8b"},
		"long string":       {torchFile("\x80\x02X\xff\xff\xff\xff.", nil), "ends early"},
		"memo gap":          {torchFile("\x80\x02Nr\xff\xff\xff\xff.", nil), "memo"},
		"memo unset":        {torchFile("\x80\x02h\x07.", nil), "memo"},
		"memo of nothing":   {torchFile("\x80\x02q\x00.", nil), "empty"},
		"pop of nothing":    {torchFile("\x80\x02.", nil), "empty"},
		"tuple over mark":   {torchFile("\x80\x02N(\x85.", nil), "empty"},
		"no mark":           {torchFile("\x80\x02Nt.", nil), "mark"},
		"append to dict":    {torchFile("\x80\x02}Na.", nil), "no list"},
		"odd items":         {torchFile("\x80\x02}("+text("a")+"u.", nil), "no list"},
		"key of a tensor":   {torchFile("\x80\x02}K\x01Ns.", nil), "strings are expected"},
		"build of a tuple":  {torchFile("\x80\x02)}b.", nil), "attributes"},
		"nothing":           {torchFile("", nil), "ends early"},
		"trailing":          {torchFile(good+"N", data), "after its end"},
		"a list":            {torchFile("\x80\x02].", nil), "dict of tensors"},
		"nested":            {torchFile("\x80\x02}"+text("model")+"}s.", nil), "plain state dict"},
		"deep":              {torchFile("\x80\x02"+strings.Repeat("(", 1<<20)+strings.Repeat("t", 1<<20)+".", nil), "dict of tensors"},
		"deep lists":        {torchFile("\x80\x02"+strings.Repeat("]", 1<<20)+strings.Repeat("a", 1<<20-1)+".", nil), "dict of tensors"},
		"memo bomb":         {torchFile("\x80\x02]q\x00"+strings.Repeat("(h\x00h\x00h\x00h\x00e", 1<<16)+".", nil), "dict of tensors"},
		"too long":          {torchFile("\x80\x02"+strings.Repeat("N", maxPickle)+".", nil), "at most"},
		"storage too short": {torchFile(program("FloatStorage", 5, 0, "K\x02\x85", "K\x01\x85"), data), "has 16 bytes for 5"},
		"storage missing":   {torchFile(good, nil), "missing"},
		"over storage":      {torchFile(program("FloatStorage", 4, 3, "K\x02\x85", "K\x01\x85"), data), "does not fit"},
		"negative":          {torchFile(program("FloatStorage", 4, 0, "J\xff\xff\xff\xff\x85", "K\x01\x85"), data), "not possible"},
		"stride of zero":    {torchFile(program("FloatStorage", 4, 0, "K\x02\x85", "K\x00\x85"), data), "contiguous"},
		"huge stride":       {torchFile(program("FloatStorage", 4, 0, "K\x02\x85", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85"), data), "contiguous"},
		"fewer strides":     {torchFile(program("FloatStorage", 4, 0, "K\x02K\x02\x86", "K\x01\x85"), data), "with strides"},
		"shape of strings":  {torchFile(program("FloatStorage", 4, 0, text("2")+"\x85", "K\x01\x85"), data), "wrong arguments"},
		"complex":           {torchFile(program("ComplexFloatStorage", 2, 0, "K\x02\x85", "K\x01\x85"), data), "ComplexFloatStorage"},
		"big-endian":        {torchFile(good, map[string]string{"byteorder": "big"}), "little-endian"},
		"flipped":           {flipped, "checksum"},
		"compressed":        {deflated, "compressed"},
		"cut":               {torchFile(good, data)[:300], "truncated"},
		"no pickle":         {[]byte("PK\x03\x04"), "truncated"},
		"legacy cut":        {legacy[:len(legacy)-1], "truncated"},
		"legacy rest":       {append(legacy[:len(legacy):len(legacy)], 0), "fill the file"},
		"legacy start":      {legacy[:40], "ends early"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := parse(c.b)
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 400 {
			t.Errorf("%s: %.500v, want %q", name, err, c.want)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 256<<20 {
			t.Errorf("%s: %d bytes were allocated", name, n)
		}
	}
}

// FuzzPickle finds programs faster than FuzzWeights, which has to keep a zip file's checksum right.
func FuzzPickle(f *testing.F) {
	f.Add([]byte(program("FloatStorage", 4, 0, "K\x02K\x02\x86", "K\x02K\x01\x86")))
	f.Add([]byte("\x80\x02]q\x00(h\x00h\x00e."))
	f.Add([]byte("\x80\x02G\x00\x00\x00\x00\x00\x00\x00\x00M\x01\x02\x86."))
	z := mustZip(f, "testdata/zip.bin")
	f.Add(z)
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &stateDict{map[string]*storage{}}
		v, rest, err := s.machine().run(b)
		if err != nil {
			return
		}
		if len(rest) > len(b) {
			t.Fatal("more is left than there was")
		}
		at := int64(0)
		for _, st := range s.storages {
			st.offset = at
			at += min(st.numel, 1<<20) * st.dtype.Size()
			if st.numel > 1<<20 {
				return
			}
		}
		if list, err := s.tensors(v, make([]byte, at)); err == nil {
			for _, x := range list {
				if size, err := x.Info().Size(); err != nil || size != int64(len(x.Bytes())) {
					t.Fatal(x.Info(), size, err)
				}
			}
		}
	})
}

func mustZip(f *testing.F, path string) []byte {
	r, err := zip.OpenReader(path)
	if err != nil {
		f.Fatal(err)
	}
	defer r.Close()
	for _, e := range r.File {
		if !strings.HasSuffix(e.Name, "/data.pkl") {
			continue
		}
		var b bytes.Buffer
		w, err := e.Open()
		if err == nil {
			_, err = b.ReadFrom(w)
		}
		if err != nil {
			f.Fatal(err)
		}
		return b.Bytes()
	}
	f.Fatal("no data.pkl")
	return nil
}
