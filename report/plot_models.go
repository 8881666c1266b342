package report

import (
	"fmt"
	"image/color"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// stack is one horizontal bar: parts from the left, what is said after it, and its name.
type stack struct {
	name  string
	parts []float64
	said  string
}

// stacks draws horizontal bars of stacked parts with a legend; say prints a part inside its bar where it fits.
func stacks(name, title, alt string, legend []string, fills []color.RGBA, bars []stack, say func(float64) string) *Plot {
	const width, step, high, head, gap = 660.0, 20.0, 15.0, 52.0, 8.0
	small := style(9, false, ink)
	left, right, most := 60.0, 40.0, 0.0
	for _, b := range bars {
		left = max(left, min(200, small.Width(clean(b.name)).Points()+12))
		right = max(right, small.Width(b.said).Points()+12)
		sum := 0.0
		for _, v := range b.parts {
			sum += v
		}
		most = max(most, sum)
	}
	h := head + step*float64(len(bars)) + gap
	return &Plot{Name: name, Title: title, Alt: alt, w: vg.Points(width), h: vg.Points(h), draw: func(c draw.Canvas) {
		pt := vg.Points
		label(c, style(12, true, ink), text.XLeft, vg.Point{X: pt(4), Y: pt(h - 10)}, title)
		x := 4.0
		for i, l := range legend {
			box(c, fills[i], pt(x), pt(h-37), pt(x+11), pt(h-27))
			label(c, small, text.XLeft, vg.Point{X: pt(x + 15), Y: pt(h - 32)}, l)
			x += 15 + small.Width(l).Points() + 14
		}
		for i, b := range bars {
			mid := h - head - step*(float64(i)+0.5)
			label(c, small, text.XRight, vg.Point{X: pt(left - 6), Y: pt(mid)}, fit(small, b.name, pt(left-10)))
			at := left
			for j, v := range b.parts {
				w := (width - left - right) * v / most
				box(c, fills[j], pt(at), pt(mid-high/2), pt(at+max(w-0.7, min(w, 0.4))), pt(mid+high/2))
				sty := style(8, false, onDim)
				if light(fills[j]) {
					sty.Color = onLit
				}
				if s := say(v); sty.Width(s).Points()+4 < w {
					label(c, sty, text.XCenter, vg.Point{X: pt(at + w/2), Y: pt(mid)}, s)
				}
				at += w
			}
			label(c, small, text.XLeft, vg.Point{X: pt(at + 5), Y: pt(mid)}, b.said)
		}
	}}
}

// maxStacks bounds the bars of one picture; the table has them all.
const maxStacks = 40

// modelsPlot shows how much of each model is its embedding matrix.
func (s *section) modelsPlot(name string) *Plot {
	if s.spec.Measure != "models" {
		return nil
	}
	short := shortNames(s.pairs)
	var bars []stack
	for _, p := range s.pairs {
		runs := done(p.counted())
		if len(runs) == 0 || runs[0].Parameters.FullTotal == 0 || len(bars) == maxStacks {
			continue
		}
		q := runs[0].Parameters
		bars = append(bars, stack{short[p.model], []float64{float64(q.FullEmbedding), float64(q.FullTotal - q.FullEmbedding)},
			fmt.Sprintf("%s M, %s %% in embeddings", group(fixed(float64(q.FullTotal)/1e6, 1)), fixed(100*ratio(q.FullEmbedding, q.FullTotal), 1))})
	}
	if len(bars) == 0 {
		return nil
	}
	title := "Parameters of each model, millions"
	return stacks(name, title, title+": embedding matrix and the rest.", []string{"word embeddings", "all else"}, []color.RGBA{ledgerFill[0], ledgerFill[6]}, bars,
		func(v float64) string { return group(fixed(v/1e6, 1)) })
}

// costPlot shows the seconds that PEMA adds to a run.
func (s *section) costPlot(name string) *Plot {
	if s.spec.Measure != "cost" {
		return nil
	}
	var bars []stack
	for _, p := range s.pairs {
		runs := done(p.pema)
		if len(runs) == 0 || len(bars) == maxStacks {
			continue
		}
		var count, sel, restore, total float64
		for _, r := range runs {
			n := float64(len(runs))
			count, sel, restore, total = count+r.Time.Count/n, sel+r.Time.Select/n, restore+r.Time.Restore/n, total+r.Time.Total/n
		}
		if total == 0 {
			continue
		}
		added := count + sel + restore
		bars = append(bars, stack{s.name(p), []float64{count, sel, restore}, fmt.Sprintf("%.3g s of %s s, %.2g %%", added, group(fixed(total, 0)), 100*added/total)})
	}
	if len(bars) == 0 {
		return nil
	}
	title := "Time that PEMA adds to a run, seconds"
	return stacks(name, title, title+": counting, selecting and restoring rows, against the whole run.", []string{"count ids", "select and load rows", "restore the matrix"},
		[]color.RGBA{ledgerFill[0], ledgerFill[3], ledgerFill[4]}, bars, func(v float64) string { return fmt.Sprintf("%.2g", v) })
}
