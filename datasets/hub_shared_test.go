package datasets

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"pema/datasets/hub"
	"pema/internal/shared"
)

// published lists the splits of a dataset whose files are all below dir.
func published(t *testing.T, dir string, tk task) []taskSplit {
	t.Helper()
	var have []taskSplit
	for _, s := range tk.splits {
		all := true
		for _, f := range s.files {
			if _, err := os.Stat(filepath.Join(dir, "datasets", tk.repo, f)); err != nil {
				all = false
			}
		}
		if all {
			have = append(have, s)
		}
	}
	return have
}

func readPins(t *testing.T) *Pins {
	t.Helper()
	b, err := os.ReadFile("../experiments/pins.yaml")
	if err != nil {
		t.Fatal(err)
	}
	pins, err := ParsePins(b)
	if err != nil {
		t.Fatal(err)
	}
	return pins
}

// TestRealDataThroughAMirror loads every GLUE and XNLI file through a hub, then again without any network.
func TestRealDataThroughAMirror(t *testing.T) {
	dir := filepath.Join(shared.Dir(t), "hub")
	mirror, err := hub.NewMirror(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer mirror.Close()
	server := httptest.NewServer(mirror)
	defer server.Close()
	pins := readPins(t)
	cfg := hub.Config{Endpoint: server.URL, CacheDir: t.TempDir(), Offline: true}

	offline, err := hub.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), "glue/cola", Hub(offline, pins), OpenOptions{})
	// The splits are fetched side by side: whichever fails first is named.
	if !errors.Is(err, hub.ErrOffline) || !regexp.MustCompile(`cola/(train|validation|test)-00000-of-00001\.parquet`).MatchString(err.Error()) || !strings.Contains(err.Error(), "pema fetch") {
		t.Errorf("offline and empty: %v", err)
	}

	cfg.Offline = false
	online, err := hub.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, name := range Names() {
		tk, err := find(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range published(t, dir, tk) {
			files += checkSplit(t, name, Hub(online, pins), s)
		}
	}
	if files != 23+30+30 { // GLUE, XNLI by language, xnli/all
		t.Errorf("%d files were read", files)
	}

	cfg.Transport = &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		t.Error("a socket was opened")
		return nil, errors.New("no network")
	}}
	for _, cfg.Offline = range []bool{false, true} {
		second, err := hub.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), "glue/cola", Hub(second, pins), OpenOptions{}); err != nil {
			t.Errorf("second call, offline %v: %v", cfg.Offline, err)
		}
	}
}

func checkSplit(t *testing.T, name string, src Source, s taskSplit) (files int) {
	t.Helper()
	ds, err := Open(t.Context(), name, src, OpenOptions{Splits: []string{s.name}})
	if err != nil {
		t.Fatal(err)
	}
	split, err := ds.Split(s.name)
	if err != nil {
		t.Fatal(err)
	}
	rows, labels := int64(0), map[float32]int{}
	for ex, err := range split.Examples(t.Context()) {
		if err != nil {
			t.Fatalf("%s %s: %v", name, s.name, err)
		}
		if ex.Text == "" || (ds.HasPair() && ex.Pair == "" && name != "glue/qqp") {
			t.Fatalf("%s %s: empty text in row %d", name, s.name, rows+1)
		}
		labels[ex.Label]++
		rows++
	}
	if rows != split.Rows || rows != s.rows*int64(len(s.files)) {
		t.Errorf("%s %s: %d rows, %d expected", name, s.name, rows, split.Rows)
	}
	if s.hidden != (labels[Hidden] == int(rows)) || (!s.hidden && !ds.Regression() && len(labels) != ds.NumLabels) {
		t.Errorf("%s %s: labels %v", name, s.name, labels)
	}
	return len(s.files)
}

func TestPartialRealData(t *testing.T) {
	src := Folder(filepath.Join(shared.Dir(t), "subset"))
	for _, test := range []struct {
		name, split string
		rows        int64
	}{{"glue/qqp", "validation", 7330}, {"glue/qqp", "train", 11886}, {"glue/mnli", "train", 12925}, {"glue/qnli", "train", 9999}, {"xnli/en", "train", 0}} {
		if _, err := Open(t.Context(), test.name, src, OpenOptions{Splits: []string{test.split}}); err == nil || !strings.Contains(err.Error(), "rows, found") {
			t.Errorf("%s: partial rows are taken for the whole: %v", test.name, err)
		}
		ds, err := Open(t.Context(), test.name, src, OpenOptions{Splits: []string{test.split}, Partial: true})
		if err != nil {
			t.Fatal(err)
		}
		if rows := int64(len(all(t, ds, test.split))); !ds.Splits[0].Partial || (test.rows > 0 && rows != test.rows) {
			t.Errorf("%s: %d rows, partial %v", test.name, rows, ds.Splits[0].Partial)
		}
	}
}
