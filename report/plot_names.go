package report

import (
	"cmp"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// halo is drawn behind a name where it lies on a line; the page gives it its own paper's colour.
var halo = color.RGBA{R: 254, G: 253, B: 252, A: 255}

type rect struct{ x0, y0, x1, y1 float64 }

func (r rect) meets(o rect) bool { return r.x0 < o.x1 && o.x0 < r.x1 && r.y0 < o.y1 && o.y0 < r.y1 }

// gap is the distance of a point from the rectangle.
func (r rect) gap(x, y float64) float64 {
	ex, ey := r.nearest(x, y)
	return math.Hypot(ex-x, ey-y)
}

// nearest is the place of the rectangle that is nearest to a point.
func (r rect) nearest(x, y float64) (float64, float64) {
	return min(max(x, r.x0), r.x1), min(max(y, r.y0), r.y1)
}

// names writes each point's name where it covers least: beside its point, clear of other names, other points and of lines, given
// as points along them. A name that found room only at a distance gets a thin leader.
func names(c draw.Canvas, p *plot.Plot, pts []point, lines []point, col func(i int) color.Color) {
	trX, trY := p.Transforms(&c)
	at := func(q point) (float64, float64) { return trX(q.x).Points() + q.dx, trY(q.y).Points() }
	var marks, along []rect
	spot := func(x, y, r float64) rect { return rect{x - r, y - r, x + r, y + r} }
	for _, q := range pts {
		x, y := at(q)
		marks = append(marks, spot(x, y, 3))
	}
	for _, q := range lines {
		x, y := at(q)
		along = append(along, spot(x, y, 1))
	}
	left, right := c.Min.X.Points()+2, c.Max.X.Points()+nameRoom-4
	bottom, top := c.Min.Y.Points()+2, c.Max.Y.Points()+8
	order := make([]int, len(pts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(pts[b].x, pts[a].x), cmp.Compare(pts[b].y, pts[a].y)) })
	const high = 10.0
	var placed []rect
	for _, i := range order {
		if pts[i].name == "" {
			continue
		}
		sty := style(9, false, col(i))
		x, y := at(pts[i])
		name := fit(sty, pts[i].name, vg.Points(right-left))
		w := sty.Width(name).Points()
		var best rect
		least, onLine, far := math.Inf(1), false, false
		for k, d := range places {
			r := rect{x + d.dx, y + d.dy - high/2, 0, 0}
			switch {
			case d.dx < 0:
				r.x0 -= w
			case d.dx == 0:
				r.x0 -= w / 2
			}
			r.x1, r.y1 = r.x0+w, r.y0+high
			cost, covers := 0.4*float64(k), false
			if r.x0 < left || r.x1 > right || r.y0 < bottom || r.y1 > top {
				cost += 1e4
			}
			for _, o := range placed {
				if r.meets(rect{o.x0 - 5, o.y0, o.x1 + 5, o.y1}) {
					cost += 1e3
				}
			}
			own, doubtful := r.gap(x, y), false
			for j, o := range marks {
				if j == i {
					continue
				}
				if r.meets(o) {
					cost += 60
				}
				doubtful = doubtful || r.gap((o.x0+o.x1)/2, (o.y0+o.y1)/2) < own+3
			}
			for _, o := range along {
				if r.meets(o) {
					cost, covers = cost+2, true
				}
			}
			leads := doubtful || own > 11
			if leads {
				ex, ey := r.nearest(x, y)
				for f := 0.1; f < 1; f += 0.1 {
					lx, ly := x+(ex-x)*f, y+(ey-y)*f
					for _, o := range placed {
						if o.gap(lx, ly) < 1 {
							cost += 15
						}
					}
				}
				if doubtful { // it may be taken for another's name
					cost += 12
				}
			}
			if cost < least {
				least, best, onLine, far = cost, r, covers, leads
			}
		}
		placed = append(placed, best)
		if far {
			ex, ey := best.nearest(x, y)
			c.StrokeLine2(draw.LineStyle{Color: faint, Width: vg.Points(0.5)}, vg.Points(x), vg.Points(y), vg.Points(ex), vg.Points(ey))
		}
		if onLine {
			box(c, halo, vg.Points(best.x0-1), vg.Points(best.y0), vg.Points(best.x1+1), vg.Points(best.y1))
		}
		label(c, sty, text.XLeft, vg.Point{X: vg.Points(best.x0), Y: vg.Points((best.y0 + best.y1) / 2)}, name)
	}
}

// places are where a name may stand against its point, the best first: a name with dx < 0 ends there, with dx > 0 begins.
var places = func() (out []struct{ dx, dy float64 }) {
	for _, r := range []float64{1, 1.6, 2.4, 3.4, 4.6, 6, 8, 10.5} {
		for _, d := range [][2]float64{{6, 0}, {6, 7}, {6, -7}, {0, 10}, {0, -10}, {12, 2}, {12, -2}, {-6, 7}, {-6, -7}, {-6, 0}} {
			out = append(out, struct{ dx, dy float64 }{d[0] * r, d[1] * r})
		}
	}
	return out
}()

func plainInk(int) color.Color { return ink }

func nameColour(i int) color.Color { return series[i%len(series)] }

// along gives points of a line close enough together that no name fits between them unseen.
func along(xy plotter.XYs, logX, logY bool) (out []point) {
	to := func(v float64, log bool) float64 {
		if log {
			return math.Log(v)
		}
		return v
	}
	from := func(v float64, log bool) float64 {
		if log {
			return math.Exp(v)
		}
		return v
	}
	between := max(6, 300/max(1, len(xy)))
	for i := 1; i < len(xy); i++ {
		for k := range between {
			f := float64(k) / float64(between)
			mix := func(a, b float64, log bool) float64 { return from(to(a, log)*(1-f)+to(b, log)*f, log) }
			out = append(out, point{x: mix(xy[i-1].X, xy[i].X, logX), y: mix(xy[i-1].Y, xy[i].Y, logY)})
		}
	}
	return out
}
