package datasets

import (
	"bytes"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pema/datasets/hub"
)

type colaRow struct {
	Sentence string `parquet:"sentence"`
	Label    int64  `parquet:"label"`
	Idx      int32  `parquet:"idx"`
}

type nliRow struct {
	Premise    string `parquet:"premise"`
	Hypothesis string `parquet:"hypothesis"`
	Label      int64  `parquet:"label"`
}

type stsbRow struct {
	A     string  `parquet:"sentence1"`
	B     string  `parquet:"sentence2"`
	Label float32 `parquet:"label"`
}

// glueFolder makes a folder as a mirror has it, with few rows.
func glueFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	put := func(repo, name string, b []byte) {
		path := filepath.Join(dir, "datasets", repo, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(glueRepo, parquetName("cola", "train"), makeParquet(t, []colaRow{{"first.", 1, 0}, {"second.", 0, 1}}, 1))
	put(glueRepo, parquetName("cola", "validation"), makeParquet(t, []colaRow{{"a", 1, 0}, {"b", 2, 1}}, 2))
	put(glueRepo, parquetName("cola", "test"), makeParquet(t, []colaRow{{"hidden", -1, 0}, {"told", 1, 1}}, 2))
	put(glueRepo, parquetName("sst2", "train"), makeParquet(t, []plainRow{{"a", "b", 1}}, 1))
	put(glueRepo, parquetName("sst2", "validation"), makeParquet(t, []struct {
		Sentence string  `parquet:"sentence"`
		Label    float32 `parquet:"label"`
	}{{"a", 1}}, 1))
	put(glueRepo, parquetName("sst2", "test"), makeParquet(t, []struct {
		Sentence int64 `parquet:"sentence"`
		Label    int64 `parquet:"label"`
	}{{7, 1}}, 1))
	put(glueRepo, parquetName("stsb", "train"), makeParquet(t, []stsbRow{{"a", "b", 4.75}}, 1))
	put(glueRepo, parquetName("stsb", "validation"), makeParquet(t, []stsbRow{{"a", "b", 5.5}}, 1))
	put(glueRepo, parquetName("rte", "train"), makeParquet(t, []stsbRow{}, 1))
	for _, l := range XNLILanguages {
		put(xnliRepo, parquetName(l, "test"), makeParquet(t, []nliRow{{l, "1", 0}, {l, "2", 2}}, 2))
	}
	return dir
}

func open(t *testing.T, dir, name string, splits ...string) (*Dataset, error) {
	t.Helper()
	return Open(t.Context(), name, Folder(dir), OpenOptions{Splits: splits, Partial: true})
}

func TestOpenRegistered(t *testing.T) {
	dir := glueFolder(t)
	ds, err := open(t, dir, "glue/cola", "train")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Example{{"first.", "", 1}, {"second.", "", 0}}, all(t, ds, "train")); diff != "" {
		t.Error(diff)
	}
	s := ds.Splits[0]
	if !s.Partial || !s.Labelled || len(s.Files) != 1 || s.Files[0].Name != "nyu-mll/glue/cola/train-00000-of-00001.parquet" || !isHex(s.Files[0].SHA256, 64) {
		t.Errorf("%+v", s)
	}
	if ds.NumLabels != 2 || ds.Regression() || ds.HasPair() || ds.Metrics[0] != "matthews_correlation" {
		t.Errorf("%+v", ds)
	}

	joined, err := open(t, dir, "xnli/all", "test")
	if err != nil {
		t.Fatal(err)
	}
	rows := all(t, joined, "test")
	if len(rows) != 30 || rows[0].Text != "ar" || rows[29].Text != "zh" || rows[29].Pair != "2" || rows[29].Label != 2 {
		t.Errorf("%d rows, %v ... %v", len(rows), rows[0], rows[len(rows)-1])
	}
	some, err := open(t, dir, "xnli/de+fr", "test")
	if err != nil {
		t.Fatal(err)
	}
	if rows := all(t, some, "test"); len(rows) != 4 || rows[0].Text != "de" || rows[3].Text != "fr" {
		t.Errorf("%v", rows)
	}

	scores, err := open(t, dir, "glue/stsb", "train")
	if err != nil {
		t.Fatal(err)
	}
	if rows := all(t, scores, "train"); !scores.Regression() || rows[0].Label != 4.75 {
		t.Errorf("%v", rows)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := glueFolder(t)
	for _, test := range []struct{ name, split, want string }{
		{"glue/none", "train", `no dataset "glue/none"; there are glue/cola`},
		{"xnli/xx", "train", `XNLI has no language "xx"`},
		{"xnli/de+de", "train", "named twice"},
		{"glue/cola", "dev", `no split "dev"; it has train, validation, test`},
		{"glue/mnli", "validation", "validation_matched, validation_mismatched"},
		{"glue/sst2", "train", `no column "sentence"; there are`},
		{"glue/sst2", "validation", `column "label": expected an integer, found FLOAT`},
		{"glue/sst2", "test", `column "sentence": expected a string, found INT64`},
		{"glue/rte", "train", "expected an integer, found FLOAT"},
		{"glue/qqp", "train", "no such file"},
	} {
		if _, err := open(t, dir, test.name, test.split); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %s: %v lacks %q", test.name, test.split, err, test.want)
		}
	}
	if _, err := Open(t.Context(), "glue/cola", Folder(dir), OpenOptions{Splits: []string{"train"}}); err == nil || !strings.Contains(err.Error(), "expected 8551 rows, found 2") {
		t.Errorf("row count: %v", err)
	}
	for _, test := range []struct{ name, split, want string }{ // labels show when they are read
		{"glue/cola", "validation", "row 2: label 2 is out of range: there are 2 classes"},
		{"glue/cola", "test", "row 2: label 1 where hidden ones (-1) are expected"},
		{"glue/stsb", "validation", "row 1: score 5.5 is out of range"},
	} {
		ds, err := open(t, dir, test.name, test.split)
		if err != nil {
			t.Fatal(err)
		}
		err = nil
		for _, e := range ds.Splits[0].Examples(t.Context()) {
			err = errors.Join(err, e)
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %s: %v lacks %q", test.name, test.split, err, test.want)
		}
	}
}

// hubOf serves a folder and gives a client with an empty cache.
func hubOf(t *testing.T, dir string) (*hub.Client, string) {
	t.Helper()
	mirror, err := hub.NewMirror(dir)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(mirror)
	t.Cleanup(func() { server.Close(); mirror.Close() })
	cache := t.TempDir()
	client, err := hub.New(hub.Config{Endpoint: server.URL, CacheDir: cache})
	if err != nil {
		t.Fatal(err)
	}
	return client, cache
}

func TestPinsThroughAHub(t *testing.T) {
	dir := glueFolder(t)
	client, cache := hubOf(t, dir)
	pins, err := UpdatePins(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(pins.Datasets[xnliRepo].Files); n != 15 {
		t.Errorf("%d files of XNLI are pinned", n)
	}
	again, err := ParsePins(pins.YAML())
	if diff := cmp.Diff(pins, again); err != nil || diff != "" {
		t.Fatalf("written and read: %v %s", err, diff)
	}
	cola := OpenOptions{Splits: []string{"train"}, Partial: true}
	ds, err := Open(t.Context(), "glue/cola", Hub(client, pins), cola)
	if err != nil {
		t.Fatal(err)
	}
	file := ds.Splits[0].Files[0]
	if pin := pins.Datasets[glueRepo].Files[parquetName("cola", "train")]; pin.SHA256 != file.SHA256 || pin.Size != file.Size {
		t.Errorf("%+v, %+v", pin, file)
	}
	wants, err := Wants("glue/cola", []string{"train"}, pins)
	if err != nil || len(wants) != 1 || wants[0].Pin.SHA256 != file.SHA256 || wants[0].Repo.Revision != pins.Datasets[glueRepo].Commit {
		t.Errorf("%+v %v", wants, err)
	}

	// A blob that was damaged on disk is found before it is used, also without pins.
	blob, err := filepath.EvalSymlinks(file.Path)
	if err != nil || !strings.HasPrefix(blob, cache) {
		t.Fatal(blob, err)
	}
	b, err := os.ReadFile(blob)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(blob, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*Pins{pins, nil} {
		if _, err := Open(t.Context(), "glue/cola", Hub(client, p), cola); err == nil || !strings.Contains(err.Error(), "damaged or changed on disk") {
			t.Errorf("damaged blob: %v", err)
		}
	}

	// The hub has other bytes than the pin.
	name := parquetName("cola", "validation")
	files := pins.Datasets[glueRepo].Files
	files[name] = FilePin{files[name].Size, strings.Repeat("0", 64)}
	_, err = Open(t.Context(), "glue/cola", Hub(client, pins), OpenOptions{Splits: []string{"validation"}, Partial: true})
	if !errors.Is(err, hub.ErrChanged) || !strings.Contains(err.Error(), "update the pins") {
		t.Errorf("changed file: %v", err)
	}
}

func TestParsePins(t *testing.T) {
	commit := strings.Repeat("a", 40)
	for _, bad := range []string{"x: 1", "datasets: {a/b: {commit: main}}", "datasets: {a/b: {commit: " + commit + ", files: {f: {size: 0, sha256: x}}}}",
		"datasets: {a/b: {commit: " + commit + ", fils: {}}}", "[1"} {
		if _, err := ParsePins([]byte(bad)); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

func TestPinsOfThePaper(t *testing.T) {
	pins := readPins(t)
	if n := len(pins.Datasets[glueRepo].Files); n != 34 {
		t.Errorf("%d files of GLUE", n)
	}
	b, err := os.ReadFile("../experiments/pins.yaml")
	if err != nil || !bytes.Equal(b, pins.YAML()) {
		t.Error("the file is not as YAML writes it")
	}
	for _, tk := range glueTasks {
		for _, s := range tk.splits {
			for _, f := range s.files {
				if _, ok := pins.Datasets[tk.repo].Files[f]; !ok {
					t.Errorf("%s is not pinned", f)
				}
			}
		}
	}
}

func FuzzParsePins(f *testing.F) {
	f.Add([]byte("datasets:\n  a/b:\n    commit: \"" + strings.Repeat("a", 40) + "\"\n    files:\n      f: {size: 1, sha256: \"" + strings.Repeat("0", 64) + "\"}\n"))
	f.Add([]byte("datasets: []"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePins(b)
		if err != nil {
			return
		}
		for _, r := range p.Datasets {
			if !isHex(r.Commit, 40) {
				t.Errorf("commit %q", r.Commit)
			}
		}
	})
}
