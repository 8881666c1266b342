package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"pema/report"
	"pema/results"
)

// reportFlags choose what pema report does; without any it writes the whole report.
type reportFlags struct {
	out, format, compare string
	tables               []string
	list, watch, asJSON  bool
}

func reportCommand() *cobra.Command {
	var f reportFlags
	c := &cobra.Command{Use: "report", Short: "tables, plots and report.html from the records", Args: cobra.NoArgs,
		Example: `  pema report                                             write tables/, plots/ and report.html
  pema report --list                                      name the tables and plots
  pema report --format latex --table memory-glue          one table on stdout, ready to paste
  pema report --compare other/out                         two output folders side by side
  pema report --watch                                     make it anew while a sweep adds records`}
	fl := c.Flags()
	fl.StringVar(&f.out, "out", defaultOut, "output folder")
	fl.StringVar(&f.format, "format", "", "print tables to stdout and write nothing: "+strings.Join(report.Forms, ", "))
	fl.StringSliceVar(&f.tables, "table", nil, "print this table alone (several: comma)")
	fl.BoolVar(&f.list, "list", false, "list tables and plots")
	fl.BoolVar(&f.asJSON, "json", false, "for programs: the same as --format json")
	fl.StringVar(&f.compare, "compare", "", "other output folder, to set beside this one run for run")
	fl.BoolVar(&f.watch, "watch", false, "make the report anew whenever records appear, until Ctrl-C")
	c.RunE = func(c *cobra.Command, _ []string) error { return f.run(c) }
	return c
}

func (f *reportFlags) run(c *cobra.Command) error {
	if f.asJSON {
		if f.format != "" && f.format != "json" {
			return usageError{fmt.Errorf("--json and --format %s exclude each other", f.format)}
		}
		f.format = "json"
	}
	if f.format != "" && !slices.Contains(report.Forms, f.format) {
		return usageError{fmt.Errorf("unknown format %q; there are: %s", f.format, strings.Join(report.Forms, ", "))}
	}
	printing := f.format != "" || len(f.tables) > 0
	for _, two := range []struct {
		bad  bool
		what string
	}{{f.watch && (printing || f.list || f.compare != ""), "--watch writes the whole report and goes with no other choice than --out"},
		{f.list && (len(f.tables) > 0 || f.compare != ""), "--list goes with no choice of tables"},
		{f.compare != "" && len(f.tables) > 0, "--compare and --table exclude each other"}} {
		if two.bad {
			return usageError{errors.New(two.what)}
		}
	}
	if f.format == "" {
		f.format = "terminal"
	}
	out, log := c.OutOrStdout(), logTo(c.ErrOrStderr())
	store, err := openOutput(f.out, f.watch)
	if err != nil {
		return err
	}
	if f.watch {
		return watchReport(c.Context(), c.ErrOrStderr(), log, store)
	}
	if !printing && !f.list && f.compare == "" {
		return writeReport(out, log, store)
	}
	records, err := readRecords(log, store)
	if err != nil {
		return err
	}
	if f.compare != "" {
		other, err := openOutput(f.compare, false)
		if err != nil {
			return err
		}
		theirs, err := readRecords(log, other)
		if err != nil {
			return err
		}
		a, b := folderNames(f.out, f.compare)
		t := report.Compare(a, records, b, theirs)
		t.Note = fmt.Sprintf("%s is %s, %s is %s", a, f.out, b, f.compare)
		return report.Render(out, f.format, t)
	}
	r, err := report.Build(records)
	if err != nil {
		return err
	}
	if f.list {
		return listReport(out, f.format, r)
	}
	tables, err := chosen(r, f.tables)
	if err != nil {
		return err
	}
	return report.Render(out, f.format, tables...)
}

// openOutput opens an output folder that must be there; a mistyped name is no reason to make one.
func openOutput(dir string, mayMake bool) (*results.Store, error) {
	if st, err := os.Stat(dir); !mayMake && (err != nil || !st.IsDir()) {
		return nil, fmt.Errorf("no output folder %s; hint: pema run makes one, --out names another", dir)
	}
	return results.Open(dir)
}

func readRecords(log func(string, ...any), store *results.Store) ([]*results.Record, error) {
	records, broken, err := store.All()
	if err != nil {
		return nil, err
	}
	for _, b := range broken {
		log("warning: a record cannot be read: %v", b)
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("no records in %s; hint: pema run sample", store.Dir())
	}
	return records, nil
}

func writeReport(w io.Writer, log func(string, ...any), store *results.Store) error {
	records, err := readRecords(log, store)
	if err != nil {
		return err
	}
	r, err := report.Build(records)
	if err != nil {
		return err
	}
	if err := report.Write(store.Dir(), r); err != nil {
		return err
	}
	if err := r.Terminal(w); err != nil {
		return err
	}
	log("tables, plots and report.html are in %s", store.Dir())
	return nil
}

// watchReport makes the report anew until the context ends, which is its proper end. On a terminal the news keep to one line.
func watchReport(ctx context.Context, w io.Writer, log func(string, ...any), store *results.Store) error {
	log("watching %s; Ctrl-C ends", store.Dir())
	file, ok := w.(*os.File)
	live := ok && term.IsTerminal(int(file.Fd()))
	err := report.Watch(ctx, store, time.Second, func(n report.News) {
		line := fmt.Sprintf("pema: %s  %s", time.Now().Format(time.TimeOnly), n)
		if live {
			fmt.Fprint(w, "\r\x1b[K"+line)
		} else {
			fmt.Fprintln(w, line)
		}
	})
	if live {
		fmt.Fprintln(w)
	}
	return err
}

func listReport(w io.Writer, format string, r *report.Report) error {
	t := &report.Table{Name: "list", Title: "Tables and plots", Columns: []report.Column{{Name: "kind"}, {Name: "name"}, {Name: "title"}, {Name: "rows", Kind: report.Count}}}
	for _, s := range r.Sections {
		for _, x := range s.Tables {
			t.Add("table", x.Name, x.Title, len(x.Rows))
		}
		for _, p := range s.Plots {
			t.Add("plot", p.Name, p.Title, "")
		}
	}
	return report.Render(w, format, t)
}

// chosen finds tables by name; all of them where none is named.
func chosen(r *report.Report, names []string) ([]*report.Table, error) {
	var all []*report.Table
	var there []string
	for _, s := range r.Sections {
		for _, t := range s.Tables {
			all = append(all, t)
			there = append(there, t.Name)
		}
	}
	if len(names) == 0 {
		return all, nil
	}
	var out []*report.Table
	for _, n := range names {
		t := r.Table(n)
		if t == nil {
			return nil, usageError{fmt.Errorf("no table %q; there are: %s", n, strings.Join(there, ", "))}
		}
		out = append(out, t)
	}
	return out, nil
}

// folderNames are short names that tell two folders apart in the head of a column.
func folderNames(a, b string) (string, string) {
	if x, y := filepath.Base(a), filepath.Base(b); x != y && x != "." && y != "." {
		return x, y
	}
	return "A", "B"
}
