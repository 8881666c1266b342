package report

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// marks are how terminal and Markdown show a Mark without colour.
var marks = map[Mark]string{Best: " *", Bad: " !"}

// refs are a cell's footnote numbers, such as " [1,2]".
func refs(c Cell, number map[string]int, form string) string {
	if len(c.Notes) == 0 {
		return ""
	}
	var out []string
	seen := map[int]bool{}
	for _, n := range c.Notes {
		if !seen[number[n]] {
			seen[number[n]] = true
			out = append(out, strconv.Itoa(number[n]))
		}
	}
	return fmt.Sprintf(form, strings.Join(out, ","))
}

// Terminal writes the table with box lines for a screen of some 160 columns.
func (t *Table) Terminal(w io.Writer) error {
	fmt.Fprintln(w, clean(t.Title))
	if t.Note != "" {
		fmt.Fprintln(w, clean(t.Note))
	}
	list, num := t.notes()
	var b bytes.Buffer
	head := make([]string, len(t.Columns))
	align := make([]tw.Align, len(t.Columns))
	for i, c := range t.Columns {
		head[i] = wrap(clean(c.Name), 12)
		if c.Unit != "" {
			head[i] += "\n" + clean(c.Unit)
		}
		align[i] = tw.AlignRight
		if c.Kind == Text {
			align[i] = tw.AlignLeft
		}
	}
	x := tablewriter.NewTable(&b,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders:  tw.Border{Left: tw.Off, Right: tw.Off, Top: tw.On, Bottom: tw.On},
			Settings: tw.Settings{Separators: tw.Separators{BetweenColumns: tw.Off, BetweenRows: tw.Off}},
		})),
		tablewriter.WithHeaderAutoFormat(tw.Off), tablewriter.WithHeaderAutoWrap(tw.WrapNone), tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithAlignment(align), tablewriter.WithHeaderAlignmentConfig(tw.CellAlignment{PerColumn: align}),
		tablewriter.WithPadding(tw.Padding{Left: "", Right: " ", Overwrite: true}))
	x.Header(head)
	for _, r := range t.Rows {
		row := make([]string, len(r))
		for i, c := range r {
			row[i] = clean(c.Text) + marks[c.Mark] + refs(c, num, " [%s]")
		}
		if err := x.Append(row); err != nil {
			return fmt.Errorf("terminal table %s: %w", t.Name, err)
		}
	}
	if err := x.Render(); err != nil {
		return fmt.Errorf("terminal table %s: %w", t.Name, err)
	}
	if t.Summary != "" {
		fmt.Fprintln(&b, clean(t.Summary))
	}
	for i, n := range list {
		fmt.Fprintf(&b, "[%d] %s\n", i+1, clean(n))
	}
	for _, n := range t.Footnotes {
		fmt.Fprintln(&b, clean(n))
	}
	_, err := w.Write(b.Bytes())
	return err
}

// wrap breaks a head into lines of about n characters at its spaces.
func wrap(s string, n int) string {
	var b strings.Builder
	line := 0
	for i, word := range strings.Fields(s) {
		if i > 0 {
			if line+1+len(word) > n {
				b.WriteByte('\n')
				line = 0
			} else {
				b.WriteByte(' ')
				line++
			}
		}
		b.WriteString(word)
		line += len([]rune(word))
	}
	return b.String()
}

// mdEscape makes text that Markdown shows as it is. The characters it escapes are all that could start HTML, a link or
// a new cell.
var mdEscape = strings.NewReplacer(`\`, `\\`, "|", `\|`, "<", "&lt;", ">", "&gt;", "&", "&amp;", "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "~", `\~`)

// Markdown writes the table as GitHub shows it.
func (t *Table) Markdown(w io.Writer) error {
	var b bytes.Buffer
	esc := func(s string) string { return mdEscape.Replace(clean(s)) }
	fmt.Fprintf(&b, "**%s**\n\n", esc(t.Title))
	if t.Note != "" {
		fmt.Fprintf(&b, "%s\n\n", esc(t.Note))
	}
	list, num := t.notes()
	for _, c := range t.Columns {
		fmt.Fprintf(&b, "| %s ", esc(c.Head()))
	}
	b.WriteString("|\n")
	for _, c := range t.Columns {
		if c.Kind == Text {
			b.WriteString("| --- ")
		} else {
			b.WriteString("| ---: ")
		}
	}
	b.WriteString("|\n")
	for _, r := range t.Rows {
		for _, c := range r {
			s := esc(c.Text)
			switch c.Mark {
			case Best, Bad:
				s = "**" + s + "**"
			case Missing:
				s = "_" + s + "_"
			}
			fmt.Fprintf(&b, "| %s%s ", s, refs(c, num, "<sup>%s</sup>"))
		}
		b.WriteString("|\n")
	}
	if t.Summary != "" {
		fmt.Fprintf(&b, "\n%s\n", esc(t.Summary))
	}
	for i, n := range list {
		fmt.Fprintf(&b, "\n<sup>%d</sup> %s\n", i+1, esc(n))
	}
	for _, n := range t.Footnotes {
		fmt.Fprintf(&b, "\n%s\n", esc(n))
	}
	_, err := w.Write(b.Bytes())
	return err
}

// CSV writes the table for programs: full precision, bytes as bytes, a column of its own for each standard deviation. Text
// that a spreadsheet would run as a formula gets an apostrophe in front.
func (t *Table) CSV(w io.Writer) error {
	c := csv.NewWriter(w)
	var head []string
	for _, col := range t.Columns {
		if col.Kind == Bytes {
			col.Unit = "B"
		}
		head = append(head, inert(clean(col.Head())))
		if col.Spread {
			head = append(head, inert(clean(col.Name+" sd")))
		}
	}
	if err := c.Write(head); err != nil {
		return err
	}
	for _, r := range t.Rows {
		var row []string
		for i, cell := range r {
			col := t.Columns[i]
			row = append(row, exported(col.Kind, cell.Value, inert(clean(cell.Text))))
			if col.Spread {
				row = append(row, exported(col.Kind, cell.SD, ""))
			}
		}
		if err := c.Write(row); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

// exported is a value as programs read it, or what is said in its place.
func exported(k Kind, v float64, said string) string {
	switch {
	case k == Text || math.IsNaN(v):
		return said
	case k == Count || k == Bytes:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case k == Percent:
		return strconv.FormatFloat(100*v, 'g', 12, 64)
	}
	return strconv.FormatFloat(v, 'g', 12, 64)
}

// formula finds what a spreadsheet would run: at a cell's start, or after a separator at which a spreadsheet of another
// language splits a line.
var formula = regexp.MustCompile(`(^|[;|\t])(["' ]*)([=+\-@|\t\r＝＋－＠])`)

func inert(s string) string { return formula.ReplaceAllString(s, "$1$2'$3") }

var texEscape = strings.NewReplacer(`\`, `\textbackslash{}`, "{", `\{`, "}", `\}`, "$", `\$`, "&", `\&`, "#", `\#`, "^", `\textasciicircum{}`,
	"_", `\_`, "~", `\textasciitilde{}`, "%", `\%`, "±", `$\pm$`, "×", `$\times$`, "–", "--", "—", "---", "…", `\dots{}`, "−", "$-$",
	"<", `$<$`, ">", `$>$`, "|", `$|$`, `"`, `''`, "`", "\\`{}", "÷", `$\div$`, "Δ", `$\Delta$`, "β", `$\beta$`, "²", `$^2$`)

// tex escapes for LaTeX; a letter that its standard fonts lack is written as its code point, so that the text compiles.
func tex(s string) string {
	var b strings.Builder
	for _, r := range clean(s) {
		switch known := texEscape.Replace(string(r)); {
		case known != string(r) || r < 0x80 || r >= 0xC0 && r <= 0xFF && !strings.ContainsRune("ÐðÞþ", r):
			b.WriteString(known)
		default:
			fmt.Fprintf(&b, "[U+%04X]", r)
		}
	}
	return b.String()
}

// longRows is how many rows fit on a page of paper; a longer table becomes a longtable, which breaks.
const longRows = 45

// LaTeX writes a table environment, ready to paste; it needs the packages booktabs and graphicx, or longtable for a long one.
func (t *Table) LaTeX(w io.Writer) error {
	var b bytes.Buffer
	list, num := t.notes()
	long := len(t.Rows) > longRows
	spec, head := t.texHead()
	if long {
		fmt.Fprintf(&b, "%% \\usepackage{booktabs,longtable}\n{\\scriptsize\\setlength{\\tabcolsep}{3pt}\n\\begin{longtable}{%s}\n\\caption{%s}\\\\\n", spec, tex(t.Title))
		fmt.Fprintf(&b, "\\toprule\n%s\\midrule\n\\endfirsthead\n\\toprule\n%s\\midrule\n\\endhead\n\\bottomrule\n\\endfoot\n", head, head)
	} else {
		fmt.Fprintf(&b, "%% \\usepackage{booktabs,graphicx}\n\\begin{table}\n\\centering\n\\caption{%s}\n\\resizebox{\\linewidth}{!}{%%\n\\begin{tabular}{%s}\n", tex(t.Title), spec)
		fmt.Fprintf(&b, "\\toprule\n%s\\midrule\n", head)
	}
	for _, r := range t.Rows {
		for i, c := range r {
			if i > 0 {
				b.WriteString(" & ")
			}
			s := tex(c.Text)
			switch c.Mark {
			case Best, Bad:
				s = `\textbf{` + s + "}"
			case Missing:
				s = `\textit{` + s + "}"
			}
			// Braces in front: a cell that begins with "[" would be taken for the argument of the line break before it.
			b.WriteString("{}" + s + refs(c, num, `\textsuperscript{%s}`))
		}
		b.WriteString(" \\\\\n")
	}
	if long {
		b.WriteString("\\end{longtable}}\n")
	} else {
		b.WriteString("\\bottomrule\n\\end{tabular}}\n")
	}
	if len(list)+len(t.Footnotes) > 0 || t.Note != "" || t.Summary != "" {
		b.WriteString("\n\\smallskip\n\\begin{minipage}{\\linewidth}\\footnotesize\n")
		if t.Summary != "" {
			fmt.Fprintf(&b, "%s\\par\n", tex(t.Summary))
		}
		for i, n := range list {
			fmt.Fprintf(&b, "\\textsuperscript{%d}~%s\\par\n", i+1, tex(n))
		}
		for _, n := range append([]string{t.Note}, t.Footnotes...) {
			if n != "" {
				fmt.Fprintf(&b, "%s\\par\n", tex(n))
			}
		}
		b.WriteString("\\end{minipage}\n")
	}
	if !long {
		b.WriteString("\\end{table}\n")
	}
	_, err := w.Write(b.Bytes())
	return err
}

// texHead gives the columns' alignments and the two lines of heads: names, units.
func (t *Table) texHead() (spec, head string) {
	var names, units []string
	for _, c := range t.Columns {
		if c.Kind == Text {
			spec += "l"
		} else {
			spec += "r"
		}
		names = append(names, tex(c.Name))
		u := ""
		if c.Unit != "" {
			u = "(" + tex(c.Unit) + ")"
		}
		units = append(units, u)
	}
	return spec, strings.Join(names, " & ") + " \\\\\n" + strings.Join(units, " & ") + " \\\\\n"
}
