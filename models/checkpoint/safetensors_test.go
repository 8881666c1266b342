package checkpoint

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func safetensors(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

const sound = `{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"I64","shape":[1],"data_offsets":[16,24]},"__metadata__":{"format":"pt"}}`

func TestHostileSafetensors(t *testing.T) {
	list, metadata, err := parse(safetensors(sound, 24))
	if err != nil || len(list) != 2 || list[0].Name != "a" || len(list[1].Bytes()) != 8 || metadata["format"] != "pt" {
		t.Fatal(list, metadata, err)
	}
	one := func(dtype, shape, offsets string) string {
		return fmt.Sprintf(`{"a":{"dtype":%s,"shape":%s,"data_offsets":%s}}`, dtype, shape, offsets)
	}
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"truncated data":    {safetensors(sound, 23), "outside"},
		"outside":           {safetensors(one(`"F32"`, "[1]", "[1000000,1000004]"), 4), "outside"},
		"overlap":           {safetensors(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}`, 6), "begins"},
		"same range":        {safetensors(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4), "begins"},
		"hole":              {safetensors(one(`"F32"`, "[1]", "[4,8]"), 8), "begins"},
		"rest":              {safetensors(one(`"F32"`, "[1]", "[0,4]"), 8), "belong"},
		"negative shape":    {safetensors(one(`"F32"`, "[-1]", "[0,4]"), 4), "shape"},
		"negative offset":   {safetensors(one(`"F32"`, "[1]", "[-4,0]"), 4), "data_offsets"},
		"reversed":          {safetensors(one(`"F32"`, "[1]", "[4,0]"), 4), "outside"},
		"overflow":          {safetensors(one(`"F32"`, "[4611686018427387904,4]", "[0,0]"), 0), "shape"},
		"overflow of empty": {safetensors(one(`"F32"`, "[0,4611686018427387904,4]", "[0,0]"), 0), "shape"},
		"huge number":       {safetensors(one(`"F32"`, "[99999999999999999999]", "[0,4]"), 4), "shape"},
		"fraction":          {safetensors(one(`"F32"`, "[1.0]", "[0,4]"), 4), "whole number"},
		"shape of strings":  {safetensors(one(`"F32"`, `["1"]`, "[0,4]"), 4), "whole number"},
		"many dimensions":   {safetensors(one(`"F32"`, "["+strings.Repeat("1,", 99)+"1]", "[0,4]"), 4), "more than 64"},
		"dtype":             {safetensors(one(`"Q4"`, "[1]", "[0,4]"), 4), "element type"},
		"dtype number":      {safetensors(one(`7`, "[1]", "[0,4]"), 4), "string"},
		"dtype null":        {safetensors(one(`null`, "[1]", "[0,4]"), 4), "string"},
		"wrong size":        {safetensors(one(`"F64"`, "[1]", "[0,4]"), 4), "needed"},
		"three offsets":     {safetensors(one(`"F32"`, "[1]", "[0,4,4]"), 4), "more than 2"},
		"one offset":        {safetensors(one(`"F32"`, "[1]", "[0]"), 4), "two numbers"},
		"no shape":          {safetensors(`{"a":{"dtype":"F32","data_offsets":[0,4]}}`, 4), "needed"},
		"unknown key":       {safetensors(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}`, 4), "not known"},
		"key twice":         {safetensors(`{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4), "twice"},
		"name twice":        {safetensors(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4), "twice"},
		"long name":         {safetensors(`{"`+strings.Repeat("a", 2000)+`":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4), "name of 2000"},
		"metadata number":   {safetensors(`{"__metadata__":{"a":1}}`, 0), "string"},
		"deep":              {safetensors(strings.Repeat(`{"a":`, 100000), 0), "not known"},
		"list":              {safetensors(`[]`, 0), "expected"},
		"text after":        {safetensors(`{} {}`, 0), "text after"},
		"not utf-8":         {safetensors("{\"\xff\":1}", 0), "UTF-8"},
		"cut json":          {safetensors(`{"a":`, 0), "unexpected EOF"},
		"over limit":        {binary.LittleEndian.AppendUint64(nil, 1<<62), "at most"},
		"long header":       {binary.LittleEndian.AppendUint64(nil, 1000), "fit"},
		"eight zeros":       {make([]byte, 8), "EOF"},
		"empty":             {nil, "truncated"},
	} {
		if _, _, err := parse(c.b); err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 400 {
			t.Errorf("%s: %.500v, want %q", name, err, c.want)
		}
	}
}

// A header of 100 MB costs neither its own size nor a multiple of it before the first wrong entry stops it.
func TestHugeHeaderIsNotCopied(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(append(binary.LittleEndian.AppendUint64(nil, maxHeader), `{"a":{"dtype":"F32","shape":[`...)); err != nil {
		t.Fatal(err)
	}
	ones := []byte(strings.Repeat("1,", 1<<19))
	for range 95 {
		if _, err := f.Write(ones); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(8 + maxHeader); err != nil {
		t.Fatal(err)
	}
	f.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = OpenFile(path)
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "more than 64") {
		t.Error(err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes were allocated", n)
	}
}

func TestShardIndex(t *testing.T) {
	part := func(name string) []byte {
		return safetensors(`{"`+name+`":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4)
	}
	folder := func(index string, files map[string][]byte) string {
		dir := t.TempDir()
		if index != "" {
			files["model.safetensors.index.json"] = []byte(index)
		}
		for name, b := range files {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	dir := folder(`{"metadata":{"total_size":8},"weight_map":{"a":"2.safetensors","b":"1.safetensors"}}`,
		map[string][]byte{"1.safetensors": part("b"), "2.safetensors": part("a")})
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(c.Names(), len(c.Files()), c.Dir() == dir); got != "[b a] 2 true" {
		t.Error(got)
	}
	sum, err := c.SHA256()
	if err != nil || len(sum) != 64 {
		t.Error(sum, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for name, x := range map[string]struct{ dir, want string }{
		"no weights":    {folder("", map[string][]byte{}), "none of model.safetensors"},
		"no folder":     {filepath.Join(dir, "gone"), "no such file"},
		"file":          {filepath.Join(dir, "1.safetensors"), "is a file"},
		"parent":        {folder(`{"weight_map":{"a":"../x.safetensors"}}`, map[string][]byte{}), "plain file name"},
		"dots":          {folder(`{"weight_map":{"a":".."}}`, map[string][]byte{}), "plain file name"},
		"absolute":      {folder(`{"weight_map":{"a":"/etc/passwd"}}`, map[string][]byte{}), "plain file name"},
		"empty":         {folder(`{"weight_map":{}}`, map[string][]byte{}), "missing or empty"},
		"null":          {folder(`null`, map[string][]byte{}), "missing or empty"},
		"no json":       {folder(`{`, map[string][]byte{}), "JSON"},
		"missing shard": {folder(`{"weight_map":{"a":"x"}}`, map[string][]byte{}), "no such file"},
		"wrong shard":   {folder(`{"weight_map":{"a":"1","b":"1"}}`, map[string][]byte{"1": part("a")}), `does not have tensor "b"`},
		"twice":         {folder(`{"weight_map":{"a":"1","b":"2"}}`, map[string][]byte{"1": part("a"), "2": part("a")}), "earlier file"},
		"shard cut":     {folder(`{"weight_map":{"a":"1"}}`, map[string][]byte{"1": part("a")[:60]}), "fit"},
		"shard empty":   {folder(`{"weight_map":{"a":"1"}}`, map[string][]byte{"1": nil}), "truncated"},
	} {
		if _, err := Open(x.dir); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want %q", name, err, x.want)
		}
	}
	if _, err := OpenFile("/dev/null"); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Error(err)
	}
}

// Writes to a tensor's bytes stay in the process: neither the file nor what is read past the map changes.
func TestMapIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := os.WriteFile(path, safetensors(sound, 24), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a, _ := c.Tensor("a")
	if a.Numel() != 4 {
		t.Error(a.Numel())
	}
	before, err := c.SHA256()
	if err != nil {
		t.Fatal(err)
	}
	a.Bytes()[3] = 7
	if again, _ := c.Tensor("a"); again.Bytes()[3] != 7 {
		t.Error("the write is lost")
	}
	p := make([]byte, 20)
	if n, err := a.ReadAt(p, 2); n != 14 || err != io.EOF || p[1] != 0 {
		t.Error(n, err, p)
	}
	if n, err := a.ReadAt(p, 16); n != 0 || err != io.EOF {
		t.Error(n, err)
	}
	if _, err := a.ReadAt(p, -1); err == nil {
		t.Error("read before the tensor")
	}
	var b bytes.Buffer
	if n, err := a.WriteTo(&b); n != 16 || err != nil || b.Bytes()[3] != 0 {
		t.Error(n, err)
	}
	if after, _ := c.SHA256(); after != before {
		t.Error("the file changed")
	}
}

func FuzzWeights(f *testing.F) {
	f.Add(safetensors(sound, 24))
	f.Add(safetensors(`{}`, 0))
	for _, name := range []string{"reference.safetensors", "zip.bin", "legacy.bin", "strided.bin", "system.bin"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		list, _, err := parse(b)
		if err != nil {
			return
		}
		for _, x := range list {
			size, err := x.Info().Size()
			if err != nil || size != int64(len(x.Bytes())) {
				t.Fatalf("%v: %d bytes, %v", x.Info(), len(x.Bytes()), err)
			}
			if !bytes.Equal(x.Bytes(), b[x.offset:x.offset+size]) {
				t.Fatalf("%v: offset %d", x.Info(), x.offset)
			}
		}
	})
}
