package finetune

import (
	"fmt"
	"math"
	"slices"
	"sort"
)

// Metric computes a figure of an evaluation by its name: accuracy, f1 (of class 1), matthews_correlation, pearson or spearmanr, as
// scikit-learn and scipy define them. Where the definition gives no number (a constant column, no positive class) it is an error
// and never a silent 0.
func (e *Evaluation) Metric(name string) (float64, error) {
	if len(e.Labels) == 0 || len(e.Labels) != len(e.Predictions) {
		return 0, fmt.Errorf("%s: %d predictions for %d labels", name, len(e.Predictions), len(e.Labels))
	}
	var v float64
	switch name {
	case "accuracy":
		v = e.Accuracy()
	case "f1":
		v = f1(e.Predictions, e.Labels)
	case "matthews_correlation":
		v = matthews(e.Predictions, e.Labels)
	case "pearson":
		v = pearson(e.Predictions, e.Labels)
	case "spearmanr":
		v = pearson(ranks(e.Predictions), ranks(e.Labels))
	default:
		return 0, fmt.Errorf("metric %q is not known", name)
	}
	if math.IsNaN(v) {
		return 0, fmt.Errorf("%s is not defined here: the predictions or the labels are all the same", name)
	}
	return v, nil
}

// f1 is 2TP / (2TP + FP + FN) of class 1.
func f1(predicted, label []float64) float64 {
	var hit, wrong float64
	for i := range label {
		switch {
		case predicted[i] == 1 && label[i] == 1:
			hit++
		case predicted[i] == 1 || label[i] == 1:
			wrong++
		}
	}
	return 2 * hit / (2*hit + wrong)
}

// matthews is the correlation of a confusion matrix of any number of classes (Gorodkin 2004).
func matthews(predicted, label []float64) float64 {
	var right float64
	p, l := map[float64]float64{}, map[float64]float64{}
	for i := range label {
		if predicted[i] == label[i] {
			right++
		}
		p[predicted[i]]++
		l[label[i]]++
	}
	n := float64(len(label))
	var both, pp, ll float64
	for _, k := range sortedKeys(p, l) {
		both += p[k] * l[k]
		pp += p[k] * p[k]
		ll += l[k] * l[k]
	}
	return (right*n - both) / math.Sqrt((n*n-pp)*(n*n-ll))
}

func sortedKeys(ms ...map[float64]float64) []float64 {
	var keys []float64
	for _, m := range ms {
		for k := range m {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func pearson(x, y []float64) float64 {
	mx, my := mean(x), mean(y)
	var xy, xx, yy float64
	for i := range x {
		a, b := x[i]-mx, y[i]-my
		xy += a * b
		xx += a * a
		yy += b * b
	}
	if xx == 0 || yy == 0 {
		return math.NaN()
	}
	return max(-1, min(1, xy/(math.Sqrt(xx)*math.Sqrt(yy))))
}

func mean(v []float64) float64 {
	var s float64
	for _, x := range v {
		s += x
	}
	return s / float64(len(v))
}

// ranks gives each value its rank; ties share the mean of theirs.
func ranks(v []float64) []float64 {
	order := make([]int, len(v))
	for i := range order {
		order[i] = i
	}
	sort.Slice(order, func(a, b int) bool { return v[order[a]] < v[order[b]] })
	out := make([]float64, len(v))
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && v[order[j]] == v[order[i]] {
			j++
		}
		for k := i; k < j; k++ {
			out[order[k]] = float64(i+j-1)/2 + 1
		}
		i = j
	}
	return out
}
