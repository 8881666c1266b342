package report

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"pema/results"
)

// lossPlot shows the training loss of the first seed, baseline as a broad pale line and PEMA as a thin dark one upon it:
// where they agree, one lies in the other.
func (s *section) lossPlot(name string) *Plot {
	p := chart("step", "training loss")
	var ends, lines []point
	more := 0
	for _, q := range s.pairs {
		for _, seed := range q.both() {
			b, m := q.base[seed], q.pema[seed]
			if len(b.Losses) < 2 || len(m.Losses) < 2 {
				break
			}
			if len(ends) == 4 {
				more++
				break
			}
			for k, r := range []*results.Record{b, m} {
				xy := smooth(r.Losses)
				if len(xy) < 2 {
					continue
				}
				l, err := plotter.NewLine(xy)
				if err != nil {
					continue
				}
				col := series[len(ends)]
				l.LineStyle = draw.LineStyle{Color: col, Width: vg.Points(1)}
				if k == 0 {
					l.LineStyle = draw.LineStyle{Color: pale(col), Width: vg.Points(5)}
				}
				p.Add(l)
				lines = append(lines, along(xy, false, false)...)
				if k == 1 {
					ends = append(ends, point{x: xy[len(xy)-1].X, y: xy[len(xy)-1].Y, name: fmt.Sprintf("%s, seed %d", s.name(q), seed)})
				}
			}
			break
		}
	}
	if len(ends) == 0 {
		return nil
	}
	title := "Training loss: baseline (broad, pale) and PEMA (thin)"
	if more > 0 {
		title += fmt.Sprintf(", first 4 of %d", 4+more)
	}
	return framed(name, title, "Training loss by step, baseline and PEMA on top of each other, first seed of each model.", p,
		func(c draw.Canvas, p *plot.Plot) { names(c, p, ends, lines, nameColour) })
}

// smooth averages neighbouring steps down to 200 points and leaves out what is no number.
func smooth(losses []float64) plotter.XYs {
	w := (len(losses) + 199) / 200
	var out plotter.XYs
	for i := 0; i < len(losses); i += w {
		part := losses[i:min(i+w, len(losses))]
		sum := 0.0
		for _, v := range part {
			sum += v
		}
		if y := sum / float64(len(part)); !math.IsNaN(y) && !math.IsInf(y, 0) {
			out = append(out, plotter.XY{X: float64(i) + float64(len(part)+1)/2, Y: y})
		}
	}
	return out
}

// pale lets the paper through, light or dark.
func pale(c color.RGBA) color.NRGBA { return color.NRGBA{R: c.R, G: c.G, B: c.B, A: 80} }

// maxIntervals bounds the rows of one picture; the table has them all.
const maxIntervals = 40

// differencePlot shows PEMA - baseline in score points with 95 % intervals, a row for each model and dataset.
func (s *section) differencePlot(name string) *Plot {
	type row struct {
		name         string
		mean, lo, hi float64
	}
	var rows []row
	more := 0
	span := 100 * margin
	for _, p := range s.pairs {
		b, q := p.scores()
		d, err := results.PairedT(b, q, 0.95)
		if err != nil {
			continue
		}
		if len(rows) == maxIntervals {
			more++
			continue
		}
		r := row{fmt.Sprintf("%s (n = %d)", s.name(p), d.N), 100 * d.Mean, 100 * d.Lo, 100 * d.Hi}
		span = math.Max(span, math.Max(math.Abs(r.lo), math.Abs(r.hi)))
		rows = append(rows, r)
	}
	if len(rows) == 0 {
		return nil
	}
	const step = 18
	h := 84 + step*float64(len(rows))
	title := "Score: PEMA - baseline, points, with 95 % t intervals"
	if more > 0 {
		title += fmt.Sprintf(" (the first %d of %d)", len(rows), len(rows)+more)
	}
	return &Plot{Name: name, Title: title, Alt: title + ", paired by seed.", w: vg.Points(600), h: vg.Points(h), draw: func(c draw.Canvas) {
		pt := vg.Points
		const left, right = 250.0, 540.0
		at := func(v float64) vg.Length { return pt(left + (right-left)*(v+1.1*span)/(2.2*span)) }
		label(c, style(12, true, ink), text.XLeft, vg.Point{X: pt(4), Y: pt(h - 10)}, title)
		box(c, color.NRGBA{R: 0x88, G: 0x88, B: 0x88, A: 60}, at(-100*margin), pt(44), at(100*margin), pt(h-26))
		label(c, style(9, false, ink), text.XLeft, vg.Point{X: pt(left), Y: pt(8)}, fmt.Sprintf("grey: the margin of ±%g point within which scores count as the same", 100*margin))
		thin := draw.LineStyle{Color: faint, Width: pt(0.6)}
		c.StrokeLine2(thin, at(0), pt(44), at(0), pt(h-26))
		for _, t := range evenTicks(-1.1*span, 1.1*span) {
			label(c, style(9, false, ink), text.XCenter, vg.Point{X: at(t.Value), Y: pt(32)}, t.Label)
		}
		for i, r := range rows {
			y := pt(h - 40 - step*float64(i))
			label(c, style(9, false, ink), text.XRight, vg.Point{X: pt(left - 6), Y: y}, fit(style(9, false, ink), r.name, pt(left-10)))
			c.StrokeLine2(draw.LineStyle{Color: blue, Width: pt(1.6)}, at(r.lo), y, at(r.hi), y)
			c.DrawGlyph(draw.GlyphStyle{Color: blue, Radius: pt(3.2), Shape: draw.CircleGlyph{}}, vg.Point{X: at(r.mean), Y: y})
			label(c, style(9, false, ink), text.XLeft, vg.Point{X: pt(right + 8), Y: y}, fixed(r.mean, 2))
		}
	}}
}
