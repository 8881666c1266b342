package checkpoint

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

var card = Card{
	Name: "minilm-mrpc", BaseModel: "org/base", License: "apache-2.0", Languages: []string{"en"}, Tags: []string{"pema"},
	Dataset: CardDataset{Name: "GLUE MRPC", Type: "nyu-mll/glue", Config: "mrpc", Split: "validation"},
	Metrics: []CardMetric{{"Accuracy", "accuracy", 0.8725}, {"F1", "f1", 0.9}},
	Summary: "Fine-tuned.", Settings: []CardSetting{{"seed", "42"}, {"a|b", "c\nd"}},
}

func TestCard(t *testing.T) {
	dir := t.TempDir()
	if err := card.Write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/README.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	for want, change := range map[string]func(c *Card){
		"no name":           func(c *Card) { c.Name = "" },
		"metrics need":      func(c *Card) { c.Dataset.Type = "" },
		"accuracy is NaN":   func(c *Card) { c.Metrics = []CardMetric{{"Accuracy", "accuracy", math.NaN()}} },
		"no such file or d": func(c *Card) { dir += "/gone" },
	} {
		c := card
		change(&c)
		if err := c.Write(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Names come from outside: none may break out of the YAML.
func TestCardQuotes(t *testing.T) {
	for _, name := range []string{"a: b", "- x", "---", "\n---\nlicense: mit", `"`, "no", "1e3", "#c", "é|`", "{}", "*a", "&a", "!t"} {
		b, err := Card{Name: name, BaseModel: name}.markdown()
		if err != nil {
			t.Fatal(err)
		}
		head, _, ok := strings.Cut(strings.TrimPrefix(string(b), "---\n"), "\n---\n")
		if !ok {
			t.Fatalf("%q: %s", name, b)
		}
		var x map[string]any
		if err := yaml.Unmarshal([]byte(head), &x); err != nil || x["base_model"] != name || len(x) != 3 {
			t.Errorf("%q: %v, %v", name, x, err)
		}
	}
}

func TestTrainerFiles(t *testing.T) {
	dir := t.TempDir()
	s := TrainerState{Epoch: 1.5, GlobalStep: 3, MaxSteps: 6, Epochs: 3, BatchSize: 8, LoggingSteps: 1,
		Log: []map[string]float64{{"step": 1, "epoch": 0.5, "loss": 0.25, "learning_rate": 2e-5}, {"step": 3, "epoch": 1.5, "eval_accuracy": 0.5}}}
	if err := s.Write(dir); err != nil {
		t.Fatal(err)
	}
	if err := WriteResults(dir, map[string]float64{"epoch": 3, "train_loss": 0.25}, map[string]float64{"epoch": 3, "eval_accuracy": 0.5}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"trainer_state.json", "all_results.json", "train_results.json", "eval_results.json"} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s: %s\nwant\n%s", name, got, want)
		}
	}
	if err := (TrainerState{Log: []map[string]float64{{"loss": 1}}}).Write(dir); err == nil {
		t.Error("a log entry without a step was written")
	}
	if err := WriteResults(dir, map[string]float64{"train_loss": math.Inf(1)}, nil); err == nil {
		t.Error("a loss that is not finite was written")
	}
}

func TestCopyTokenizer(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	for _, name := range []string{"vocab.txt", "tokenizer.json", "model.safetensors"} {
		if err := os.WriteFile(filepath.Join(from, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	copied, err := CopyTokenizer(to, from)
	if err != nil || fmt.Sprint(copied) != "[tokenizer.json vocab.txt]" {
		t.Error(copied, err)
	}
	if b, err := os.ReadFile(filepath.Join(to, "vocab.txt")); string(b) != "vocab.txt" || err != nil {
		t.Error(b, err)
	}
	if e, _ := os.ReadDir(to); len(e) != 2 {
		t.Error(e)
	}
	if _, err := CopyTokenizer(filepath.Join(to, "gone"), from); err == nil {
		t.Error("copied into no folder")
	}
}
