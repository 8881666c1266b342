package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"pema/results"
)

// savingPlot shows the saving in peak memory against the size of the vocabulary: a dot for each model, with a line from its
// least to its most over several datasets. Models of nearly the same vocabulary stand side by side.
func (s *section) savingPlot(name string) *Plot {
	type model struct {
		name    string
		rows    float64
		savings []float64
		dx      float64
	}
	var models []*model
	short := shortNames(s.pairs)
	for _, p := range s.pairs {
		b, q := measured(p.base), measured(p.pema)
		if b == nil || q == nil || p.recipe != "" || q.Vocabulary.Rows == 0 || b.Memory.PeakAllocated == 0 {
			continue
		}
		if n := len(models); n == 0 || models[n-1].name != short[p.model] {
			models = append(models, &model{name: short[p.model], rows: float64(q.Vocabulary.Rows)})
		}
		m := models[len(models)-1]
		m.savings = append(m.savings, 100*(1-ratio(q.Memory.PeakAllocated, b.Memory.PeakAllocated)))
	}
	if len(models) < 2 || models[0].rows == models[len(models)-1].rows {
		return nil
	}
	var pts []point
	var ranges [][2]point
	several := false
	for i, m := range models {
		slices.Sort(m.savings)
		lo, hi := m.savings[0], m.savings[len(m.savings)-1]
		if i > 0 && hi > lo && m.rows < 1.1*models[i-1].rows {
			m.dx = models[i-1].dx + 6
		}
		several = several || hi > lo
		pts = append(pts, point{x: m.rows, y: m.savings[len(m.savings)/2], name: m.name, dx: m.dx})
		ranges = append(ranges, [2]point{{x: m.rows, y: lo, dx: m.dx}, {x: m.rows, y: hi, dx: m.dx}})
	}
	p := chart("rows of the embedding matrix", "peak memory saved, %")
	logAxis(&p.X)
	for _, r := range ranges {
		for _, q := range r {
			p.X.Min, p.X.Max = min(p.X.Min, q.x), max(p.X.Max, q.x)
			p.Y.Min, p.Y.Max = min(p.Y.Min, q.y, 0), max(p.Y.Max, 1.02*q.y)
		}
	}
	roundOut(&p.X)
	title := "Saving against vocabulary size"
	if several {
		title += ": median and range over the datasets"
	}
	return framed(name, title, "Peak memory saved in percent against the rows of the embedding matrix, a dot for each model.", p,
		func(c draw.Canvas, p *plot.Plot) {
			trX, trY := p.Transforms(&c)
			var lines []point
			for i, r := range ranges {
				x := trX(r[0].x) + vg.Points(r[0].dx)
				c.StrokeLine2(draw.LineStyle{Color: blue, Width: vg.Points(1)}, x, trY(r[0].y), x, trY(r[1].y))
				c.DrawGlyph(draw.GlyphStyle{Color: blue, Radius: vg.Points(3), Shape: draw.CircleGlyph{}}, vg.Point{X: x, Y: trY(pts[i].y)})
				for k := range 40 {
					lines = append(lines, point{x: r[0].x, y: r[0].y + (r[1].y-r[0].y)*float64(k)/40, dx: r[0].dx})
				}
			}
			names(c, p, pts, lines, plainInk)
		})
}

// forecastPlot shows by how much the forecast of the peak missed the measured one.
func (s *section) forecastPlot(name string) *Plot {
	var pts []point
	most := 0.0
	for _, p := range s.pairs {
		for i, side := range []map[int64]*results.Record{p.base, p.pema} {
			r := measured(side)
			if r == nil || r.Memory.Forecast == nil || r.Memory.PeakAllocated == 0 {
				continue
			}
			e, _ := forecastError(r)
			pts = append(pts, point{x: float64(r.Memory.PeakAllocated), y: 100 * e, name: s.name(p) + [2]string{"", " PEMA"}[i]})
			most = max(most, float64(r.Memory.PeakAllocated))
		}
	}
	if len(pts) == 0 {
		return nil
	}
	slices.SortStableFunc(pts, func(a, b point) int { return cmp.Compare(math.Abs(b.y), math.Abs(a.y)) })
	unit, div := "MiB", float64(1<<20)
	if most > 8<<30 {
		unit, div = "GiB", 1<<30
	}
	for i := range pts {
		pts[i].x /= div
		if i >= 3 && len(pts) > 12 { // only the worst are named
			pts[i].name = ""
		}
	}
	worst := math.Abs(pts[0].y)
	p := chart("measured peak, "+unit, "forecast minus measured, % of the measured peak")
	logAxis(&p.X)
	scatter(p, pts)
	roundOut(&p.X)
	if p.X.Min == p.X.Max {
		p.X.Min, p.X.Max = p.X.Min/2, 2*p.X.Max
	}
	span := max(1, 1.5*worst)
	p.Y.Min, p.Y.Max = -span, span
	zero := plotter.XYs{{X: p.X.Min, Y: 0}, {X: p.X.Max, Y: 0}}
	line(p, zero, len(series)-1, 0.8)
	title := fmt.Sprintf("Forecast against measured peak: largest error %s %%", fixed(worst, 1))
	return framed(name, title, title+". Points on the line at 0 are exact.", p, func(c draw.Canvas, p *plot.Plot) {
		names(c, p, pts, along(zero, true, false), plainInk)
	})
}
