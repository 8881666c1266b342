package report

import (
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// plots draws all pictures that the section's records can fill; the one named as the section is the first.
func (s *section) plots(name string) []*Plot {
	var out []*Plot
	for _, d := range []struct {
		suffix string
		make   func(string) *Plot
	}{
		{"-memory", s.memoryPlot}, {"-saving", s.savingPlot}, {"-forecast", s.forecastPlot}, {"-losses", s.lossPlot},
		{"-difference", s.differencePlot}, {"-growth", s.growthPlot}, {"-size", s.sizePlot}, {"-unused", s.unusedPlot},
		{"-models", s.modelsPlot}, {"-embeddings", s.embeddingHeat}, {"-parameters", s.modelHeat}, {"-cost", s.costPlot},
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
	dx   float64 // shift to the right, in points
}

// framed wraps a chart as a Plot: title, the y axis' name level below it, and room for names at the right.
func framed(name, title, alt string, p *plot.Plot, over func(draw.Canvas, *plot.Plot)) *Plot {
	y := p.Y.Label.Text
	p.Y.Label.Text = ""
	const width, height = 600.0, 390.0
	return &Plot{Name: name, Title: title, Alt: alt, w: vg.Points(width), h: vg.Points(height), draw: func(c draw.Canvas) {
		bold := style(12, true, ink)
		label(c, bold, text.XLeft, vg.Point{X: vg.Points(4), Y: vg.Points(height - 10)}, fit(bold, title, vg.Points(width-8)))
		label(c, style(10, false, ink), text.XLeft, vg.Point{X: vg.Points(4), Y: vg.Points(height - 28)}, y)
		in := draw.Crop(c, vg.Points(6), vg.Points(-nameRoom), vg.Points(3), vg.Points(-40))
		p.Draw(in)
		if over != nil {
			over(p.DataCanvas(in), p)
		}
	}}
}

// nameRoom is the width, in points, that framed leaves for names.
const nameRoom = 110

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

func lastSlash(s string) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == '/' && i+1 < len(s) {
			return i
		}
	}
	return -1
}

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
	sc.GlyphStyle = draw.GlyphStyle{Color: blue, Radius: vg.Points(3), Shape: draw.RingGlyph{}}
	p.Add(sc)
}

// line draws one series; i picks colour and dash.
func line(p *plot.Plot, xy plotter.XYs, i int, width float64) {
	l, err := plotter.NewLine(xy)
	if err != nil {
		return
	}
	l.LineStyle = draw.LineStyle{Color: series[i%len(series)], Width: vg.Points(width), Dashes: dashes[(i+i/len(series))%len(dashes)]}
	p.Add(l)
}
