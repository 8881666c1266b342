package experiments

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// Only reads a choice of runs: key=pattern,... where all must hold; a pattern is path.Match's, or the end of a name after its slash.
func Only(text string) (func(*Run) bool, error) {
	fields := map[string]func(*Run) string{
		"id": func(r *Run) string { return r.ID }, "spec": func(r *Run) string { return r.Spec.Name }, "model": func(r *Run) string { return r.Model },
		"dataset": func(r *Run) string { return r.Dataset }, "variant": func(r *Run) string { return r.Variant },
		"seed": func(r *Run) string { return strconv.FormatInt(r.Seed, 10) },
	}
	var all []func(*Run) bool
	for part := range strings.SplitSeq(text, ",") {
		if part == "" {
			continue
		}
		key, pattern, ok := strings.Cut(part, "=")
		field := fields[key]
		if _, err := path.Match(pattern, ""); !ok || field == nil || err != nil {
			return nil, fmt.Errorf("--only %s: expected key=pattern with a key of id, spec, model, dataset, variant, seed", part)
		}
		all = append(all, func(r *Run) bool {
			name := field(r)
			whole, _ := path.Match(pattern, name)
			last, _ := path.Match(pattern, path.Base(name))
			return whole || last
		})
	}
	return func(r *Run) bool {
		for _, f := range all {
			if !f(r) {
				return false
			}
		}
		return true
	}, nil
}
