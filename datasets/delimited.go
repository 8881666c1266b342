package datasets

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxLine bounds a line of TSV and JSON Lines, so that a file without line ends is not read into memory.
const maxLine = 64 << 20

// textRows opens path, skips a byte order mark and streams what read finds.
func textRows(ctx context.Context, path string, read func(io.Reader, func(row, error) bool)) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(row{}, err)
			return
		}
		defer f.Close()
		r := bufio.NewReaderSize(f, 1<<20)
		head, _ := r.Peek(3)
		switch {
		case string(head) == "\xef\xbb\xbf":
			r.Discard(3)
		case strings.HasPrefix(string(head), "\xff\xfe"), strings.HasPrefix(string(head), "\xfe\xff"):
			yield(row{}, errors.New("the file is UTF-16; save it as UTF-8"))
			return
		}
		read(r, func(x row, err error) bool {
			if err == nil && x.n%1024 == 0 && ctx.Err() != nil {
				yield(row{}, ctx.Err())
				return false
			}
			return yield(x, err)
		})
	}
}

// positions are the indexes of the wanted columns in a record; -1 for one that is not wanted.
type positions struct{ text, pair, label int }

// numbered reports whether the columns are numbers, which means a file without a header.
func numbered(cols Columns) (positions, bool) {
	p := positions{-1, -1, -1}
	for _, c := range []struct {
		name string
		at   *int
	}{{cols.Text, &p.text}, {cols.Pair, &p.pair}, {cols.Label, &p.label}} {
		if c.name == "" {
			continue
		}
		n, err := strconv.Atoi(c.name)
		if err != nil || n < 1 {
			return p, false
		}
		*c.at = n - 1
	}
	return p, true
}

func findColumns(cols Columns, header []string) (positions, error) {
	p := positions{-1, -1, -1}
	for _, c := range []struct {
		name string
		at   *int
	}{{cols.Text, &p.text}, {cols.Pair, &p.pair}, {cols.Label, &p.label}} {
		if c.name == "" {
			continue
		}
		if *c.at = slices.Index(header, c.name); *c.at < 0 {
			return p, missingColumn(c.name, header)
		}
	}
	return p, nil
}

// pick makes a row from a record.
func (p positions) pick(n int64, record []string) (row, error) {
	if last := max(p.text, p.pair, p.label); last >= len(record) {
		return row{n: n}, fmt.Errorf("no column %d; the row has %d", last+1, len(record))
	}
	x := row{n: n, text: record[p.text]}
	if p.pair >= 0 {
		x.pair = record[p.pair]
	}
	if p.label >= 0 {
		x.label = parseValue(record[p.label])
	}
	for _, s := range [2]string{x.text, x.pair} {
		if !utf8.ValidString(s) {
			return x, errors.New("text is not UTF-8; convert the file")
		}
	}
	return x, nil
}

// readRecords streams the rows of a record reader, with or without a header.
func readRecords(cols Columns, next func() ([]string, error), yield func(row, error) bool) {
	p, headerless := numbered(cols)
	if !headerless {
		header, err := next()
		if err == io.EOF {
			err = errors.New("the file is empty")
		}
		if err == nil {
			p, err = findColumns(cols, header)
		}
		if err != nil {
			yield(row{}, err)
			return
		}
	}
	for n := int64(1); ; n++ {
		record, err := next()
		if err == io.EOF {
			return
		}
		x := row{n: n}
		if err == nil {
			x, err = p.pick(n, record)
		}
		if !yield(x, err) || err != nil {
			return
		}
	}
}

func readCSV(r io.Reader, cols Columns, yield func(row, error) bool) {
	c := csv.NewReader(r)
	c.ReuseRecord = true
	readRecords(cols, c.Read, yield)
}

func readTSV(r io.Reader, cols Columns, yield func(row, error) bool) {
	lines := lineReader{r: bufio.NewReader(r)}
	fields, width := []string(nil), 0
	readRecords(cols, func() ([]string, error) {
		line, err := lines.next()
		if err != nil {
			return nil, err
		}
		fields = splitTSV(fields[:0], line)
		if width == 0 {
			width = len(fields)
		}
		if len(fields) != width {
			return nil, fmt.Errorf("line %d has %d fields, the first has %d", lines.n, len(fields), width)
		}
		return fields, nil
	}, yield)
}

// splitTSV splits a line at tabs. A field that begins with a quote is quoted when the quote that ends it (a doubled
// one stands for itself) is followed by a tab or the end of the line; else its quotes are text.
func splitTSV(fields []string, line string) []string {
	for {
		if field, rest, more, ok := quotedField(line); ok {
			fields = append(fields, field)
			if !more {
				return fields
			}
			line = rest
			continue
		}
		field, rest, more := strings.Cut(line, "\t")
		fields = append(fields, field)
		if !more {
			return fields
		}
		line = rest
	}
}

func quotedField(line string) (field, rest string, more, ok bool) {
	if len(line) < 2 || line[0] != '"' {
		return "", "", false, false
	}
	for i := 1; i < len(line); i++ {
		if line[i] != '"' {
			continue
		}
		switch {
		case i+1 < len(line) && line[i+1] == '"':
			i++
		case i+1 == len(line):
			return strings.ReplaceAll(line[1:i], `""`, `"`), "", false, true
		case line[i+1] == '\t':
			return strings.ReplaceAll(line[1:i], `""`, `"`), line[i+2:], true, true
		default:
			return "", "", false, false
		}
	}
	return "", "", false, false
}

// lineReader gives lines without their end (LF or CRLF); blank lines are left out.
type lineReader struct {
	r *bufio.Reader
	n int64 // lines read, blank ones too
}

func (l *lineReader) next() (string, error) {
	var long []byte
	for {
		part, err := l.r.ReadSlice('\n')
		if len(long)+len(part) > maxLine {
			return "", fmt.Errorf("line %d is longer than %d MiB", l.n+1, maxLine>>20)
		}
		if err == bufio.ErrBufferFull {
			long = append(long, part...)
			continue
		}
		if err != nil && err != io.EOF {
			return "", err
		}
		line := string(part)
		if long != nil {
			line = string(append(long, part...))
			long = nil
		}
		if line == "" {
			return "", io.EOF
		}
		l.n++
		if line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"); line != "" {
			return line, nil
		}
	}
}

func readJSONL(r io.Reader, cols Columns, yield func(row, error) bool) {
	lines := lineReader{r: bufio.NewReader(r)}
	for n := int64(1); ; n++ {
		line, err := lines.next()
		if err == io.EOF {
			return
		}
		x := row{n: n}
		if err == nil {
			x, err = parseJSONRow(n, line, cols)
		}
		if !yield(x, err) || err != nil {
			return
		}
	}
}

func parseJSONRow(n int64, line string, cols Columns) (row, error) {
	x := row{n: n}
	var cells map[string]json.RawMessage
	if err := json.Unmarshal([]byte(line), &cells); err != nil {
		return x, fmt.Errorf("not a JSON object: %w", err)
	}
	for _, name := range cols.names() {
		if _, ok := cells[name]; !ok {
			have := make([]string, 0, len(cells))
			for k := range cells {
				have = append(have, k)
			}
			slices.Sort(have)
			return x, missingColumn(name, have)
		}
	}
	for _, c := range []struct {
		name string
		to   *string
	}{{cols.Text, &x.text}, {cols.Pair, &x.pair}} {
		if c.name == "" {
			continue
		}
		cell := cells[c.name]
		if len(cell) == 0 || cell[0] != '"' {
			return x, fmt.Errorf("column %q is not a string", c.name)
		}
		if err := json.Unmarshal(cell, c.to); err != nil {
			return x, fmt.Errorf("column %q: %w", c.name, err)
		}
	}
	if cols.Label == "" {
		return x, nil
	}
	switch cell := cells[cols.Label]; {
	case string(cell) == "null":
	case string(cell) == "true", string(cell) == "false":
		x.label = value{kind: word, text: string(cell)}
	case cell[0] == '"':
		var s string
		if err := json.Unmarshal(cell, &s); err != nil {
			return x, fmt.Errorf("column %q: %w", cols.Label, err)
		}
		x.label = parseValue(s)
	case cell[0] == '{', cell[0] == '[':
		return x, fmt.Errorf("column %q is neither a number nor a string", cols.Label)
	default:
		x.label = parseValue(string(cell))
	}
	return x, nil
}
