package main

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"pema/experiments"
	"pema/results"
)

const onlyHelp = "keep runs by id, spec, model, dataset, variant, seed or state: k=v,...; v may be a pattern as roberta*; a key twice is either"

// fields are what --only can ask of a run or a record.
type fields map[string]string

func runFields(r *experiments.Run) fields {
	return fields{"id": r.ID, "spec": r.Spec.Name, "model": r.Model, "dataset": r.Dataset, "variant": r.Variant, "seed": fmt.Sprint(r.Seed), "state": ""}
}

func recordFields(r *results.Record) fields {
	return fields{"id": r.ID, "spec": r.Spec.Name, "model": r.Model, "dataset": r.Dataset, "variant": r.Variant, "seed": fmt.Sprint(r.Seed), "state": string(r.State)}
}

// parseOnly reads --only: all keys must fit, and of a key that is given twice one value.
func parseOnly(text string) (keep func(fields) bool, err error) {
	want := map[string][]string{}
	for _, pair := range strings.Split(text, ",") {
		if text == "" {
			break
		}
		k, v, ok := strings.Cut(pair, "=")
		if _, known := recordFields(&results.Record{})[k]; !ok || !known {
			return nil, usageError{fmt.Errorf("--only %q: want k=v with k one of %s", pair, strings.Join(slices.Sorted(maps.Keys(recordFields(&results.Record{}))), ", "))}
		}
		if _, err := path.Match(v, ""); err != nil {
			return nil, usageError{fmt.Errorf("--only %q: %w", pair, err)}
		}
		want[k] = append(want[k], v)
	}
	return func(f fields) bool {
		for k, values := range want {
			if !slices.ContainsFunc(values, func(v string) bool { return fits(v, f[k]) || fits(v, path.Base(f[k])) }) {
				return false
			}
		}
		return true
	}, nil
}

// fits matches a pattern; the end of a hub id after its slash does too.
func fits(pattern, name string) bool {
	ok, _ := path.Match(pattern, name)
	return ok || pattern == name
}
