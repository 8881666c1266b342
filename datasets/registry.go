package datasets

import (
	"fmt"
	"slices"
	"strings"
)

// Repositories of the registry on the Hugging Face hub.
const (
	glueRepo = "nyu-mll/glue"
	xnliRepo = "facebook/xnli"
)

// XNLILanguages are the languages of XNLI in the order in which xnli/all joins them.
var XNLILanguages = []string{"ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh"}

// task is what the registry knows of a dataset.
type task struct {
	name    string
	repo    string
	columns Columns
	labels  []string // nil: a regression from 0 to 5
	metrics []string
	splits  []taskSplit
}

// taskSplit is a published split: its files, in order, and the rows of each.
type taskSplit struct {
	name   string
	files  []string
	rows   int64 // of each file
	hidden bool  // all labels are -1
}

var (
	entailment3 = []string{"entailment", "neutral", "contradiction"}
	entailment2 = []string{"entailment", "not_entailment"}
	pairNLI     = Columns{"premise", "hypothesis", "label"}
	pair12      = Columns{"sentence1", "sentence2", "label"}
)

// glueTasks is GLUE as it is on the hub. Hidden test labels are -1; those of MRPC are there.
var glueTasks = []task{
	glue("cola", Columns{"sentence", "", "label"}, []string{"unacceptable", "acceptable"}, "matthews_correlation", 8551, 1043, 1063),
	glue("sst2", Columns{"sentence", "", "label"}, []string{"negative", "positive"}, "accuracy", 67349, 872, 1821),
	labelledTest(glue("mrpc", pair12, []string{"not_equivalent", "equivalent"}, "accuracy f1", 3668, 408, 1725)),
	glue("stsb", pair12, nil, "pearson spearmanr", 5749, 1500, 1379),
	glue("qqp", Columns{"question1", "question2", "label"}, []string{"not_duplicate", "duplicate"}, "accuracy f1", 363846, 40430, 390965),
	{"glue/mnli", glueRepo, pairNLI, entailment3, []string{"accuracy"}, []taskSplit{
		glueSplit("mnli", "train", 392702, false),
		glueSplit("mnli", "validation_matched", 9815, false),
		glueSplit("mnli", "validation_mismatched", 9832, false),
		glueSplit("mnli", "test_matched", 9796, true),
		glueSplit("mnli", "test_mismatched", 9847, true),
	}},
	{"glue/mnli_matched", glueRepo, pairNLI, entailment3, []string{"accuracy"}, []taskSplit{
		glueSplit("mnli_matched", "validation", 9815, false),
		glueSplit("mnli_matched", "test", 9796, true),
	}},
	{"glue/mnli_mismatched", glueRepo, pairNLI, entailment3, []string{"accuracy"}, []taskSplit{
		glueSplit("mnli_mismatched", "validation", 9832, false),
		glueSplit("mnli_mismatched", "test", 9847, true),
	}},
	glue("qnli", Columns{"question", "sentence", "label"}, entailment2, "accuracy", 104743, 5463, 5463),
	glue("rte", pair12, entailment2, "accuracy", 2490, 277, 3000),
	glue("wnli", pair12, []string{"not_entailment", "entailment"}, "accuracy", 635, 71, 146),
	{"glue/ax", glueRepo, pairNLI, entailment3, []string{"matthews_correlation"}, []taskSplit{glueSplit("ax", "test", 1104, true)}},
}

func glue(config string, cols Columns, labels []string, metrics string, train, validation, test int64) task {
	return task{"glue/" + config, glueRepo, cols, labels, strings.Fields(metrics), []taskSplit{
		glueSplit(config, "train", train, false),
		glueSplit(config, "validation", validation, false),
		glueSplit(config, "test", test, true),
	}}
}

func glueSplit(config, split string, rows int64, hidden bool) taskSplit {
	return taskSplit{split, []string{parquetName(config, split)}, rows, hidden}
}

func labelledTest(t task) task {
	t.splits[len(t.splits)-1].hidden = false
	return t
}

func parquetName(config, split string) string {
	return config + "/" + split + "-00000-of-00001.parquet"
}

// xnli is the task over the given languages, one after the other in every split.
func xnli(name string, languages []string) task {
	t := task{name: name, repo: xnliRepo, columns: pairNLI, labels: entailment3, metrics: []string{"accuracy"}}
	for _, s := range []taskSplit{{name: "train", rows: 392702}, {name: "validation", rows: 2490}, {name: "test", rows: 5010}} {
		for _, l := range languages {
			s.files = append(s.files, parquetName(l, s.name))
		}
		t.splits = append(t.splits, s)
	}
	return t
}

// Names lists the datasets of the registry. Beside these, xnli/de+fr joins named languages.
func Names() []string {
	var names []string
	for _, t := range glueTasks {
		names = append(names, t.name)
	}
	for _, l := range XNLILanguages {
		names = append(names, "xnli/"+l)
	}
	return append(names, "xnli/all")
}

// Registered reports whether name is in the form of the registry's names, so that Open and not OpenFile is meant.
func Registered(name string) bool {
	return strings.HasPrefix(name, "glue/") || strings.HasPrefix(name, "xnli/")
}

// find looks a dataset up by name.
func find(name string) (task, error) {
	for _, t := range glueTasks {
		if t.name == name {
			return t, nil
		}
	}
	if list, ok := strings.CutPrefix(name, "xnli/"); ok {
		if list == "all" {
			return xnli(name, XNLILanguages), nil
		}
		languages := strings.Split(list, "+")
		for i, l := range languages {
			if !slices.Contains(XNLILanguages, l) {
				return task{}, fmt.Errorf("dataset %s: XNLI has no language %q; it has %s", name, l, strings.Join(XNLILanguages, ", "))
			}
			if slices.Contains(languages[:i], l) {
				return task{}, fmt.Errorf("dataset %s: language %q is named twice", name, l)
			}
		}
		return xnli(name, languages), nil
	}
	return task{}, fmt.Errorf("no dataset %q; there are %s, or a local file", name, strings.Join(Names(), ", "))
}

// SplitInfo is what is published of a split.
type SplitInfo struct {
	Name   string
	Rows   int64
	Hidden bool // its labels are not published
}

// Splits lists the splits of a dataset of the registry; nothing is opened.
func Splits(name string) ([]SplitInfo, error) {
	t, err := find(name)
	if err != nil {
		return nil, err
	}
	var out []SplitInfo
	for _, s := range t.splits {
		out = append(out, SplitInfo{s.name, s.rows * int64(len(s.files)), s.hidden})
	}
	return out, nil
}
