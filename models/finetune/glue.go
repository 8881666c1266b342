package finetune

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// glueTasks are the tasks of the benchmark's average with their metrics: WNLI is one of them, AX is not. On MNLI both validation
// splits count.
var glueTasks = map[string][]string{
	"cola": {"matthews_correlation"}, "sst2": {"accuracy"}, "mrpc": {"f1", "accuracy"}, "stsb": {"pearson", "spearmanr"}, "qqp": {"f1", "accuracy"},
	"mnli": {"accuracy", "accuracy/validation_mismatched"}, "qnli": {"accuracy"}, "rte": {"accuracy"}, "wnli": {"accuracy"},
}

// ErrIncomplete says that an average misses a figure.
var ErrIncomplete = errors.New("no GLUE average")

// GLUEScore is a task's score as the benchmark defines it (Wang et al. 2019): the mean of its metrics, which carry the names that
// records give them (a further split's metric has the split's name behind a slash). The scale is the metrics' own.
func GLUEScore(task string, metrics map[string]float64) (float64, error) {
	names, ok := glueTasks[strings.TrimPrefix(task, "glue/")]
	if !ok {
		return 0, fmt.Errorf("%w: %s is not a task of it", ErrIncomplete, task)
	}
	var sum float64
	for _, n := range names {
		v, ok := metrics[n]
		if !ok {
			return 0, fmt.Errorf("%w: %s has no %s", ErrIncomplete, task, n)
		}
		sum += v
	}
	return sum / float64(len(names)), nil
}

// GLUEAverage is the mean of the tasks' scores. Tasks that are left out must be named (papers often leave out WNLI): an average over
// fewer tasks than it says is no average.
func GLUEAverage(metrics map[string]map[string]float64, without ...string) (float64, error) {
	var sum float64
	n := 0
	for _, task := range slices.Sorted(maps.Keys(glueTasks)) {
		if slices.Contains(without, task) || slices.Contains(without, "glue/"+task) {
			continue
		}
		m, ok := metrics[task]
		if !ok {
			m = metrics["glue/"+task]
		}
		s, err := GLUEScore(task, m)
		if err != nil {
			return 0, err
		}
		sum += s
		n++
	}
	if n == 0 {
		return 0, fmt.Errorf("%w: every task is left out", ErrIncomplete)
	}
	return sum / float64(n), nil
}
