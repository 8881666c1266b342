package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pema/experiments"
	"pema/report"
	"pema/results"
)

func exportCommand() *cobra.Command {
	var out, to string
	var events bool
	c := &cobra.Command{Use: "export", Short: "all records as Parquet, JSON Lines and TensorBoard event files", Args: cobra.NoArgs,
		Long: `Writes OUT/runs.parquet and OUT/runs.jsonl, one row a run with the same columns, and a TensorBoard event file into each OUT/runs/ID.
With --to one table goes to one file: .parquet, .jsonl, or - for JSON Lines on standard output.`}
	c.Flags().StringVar(&out, "out", defaultOut, "output folder")
	c.Flags().StringVar(&to, "to", "", "one file instead: NAME.parquet, NAME.jsonl or -")
	c.Flags().BoolVar(&events, "tensorboard", true, "event files for TensorBoard")
	c.RunE = func(c *cobra.Command, _ []string) error {
		store, records, err := recordsOf(c, out)
		if err != nil {
			return err
		}
		if to == "" {
			paths, err := store.Export(records, events)
			if err != nil {
				return err
			}
			say := logTo(c.ErrOrStderr())
			say("%d runs are in %s", len(records), strings.Join(paths, " and "))
			if events {
				say("hint: tensorboard --logdir %s", filepath.Join(out, "runs"))
			}
			return nil
		}
		write := results.WriteJSONLines
		switch filepath.Ext(to) {
		case ".parquet":
			write = results.WriteParquet
		case ".jsonl", ".ndjson":
		default:
			if to != "-" {
				return usageError{fmt.Errorf("--to %s: the name must end in .parquet or .jsonl", to)}
			}
			return write(c.OutOrStdout(), records)
		}
		var b bytes.Buffer
		if err := write(&b, records); err != nil {
			return err
		}
		return results.WriteFile(to, b.Bytes())
	}
	return c
}

// recordsOf reads an output folder that must have records; one that cannot be read is warned of.
func recordsOf(c *cobra.Command, out string) (*results.Store, []*results.Record, error) {
	if _, err := os.Stat(filepath.Join(out, "runs")); err != nil { // not made by looking at it
		return nil, nil, fmt.Errorf("no records in %s: %w; hint: --out names the folder of pema run", out, err)
	}
	store, err := results.Open(out)
	if err != nil {
		return nil, nil, err
	}
	records, broken, err := store.All()
	if err != nil {
		return nil, nil, err
	}
	for _, b := range broken {
		logTo(c.ErrOrStderr())("warning: a record cannot be read: %v", b)
	}
	if len(records) == 0 {
		return nil, nil, fmt.Errorf("no records in %s", out)
	}
	return store, records, nil
}

func resultsCommand() *cobra.Command {
	c := &cobra.Command{Use: "results", Short: "list, show and compare records", Args: func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usageError{fmt.Errorf("%q is not known: use list, show or compare", args[0])}
		}
		return nil
	}}
	c.RunE = func(*cobra.Command, []string) error { return usageError{errors.New("say list, show or compare")} }
	c.AddCommand(listCommand(), showCommand(), compareCommand())
	return c
}

func listCommand() *cobra.Command {
	var out, only string
	var asJSON bool
	c := &cobra.Command{Use: "list", Short: "the records of an output folder", Args: cobra.NoArgs}
	c.Flags().StringVar(&out, "out", defaultOut, "output folder")
	c.Flags().StringVar(&only, "only", "", onlyHelp)
	c.Flags().BoolVar(&asJSON, "json", false, "for programs")
	c.RunE = func(c *cobra.Command, _ []string) error {
		keep, err := parseOnly(only)
		if err != nil {
			return err
		}
		_, records, err := recordsOf(c, out)
		if err != nil {
			return err
		}
		records = slices.DeleteFunc(records, func(r *results.Record) bool { return !keep(recordFields(r)) })
		if asJSON {
			return results.WriteJSONLines(c.OutOrStdout(), records)
		}
		for _, r := range records {
			figures := []string{fmt.Sprintf("%.1f s", r.Time.Total)}
			if r.Memory != nil {
				figures = append(figures, fmt.Sprintf("peak %.1f MiB", float64(r.Memory.PeakAllocated)/(1<<20)))
			}
			for _, m := range slices.Sorted(maps.Keys(r.Metrics)) {
				figures = append(figures, fmt.Sprintf("%s %.4g", m, r.Metrics[m]))
			}
			if r.Error != "" {
				first, _, _ := strings.Cut(r.Error, "\n")
				figures = append(figures, first)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s  %-13s %-12s %-20s %-16s %-9s seed %d  %s\n", r.ID, r.State, r.Spec.Name, r.Model, r.Dataset, r.Variant, r.Seed, strings.Join(figures, ", "))
		}
		return nil
	}
	return c
}

func showCommand() *cobra.Command {
	var out string
	var asJSON, reproduce bool
	c := &cobra.Command{Use: "show ID", Short: "one record; ID may be the beginning of one", Args: func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{errors.New("name one run by its id, or the beginning of it")}
		}
		return nil
	}}
	c.Flags().StringVar(&out, "out", defaultOut, "output folder")
	c.Flags().BoolVar(&asJSON, "json", false, "the record as it is kept")
	c.Flags().BoolVar(&reproduce, "reproduce", false, "print the commands that repeat the run")
	c.RunE = func(c *cobra.Command, args []string) error {
		store, records, err := recordsOf(c, out)
		if err != nil {
			return err
		}
		records = slices.DeleteFunc(records, func(r *results.Record) bool { return !strings.HasPrefix(r.ID, args[0]) })
		switch len(records) {
		case 0:
			return fmt.Errorf("no record begins with %q; hint: pema results list --out %s", args[0], out)
		case 1:
		default:
			return usageError{fmt.Errorf("%d records begin with %q: %s, %s ...", len(records), args[0], records[0].ID, records[1].ID)}
		}
		switch r := records[0]; {
		case reproduce:
			return reproduction(c.OutOrStdout(), r, out)
		case asJSON:
			b, err := os.ReadFile(store.Path(r.ID))
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(b)
			return err
		default:
			show(c.OutOrStdout(), r)
			return nil
		}
	}
	return c
}

// show writes what a record holds, for people.
func show(w io.Writer, r *results.Record) {
	line := func(what, format string, a ...any) { fmt.Fprintf(w, "%-11s %s\n", what, fmt.Sprintf(format, a...)) }
	mib := func(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
	line("run", "%s, %s", r.ID, r.State)
	if r.Error != "" {
		line("error", "%s", r.Error)
	}
	line("what", "%s on %s, %s, seed %d (spec %s)", r.Model, r.Dataset, r.Variant, r.Seed, r.Spec.Name)
	line("when", "%s to %s, %.1f s", r.Started.Format("2006-01-02 15:04:05"), r.Finished.Format("15:04:05 MST"), r.Time.Total)
	t := r.Training
	line("training", "%s weights, batch %d x %d (%s), %s, learning rate %g, %g epochs, %d steps, %s", t.Weights, t.BatchSize, t.MaxLength, t.Padding, t.Optimizer, t.LearningRate, t.Epochs, t.Steps, t.Precision)
	for _, s := range r.Data.Splits {
		line("split", "%s: %d examples, %d tokens", s.Name, s.Examples, s.Tokens)
	}
	line("vocabulary", "%d of %d rows used, %d kept", r.Vocabulary.Used, r.Vocabulary.Rows, r.Vocabulary.Kept)
	line("parameters", "%d, embedding %d; without PEMA %d and %d", r.Parameters.Total, r.Parameters.Embedding, r.Parameters.FullTotal, r.Parameters.FullEmbedding)
	if m := r.Memory; m != nil {
		line("peak", "%s in %s", mib(m.PeakAllocated), m.Phase)
		for _, p := range m.Ledger.Parts() {
			line("", "%-22s %s", p.Name, mib(p.Bytes))
		}
		if m.Forecast != nil {
			line("forecast", "%s", mib(m.Forecast.PeakAllocated))
		}
	}
	for _, m := range slices.Sorted(maps.Keys(r.Metrics)) {
		line("metric", "%s %.6g", m, r.Metrics[m])
	}
	e := r.Environment
	line("code", "%s, libtorch %s, %s", e.Code, e.Libtorch, e.Go)
	driver := ""
	if e.Driver != "" {
		driver = ", driver " + e.Driver
	}
	line("machine", "%s, %s, %s, device %s%s, %d threads", e.Host, e.OS, e.CPU, e.Device, driver, e.Threads)
	for _, k := range slices.Sorted(maps.Keys(r.Variables)) {
		line("variable", "%s=%s", k, r.Variables[k])
	}
	for _, in := range r.Inputs {
		line("input", "%-9s %s %s", in.Role, in.SHA256, in.Name)
	}
	for _, n := range r.Notes {
		line("note", "%s", n)
	}
}

// environment variables that change a run's numbers or memory, and not only its place.
func changesNumbers(name string) bool {
	return slices.ContainsFunc([]string{"OMP_", "KMP_", "GOMP_", "MKL_", "DNNL_", "ONEDNN_", "ATEN_", "OPENBLAS_", "CUBLAS_", "CUDNN_", "NVIDIA_TF32", "PYTORCH_", "TORCH_"},
		func(p string) bool { return strings.HasPrefix(name, p) })
}

// reproduction prints a script that makes the run again and holds it against its record.
func reproduction(w io.Writer, r *results.Record, out string) error {
	e := r.Environment
	fmt.Fprintf(w, "# run %s: %s on %s, %s, seed %d\n# made on %s (%s, %s), libtorch %s, %s\n", r.ID, r.Model, r.Dataset, r.Variant, r.Seed, e.Device, e.CPU, e.OS, e.Libtorch, e.Go)
	for _, in := range r.Inputs {
		fmt.Fprintf(w, "# %-9s %s  %s\n", in.Role, in.SHA256, in.Name)
	}
	commit, clean := r.Commit()
	switch {
	case commit == "":
		fmt.Fprintf(w, "# the code's commit is not known (%s): this version is used\n", e.Code)
	case !clean:
		fmt.Fprintf(w, "# warning: the code had changes beside this commit\ngit checkout %s && make build\n", commit)
	default:
		fmt.Fprintf(w, "git checkout %s && make build\n", commit)
	}
	spec, warning := specOf(r)
	if warning != "" {
		fmt.Fprintf(w, "# warning: %s\n", warning)
	}
	words := []string{fmt.Sprintf("OMP_NUM_THREADS=%d", e.Threads)}
	for _, k := range slices.Sorted(maps.Keys(r.Variables)) {
		if changesNumbers(k) && k != "OMP_NUM_THREADS" {
			words = append(words, k+"="+shellWord(r.Variables[k]))
		}
	}
	device, _, _ := strings.Cut(e.Device, " ")
	again := "reproduced-" + r.ID
	words = append(words, "bin/pema", "run", shellWord(spec), "--only", shellWord(fmt.Sprintf("model=%s,dataset=%s,variant=%s,seed=%d", r.Model, r.Dataset, r.Variant, r.Seed)), "--device", device, "--out", again)
	fmt.Fprintln(w, strings.Join(words, " "))
	fmt.Fprintf(w, "bin/pema results compare %s %s --only id=%s\n", shellWord(out), again, r.ID)
	return nil
}

// specOf is how the record's spec is named today, and what may be wrong with it.
func specOf(r *results.Record) (name, warning string) {
	for _, n := range []string{r.Spec.Name, r.Spec.Source} {
		if s, err := experiments.Load(n); err == nil && s.SHA256 == r.Spec.SHA256 {
			return n, ""
		}
	}
	name = r.Spec.Source
	if name == "" {
		name = r.Spec.Name
	}
	return name, fmt.Sprintf("spec %s is not here as it was: its sha256 was %s", name, r.Spec.SHA256)
}

// shellWord quotes a word where a shell would read it otherwise.
func shellWord(s string) string {
	if s != "" && strings.IndexFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("/._-=:,@+", c))
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func compareCommand() *cobra.Command {
	var only string
	var asJSON bool
	var t results.Tolerance
	c := &cobra.Command{Use: "compare A B", Short: "two output folders side by side; FOLDER@COMMIT takes only what that code made", Args: func(_ *cobra.Command, args []string) error {
		if len(args) != 2 {
			return usageError{errors.New("name two output folders")}
		}
		return nil
	}}
	c.Flags().StringVar(&only, "only", "", onlyHelp)
	tolerance(c, &t)
	c.Flags().BoolVar(&asJSON, "json", false, "for programs")
	c.RunE = func(c *cobra.Command, args []string) error {
		keep, err := parseOnly(only)
		if err != nil {
			return err
		}
		var sides [2][]*results.Record
		for i, name := range args {
			if sides[i], err = side(c, name); err != nil {
				return err
			}
		}
		// What is kept on one side is kept on the other: an id is not the same in both.
		kept := map[results.Key]bool{}
		for _, s := range sides {
			for _, r := range s {
				if keep(recordFields(r)) {
					kept[r.Key()] = true
				}
			}
		}
		for i := range sides {
			sides[i] = slices.DeleteFunc(sides[i], func(r *results.Record) bool { return !kept[r.Key()] })
		}
		findings := results.Check(sides[0], sides[1], t)
		if asJSON {
			return encode(c.OutOrStdout(), map[string]any{"a": args[0], "b": args[1], "findings": findings})
		}
		if err := report.Compare("A", sides[0], "B", sides[1]).Terminal(c.OutOrStdout()); err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout())
		printFindings(c.OutOrStdout(), findings)
		return nil
	}
	return c
}

// side reads FOLDER or FOLDER@COMMIT.
func side(c *cobra.Command, name string) ([]*results.Record, error) {
	folder, commit := name, ""
	if _, err := os.Stat(name); err != nil {
		if i := strings.LastIndexByte(name, '@'); i > 0 {
			folder, commit = name[:i], name[i+1:]
		}
	}
	_, records, err := recordsOf(c, folder)
	if err != nil || commit == "" {
		return records, err
	}
	codes := map[string]bool{}
	for _, r := range records {
		codes[r.Environment.Code] = true
	}
	records = slices.DeleteFunc(records, func(r *results.Record) bool {
		of, _ := r.Commit()
		return !strings.HasPrefix(of, commit)
	})
	if len(records) == 0 {
		return nil, fmt.Errorf("%s has no record of commit %s; it has %s", folder, commit, strings.Join(slices.Sorted(maps.Keys(codes)), ", "))
	}
	return records, nil
}

func tolerance(c *cobra.Command, t *results.Tolerance) {
	c.Flags().Float64Var(&t.Score, "tolerance", 0.005, "how far a score's mean may be away, in the score's unit (accuracy is 0..1)")
	c.Flags().Float64Var(&t.Level, "level", 0.95, "of the t interval over seeds")
}

func checkCommand() *cobra.Command {
	var out, reference, only string
	var asJSON bool
	var t results.Tolerance
	c := &cobra.Command{Use: "check --reference DIR", Short: "hold records against a reference; exit 3 when one left its tolerance", Args: cobra.NoArgs,
		Long: `Holds the records of an output folder against those of a reference, run for run. Counts and bytes (vocabulary, parameters, steps; peak and
ledger on the same kind of device) must be equal. A score is compared over the seeds of both: it is missed when its mean difference is beyond
--tolerance and the t interval of the difference leaves out 0; of one seed the tolerance decides. A run that is not there is a miss.`}
	c.Flags().StringVar(&reference, "reference", "", "folder with the reference's records (DIR/runs), or DIR@COMMIT")
	c.Flags().StringVar(&out, "out", defaultOut, "output folder")
	c.Flags().StringVar(&only, "only", "", onlyHelp)
	tolerance(c, &t)
	c.Flags().BoolVar(&asJSON, "json", false, "for programs")
	c.RunE = func(c *cobra.Command, _ []string) error {
		keep, err := parseOnly(only)
		if err != nil {
			return err
		}
		if reference == "" || !(t.Score >= 0) || !(t.Level > 0 && t.Level < 1) {
			return usageError{errors.New("--reference is needed, --tolerance starts at 0, --level lies between 0 and 1")}
		}
		want, err := side(c, reference)
		if err != nil {
			return err
		}
		_, got, err := recordsOf(c, out)
		if err != nil {
			return err
		}
		drop := func(r *results.Record) bool { return !keep(recordFields(r)) }
		want, got = slices.DeleteFunc(want, drop), slices.DeleteFunc(got, drop)
		if len(want) == 0 {
			return usageError{fmt.Errorf("--only %s leaves nothing of the reference", only)}
		}
		findings := results.Check(want, got, t)
		bad := 0
		for _, f := range findings {
			if f.Bad() {
				bad++
			}
		}
		if asJSON {
			if err := encode(c.OutOrStdout(), map[string]any{"ok": bad == 0, "findings": findings}); err != nil {
				return err
			}
		} else {
			printFindings(c.OutOrStdout(), findings)
		}
		if bad > 0 {
			return missedError{fmt.Errorf("%d of %d figures are not the reference's", bad, len(findings))}
		}
		return nil
	}
	return c
}

// printFindings writes what is not the same, every score, and a count of the rest.
func printFindings(w io.Writer, findings []results.Finding) {
	count := map[string]int{}
	for _, f := range findings {
		count[f.Verdict]++
		if f.Verdict == results.Same && f.Seeds == 0 {
			continue
		}
		who := fmt.Sprintf("%s: %s on %s, %s", f.Spec, f.Model, f.Dataset, f.Variant)
		if f.Seeds > 0 {
			who += fmt.Sprintf(", seeds: %d", f.Seeds)
		} else {
			who += fmt.Sprintf(", seed %d", f.Seed)
		}
		values := ""
		if f.Reference != "" || f.Got != "" {
			values = fmt.Sprintf(": %s, here %s", f.Reference, f.Got)
		}
		if f.Note != "" {
			values += " (" + f.Note + ")"
		}
		fmt.Fprintf(w, "%-9s  %s: %s%s\n", f.Verdict, who, f.Figure, values)
	}
	var words []string
	for _, k := range slices.Sorted(maps.Keys(count)) {
		words = append(words, fmt.Sprintf("%d %s", count[k], k))
	}
	fmt.Fprintf(w, "%d figures: %s\n", len(findings), strings.Join(words, ", "))
}
