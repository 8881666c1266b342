package finetune

import (
	"errors"
	"math"
	"testing"
)

func TestGLUEAverage(t *testing.T) {
	m := map[string]map[string]float64{
		"glue/cola": {"matthews_correlation": 0.5, "eval_loss": 9}, "sst2": {"accuracy": 0.9}, "mrpc": {"accuracy": 0.8, "f1": 0.86},
		"stsb": {"pearson": 0.87, "spearmanr": 0.85}, "qqp": {"accuracy": 0.9, "f1": 0.86}, "mnli": {"accuracy": 0.84, "accuracy/validation_mismatched": 0.82},
		"qnli": {"accuracy": 0.9}, "rte": {"accuracy": 0.66},
	}
	if _, err := GLUEAverage(m); !errors.Is(err, ErrIncomplete) {
		t.Errorf("WNLI is missing: %v", err)
	}
	want := (0.5 + 0.9 + 0.83 + 0.86 + 0.88 + 0.83 + 0.9 + 0.66) / 8
	if got, err := GLUEAverage(m, "wnli"); err != nil || math.Abs(got-want) > 1e-15 {
		t.Errorf("%v %v, want %v", got, err, want)
	}
	delete(m["mnli"], "accuracy/validation_mismatched")
	if _, err := GLUEAverage(m, "wnli"); !errors.Is(err, ErrIncomplete) {
		t.Errorf("MNLI mismatched is missing: %v", err)
	}
	if _, err := GLUEScore("ax", nil); err == nil {
		t.Error("AX has a score")
	}
}
