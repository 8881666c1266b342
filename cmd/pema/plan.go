package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"pema/experiments"
	"pema/results"
)

func planCommand() *cobra.Command {
	var out, device, only string
	var asJSON bool
	c := &cobra.Command{Use: "plan SPEC...", Short: "what would run, what is done, and what it takes", Args: specArgs}
	c.Flags().StringVar(&out, "out", defaultOut, "output folder")
	c.Flags().StringVar(&device, "device", "auto", "auto, cpu or cuda:N")
	c.Flags().StringVar(&only, "only", "", onlyHelp)
	c.Flags().BoolVar(&asJSON, "json", false, "for programs")
	c.RunE = func(c *cobra.Command, args []string) error {
		d, err := pickDevice(device)
		if err != nil {
			return err
		}
		src, done, err := source(c)
		if err != nil {
			return err
		}
		defer done()
		runs, err := plan(c.Context(), args, only, src)
		if err != nil {
			return err
		}
		store, err := results.Open(out)
		if err != nil {
			return err
		}
		look, err := experiments.Look(c.Context(), runs, store, src, d)
		if err != nil {
			return err
		}
		if asJSON {
			e := json.NewEncoder(c.OutOrStdout())
			e.SetIndent("", "  ")
			return e.Encode(look)
		}
		showPlan(c.OutOrStdout(), look, d.String())
		return nil
	}
	return c
}

// showPlan lists the runs, or counts them by spec where they are many, and sums up what they take.
func showPlan(w io.Writer, o *experiments.Outlook, device string) {
	const few = 60
	type tally struct{ done, missing, failed, blocked int }
	tallies, order := map[string]*tally{}, []string{}
	for _, r := range o.Runs {
		t := tallies[r.Spec]
		if t == nil {
			t = &tally{}
			tallies[r.Spec] = t
			order = append(order, r.Spec)
		}
		switch {
		case r.State == "done":
			t.done++
		case r.Blocked != "":
			t.blocked++
		case r.State == "failed":
			t.failed++
		default:
			t.missing++
		}
		if len(o.Runs) <= few {
			peak := ""
			if r.Peak > 0 {
				peak = fmt.Sprintf("  peak %.0f MiB", float64(r.Peak)/(1<<20))
			}
			fmt.Fprintf(w, "%s  %-8s %-20s %-16s %-9s seed %d%s\n", r.ID, r.State, r.Model, r.Dataset, r.Variant, r.Seed, peak)
		}
	}
	fmt.Fprintf(w, "%-28s %8s %8s %8s %8s\n", "spec", "done", "missing", "failed", "blocked")
	for _, name := range order {
		t := tallies[name]
		fmt.Fprintf(w, "%-28s %8d %8d %8d %8d\n", name, t.done, t.missing, t.failed, t.blocked)
	}
	fmt.Fprintf(w, "runs        %d, of which %d are to do\n", len(o.Runs), o.Todo)
	unknown := 0
	for _, d := range o.Downloads {
		if d.Size < 0 {
			unknown++
		}
	}
	fmt.Fprintf(w, "downloads   %d files, %.2f GiB", len(o.Downloads), float64(o.DownloadBytes)/(1<<30))
	if unknown > 0 {
		fmt.Fprintf(w, " and %d of unknown size", unknown)
	}
	fmt.Fprintln(w)
	if len(o.Missing) > 0 {
		fmt.Fprintf(w, "not there   %d things that the hub does not have:\n", len(o.Missing))
		for i, m := range o.Missing {
			if i == 12 && len(o.Runs) > few {
				fmt.Fprintf(w, "            ... and %d more (--json names all)\n", len(o.Missing)-i)
				break
			}
			fmt.Fprintf(w, "            %s\n", m)
		}
	}
	if o.Peak > 0 {
		fmt.Fprintf(w, "memory      %.2f GiB at most by forecast", float64(o.Peak)/(1<<30))
		if o.Free > 0 {
			fmt.Fprintf(w, "; %.2f GiB of %s are free", float64(o.Free)/(1<<30), device)
		}
		fmt.Fprintln(w)
	}
	if o.Guessed > 0 {
		fmt.Fprintf(w, "time        about %v for %d of the runs, from steps measured on %s\n", time.Duration(o.Seconds*float64(time.Second)).Round(time.Second), o.Guessed, device)
	} else if o.Todo > 0 {
		fmt.Fprintf(w, "time        not known: no step was measured on %s yet\n", device)
	}
	if o.Disk > 0 {
		fmt.Fprintf(w, "disk        %.2f GiB for checkpoints; %.2f GiB are free\n", float64(o.Disk)/(1<<30), float64(o.DiskFree)/(1<<30))
	}
	for _, warning := range o.Warnings {
		fmt.Fprintf(w, "warning: %s\n", warning)
	}
}
