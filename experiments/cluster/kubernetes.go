package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Manifest writes a submission for Kubernetes: a ConfigMap with the list of runs, an Indexed Job with one index a run, and a Job
// for the report.
//
// Kubernetes has no order between Jobs, so it is made in the pods: an init container fetches before each run (the cache's
// own locks let one pod fetch and the others wait), and the report's init container waits until every run has ended or three
// days are over. A run that fails is recorded and tried once more; it stops no other (backoffLimitPerIndex, Kubernetes 1.29).
func Manifest(j *Job, sub *Submission) ([]byte, error) {
	if rel, err := filepath.Rel(j.Mount, j.Out); err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return nil, fmt.Errorf("kubernetes: the output folder %s is not in the volume at %s", j.Out, j.Mount)
	}
	if len(sub.list()) > 1<<20-4096 {
		return nil, errors.New("kubernetes: the list of runs is larger than a ConfigMap may be; hint: submit specs one by one")
	}
	type m = map[string]any
	sub.Parts = []*Part{{Name: "run-1", Count: len(sub.Tasks)}, {Name: "report"}}
	labels := m{"app.kubernetes.io/name": "pema", "app.kubernetes.io/instance": sub.Name}
	meta := func(name string) m { return m{"name": name, "labels": labels} }
	container := func(name string, words []string, limits m) m {
		c := m{
			"name": name, "image": j.Image, "command": words, "workingDir": j.Mount,
			"env":          []m{{"name": "PEMA_CACHE", "value": filepath.Join(j.Mount, "cache", "pema")}, {"name": "HF_HOME", "value": filepath.Join(j.Mount, "cache", "huggingface")}, {"name": "OMP_NUM_THREADS", "value": fmt.Sprint(max(j.CPUs, 1))}},
			"volumeMounts": []m{{"name": "data", "mountPath": j.Mount}, {"name": "list", "mountPath": "/etc/pema"}},
		}
		if len(limits) > 0 {
			c["resources"] = m{"requests": limits, "limits": limits}
		}
		return c
	}
	pod := func(before, main m) m {
		spec := m{
			"restartPolicy": "Never", "containers": []m{main},
			"volumes": []m{{"name": "data", "persistentVolumeClaim": m{"claimName": j.Volume}}, {"name": "list", "configMap": m{"name": sub.Name}}},
		}
		if before != nil {
			spec["initContainers"] = []m{before}
		}
		return m{"metadata": m{"labels": labels}, "spec": spec}
	}
	limits := m{"cpu": fmt.Sprint(max(j.CPUs, 1))}
	if mib := j.memory(sub.Tasks); mib > 0 {
		limits["memory"] = fmt.Sprintf("%dMi", mib)
	}
	if j.Device == "cuda" {
		limits["nvidia.com/gpu"] = "1"
	}
	var words []string
	for _, w := range j.command("run") {
		words = append(words, quote(w))
	}
	script := `id=$(sed -n "$((JOB_COMPLETION_INDEX + 1))p" /etc/pema/tasks.tsv | cut -f1) && exec ` + strings.Join(words, " ") + ` --only id="$id"`
	var fetch m
	if j.Fetch {
		fetch = container("fetch", j.command("fetch"), nil)
	}
	template := pod(fetch, container("run", []string{"/bin/sh", "-euc", script}, limits))
	slots := j.Slots
	if slots == 0 {
		slots = len(sub.Tasks)
	}
	run := m{
		"completionMode": "Indexed", "completions": len(sub.Tasks), "parallelism": min(slots, len(sub.Tasks)),
		"backoffLimitPerIndex": 1, "maxFailedIndexes": len(sub.Tasks), "template": template,
	}
	if minutes := j.limit(sub.Tasks); minutes > 0 {
		template["spec"].(m)["activeDeadlineSeconds"] = 60 * minutes // of one pod; a Job's would count all runs together
	}
	wait := []string{j.Pema, "submit", "--status", "--wait", "72h", "--out", j.Out, sub.Name}
	report := m{"backoffLimit": 2, "template": pod(container("wait", wait, nil), container("report", j.command("report"), nil))}

	documents := []m{
		{"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta(sub.Name), "data": m{"tasks.tsv": string(sub.list())}},
		{"apiVersion": "batch/v1", "kind": "Job", "metadata": meta(sub.Name + "-run"), "spec": run},
		{"apiVersion": "batch/v1", "kind": "Job", "metadata": meta(sub.Name + "-report"), "spec": report},
	}
	var texts [][]byte
	for _, d := range documents {
		b, err := yaml.MarshalWithOptions(d, yaml.UseLiteralStyleIfMultiline(true), yaml.IndentSequence(true))
		if err != nil {
			return nil, fmt.Errorf("kubernetes: %w", err)
		}
		texts = append(texts, b)
	}
	return bytes.Join(slices.Clip(texts), []byte("---\n")), nil
}
