package checkpoint

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func file(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

func TestHostileFiles(t *testing.T) {
	good := `{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"I64","shape":[1],"data_offsets":[16,24]},"__metadata__":{"format":"pt"}}`
	list, err := parse(file(good, 24))
	if err != nil || len(list) != 2 || list[0].Name != "a" || len(list[1].Bytes()) != 8 {
		t.Fatal(list, err)
	}
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"truncated data": {file(good, 23), "outside"},
		"outside":        {file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[1000000,1000004]}}`, 4), "outside"},
		"overlap":        {file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}`, 6), "begins"},
		"hole":           {file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), "begins"},
		"rest":           {file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 8), "belong"},
		"negative":       {file(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, 4), "shape"},
		"overflow":       {file(`{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}`, 0), "shape"},
		"dtype":          {file(`{"a":{"dtype":"Q4","shape":[1],"data_offsets":[0,4]}}`, 4), "element type"},
		"size":           {file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 4), "needed"},
		"long header":    {binary.LittleEndian.AppendUint64(nil, 1<<62), "fit"},
		"no json":        {file(`{"a":`, 0), "header"},
		"empty":          {nil, "truncated"},
	} {
		if _, err := parse(c.b); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	dir := t.TempDir()
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "no weights") {
		t.Error(err)
	}
	os.WriteFile(filepath.Join(dir, "model.safetensors.index.json"), []byte(`{"weight_map":{"a":"../x.safetensors"}}`), 0o600)
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "plain file name") {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(file(`{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}`, 16))
	f.Add(file(`{}`, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parse(b)
		if err != nil {
			return
		}
		for _, x := range list {
			_ = x.Bytes()
		}
	})
}
