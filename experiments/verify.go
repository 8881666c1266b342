package experiments

import (
	"context"

	"pema/models/finetune"
	"pema/results"
)

// Verify trains a baseline and its run with PEMA side by side, and compares them after every step. It writes no record.
func (x *Runner) Verify(ctx context.Context, baseline, small *Run, progress func(step, total int)) (*finetune.Verdict, error) {
	var sides [2]finetune.Side
	var recipe finetune.Recipe
	for i, r := range []*Run{baseline, small} {
		t := &trial{Runner: x, run: r, rec: &results.Record{Seeds: r.seeds()}, time: &clock{x.Now, x.Now()}}
		defer t.close()
		for _, stage := range []func(context.Context) error{t.open, t.encode, t.reduce, t.build} {
			if err := stage(ctx); err != nil {
				return nil, err
			}
		}
		sides[i] = finetune.Side{Model: t.model, Data: t.parts[0].encoded}
		if r.Variant == "pema" {
			sides[i].Rows = t.sel.IDs
		}
		recipe = t.recipe
	}
	return finetune.Verify(ctx, x.Device, sides[0], sides[1], recipe, progress)
}

// seeds are derived from the run's.
func (r *Run) seeds() results.Seeds {
	return results.Seeds{Head: r.Seed*1000 + 1, Order: r.Seed*1000 + 2, Dropout: r.Seed*1000 + 3}
}
