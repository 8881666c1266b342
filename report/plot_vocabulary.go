package report

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"pema/results"
)

// unusedPlot, embeddingHeat and modelHeat are maps of shares, models by datasets.
func (s *section) unusedPlot(name string) *Plot {
	if s.spec.Measure != "vocabulary" {
		return nil
	}
	return s.heat(name, "Unused share of the vocabulary, %", "unused", func(r *results.Record) (float64, bool) {
		return 1 - ratio(r.Vocabulary.Used, r.Vocabulary.Rows), r.Vocabulary.Rows > 0
	})
}

func (s *section) embeddingHeat(name string) *Plot {
	if s.spec.Measure != "parameters" {
		return nil
	}
	return s.heat(name, "Embedding parameters saved, %", "saved", func(r *results.Record) (float64, bool) {
		return 1 - ratio(r.Vocabulary.Kept, r.Vocabulary.Rows), r.Vocabulary.Rows > 0
	})
}

func (s *section) modelHeat(name string) *Plot {
	if s.spec.Measure != "parameters" {
		return nil
	}
	return s.heat(name, "Parameters of the whole model saved, %", "saved", modelReduction)
}

// heat is a map of a share, models down and datasets across, printed in each cell.
func (s *section) heat(name, title, what string, share func(*results.Record) (float64, bool)) *Plot {
	short := shortNames(s.pairs)
	var models, data []string
	type spot struct {
		v       float64
		partial bool
	}
	at := map[[2]string]spot{}
	partial := false
	for _, p := range s.pairs {
		if !slices.Contains(models, p.model) {
			models = append(models, p.model)
		}
		if !slices.Contains(data, p.dataset) {
			data = append(data, p.dataset)
		}
		for _, r := range done(p.counted()) {
			if v, ok := share(r); ok {
				at[[2]string{p.model, p.dataset}] = spot{v, isPartial(r)}
				partial = partial || isPartial(r)
			}
		}
	}
	if len(models) < 2 || len(data) < 2 || len(at) < 4 || len(models)*len(data) > 900 {
		return nil
	}
	slices.SortStableFunc(data, compareDatasets)
	const left, cellH, size, under = 178.0, 20.0, 9, 24.0
	cellW := 40.0
	for _, d := range data {
		cellW = max(cellW, min(70, style(size, false, ink).Width(clean(d[1+lastSlash(d):])).Points()+8))
	}
	w, h := left+cellW*float64(len(data))+8, 50+cellH*float64(len(models))+under
	if w < 330 {
		w = 330
	}
	return &Plot{Name: name, Title: title, Alt: title + ": models down, datasets across; darker is more.", w: vg.Points(w), h: vg.Points(h), draw: func(c draw.Canvas) {
		pt := vg.Points
		label(c, style(12, true, ink), text.XLeft, vg.Point{X: pt(4), Y: pt(h - 10)}, title)
		sty := style(size, false, ink)
		for j, d := range data {
			label(c, sty, text.XCenter, vg.Point{X: pt(left + cellW*(float64(j)+0.5)), Y: pt(h - 34)}, fit(sty, d[1+lastSlash(d):], pt(cellW-2)))
		}
		for i, m := range models {
			y := h - 44 - cellH*float64(i+1)
			label(c, sty, text.XRight, vg.Point{X: pt(left - 6), Y: pt(y + cellH/2)}, fit(sty, short[m], pt(left-10)))
			for j, d := range data {
				x := left + cellW*float64(j)
				v, ok := at[[2]string{m, d}]
				if !ok {
					label(c, style(size, false, faint), text.XCenter, vg.Point{X: pt(x + cellW/2), Y: pt(y + cellH/2)}, "–")
					continue
				}
				fill := shade(v.v)
				box(c, fill, pt(x), pt(y), pt(x+cellW-1), pt(y+cellH-1))
				sty := style(size, false, onDim)
				if light(fill) {
					sty.Color = onLit
				}
				s := fixed(100*v.v, 1)
				if v.partial {
					s += "*"
				}
				label(c, sty, text.XCenter, vg.Point{X: pt(x + cellW/2), Y: pt(y + cellH/2)}, s)
			}
		}
		foot := "darker: more " + what
		if partial {
			foot += "; * partial data"
		}
		label(c, sty, text.XLeft, vg.Point{X: pt(left), Y: pt(10)}, foot)
	}}
}

func isPartial(r *results.Record) bool {
	return slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(strings.ToLower(n), "partial") })
}

// shade runs from near white to a dark blue, evenly in lightness.
func shade(v float64) color.RGBA {
	mix := func(a, b float64) uint8 { return uint8(a + (b-a)*math.Max(0, math.Min(1, v))) }
	return color.RGBA{R: mix(0xF1, 0x08), G: mix(0xF5, 0x30), B: mix(0xF9, 0x6B), A: 255}
}

// trend is what the vocabulary plots are about: one model's datasets, of those with growth curves if there are any.
func (s *section) trend() (model string, pairs []*pair, records []*results.Record) {
	grown := s.any(func(r *results.Record) bool { return len(r.Vocabulary.Growth) > 1 })
	of := func(p *pair) *results.Record {
		for _, r := range done(p.counted()) {
			if !grown || len(r.Vocabulary.Growth) > 1 {
				return r
			}
		}
		return nil
	}
	n := map[string]int{}
	for _, p := range s.pairs {
		if p.recipe == "" && of(p) != nil {
			if n[p.model]++; n[p.model] > n[model] {
				model = p.model
			}
		}
	}
	if !grown && len(n) > 1 { // the same datasets for many models: the heat map tells more
		return "", nil, nil
	}
	for _, p := range s.pairs {
		if r := of(p); p.model == model && p.recipe == "" && r != nil {
			pairs, records = append(pairs, p), append(records, r)
		}
	}
	return model, pairs, records
}

func datasetName(r *results.Record) string {
	n := clean(r.Dataset[1+lastSlash(r.Dataset):])
	if isPartial(r) {
		n += " (partial)"
	}
	return n
}

// maxCurves bounds the lines of one picture; a curve is drawn from firstTokens on, since before that it is a matter of the
// length of a few examples.
const (
	maxCurves   = 16
	firstTokens = 100
)

// growthPlot draws distinct rows against tokens read, a line for each dataset, with a band from the least to the most of the
// shuffles.
func (s *section) growthPlot(name string) *Plot {
	model, _, records := s.trend()
	p := chart("tokens read", "distinct rows used")
	logAxis(&p.X)
	logAxis(&p.Y)
	var ends, lines []point
	rows, shuffles := int64(0), 0
	for _, r := range records {
		var xy plotter.XYs
		var low, high plotter.XYs
		for _, g := range r.Vocabulary.Growth {
			if g.Used <= 0 || g.Tokens < firstTokens {
				continue
			}
			xy = append(xy, plotter.XY{X: float64(g.Tokens), Y: float64(g.Used)})
			if g.Low > 0 && g.High >= g.Low {
				low = append(low, plotter.XY{X: float64(g.Tokens), Y: float64(g.Low)})
				high = append(high, plotter.XY{X: float64(g.Tokens), Y: float64(g.High)})
			}
		}
		if len(xy) < 2 || len(ends) == maxCurves {
			continue
		}
		slices.Reverse(high)
		if band, err := plotter.NewPolygon(append(low, high...)); err == nil && len(low) > 1 {
			band.Color, band.LineStyle.Width = pale(series[len(ends)%len(series)]), 0
			p.Add(band)
		}
		line(p, xy, len(ends), 1.3)
		lines = append(lines, along(xy, true, true)...)
		ends = append(ends, point{x: xy[len(xy)-1].X, y: xy[len(xy)-1].Y, name: datasetName(r)})
		rows, shuffles = max(rows, r.Vocabulary.Rows), max(shuffles, r.Vocabulary.Shuffles)
	}
	if len(ends) == 0 {
		return nil
	}
	dots(p, ends)
	roundOut(&p.X)
	roundOut(&p.Y)
	if all := float64(rows); all <= 4*p.Y.Max {
		ceiling := plotter.XYs{{X: p.X.Min, Y: all}, {X: p.X.Max, Y: all}}
		line(p, ceiling, len(series)-1, 0.8)
		p.Y.Max = max(p.Y.Max, 1.15*all)
		ends = append(ends, point{x: p.X.Min, y: all})
	}
	title := "Growth of the vocabulary in use, " + shortNames(s.pairs)[model]
	alt := "Distinct rows used against tokens read, a line for each dataset"
	if shuffles > 1 {
		title += fmt.Sprintf(" (mean and range of %d shuffles)", shuffles)
	}
	return framed(name, title, alt+".", p, func(c draw.Canvas, p *plot.Plot) {
		names(c, p, ends, lines, plainInk)
		if all := float64(rows); all < p.Y.Max {
			_, trY := p.Transforms(&c)
			label(c, style(9, false, faint), text.XLeft, vg.Point{X: c.Min.X + vg.Points(4), Y: trY(all) - vg.Points(7)}, "all "+group(fmt.Sprint(rows))+" rows")
		}
	})
}

// dots marks where lines end.
func dots(p *plot.Plot, pts []point) {
	for i, q := range pts {
		sc, err := plotter.NewScatter(plotter.XYs{{X: q.x, Y: q.y}})
		if err != nil {
			continue
		}
		sc.GlyphStyle = draw.GlyphStyle{Color: series[i%len(series)], Radius: vg.Points(2.2), Shape: draw.CircleGlyph{}}
		p.Add(sc)
	}
}

// sizePlot sets the used rows against the size of the data, a point for each dataset, with Heaps' law fitted to the points.
func (s *section) sizePlot(name string) *Plot {
	if s.spec.Measure != "vocabulary" {
		return nil
	}
	var pts []point
	model, _, records := s.trend()
	for _, r := range records {
		if _, t := sizes(r); t > 0 && r.Vocabulary.Used > 0 {
			pts = append(pts, point{x: float64(t), y: float64(r.Vocabulary.Used), name: datasetName(r)})
		}
	}
	if len(pts) < 3 || len(pts) > 60 {
		return nil
	}
	p := chart("tokens in the data", "distinct rows used")
	logAxis(&p.X)
	logAxis(&p.Y)
	k, beta, r2, ok := heapsFit(pts)
	scatter(p, pts)
	roundOut(&p.X)
	roundOut(&p.Y)
	title := "Rows used against size of the data, " + shortNames(s.pairs)[model]
	var lines []point
	if ok {
		fit := plotter.XYs{}
		for i := range 60 {
			x := p.X.Min * math.Pow(p.X.Max/p.X.Min, float64(i)/59)
			if y := k * math.Pow(x, beta); y >= p.Y.Min && y <= p.Y.Max {
				fit = append(fit, plotter.XY{X: x, Y: y})
			}
		}
		line(p, fit, len(series)-1, 0.9)
		lines = along(fit, true, true)
		p.Y.Label.Text += fmt.Sprintf("     line: %.3g × tokens^%.2f, R² %.2f", k, beta, r2)
	}
	return framed(name, title, "Distinct rows used against tokens in the data, a point for each dataset, with the fit of Heaps' law.", p,
		func(c draw.Canvas, p *plot.Plot) { names(c, p, pts, lines, plainInk) })
}

// heapsFit fits y = k x^beta by least squares of the logarithms.
func heapsFit(pts []point) (k, beta, r2 float64, ok bool) {
	var mx, my, sxx, sxy, syy float64
	n := float64(len(pts))
	for _, q := range pts {
		mx, my = mx+math.Log(q.x)/n, my+math.Log(q.y)/n
	}
	for _, q := range pts {
		dx, dy := math.Log(q.x)-mx, math.Log(q.y)-my
		sxx, sxy, syy = sxx+dx*dx, sxy+dx*dy, syy+dy*dy
	}
	if sxx == 0 || syy == 0 {
		return 0, 0, 0, false
	}
	beta = sxy / sxx
	return math.Exp(my - beta*mx), beta, sxy * sxy / (sxx * syy), true
}
