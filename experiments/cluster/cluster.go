// Package cluster hands runs to a scheduler that is already there, Slurm or Kubernetes, and asks it how they fare. It
// schedules nothing itself: what is done is told by the records of the output folder, what is queued by the scheduler.
package cluster

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"pema/results"
)

// Task is one run that a scheduler is to start.
type Task struct {
	ID      string  `json:"id"`    // the run's identity
	Label   string  `json:"label"` // for people
	Memory  int64   `json:"memory,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
}

// Job is a set of tasks with what they share.
type Job struct {
	Pema   string   // the executable as the nodes see it
	Specs  []string // as pema run takes them
	Out    string   // output folder, an absolute path that the nodes share
	Dir    string   // working folder
	Device string   // auto, cpu or cuda; cuda asks for one GPU a task
	Fetch  bool     // something comes from the hub: fetch it first
	Tasks  []Task

	Slots     int           // tasks that may run at once; 0: as many as the scheduler likes
	CPUs      int           // cores of a task
	Memory    int64         // bytes of host memory for a task; 0: the largest of the tasks'
	Time      time.Duration // limit of a task; 0: from the tasks' guess, or none
	Partition string        // Slurm's partition
	Account   string        // Slurm's account
	Image     string        // Kubernetes: container image
	Volume    string        // Kubernetes: claim of the volume that holds the output folder and the caches
	Mount     string        // Kubernetes: where the volume is mounted
}

// Submission is what was handed over at one time; it is kept in OUT/submit/<name>/submission.json.
type Submission struct {
	Name    string    `json:"name,omitempty"` // the scheduler's jobs are called by it
	Engine  string    `json:"engine"`
	Created time.Time `json:"created,omitzero"`
	Tasks   []Task    `json:"tasks"`
	Parts   []*Part   `json:"parts"`
}

// Part is one job of the scheduler's: the fetch, an array of runs, the report.
type Part struct {
	Name  string `json:"name"`            // fetch, run-1 ..., report; after the submission's name it is the job's
	Job   string `json:"job,omitempty"`   // the scheduler's id, once handed over
	First int    `json:"first,omitempty"` // an array's first task in Tasks
	Count int    `json:"count,omitempty"` // an array's tasks
}

// New names a submission; nothing is written.
func New(engine string, j *Job, now time.Time) *Submission {
	h := sha256.New()
	fmt.Fprintln(h, j.Out, now.UnixNano())
	for _, t := range j.Tasks {
		fmt.Fprintln(h, t.ID)
	}
	return &Submission{Name: now.UTC().Format("pema-20060102-150405-") + hex.EncodeToString(h.Sum(nil)[:3]), Engine: engine, Created: now.UTC(), Tasks: j.Tasks}
}

// Dir is the submission's folder.
func (s *Submission) Dir(out string) string { return filepath.Join(out, "submit", s.Name) }

// Log is where the task at an index of Tasks writes, "" where that is not known.
func (s *Submission) Log(out string, index int) string {
	for _, p := range s.Parts {
		if s.Engine == "slurm" && index >= p.First && index < p.First+p.Count {
			return filepath.Join(s.Dir(out), "logs", fmt.Sprintf("%s-%d.log", p.Name, index-p.First))
		}
	}
	return ""
}

// Write puts the submission and files (name to text) into its folder. It is written before anything is handed over: a call
// that dies in between leaves a name by which the scheduler's jobs are found again.
func (s *Submission) Write(out string, files map[string][]byte) error {
	dir := s.Dir(out)
	if err := os.MkdirAll(filepath.Join(dir, "logs"), 0o755); err != nil {
		return fmt.Errorf("submission: %w", err)
	}
	b, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return fmt.Errorf("submission: %w", err)
	}
	for name, text := range files {
		if err := results.WriteFile(filepath.Join(dir, name), text); err != nil {
			return fmt.Errorf("submission: %w", err)
		}
	}
	if err := results.WriteFile(filepath.Join(dir, "submission.json"), append(b, '\n')); err != nil {
		return fmt.Errorf("submission: %w", err)
	}
	return nil
}

// list is the file that turns an array's index into a run: line index + 1 holds its identity and what it is.
func (s *Submission) list() []byte {
	var b bytes.Buffer
	for _, t := range s.Tasks {
		fmt.Fprintf(&b, "%s\t%s\n", t.ID, strings.Join(strings.Fields(t.Label), " "))
	}
	return b.Bytes()
}

// Submissions reads all submissions of an output folder, the oldest first.
func Submissions(out string) ([]*Submission, error) {
	files, err := filepath.Glob(filepath.Join(out, "submit", "*", "submission.json"))
	if err != nil {
		return nil, fmt.Errorf("read submissions: %w", err)
	}
	var all []*Submission
	for _, f := range files {
		b, err := os.ReadFile(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read submissions: %w", err)
		}
		s := &Submission{}
		if err := json.Unmarshal(b, s); err != nil {
			return nil, fmt.Errorf("read submissions: %s: %w; hint: take its folder away, its jobs are then not known any more", f, err)
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b *Submission) int { return a.Created.Compare(b.Created) })
	return all, nil
}

// Lock keeps two calls from handing over the same runs; release it when the scheduler has them.
func Lock(out string) (release func(), err error) {
	if err := os.MkdirAll(filepath.Join(out, "submit"), 0o755); err != nil {
		return nil, fmt.Errorf("lock submissions: %w", err)
	}
	l := flock.New(filepath.Join(out, "submit", ".lock"))
	if err := l.Lock(); err != nil {
		return nil, fmt.Errorf("lock submissions: %w", err)
	}
	return func() { l.Unlock() }, nil //nolint:errcheck // the process's end releases it too
}

// memory is what one task is given, in whole MiB: what was asked, or the largest forecast; 0: not known.
func (j *Job) memory(tasks []Task) int64 {
	most := j.Memory
	for _, t := range tasks {
		if j.Memory == 0 {
			most = max(most, t.Memory)
		}
	}
	return (most + 1<<20 - 1) >> 20
}

// limit is the time that one task is given, in whole minutes: what was asked, or three times the longest guess and ten
// minutes, since a task that is cut off has to begin again; 0: not known.
func (j *Job) limit(tasks []Task) int {
	d := j.Time
	for _, t := range tasks {
		if j.Time == 0 && t.Seconds > 0 {
			d = max(d, time.Duration(3*t.Seconds*float64(time.Second))+10*time.Minute)
		}
	}
	return int((d + time.Minute - 1) / time.Minute)
}

// command is pema's call for one part of the job, its words ready for a shell; the run's identity is left to the caller.
func (j *Job) command(part string) []string {
	words := []string{j.Pema, part}
	if part != "report" {
		words = append(words, j.Specs...)
	}
	if part != "fetch" {
		words = append(words, "--out", j.Out)
	}
	if part == "run" {
		device := j.Device
		if device == "cuda" {
			device = "cuda:0"
		}
		words = append(words, "--device", device, "--report=false")
	}
	return words
}
