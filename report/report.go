// Package report makes tables, plots and one self-contained page from records, and from nothing else. Every cell knows the
// runs it was made from.
package report

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"pema/results"
)

// Report is all that is shown of an output folder.
type Report struct {
	Sections []*Section
	Runs     []*results.Record // every record, in the order of results.Less within its spec
}

// Section is what one spec's records give.
type Section struct {
	Spec    results.Spec
	Name    string // file name of its tables and plots
	Tables  []*Table
	Plots   []*Plot
	Checks  []Check
	Summary string // one line
}

// Build makes the report of the records. The error names a cell that a spec's table asks for and nobody knows.
func Build(records []*results.Record) (*Report, error) {
	r := &Report{}
	taken := map[string]bool{}
	refs, err := references()
	if err != nil {
		return nil, err
	}
	for _, s := range gather(records) {
		name := fileName(s.spec.Name, taken)
		tables, err := s.tables(name)
		if err != nil {
			return nil, fmt.Errorf("report of spec %q: %w", s.spec.Name, err)
		}
		sec := &Section{Spec: s.spec, Name: name, Tables: tables, Plots: s.plots(name), Checks: s.checks(refs)}
		if t := s.checkTable(name, sec.Checks); t != nil {
			sec.Tables = append(sec.Tables, t)
		}
		sec.Summary = s.summary(sec.Checks)
		r.Sections = append(r.Sections, sec)
		r.Runs = append(r.Runs, s.runs...)
	}
	return r, nil
}

// fileName makes a spec's name fit for a file on every system, and unlike those before it.
func fileName(name string, taken map[string]bool) string {
	s := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			return c
		}
		return '-'
	}, name)
	s = s[:min(len(s), 80)]
	if strings.Trim(s, "-") == "" {
		s = "spec"
	}
	base := s
	for i := 2; taken[strings.ToLower(s)]; i++ {
		s = fmt.Sprintf("%s-%d", base, i)
	}
	taken[strings.ToLower(s)] = true
	return s
}

// Table finds a table by its name, nil when there is none.
func (r *Report) Table(name string) *Table {
	for _, s := range r.Sections {
		for _, t := range s.Tables {
			if t.Name == name {
				return t
			}
		}
	}
	return nil
}

// Terminal writes all tables for a screen.
func (r *Report) Terminal(w io.Writer) error {
	for _, s := range r.Sections {
		for _, t := range s.Tables {
			fmt.Fprintln(w)
			if err := t.Terminal(w); err != nil {
				return err
			}
		}
		fmt.Fprintf(w, "\n%s\n", s.Summary)
	}
	return nil
}

// Write puts tables/, plots/ and report.html into the output folder. Each file appears whole or not at all; the page comes last.
func Write(dir string, r *Report) error {
	for _, d := range []string{"tables", "plots"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	put := func(path string, make func(io.Writer) error) error {
		var b bytes.Buffer
		if err := make(&b); err != nil {
			return fmt.Errorf("write report: %s: %w", path, err)
		}
		if err := results.WriteFile(filepath.Join(dir, path), b.Bytes()); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		return nil
	}
	var all errgroup.Group
	all.SetLimit(runtime.GOMAXPROCS(0))
	for _, s := range r.Sections {
		for _, t := range s.Tables {
			for end, form := range map[string]string{"md": "markdown", "csv": "csv", "tex": "latex"} {
				all.Go(func() error {
					return put("tables/"+t.Name+"."+end, func(w io.Writer) error { return t.Render(w, form) })
				})
			}
		}
		for _, p := range s.Plots {
			all.Go(func() error { // one after the other: drawing changes the plot
				if err := put("plots/"+p.Name+".svg", p.SVG); err != nil {
					return err
				}
				return put("plots/"+p.Name+".png", p.PNG)
			})
		}
	}
	if err := all.Wait(); err != nil {
		return err
	}
	return put("report.html", r.HTML)
}
