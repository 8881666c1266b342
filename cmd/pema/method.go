package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"pema/experiments"
	"pema/models/checkpoint"
	"pema/models/encoder"
	"pema/models/pema"
	"pema/models/torch"
	"pema/results"
)

// missedError is a tolerance or an equality that was missed: exit code 3.
type missedError struct{ error }

func restoreCommand() *cobra.Command {
	var reduced, original, out string
	c := &cobra.Command{Use: "restore", Short: "full-vocabulary checkpoint from a reduced one", Args: cobra.NoArgs}
	c.Flags().StringVar(&reduced, "reduced", "", "folder of the reduced checkpoint, with its pema.json")
	c.Flags().StringVar(&original, "original", "", "folder of the original model")
	c.Flags().StringVar(&out, "out", "", "folder to write")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if reduced == "" || original == "" || out == "" {
			return usageError{errors.New("--reduced, --original and --out are needed")}
		}
		m, err := pema.ReadManifest(reduced)
		if err != nil {
			return err
		}
		r, err := checkpoint.Open(reduced)
		if err != nil {
			return err
		}
		defer r.Close()
		o, err := checkpoint.Open(original)
		if err != nil {
			return err
		}
		defer o.Close()
		if err := pema.Restore(c.Context(), r, m, o, out, nil); err != nil {
			return err
		}
		fmt.Fprintf(c.ErrOrStderr(), "pema: %s has all %d rows again: %d trained, the others as in %s\n", out, m.Rows, len(m.IDs), original)
		return nil
	}
	return c
}

func verifyCommand() *cobra.Command {
	var out, device, only string
	c := &cobra.Command{Use: "verify SPEC...", Short: "baseline against PEMA, step by step; exit 3 when they differ", Args: specArgs}
	c.Flags().StringVar(&out, "out", defaultOut, "output folder")
	c.Flags().StringVar(&device, "device", "auto", "auto, cpu or cuda:N")
	c.Flags().StringVar(&only, "only", "", onlyHelp)
	c.RunE = func(c *cobra.Command, args []string) error {
		w, err := prepare(c, args, out, device, only)
		if err != nil {
			return err
		}
		defer w.close()
		if _, err := w.runner.Run(c.Context(), w.runs); err != nil {
			return err
		}
		runs, store := w.runs, w.runner.Store
		pairs, differ := 0, 0
		for _, r := range runs {
			i := slices.IndexFunc(runs, func(b *experiments.Run) bool {
				return b.Variant == "baseline" && b.Spec == r.Spec && b.Model == r.Model && b.Dataset == r.Dataset && b.Seed == r.Seed
			})
			if r.Variant != "pema" || i < 0 {
				continue
			}
			base, err := store.Read(runs[i].ID)
			if err != nil {
				return err
			}
			small, err := store.Read(r.ID)
			if err != nil {
				return err
			}
			pairs++
			verdict := compare(base, small)
			switch {
			case verdict == "":
				verdict = fmt.Sprintf("the same bits in %d losses, %d gradient norms and every final tensor", len(base.Losses), len(base.GradNorms))
			case base.State == results.Done && small.State == results.Done: // where and why: both once more, side by side
				differ++
				v, err := w.runner.Verify(c.Context(), runs[i], r, nil)
				if err != nil {
					return fmt.Errorf("%s; trained side by side: %w", verdict, err)
				}
				verdict += "; side by side: " + v.Explain()
			default:
				differ++
			}
			fmt.Fprintf(c.OutOrStdout(), "%s on %s, seed %d: %s\n", r.Model, r.Dataset, r.Seed, verdict)
		}
		if pairs == 0 {
			return usageError{errors.New("the specs hold no pair of baseline and pema")}
		}
		if differ > 0 {
			return missedError{fmt.Errorf("%d of %d pairs differ", differ, pairs)}
		}
		return nil
	}
	return c
}

// compare names the first difference of two runs; "": none.
func compare(base, small *results.Record) string {
	for _, r := range []*results.Record{base, small} {
		if r.State != results.Done {
			return fmt.Sprintf("%s %s: %s", r.Variant, r.State, r.Error)
		}
	}
	if len(base.Losses) != len(small.Losses) || len(base.Losses) == 0 {
		return fmt.Sprintf("%d steps and %d", len(base.Losses), len(small.Losses))
	}
	for i := range base.Losses {
		if base.Losses[i] != small.Losses[i] {
			return fmt.Sprintf("losses differ first at step %d: %.9g and %.9g", i+1, base.Losses[i], small.Losses[i])
		}
		if base.GradNorms[i] != small.GradNorms[i] {
			return fmt.Sprintf("gradient norms differ first at step %d: %.9g and %.9g", i+1, base.GradNorms[i], small.GradNorms[i])
		}
	}
	if base.FinalWeights != small.FinalWeights {
		return "final weights differ, losses do not"
	}
	return ""
}

func estimateCommand() *cobra.Command {
	var t text
	var model, optimizer string
	var batch, maxLength, labels int
	c := &cobra.Command{Use: "estimate", Short: "what PEMA would save you, from shapes and your text alone", Args: cobra.NoArgs}
	c.Flags().StringVar(&model, "model", "", "hub id or folder")
	t.flags(c)
	c.Flags().StringVar(&optimizer, "optimizer", "adamw-loop", "adamw-loop, adamw-foreach or adamw-fused")
	c.Flags().IntVar(&batch, "batch-size", 32, "examples in a batch")
	c.Flags().IntVar(&maxLength, "max-length", 128, "tokens in an example")
	c.Flags().IntVar(&labels, "labels", 2, "classes")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if model == "" || batch < 1 || maxLength < 3 || labels < 1 {
			return usageError{errors.New("--model is needed, and sizes of at least 1")}
		}
		form, err := torch.ParseForm(optimizer)
		if err != nil {
			return usageError{err}
		}
		u, err := t.count(c, model, maxLength)
		if err != nil {
			return err
		}
		cfg := u.config
		sel, err := pema.Select(u.Used(), experiments.Kept(u.tokenizer), int64(cfg.VocabSize))
		if err != nil {
			return err
		}
		shapes := encoder.Shapes{Labels: labels, Rows: sel.Rows, Batch: batch, Length: maxLength, Optimizer: form, Steps: 2}
		full, _, err := encoder.Forecast(cfg, shapes)
		if err != nil {
			return err
		}
		shapes.Rows = int64(len(sel.IDs))
		less, _, err := encoder.Forecast(cfg, shapes)
		if err != nil {
			return err
		}
		const mib = 1 << 20
		fmt.Fprintf(c.OutOrStdout(), "rows      %d of %d kept (%.1f %% left out)\npeak      %.1f MiB without PEMA, %.1f MiB with: %.1f %% saved\n",
			len(sel.IDs), sel.Rows, 100*(1-float64(len(sel.IDs))/float64(sel.Rows)), float64(full)/mib, float64(less)/mib, 100*(1-float64(less)/float64(full)))
		fmt.Fprintf(c.OutOrStdout(), "for       batch %d x %d tokens, %s, fp32 on the CPU; a forecast from shapes, nothing was trained\n", batch, maxLength, optimizer)
		return nil
	}
	return c
}
