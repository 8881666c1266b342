package report

import (
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"pema/results"
)

// ledgerFill gives each part of the ledger its colour, in the order of Parts: a hue for each kind, dark for the embedding
// and light for the rest, so that neighbours differ in grey too.
var ledgerFill = []color.RGBA{
	{G: 0x72, B: 0xB2, A: 255}, {R: 0xA6, G: 0xD0, B: 0xEA, A: 255},
	{R: 0xC4, G: 0x52, A: 255}, {R: 0xF7, G: 0xC0, B: 0x98, A: 255},
	{G: 0x56, B: 0x40, A: 255}, {R: 0x7F, G: 0xCF, B: 0xB0, A: 255},
	{R: 0xD4, G: 0xD4, B: 0xD4, A: 255},
}

// maxBars bounds the pairs in one picture; the page's table has them all.
const maxBars = 16

// memoryPlot shows baseline beside PEMA for each model and dataset, stacked by the parts of the ledger.
func (s *section) memoryPlot(name string) *Plot {
	type bar struct {
		label string
		sides [2]*results.Record
		why   [2]string // in place of a side that measured nothing
	}
	var bars []bar
	short := shortNames(s.pairs)
	severalData := s.several(func(p *pair) string { return p.dataset })
	for _, p := range s.pairs {
		b := bar{label: short[p.model], sides: [2]*results.Record{measured(p.base), measured(p.pema)}, why: [2]string{missing(p.base).Text, missing(p.pema).Text}}
		if severalData {
			b.label += " · " + clean(p.dataset)
		}
		if p.recipe != "" {
			b.label += " · " + clean(p.recipe)
		}
		if b.sides[0] != nil || b.sides[1] != nil {
			bars = append(bars, b)
		}
	}
	if len(bars) == 0 {
		return nil
	}
	top := func(b bar) (v int64) {
		for _, r := range b.sides {
			if r != nil {
				v = max(v, r.Memory.PeakAllocated)
			}
		}
		return v
	}
	slices.SortStableFunc(bars, func(a, b bar) int { return int(math.Copysign(1, float64(top(b)-top(a)))) })
	title := "Peak memory of fine-tuning, by what it holds"
	if len(bars) > maxBars {
		title += fmt.Sprintf(" (the %d largest of %d)", maxBars, len(bars))
		bars = bars[:maxBars]
	}
	unit, div := "MiB", float64(1<<20)
	if top(bars[0]) > 8<<30 {
		unit, div = "GiB", 1<<30
	}
	const width, left, right, rowH, groupH, head = 660.0, 66.0, 116.0, 19.0, 66.0, 62.0
	h := head + groupH*float64(len(bars)) + 4
	alt := title + "."
	for _, b := range bars {
		alt += " " + b.label + ":"
		for i, r := range b.sides {
			if r != nil {
				alt += fmt.Sprintf(" %s %.1f %s", [2]string{"baseline", "PEMA"}[i], float64(r.Memory.PeakAllocated)/div, unit)
			}
		}
		alt += "."
	}
	return &Plot{Name: name, Title: title, Alt: alt, w: vg.Points(width), h: vg.Points(h), draw: func(c draw.Canvas) {
		pt := vg.Points
		label(c, style(12, true, ink), text.XLeft, vg.Point{X: pt(4), Y: pt(h - 10)}, title+", "+unit)
		x := 4.0
		for i, kind := range []string{"parameters", "gradients", "optimizer", "activations and temporaries"} {
			y := h - 32
			box(c, ledgerFill[2*i], pt(x), pt(y-5), pt(x+11), pt(y+5))
			if i < 3 {
				box(c, ledgerFill[2*i+1], pt(x+12), pt(y-5), pt(x+23), pt(y+5))
				x += 12
				kind += ":  embedding, rest"
			}
			st := style(9, false, ink)
			label(c, st, text.XLeft, vg.Point{X: pt(x + 15), Y: pt(y)}, kind)
			x += 15 + st.Width(kind).Points() + 14
		}
		scale := (width - left - right) / float64(top(bars[0]))
		for i, b := range bars {
			y := h - head - groupH*float64(i)
			label(c, style(10, true, ink), text.XLeft, vg.Point{X: pt(4), Y: pt(y + 4)}, fit(style(10, true, ink), b.label, pt(width-8)))
			for k, r := range b.sides {
				mid := y - 14 - float64(k)*(rowH+3)
				label(c, style(10, false, ink), text.XRight, vg.Point{X: pt(left - 6), Y: pt(mid)}, [2]string{"baseline", "PEMA"}[k])
				if r == nil {
					label(c, style(10, false, faint), text.XLeft, vg.Point{X: pt(left), Y: pt(mid)}, b.why[k])
					continue
				}
				at := left
				for j, part := range r.Memory.Ledger.Parts() {
					w := scale * float64(part.Bytes)
					box(c, ledgerFill[j], pt(at), pt(mid-rowH/2), pt(at+math.Max(w-0.7, math.Min(w, 0.4))), pt(mid+rowH/2))
					sty := style(8, false, onDim)
					if light(ledgerFill[j]) {
						sty.Color = onLit
					}
					if s := figureOf(float64(part.Bytes) / div); sty.Width(s).Points()+4 < w {
						label(c, sty, text.XCenter, vg.Point{X: pt(at + w/2), Y: pt(mid)}, s)
					}
					at += w
				}
				total := group(fixed(float64(r.Memory.PeakAllocated)/div, 1))
				sty := style(10, true, ink)
				label(c, sty, text.XLeft, vg.Point{X: pt(at + 5), Y: pt(mid)}, total)
				if k == 1 && b.sides[0] != nil {
					saved := 100 * (1 - float64(r.Memory.PeakAllocated)/float64(b.sides[0].Memory.PeakAllocated))
					label(c, style(10, false, ink), text.XLeft, vg.Point{X: pt(at + 11 + sty.Width(total).Points()), Y: pt(mid)}, savedText(saved))
				}
			}
		}
	}}
}

func savedText(percent float64) string {
	if percent < 0 {
		return fixed(-percent, 1) + " % more"
	}
	return fixed(percent, 1) + " % saved"
}

// figureOf prints a value inside a bar: few digits, but never 0 for something.
func figureOf(v float64) string {
	if v < 10 {
		return fixed(v, 1)
	}
	return group(fixed(v, 0))
}
