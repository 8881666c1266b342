package report

import (
	"cmp"
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

// maxGroups bounds the groups of bars in one picture; the page's table has them all.
const maxGroups = 30

// bars are a group of the memory picture: a baseline and what is set beside it.
type bars struct {
	label string
	rows  []bar
	top   int64 // largest peak
}

type bar struct {
	label    string
	run      *results.Record // nil: why says why there is none
	why      string
	baseline *results.Record // to say what was saved; nil for a baseline itself
}

func newBars(label string, rows ...bar) *bars {
	b := &bars{label: label, rows: rows}
	for _, r := range rows {
		if r.run != nil {
			b.top = max(b.top, r.run.Memory.PeakAllocated)
		}
	}
	return b
}

// memoryBars makes a group for each pair or, where those are many, for each model, with the datasets on which PEMA saves
// most and least.
func (s *section) memoryBars() (groups []*bars) {
	short := shortNames(s.pairs)
	severalData := s.several(func(p *pair) string { return p.dataset })
	add := func(b *bars) {
		if b.top > 0 {
			groups = append(groups, b)
		}
	}
	sides := func(p *pair) (base, pema bar) {
		base = bar{label: "baseline", run: measured(p.base), why: missing(p.base).Text}
		return base, bar{label: "PEMA", run: measured(p.pema), why: missing(p.pema).Text, baseline: base.run}
	}
	if len(s.pairs) <= 12 || !severalData {
		for _, p := range s.pairs {
			label := short[p.model]
			if severalData {
				label += " · " + clean(p.dataset)
			}
			if p.recipe != "" {
				label += " · " + clean(p.recipe)
			}
			base, pema := sides(p)
			add(newBars(label, base, pema))
		}
		return groups
	}
	type key struct{ model, recipe string }
	byModel := map[key][]*pair{}
	var order []key
	for _, p := range s.pairs {
		k := key{p.model, p.recipe}
		if byModel[k] == nil {
			order = append(order, k)
		}
		byModel[k] = append(byModel[k], p)
	}
	for _, k := range order {
		var base, least, most bar
		for _, p := range byModel[k] {
			b, q := sides(p)
			if base.label == "" || base.run == nil && b.run != nil {
				base = b
			}
			if q.run == nil {
				continue
			}
			q.label = "PEMA " + p.dataset[1+lastSlash(p.dataset):]
			if most.run == nil || q.run.Memory.PeakAllocated < most.run.Memory.PeakAllocated {
				most = q
			}
			if least.run == nil || q.run.Memory.PeakAllocated > least.run.Memory.PeakAllocated {
				least = q
			}
		}
		rows := []bar{base}
		if most.run != nil {
			rows = append(rows, most)
		}
		if least.run != nil && least.run != most.run {
			rows = append(rows, least)
		}
		label := short[k.model]
		if k.recipe != "" {
			label += " · " + clean(k.recipe)
		}
		add(newBars(label, rows...))
	}
	return groups
}

// memoryPlot shows baseline beside PEMA, stacked by the parts of the ledger. Up to 8 groups have their names above them; more
// stand closer, with the names at the left.
func (s *section) memoryPlot(name string) *Plot {
	groups := s.memoryBars()
	if len(groups) == 0 {
		return nil
	}
	slices.SortStableFunc(groups, func(a, b *bars) int { return cmp.Compare(b.top, a.top) })
	title := "Peak memory of fine-tuning, by what it holds"
	if len(groups) > maxGroups {
		title += fmt.Sprintf(" (the %d largest of %d)", maxGroups, len(groups))
		groups = groups[:maxGroups]
	}
	unit, div := "MiB", float64(1<<20)
	if groups[0].top > 8<<30 {
		unit, div = "GiB", 1<<30
	}
	const head, right = 62.0, 116.0
	width, left, rowH, gap, above := 660.0, 66.0, 19.0, 25.0, 4.0
	close := len(groups) > 8
	if close {
		width, left, rowH, gap, above = 760, 244, 12, 5, -4
	}
	h := head + 4
	alt := title + "."
	for _, g := range groups {
		h += (rowH+3)*float64(len(g.rows)) + gap
		alt += " " + g.label + ":"
		for _, r := range g.rows {
			if r.run != nil {
				alt += fmt.Sprintf(" %s %.1f %s", r.label, float64(r.run.Memory.PeakAllocated)/div, unit)
			}
		}
		alt += "."
	}
	return &Plot{Name: name, Title: title, Alt: alt, w: vg.Points(width), h: vg.Points(h), draw: func(c draw.Canvas) {
		pt := vg.Points
		label(c, style(12, true, ink), text.XLeft, vg.Point{X: pt(4), Y: pt(h - 10)}, title+", "+unit)
		ledgerLegend(c, h-32)
		scale := (width - left - right) / float64(groups[0].top)
		size := 10.0
		if close {
			size = 9
		}
		strong, plain := style(size, true, ink), style(size, false, ink)
		y := h - head
		for _, g := range groups {
			if close {
				label(c, strong, text.XLeft, vg.Point{X: pt(4), Y: pt(y + above - rowH/2)}, fit(strong, g.label, pt(left-80)))
			} else {
				label(c, strong, text.XLeft, vg.Point{X: pt(4), Y: pt(y + above)}, fit(strong, g.label, pt(width-8)))
				y -= 14
			}
			for k, r := range g.rows {
				mid := y - float64(k)*(rowH+3)
				if close {
					mid += above - rowH/2
				}
				label(c, plain, text.XRight, vg.Point{X: pt(left - 6), Y: pt(mid)}, fit(plain, r.label, pt(72)))
				if r.run == nil {
					label(c, style(size, false, faint), text.XLeft, vg.Point{X: pt(left), Y: pt(mid)}, r.why)
					continue
				}
				at := left
				for j, part := range r.run.Memory.Ledger.Parts() {
					w := scale * float64(part.Bytes)
					box(c, ledgerFill[j], pt(at), pt(mid-rowH/2), pt(at+math.Max(w-0.7, math.Min(w, 0.4))), pt(mid+rowH/2))
					sty := style(size-2, false, onDim)
					if light(ledgerFill[j]) {
						sty.Color = onLit
					}
					if s := figureOf(float64(part.Bytes) / div); sty.Width(s).Points()+4 < w {
						label(c, sty, text.XCenter, vg.Point{X: pt(at + w/2), Y: pt(mid)}, s)
					}
					at += w
				}
				total := group(fixed(float64(r.run.Memory.PeakAllocated)/div, 1))
				label(c, strong, text.XLeft, vg.Point{X: pt(at + 5), Y: pt(mid)}, total)
				if r.baseline != nil {
					saved := 100 * (1 - ratio(r.run.Memory.PeakAllocated, r.baseline.Memory.PeakAllocated))
					label(c, plain, text.XLeft, vg.Point{X: pt(at + 11 + strong.Width(total).Points()), Y: pt(mid)}, savedText(saved))
				}
			}
			y -= (rowH+3)*float64(len(g.rows)) + gap
			if !close {
				y += 14
			}
		}
	}}
}

// ledgerLegend names the colours of the ledger's parts on a line at height y.
func ledgerLegend(c draw.Canvas, y float64) {
	pt := vg.Points
	x := 4.0
	for i, kind := range []string{"parameters", "gradients", "optimizer", "activations and temporaries"} {
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
