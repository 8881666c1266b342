package report

import (
	"cmp"
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"pema/results"
)

// plots draws all pictures that the section's records can fill; the one named as the section is the first.
func (s *section) plots(name string) []*Plot {
	var out []*Plot
	for _, d := range []struct {
		suffix string
		make   func(string) *Plot
	}{
		{"-memory", s.memoryPlot}, {"-saving", s.savingPlot}, {"-forecast", s.forecastPlot}, {"-losses", s.lossPlot},
		{"-difference", s.differencePlot}, {"-unused", s.unusedPlot}, {"-growth", s.growthPlot}, {"-size", s.sizePlot},
	} {
		n := name + d.suffix
		if len(out) == 0 {
			n = name
		}
		if p := d.make(n); p != nil {
			out = append(out, p)
		}
	}
	return out
}

// point is one labelled value of a chart.
type point struct {
	x, y float64
	name string
}

// framed wraps a chart as a Plot: title, the y axis' name level below it, and room for names at the right.
func framed(name, title, alt string, p *plot.Plot, over func(draw.Canvas, *plot.Plot)) *Plot {
	y := p.Y.Label.Text
	p.Y.Label.Text = ""
	return &Plot{Name: name, Title: title, Alt: alt, w: vg.Points(560), h: vg.Points(350), draw: func(c draw.Canvas) {
		label(c, style(12, true, ink), text.XLeft, vg.Point{X: vg.Points(4), Y: vg.Points(340)}, title)
		label(c, style(10, false, ink), text.XLeft, vg.Point{X: vg.Points(4), Y: vg.Points(322)}, y)
		in := draw.Crop(c, vg.Points(6), vg.Points(-nameRoom), vg.Points(3), vg.Points(-40))
		p.Draw(in)
		if over != nil {
			over(p.DataCanvas(in), p)
		}
	}}
}

// nameRoom is the width, in points, that framed leaves for names.
const nameRoom = 120

// names writes labels right of their points, pushed apart where they would meet and kept inside the frame.
func names(c draw.Canvas, p *plot.Plot, pts []point, col func(i int) color.Color) {
	trX, trY := p.Transforms(&c)
	order := make([]int, len(pts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(pts[a].y, pts[b].y) })
	const gap = 10.5
	ys := make([]float64, len(order))
	for k, i := range order {
		ys[k] = trY(pts[i].y).Points()
		if k > 0 {
			ys[k] = max(ys[k], ys[k-1]+gap)
		}
	}
	limit := c.Max.Y.Points() + 4
	for k := len(ys) - 1; k >= 0 && ys[k] > limit; k-- {
		ys[k] = limit
		limit -= gap
	}
	for k, i := range order {
		x := trX(pts[i].x) + vg.Points(7)
		sty := style(9, false, col(i))
		label(c, sty, text.XLeft, vg.Point{X: x, Y: vg.Points(ys[k])}, fit(sty, pts[i].name, c.Max.X+vg.Points(nameRoom-4)-x))
	}
}

func plainInk(int) color.Color { return ink }

// scatter draws points as rings, which stay apart where they overlap.
func scatter(p *plot.Plot, pts []point) {
	xy := make(plotter.XYs, len(pts))
	for i, q := range pts {
		xy[i].X, xy[i].Y = q.x, q.y
	}
	sc, err := plotter.NewScatter(xy)
	if err != nil { // NaN or infinity, which the callers have left out
		return
	}
	sc.GlyphStyle = draw.GlyphStyle{Color: blue, Radius: vg.Points(3.5), Shape: draw.RingGlyph{}}
	p.Add(sc)
}

// line draws one series; i picks colour and dash.
func line(p *plot.Plot, xy plotter.XYs, i int, width float64) {
	l, err := plotter.NewLine(xy)
	if err != nil {
		return
	}
	l.LineStyle = draw.LineStyle{Color: series[i%len(series)], Width: vg.Points(width), Dashes: dashes[i%len(dashes)]}
	p.Add(l)
}

func (s *section) name(p *pair) string {
	n := shortNames(s.pairs)[p.model]
	if s.several(func(p *pair) string { return p.dataset }) {
		n += " " + p.dataset[1+lastSlash(p.dataset):]
	}
	if p.recipe != "" {
		n += " " + p.recipe
	}
	return clean(n)
}

// savingPlot shows the saving in peak memory against the size of the vocabulary.
func (s *section) savingPlot(name string) *Plot {
	var pts []point
	sizes := map[float64]bool{}
	for _, p := range s.pairs {
		b, q := measured(p.base), measured(p.pema)
		if b == nil || q == nil || q.Vocabulary.Rows == 0 || b.Memory.PeakAllocated == 0 {
			continue
		}
		pts = append(pts, point{float64(q.Vocabulary.Rows), 100 * (1 - ratio(q.Memory.PeakAllocated, b.Memory.PeakAllocated)), s.name(p)})
		sizes[float64(q.Vocabulary.Rows)] = true
	}
	if len(sizes) < 2 || len(pts) > 60 {
		return nil
	}
	p := chart("rows of the embedding matrix", "peak memory saved, %")
	logAxis(&p.X)
	scatter(p, pts)
	p.Y.Min = min(0, p.Y.Min)
	roundOut(&p.X)
	return framed(name, "Saving against vocabulary size", "Peak memory saved in percent against the rows of the embedding matrix, a point for each model and dataset.", p,
		func(c draw.Canvas, p *plot.Plot) { names(c, p, pts, plainInk) })
}

// forecastPlot holds the forecast of the peak against the measured one; a good forecast lies on the line.
func (s *section) forecastPlot(name string) *Plot {
	var pts []point
	worst := 0.0
	for _, p := range s.pairs {
		for i, side := range []map[int64]*results.Record{p.base, p.pema} {
			r := measured(side)
			if r == nil || r.Memory.Forecast == nil || r.Memory.PeakAllocated == 0 {
				continue
			}
			e, _ := forecastError(r)
			worst = math.Max(worst, math.Abs(e))
			pts = append(pts, point{float64(r.Memory.PeakAllocated) / (1 << 20), float64(r.Memory.Forecast.PeakAllocated) / (1 << 20),
				s.name(p) + [2]string{"", " PEMA"}[i]})
		}
	}
	if len(pts) == 0 {
		return nil
	}
	p := chart("measured peak, MiB", "forecast, MiB")
	scatter(p, pts)
	hi := 1.05 * math.Max(p.X.Max, p.Y.Max)
	line(p, plotter.XYs{{X: 0, Y: 0}, {X: hi, Y: hi}}, 6, 0.8)
	p.X.Min, p.Y.Min, p.X.Max, p.Y.Max = 0, 0, hi, hi
	title := fmt.Sprintf("Forecast against measured peak (largest error %s %%)", fixed(100*worst, 1))
	return framed(name, title, title+". Points on the diagonal are exact.", p, func(c draw.Canvas, p *plot.Plot) {
		if len(pts) <= 12 {
			names(c, p, pts, plainInk)
		}
	})
}

// lossPlot shows the training loss of the first seed, baseline as a broad pale line and PEMA as a thin dark one upon it:
// where they agree, one lies in the other.
func (s *section) lossPlot(name string) *Plot {
	p := chart("step", "training loss")
	var ends []point
	for _, q := range s.pairs {
		for _, seed := range q.both() {
			b, m := q.base[seed], q.pema[seed]
			if len(ends) == 4 || len(b.Losses) < 2 || len(m.Losses) < 2 {
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
				if k == 1 {
					ends = append(ends, point{xy[len(xy)-1].X, xy[len(xy)-1].Y, fmt.Sprintf("%s, seed %d", s.name(q), seed)})
				}
			}
			break
		}
	}
	if len(ends) == 0 {
		return nil
	}
	return framed(name, "Training loss: baseline (broad, pale) and PEMA (thin)", "Training loss by step, baseline and PEMA on top of each other, first seed of each model.", p,
		func(c draw.Canvas, p *plot.Plot) { names(c, p, ends, func(i int) color.Color { return series[i] }) })
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

func pale(c color.RGBA) color.RGBA {
	mix := func(v uint8) uint8 { return uint8((int(v) + 2*235) / 3) }
	return color.RGBA{R: mix(c.R), G: mix(c.G), B: mix(c.B), A: 255}
}

// differencePlot shows PEMA - baseline in score points with 95 % intervals, a row for each model and dataset.
func (s *section) differencePlot(name string) *Plot {
	type row struct {
		name         string
		mean, lo, hi float64
	}
	var rows []row
	span := 0.5
	for _, p := range s.pairs {
		b, q := p.scores()
		d, err := results.PairedT(b, q, 0.95)
		if err != nil || len(rows) == 40 {
			continue
		}
		r := row{fmt.Sprintf("%s (n = %d)", s.name(p), d.N), 100 * d.Mean, 100 * d.Lo, 100 * d.Hi}
		span = math.Max(span, math.Max(math.Abs(r.lo), math.Abs(r.hi)))
		rows = append(rows, r)
	}
	if len(rows) == 0 {
		return nil
	}
	h := 74 + 20*float64(len(rows))
	title := "Score: PEMA - baseline, points, with 95 % t intervals"
	return &Plot{Name: name, Title: title, Alt: title + ", paired by seed.", w: vg.Points(560), h: vg.Points(h), draw: func(c draw.Canvas) {
		pt := vg.Points
		const left, right = 200.0, 500.0
		at := func(v float64) vg.Length { return pt(left + (right-left)*(v+1.1*span)/(2.2*span)) }
		label(c, style(12, true, ink), text.XLeft, vg.Point{X: pt(4), Y: pt(h - 10)}, title)
		thin := draw.LineStyle{Color: faint, Width: pt(0.6)}
		c.StrokeLine2(thin, at(0), pt(30), at(0), pt(h-26))
		for _, v := range []float64{-span, 0, span} {
			label(c, style(9, false, ink), text.XCenter, vg.Point{X: at(v), Y: pt(18)}, fixed(v, 2))
		}
		for i, r := range rows {
			y := pt(h - 40 - 20*float64(i))
			label(c, style(9, false, ink), text.XRight, vg.Point{X: pt(left - 6), Y: y}, fit(style(9, false, ink), r.name, pt(left-10)))
			c.StrokeLine2(draw.LineStyle{Color: blue, Width: pt(1.6)}, at(r.lo), y, at(r.hi), y)
			c.DrawGlyph(draw.GlyphStyle{Color: blue, Radius: pt(3.2), Shape: draw.CircleGlyph{}}, vg.Point{X: at(r.mean), Y: y})
			label(c, style(9, false, ink), text.XLeft, vg.Point{X: pt(right + 8), Y: y}, fixed(r.mean, 2))
		}
	}}
}

// unusedPlot is a heat map of the unused share of the vocabulary, models by tasks, with the share printed in each cell.
func (s *section) unusedPlot(name string) *Plot {
	short := shortNames(s.pairs)
	var models, data []string
	share := map[[2]string]float64{}
	for _, p := range s.pairs {
		if !slices.Contains(models, p.model) {
			models = append(models, p.model)
		}
		if !slices.Contains(data, p.dataset) {
			data = append(data, p.dataset)
		}
		for _, r := range done(p.counted()) {
			if v := r.Vocabulary; v.Rows > 0 {
				share[[2]string{p.model, p.dataset}] = 1 - ratio(v.Used, v.Rows)
			}
		}
	}
	if len(share) < 4 || len(models)*len(data) > 600 {
		return nil
	}
	const left, cellW, cellH = 170.0, 44.0, 22.0
	w, h := left+cellW*float64(len(data))+8, 34+cellH*float64(len(models))+26
	title := "Unused share of the vocabulary, %"
	return &Plot{Name: name, Title: title, Alt: title + ": models down, datasets across; darker is more.", w: vg.Points(max(w, 320)), h: vg.Points(h), draw: func(c draw.Canvas) {
		pt := vg.Points
		label(c, style(12, true, ink), text.XLeft, vg.Point{X: pt(4), Y: pt(h - 10)}, title)
		for j, d := range data {
			sty := style(9, false, ink)
			label(c, sty, text.XCenter, vg.Point{X: pt(left + cellW*(float64(j)+0.5)), Y: pt(h - 32)}, fit(sty, d[1+lastSlash(d):], pt(cellW-2)))
		}
		for i, m := range models {
			y := h - 42 - cellH*float64(i+1)
			sty := style(9, false, ink)
			label(c, sty, text.XRight, vg.Point{X: pt(left - 6), Y: pt(y + cellH/2)}, fit(sty, short[m], pt(left-10)))
			for j, d := range data {
				x := left + cellW*float64(j)
				v, ok := share[[2]string{m, d}]
				if !ok {
					label(c, style(9, false, faint), text.XCenter, vg.Point{X: pt(x + cellW/2), Y: pt(y + cellH/2)}, "–")
					continue
				}
				fill := shade(v)
				box(c, fill, pt(x), pt(y), pt(x+cellW-1), pt(y+cellH-1))
				sty := style(9, false, onDim)
				if light(fill) {
					sty.Color = onLit
				}
				label(c, sty, text.XCenter, vg.Point{X: pt(x + cellW/2), Y: pt(y + cellH/2)}, fixed(100*v, 1))
			}
		}
	}}
}

func lastSlash(s string) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == '/' && i+1 < len(s) {
			return i
		}
	}
	return -1
}

// shade runs from near white to a dark blue, evenly in lightness.
func shade(v float64) color.RGBA {
	mix := func(a, b float64) uint8 { return uint8(a + (b-a)*math.Max(0, math.Min(1, v))) }
	return color.RGBA{R: mix(0xF1, 0x08), G: mix(0xF5, 0x30), B: mix(0xF9, 0x6B), A: 255}
}

// growthPlot draws distinct rows against tokens read, a line for each model and dataset that recorded its growth.
func (s *section) growthPlot(name string) *Plot {
	p := chart("tokens read", "distinct rows used")
	logAxis(&p.X)
	var ends []point
	model := s.broadest()
	for _, q := range s.pairs {
		runs := done(q.counted())
		if q.model != model || len(runs) == 0 || len(ends) == 12 {
			continue
		}
		var xy plotter.XYs
		for _, g := range runs[0].Vocabulary.Growth {
			if g.Tokens > 0 {
				xy = append(xy, plotter.XY{X: float64(g.Tokens), Y: float64(g.Used)})
			}
		}
		if len(xy) < 2 {
			continue
		}
		line(p, xy, len(ends), 1.4)
		ends = append(ends, point{xy[len(xy)-1].X, xy[len(xy)-1].Y, clean(q.dataset[1+lastSlash(q.dataset):])})
	}
	if len(ends) == 0 {
		return nil
	}
	p.Y.Min = 0
	roundOut(&p.X)
	return framed(name, "Growth of the vocabulary in use, "+shortNames(s.pairs)[model], "Distinct rows used against tokens read, a line for each dataset.", p,
		func(c draw.Canvas, p *plot.Plot) {
			names(c, p, ends, func(i int) color.Color { return series[i%len(series)] })
		})
}

// broadest is the model with the most counted datasets: one model a picture, since the lines of several lie on each other.
func (s *section) broadest() (model string) {
	n := map[string]int{}
	for _, p := range s.pairs {
		if len(done(p.counted())) > 0 {
			if n[p.model]++; n[p.model] > n[model] {
				model = p.model
			}
		}
	}
	return model
}

// sizePlot sets the used rows against the size of the data, a point for each dataset.
func (s *section) sizePlot(name string) *Plot {
	if s.spec.Measure != "vocabulary" {
		return nil
	}
	var pts []point
	model := s.broadest()
	for _, q := range s.pairs {
		for _, r := range done(q.counted()) {
			if q.model != model {
				continue
			}
			if _, t := sizes(r); t > 0 && r.Vocabulary.Used > 0 {
				pts = append(pts, point{float64(t), float64(r.Vocabulary.Used), clean(q.dataset[1+lastSlash(q.dataset):])})
				break
			}
		}
	}
	if len(pts) < 3 || len(pts) > 60 {
		return nil
	}
	p := chart("tokens in the data", "rows used")
	logAxis(&p.X)
	scatter(p, pts)
	p.Y.Min = 0
	roundOut(&p.X)
	return framed(name, "Rows used against size of the data, "+shortNames(s.pairs)[model], "Rows used against tokens in the data, a point for each dataset.", p,
		func(c draw.Canvas, p *plot.Plot) { names(c, p, pts, plainInk) })
}
