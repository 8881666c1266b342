package experiments

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pema/datasets/hub"
	"pema/internal/tiny"
	"pema/models/torch"
	"pema/results"
)

// counting is a spec that counts a local file with a tiny model, and its planned runs.
func counting(t *testing.T, text string, src *Source) ([]*Run, *Runner) {
	t.Helper()
	dir := t.TempDir()
	tiny.BERT(t, filepath.Join(dir, "model"))
	tiny.CSV(t, filepath.Join(dir, "data.csv"), 60)
	s, err := Parse(filepath.Join(dir, "spec.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	runs, err := Plan(t.Context(), s, dir, src)
	if err != nil {
		t.Fatal(err)
	}
	store, err := results.Open(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	return runs, &Runner{Store: store, Cache: dir, Source: src, Device: torch.CPU, Env: Environment("test", torch.CPU), Now: time.Now}
}

const words = `name: words
measure: vocabulary
models: [small]
datasets: [words]
growth: {shuffles: 3, points: 8}
local:
  models: {small: model}
  datasets: {words: {file: data.csv, text: text, label: label, validation: 0.2}}
`

// A clock that is set back while a run is on gives times of zero, not below, and a record that can be read.
func TestClockGoingBackwards(t *testing.T) {
	runs, x := counting(t, words, nil)
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	x.Now = func() time.Time { at = at.Add(-time.Hour); return at }
	sum, err := x.Run(t.Context(), runs)
	if err != nil || sum.Done != 1 {
		t.Fatal(err, sum)
	}
	r, err := x.Store.Read(runs[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if r.Time.Total < 0 || r.Time.Count < 0 || r.Time.Load < 0 {
		t.Errorf("times below zero: %+v", r.Time)
	}
	v := r.Vocabulary
	if v.Used < 10 || v.Kept < v.Used || len(v.Growth) < 4 || v.Growth[len(v.Growth)-1].Used != v.Used || v.Heaps == nil || v.Shuffles != 3 {
		t.Errorf("%+v", v)
	}
	if r.Parameters.FullEmbedding != tiny.Rows*tiny.Hidden || r.Parameters.FullTotal <= r.Parameters.FullEmbedding {
		t.Errorf("%+v", r.Parameters)
	}
}

// A model that the hub cannot give stops no other run; that the hub is away altogether is said with a hint.
func TestHubAway(t *testing.T) {
	client, err := hub.New(hub.Config{Endpoint: "http://127.0.0.1:9", CacheDir: t.TempDir(), Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	src := &Source{Client: client}
	runs, x := counting(t, strings.Replace(words, "[small]", "[small, org/model]", 1), src)
	sum, err := x.Run(t.Context(), runs)
	if err != nil || sum.Done != 1 || sum.Failed != 1 || len(sum.Failures) != 1 || !strings.Contains(sum.Failures[0], "org/model") {
		t.Errorf("%v %+v", err, sum)
	}
	s, err := Parse("s.yaml", []byte("name: m\nmeasure: models\nmodels: [org/model]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Plan(t.Context(), s, t.TempDir(), src); err == nil || !strings.Contains(err.Error(), "hint") {
		t.Errorf("%v", err)
	}
}

// A record that was cut in half is made again; the others are left as they are.
func TestRecordCutInHalf(t *testing.T) {
	runs, x := counting(t, strings.Replace(words, "seeds", "", 1), nil)
	if _, err := x.Run(t.Context(), runs); err != nil {
		t.Fatal(err)
	}
	path := x.Store.Path(runs[0].ID)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if sum, err := x.Run(t.Context(), runs); err != nil || sum.Done != 1 {
		t.Errorf("%v %+v", err, sum)
	}
	if sum, err := x.Run(t.Context(), runs); err != nil || sum.Skipped != 1 {
		t.Errorf("%v %+v", err, sum)
	}
}
