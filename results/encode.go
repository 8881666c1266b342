package results

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// ErrNewer says that a record was written by a later version of pema.
var ErrNewer = errors.New("record is of a newer form: update pema to read it")

// ErrSeal says that a record's bytes are not those that were written.
var ErrSeal = errors.New("record does not match its sha256: it was damaged or edited after the run")

var noSeal = strings.Repeat("0", 2*sha256.Size)

// Encode checks the record and writes it as indented JSON: the same record gives the same bytes, and any changed byte is
// found by Decode. It does not change r.
func Encode(r *Record) ([]byte, error) {
	if err := r.Validate(); err != nil {
		return nil, fmt.Errorf("encode record %q: %w", r.ID, err)
	}
	c := *r
	c.SHA256 = noSeal
	data, err := json.MarshalIndent(&c, "", "\t")
	if err != nil {
		return nil, fmt.Errorf("encode record %q: %w", r.ID, err)
	}
	data = append(squeeze(data), '\n')
	return bytes.Replace(data, sealLine(noSeal), sealLine(seal(data)), 1), nil
}

// Decode reads one record and checks form, seal and sums. Unknown fields are passed over; a newer Schema is ErrNewer.
func Decode(data []byte) (*Record, error) {
	var head struct {
		Schema int    `json:"schema"`
		SHA256 string `json:"sha256"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	if head.Schema > Schema {
		return nil, fmt.Errorf("read record: schema %d, this version knows %d: %w", head.Schema, Schema, ErrNewer)
	}
	if len(head.SHA256) != len(noSeal) || bytes.Count(data, sealLine(head.SHA256)) != 1 ||
		seal(bytes.Replace(data, sealLine(head.SHA256), sealLine(noSeal), 1)) != head.SHA256 {
		return nil, fmt.Errorf("read record: %w", ErrSeal)
	}
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	if err := r.Validate(); err != nil {
		return nil, fmt.Errorf("read record %q: %w", r.ID, err)
	}
	return &r, nil
}

// sealLine is the seal as it stands in the file. The line break before it cannot be part of a JSON string, so only a field
// can look like this.
func sealLine(sum string) []byte {
	return []byte("\n\t\"sha256\": \"" + sum + "\"")
}

func seal(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// squeeze puts arrays of numbers, which MarshalIndent spreads over a line for each, back on one line: thousands of losses
// stay readable and small.
func squeeze(data []byte) []byte {
	out := make([]byte, 0, len(data))
	for len(data) > 0 {
		open := bytes.Index(data, []byte(": [\n"))
		if open < 0 {
			break
		}
		end := bytes.IndexByte(data[open:], ']')
		body := data[open+3:]
		if end >= 0 {
			body = data[open+3 : open+end]
		}
		if end < 0 || !numeric(body) {
			out, data = append(out, data[:open+3]...), data[open+3:]
			continue
		}
		out = append(append(out, data[:open+2]...), '[')
		for i, f := range bytes.Split(body, []byte(",\n")) {
			if i > 0 {
				out = append(out, ", "...)
			}
			out = append(out, bytes.TrimSpace(f)...)
		}
		data = data[open+end:]
	}
	return append(out, data...)
}

// numeric says whether an array's body is made of nothing but what Floats writes.
func numeric(body []byte) bool {
	return bytes.IndexFunc(body, func(c rune) bool { return !strings.ContainsRune("0123456789+-.e,\t\n\"NaInf", c) }) < 0
}

// Validate says what makes a record untrue: a ledger that does not explain its peak to the byte, counts that exceed their
// whole, an identity that cannot name a file.
func (r *Record) Validate() error {
	if r.Schema != Schema {
		return fmt.Errorf("schema %d, want %d", r.Schema, Schema)
	}
	if err := checkID(r.ID); err != nil {
		return err
	}
	switch r.State {
	case Done, Failed, OutOfMemory, Absent:
	default:
		return fmt.Errorf("unknown state %q", r.State)
	}
	v := r.Vocabulary
	if v.Rows < 0 || v.Used < 0 || v.Used > v.Rows || v.Kept < 0 || v.Kept > v.Rows {
		return fmt.Errorf("vocabulary: used %d and kept %d of %d rows", v.Used, v.Kept, v.Rows)
	}
	p := r.Parameters
	if p.Embedding < 0 || p.Embedding > p.Total || p.FullEmbedding < 0 || p.FullEmbedding > p.FullTotal {
		return fmt.Errorf("parameters: embedding %d of %d, in full %d of %d", p.Embedding, p.Total, p.FullEmbedding, p.FullTotal)
	}
	if m := r.Memory; m != nil {
		if err := m.Ledger.explains(m.PeakAllocated); err != nil {
			return fmt.Errorf("memory: %w", err)
		}
		if f := m.Forecast; f != nil {
			if err := f.Ledger.explains(f.PeakAllocated); err != nil {
				return fmt.Errorf("memory forecast: %w", err)
			}
		}
	}
	return nil
}

func (l Ledger) explains(peak int64) error {
	rest := peak
	for _, part := range l.Parts() {
		if part.Bytes < 0 || part.Bytes > rest {
			return fmt.Errorf("the ledger's parts do not sum to the peak: %d B explained, %d B allocated", l.Sum(), peak)
		}
		rest -= part.Bytes
	}
	if rest != 0 {
		return fmt.Errorf("the ledger's parts do not sum to the peak: %d B explained, %d B allocated", peak-rest, peak)
	}
	return nil
}

// Part is one line of a ledger.
type Part struct {
	Name  string
	Bytes int64
}

// Parts lists the ledger in the order in which it is shown: embedding first in each kind.
func (l Ledger) Parts() []Part {
	return []Part{
		{"parameters, embedding", l.ParametersEmbedding}, {"parameters, rest", l.ParametersRest},
		{"gradients, embedding", l.GradientsEmbedding}, {"gradients, rest", l.GradientsRest},
		{"optimizer, embedding", l.OptimizerEmbedding}, {"optimizer, rest", l.OptimizerRest},
		{"activations", l.Activations},
	}
}

// checkID lets an identity be a file name on every system: letters, digits, point, dash and underscore.
func checkID(id string) error {
	ok := id != "" && len(id) <= 128 && id[0] != '.' && id[0] != '-'
	for _, c := range id {
		ok = ok && (c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.ContainsRune("._-", c))
	}
	if !ok {
		return fmt.Errorf("id %.140q cannot name a file: letters, digits, '.', '_' and '-' only", id)
	}
	return nil
}
