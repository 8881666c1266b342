package report

import (
	"bytes"
	"fmt"
	"image/color"
	"io"
	"math"
	"strconv"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Plot is one picture. It is drawn anew for each form, always the same way.
type Plot struct {
	Name  string // file name without ending
	Title string
	Alt   string // what a reader who cannot see it should know
	w, h  vg.Length
	draw  func(draw.Canvas)
}

// SVG writes the picture as scalable graphics. Black is left unsaid, as SVG's default, so that a page can recolour it.
func (p *Plot) SVG(w io.Writer) error {
	c := vgsvg.New(p.w, p.h)
	p.draw(draw.New(c))
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return fmt.Errorf("plot %s: %w", p.Name, err)
	}
	// The fonts that are measured with are Liberation; Arial and Helvetica have the same widths.
	s := bytes.ReplaceAll(b.Bytes(), []byte("font-family:Liberation Sans"), []byte("font-family:'Liberation Sans',Arial,Helvetica,sans-serif"))
	_, err := w.Write(s)
	return err
}

// PNG writes the picture at 144 dots an inch on white.
func (p *Plot) PNG(w io.Writer) error {
	c := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(p.w, p.h), vgimg.UseDPI(144), vgimg.UseBackgroundColor(color.White))}
	p.draw(draw.New(c))
	if _, err := c.WriteTo(w); err != nil {
		return fmt.Errorf("plot %s: %w", p.Name, err)
	}
	return nil
}

var (
	ink   = color.RGBA{A: 255}                            // recoloured by the page
	faint = color.RGBA{R: 0x88, G: 0x88, B: 0x88, A: 255} // readable on white and on black
	onLit = color.RGBA{R: 1, G: 1, B: 1, A: 255}          // text on a light fill, black in every theme
	onDim = color.RGBA{R: 254, G: 254, B: 254, A: 255}    // text on a dark fill
	blue  = color.RGBA{G: 0x72, B: 0xB2, A: 255}
	rust  = color.RGBA{R: 0xD5, G: 0x5E, A: 255}
)

// series are Okabe and Ito's colours, without their yellow, which is lost on white.
var series = []color.RGBA{blue, rust, {G: 0x9E, B: 0x73, A: 255}, {R: 0xCC, G: 0x79, B: 0xA7, A: 255}, {R: 0xE6, G: 0x9F, A: 255}, {R: 0x56, G: 0xB4, B: 0xE9, A: 255}, faint}

var dashes = [][]vg.Length{nil, {6, 2}, {2, 2}, {8, 2, 2, 2}, {1, 2}, {10, 4}, {4, 1}}

var face = font.Font{Typeface: "Liberation", Variant: "Sans"}

func style(size float64, bold bool, col color.Color) draw.TextStyle {
	f := font.From(face, vg.Points(size))
	if bold {
		f.Weight = xfont.WeightBold
	}
	return text.Style{Font: f, Color: col, Handler: plot.DefaultTextHandler}
}

// label writes one line of text; at is its left, middle or right end by x = 0, -0.5, -1, and its vertical middle.
func label(c draw.Canvas, sty draw.TextStyle, x text.XAlignment, at vg.Point, s string) {
	sty.XAlign, sty.YAlign = x, text.YCenter
	if s != "" {
		c.FillText(sty, at, s)
	}
}

func box(c draw.Canvas, fill color.Color, x0, y0, x1, y1 vg.Length) {
	if x1 > x0 {
		c.FillPolygon(fill, []vg.Point{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}})
	}
}

// light says whether black is easier to read on the fill than white.
func light(c color.RGBA) bool {
	lin := func(v uint8) float64 { return math.Pow(float64(v)/255, 2.2) }
	return 0.2126*lin(c.R)+0.7152*lin(c.G)+0.0722*lin(c.B) > 0.2
}

// fit cuts a text to a width.
func fit(sty draw.TextStyle, s string, w vg.Length) string {
	r := []rune(clean(s))
	if sty.Width(string(r)) <= w {
		return string(r)
	}
	for len(r) > 1 && sty.Width(string(r)+"…") > w {
		r = r[:len(r)-1]
	}
	return string(r) + "…"
}

// chart is an empty plot with axes in the report's style. The name of its y axis is for framed, which writes it level.
func chart(x, y string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Label.TextStyle = style(10, false, ink)
		a.Label.TextStyle.XAlign, a.Label.TextStyle.YAlign = text.XCenter, text.YBottom
		a.Tick.Label = style(9, false, ink)
		a.LineStyle = draw.LineStyle{Color: faint, Width: vg.Points(0.6)}
		a.Tick.LineStyle = a.LineStyle
		a.Tick.Length = vg.Points(4)
		a.Padding = vg.Points(4)
		a.Tick.Marker = plot.TickerFunc(evenTicks)
	}
	p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = text.XCenter, text.YTop
	p.Y.Tick.Label.XAlign, p.Y.Tick.Label.YAlign = text.XRight, text.YCenter
	p.X.Label.Text, p.Y.Label.Text = x, y
	return p
}

// evenTicks sets some five ticks at 1, 2 or 5 times a power of ten.
func evenTicks(lo, hi float64) []plot.Tick {
	if !(hi > lo) {
		return []plot.Tick{{Value: lo, Label: tickLabel(lo)}}
	}
	step := math.Pow(10, math.Floor(math.Log10((hi-lo)/5)))
	for _, m := range []float64{1, 2, 5, 10} {
		if (hi-lo)/(m*step) <= 6 {
			step *= m
			break
		}
	}
	var out []plot.Tick
	for k := math.Ceil(lo / step); k*step <= hi*(1+1e-12); k++ {
		out = append(out, plot.Tick{Value: k * step, Label: tickLabel(k * step)})
	}
	return out
}

func tickLabel(v float64) string {
	if math.Abs(v) >= 1e3 {
		return si(v)
	}
	return group(strconv.FormatFloat(math.Round(v*1e6)/1e6, 'f', -1, 64))
}

// logAxis makes an axis logarithmic, from one round number to another, with ticks at 1, 2 and 5.
func logAxis(a *plot.Axis) {
	a.Scale = plot.LogScale{}
	a.Tick.Marker = plot.TickerFunc(func(lo, hi float64) (out []plot.Tick) {
		for _, v := range rounds(lo, hi) {
			out = append(out, plot.Tick{Value: v, Label: si(v)})
		}
		return out
	})
}

// roundOut widens a logarithmic axis to round numbers, once its data are known.
func roundOut(a *plot.Axis) {
	lo, hi := a.Min, a.Max
	for _, v := range rounds(lo/10, hi*10) {
		if v < lo*0.97 {
			a.Min = v
		}
		if v > hi*1.03 {
			a.Max = v
			return
		}
	}
}

// rounds are the numbers 1, 2 and 5 times a power of ten from lo to hi.
func rounds(lo, hi float64) (out []float64) {
	for e := math.Floor(math.Log10(lo)); e <= math.Ceil(math.Log10(hi)); e++ {
		for _, m := range []float64{1, 2, 5} {
			if v := m * math.Pow(10, e); v >= lo*(1-1e-9) && v <= hi*(1+1e-9) {
				out = append(out, v)
			}
		}
	}
	return out
}

func si(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%gM", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%gk", v/1e3)
	}
	return fmt.Sprintf("%g", v)
}
