package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// Slurm speaks with a Slurm cluster through its own commands.
type Slurm struct {
	// Command runs one of them and returns its standard output; nil runs the program of that name.
	Command func(ctx context.Context, name string, args ...string) ([]byte, error)
	// MaxArray is the cluster's MaxArraySize; 0 asks the cluster.
	MaxArray int
}

// ErrNoSlurm says that Slurm's commands are not there.
var ErrNoSlurm = errors.New("slurm is not found")

func (s *Slurm) command(ctx context.Context, name string, args ...string) ([]byte, error) {
	if s.Command != nil {
		return s.Command(ctx, name, args...)
	}
	out, err := exec.CommandContext(ctx, name, args...).Output()
	var exit *exec.ExitError
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, fmt.Errorf("%w: no %s; hint: submit where sbatch is, or look at the scripts with --dry-run", ErrNoSlurm, name)
	case errors.As(err, &exit):
		return nil, fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(exit.Stderr)))
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return out, nil
}

// maxArray is how many tasks one array may hold. Slurm's default is 1001, of which the last index is not given.
func (s *Slurm) maxArray(ctx context.Context) int {
	if s.MaxArray > 0 {
		return s.MaxArray - 1
	}
	if out, err := s.command(ctx, "scontrol", "show", "config"); err == nil {
		for line := range strings.Lines(string(out)) {
			if k, v, ok := strings.Cut(line, "="); ok && strings.TrimSpace(k) == "MaxArraySize" {
				if n, err := strconv.Atoi(strings.TrimSpace(v)); err == nil && n > 1 {
					return n - 1
				}
			}
		}
	}
	return 1000
}

// Script is the batch script of one part, and what must end before it begins.
type Script struct {
	Part    *Part
	Text    []byte
	After   []*Part
	Succeed bool // what is before must end well
}

var batch = template.Must(template.New("").Funcs(template.FuncMap{"quote": quote, "directive": directive}).Parse(`#!/bin/bash
#SBATCH --job-name={{.Name}}
#SBATCH --output={{directive .Log}}
#SBATCH --open-mode=append
#SBATCH --chdir={{directive .Dir}}
{{- with .Partition}}
#SBATCH --partition={{.}}{{end}}
{{- with .Account}}
#SBATCH --account={{.}}{{end}}
{{- if .Tasks}}
#SBATCH --array=0-{{.Last}}{{with .Slots}}%{{.}}{{end}}
#SBATCH --cpus-per-task={{.CPUs}}
{{- with .Memory}}
#SBATCH --mem={{.}}M{{end}}
{{- with .Minutes}}
#SBATCH --time={{.}}{{if gt . 2}}
#SBATCH --signal=B:TERM@60{{end}}{{end}}
{{- if .GPU}}
#SBATCH --gres=gpu:1{{end}}
#SBATCH --requeue
{{- end}}
set -eu
{{- if .Tasks}}
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
id=$(sed -n "$(({{.First}} + SLURM_ARRAY_TASK_ID))p" {{quote .List}} | cut -f1)
{{- end}}
exec{{range .Words}} {{quote .}}{{end}}{{if .Tasks}} --only id="$id"{{end}}
`))

// Scripts writes the batch scripts of a submission: a fetch where the hub is needed, arrays with one task a run, the report.
// An array has one size of memory and time for all its tasks, so tasks are sorted by them; more than a cluster's MaxArraySize
// become several arrays, one after the other, so that Slots holds for all.
func (s *Slurm) Scripts(ctx context.Context, j *Job, sub *Submission) ([]Script, error) {
	slices.SortStableFunc(sub.Tasks, func(a, b Task) int {
		if a.Memory != b.Memory {
			return int(min(max(a.Memory-b.Memory, -1), 1))
		}
		return 0
	})
	dir := sub.Dir(j.Out)
	type values struct {
		*Job
		Name, Log, List string
		Tasks           []Task
		First, Last     int
		Memory          int64
		Minutes         int
		GPU             bool
		Words           []string
	}
	sub.Parts = nil
	var out []Script
	add := func(p *Part, v values, after []*Part, succeed bool) error {
		kind, _, _ := strings.Cut(p.Name, "-")
		v.Job, v.Name, v.Words = j, sub.Name+"-"+p.Name, j.command(kind)
		log := p.Name + ".log"
		if p.Count > 0 {
			log = p.Name + "-%a.log"
		}
		v.Log, v.List = filepath.Join(strings.ReplaceAll(dir, "%", "%%"), "logs", log), filepath.Join(dir, "tasks.tsv")
		if strings.ContainsAny(dir+j.Dir, "\n\"\\") {
			return fmt.Errorf("slurm: folder %q has characters that a batch script cannot hold", j.Out)
		}
		var b bytes.Buffer
		if err := batch.Execute(&b, v); err != nil {
			return fmt.Errorf("slurm: %w", err)
		}
		sub.Parts = append(sub.Parts, p)
		out = append(out, Script{p, b.Bytes(), after, succeed})
		return nil
	}
	var before, arrays []*Part
	if j.Fetch {
		p := &Part{Name: "fetch"}
		if err := add(p, values{}, nil, false); err != nil {
			return nil, err
		}
		before = []*Part{p}
	}
	first := 0
	for tasks := range slices.Chunk(sub.Tasks, s.maxArray(ctx)) {
		p := &Part{Name: fmt.Sprintf("run-%d", len(arrays)+1), First: first, Count: len(tasks)}
		v := values{Tasks: tasks, First: first + 1, Last: len(tasks) - 1, Memory: j.memory(tasks), Minutes: j.limit(tasks), GPU: j.Device == "cuda"}
		if err := add(p, v, before, len(arrays) == 0); err != nil {
			return nil, err
		}
		arrays, before = append(arrays, p), []*Part{p}
		first += len(tasks)
	}
	return out, add(&Part{Name: "report"}, values{}, arrays, false)
}

// Submit writes the submission and hands its scripts to sbatch. When sbatch refuses one, the jobs handed over before are
// cancelled and the error says why.
func (s *Slurm) Submit(ctx context.Context, j *Job, sub *Submission) error {
	scripts, err := s.Scripts(ctx, j, sub)
	if err != nil {
		return err
	}
	files := map[string][]byte{"tasks.tsv": sub.list()}
	for _, x := range scripts {
		files[x.Part.Name+".sbatch"] = x.Text
	}
	if err := sub.Write(j.Out, files); err != nil {
		return err
	}
	for _, x := range scripts {
		args := []string{"--parsable"}
		if len(x.After) > 0 {
			depends := "--dependency=afterany"
			if x.Succeed {
				depends = "--dependency=afterok"
				args = append(args, "--kill-on-invalid-dep=yes")
			}
			for _, a := range x.After {
				depends += ":" + a.Job
			}
			args = append(args, depends)
		}
		out, err := s.command(ctx, "sbatch", append(args, filepath.Join(sub.Dir(j.Out), x.Part.Name+".sbatch"))...)
		if err != nil {
			if sub.Parts[0].Job == "" {
				os.RemoveAll(sub.Dir(j.Out)) //nolint:errcheck // nothing was handed over, so nothing is to be remembered
			}
			for _, p := range sub.Parts {
				if p.Job != "" {
					_, _ = s.command(context.WithoutCancel(ctx), "scancel", p.Job) // the first error is the one to tell
				}
			}
			return fmt.Errorf("submit %s: %w", x.Part.Name, err)
		}
		x.Part.Job, _, _ = strings.Cut(strings.TrimSpace(string(out)), ";") // "id;cluster" where there are several
	}
	return sub.Write(j.Out, nil)
}

// State is what the scheduler says of a task.
type State struct {
	Job    string `json:"job"`   // as scancel takes it
	State  string `json:"state"` // Slurm's word: PENDING, RUNNING, CANCELLED, ...
	Reason string `json:"reason,omitempty"`
}

// Waits says that the task runs or will run without a further call. A completing task is at its end: its record is there, or
// never will be.
func (s State) Waits() bool {
	switch s.State {
	case "PENDING", "RUNNING", "CONFIGURING", "SUSPENDED", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED", "RESV_DEL_HOLD":
		return s.Reason != "DependencyNeverSatisfied"
	}
	return false
}

// States tells what Slurm knows of the submissions' tasks, by the run's identity; of a task submitted twice the later. A job is
// known by its name, so that a call that died half-way is found too. What squeue has forgotten is asked of the accounting, if
// the cluster has any.
func (s *Slurm) States(ctx context.Context, subs []*Submission) (map[string]State, error) {
	type array struct {
		sub *Submission
		*Part
	}
	arrays := map[string]array{}
	var names []string
	var since time.Time
	for _, sub := range subs {
		for _, p := range sub.Parts {
			if sub.Engine != "slurm" || p.Count == 0 {
				continue
			}
			name := sub.Name + "-" + p.Name
			arrays[name] = array{sub, p}
			names = append(names, name)
			if since.IsZero() {
				since = sub.Created
			}
		}
	}
	states := map[string]State{}
	if len(names) == 0 {
		return states, nil
	}
	when := map[string]time.Time{}
	note := func(text []byte) {
		for line := range strings.Lines(string(text)) {
			// name|job_index|state|reason; an index that is not one number stands for tasks that never began
			f := strings.SplitN(strings.TrimSpace(line), "|", 4)
			if len(f) < 3 {
				continue
			}
			a, ok := arrays[f[0]]
			_, index, _ := strings.Cut(f[1], "_")
			if !ok {
				continue
			}
			for _, i := range indices(index) {
				if i >= a.Count || a.First+i >= len(a.sub.Tasks) {
					continue
				}
				id := a.sub.Tasks[a.First+i].ID
				word, _, _ := strings.Cut(f[2], " ") // "CANCELLED by 0"
				st := State{Job: fmt.Sprintf("%s_%d", strings.SplitN(f[1], "_", 2)[0], i), State: strings.TrimRight(word, "+")}
				if len(f) > 3 && f[3] != "None" {
					st.Reason = f[3]
				}
				if t, ok := when[id]; !ok || !a.sub.Created.Before(t) {
					states[id], when[id] = st, a.sub.Created
				}
			}
		}
	}
	// Without accounting sacct fails, and only what squeue still shows is known.
	if past, err := s.command(ctx, "sacct", "--noheader", "--parsable2", "--allocations", "--name="+strings.Join(names, ","),
		"--starttime="+since.Local().Format("2006-01-02T15:04:05"), "--format=JobName,JobID,State"); err == nil {
		note(past)
	}
	now, err := s.command(ctx, "squeue", "--noheader", "--array", "--states=all", "--name="+strings.Join(names, ","), "--format=%j|%F_%K|%T|%r")
	if err != nil {
		return nil, err
	}
	note(now)
	return states, nil
}

// indices reads an array's index: 3, or [0-2,5%2] of tasks that are shown together.
func indices(s string) []int {
	s, _, _ = strings.Cut(strings.Trim(s, "[]"), "%")
	var out []int
	for _, part := range strings.Split(s, ",") {
		low, high, both := strings.Cut(part, "-")
		a, err := strconv.Atoi(low)
		if err != nil || a < 0 {
			continue
		}
		b := a
		if both {
			if b, err = strconv.Atoi(high); err != nil {
				continue
			}
		}
		for i := a; i <= b && len(out) < 1<<20; i++ {
			out = append(out, i)
		}
	}
	return out
}

// quote makes one word of a shell's.
func quote(s string) string {
	if s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("/._-=:,@+%", r))
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// directive makes one word of a #SBATCH line.
func directive(s string) string {
	if strings.ContainsAny(s, " \t'#;") {
		return `"` + s + `"`
	}
	return s
}
