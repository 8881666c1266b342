package results

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// Floats are numbers of which some may be NaN or infinite: a diverged loss is a result and is kept as what it was. JSON has
// no such numbers, so they are written as the strings "NaN", "+Inf" and "-Inf"; finite ones as the shortest decimal that
// reads back bit by bit.
type Floats []float64

// Metrics are named figures of an evaluation, under the same rule as Floats.
type Metrics map[string]float64

// MarshalJSON writes the numbers on one line.
func (f Floats) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, 16*len(f)+2)
	b = append(b, '[')
	for i, v := range f {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendNumber(b, v)
	}
	return append(b, ']'), nil
}

// UnmarshalJSON reads what MarshalJSON writes; null counts as NaN, as other tools write it.
func (f *Floats) UnmarshalJSON(data []byte) error {
	var raw []json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	out := make(Floats, len(raw))
	for i, r := range raw {
		v, err := parseNumber(r)
		if err != nil {
			return fmt.Errorf("number %d: %w", i, err)
		}
		out[i] = v
	}
	*f = out
	return nil
}

// MarshalJSON writes the figures in the order of their names.
func (m Metrics) MarshalJSON() ([]byte, error) {
	out := make(map[string]json.RawMessage, len(m))
	for k, v := range m {
		out[k] = appendNumber(nil, v)
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (m *Metrics) UnmarshalJSON(data []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	out := make(Metrics, len(raw))
	for k, r := range raw {
		v, err := parseNumber(r)
		if err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
		out[k] = v
	}
	*m = out
	return nil
}

func appendNumber(b []byte, v float64) []byte {
	switch {
	case math.IsNaN(v):
		return append(b, `"NaN"`...)
	case math.IsInf(v, 1):
		return append(b, `"+Inf"`...)
	case math.IsInf(v, -1):
		return append(b, `"-Inf"`...)
	}
	return strconv.AppendFloat(b, v, 'g', -1, 64)
}

func parseNumber(raw json.RawMessage) (float64, error) {
	switch string(raw) {
	case `"NaN"`, "null":
		return math.NaN(), nil
	case `"+Inf"`:
		return math.Inf(1), nil
	case `"-Inf"`:
		return math.Inf(-1), nil
	}
	var v float64
	if err := json.Unmarshal(raw, &v); err != nil {
		return 0, fmt.Errorf("not a number: %.40q", string(raw))
	}
	return v, nil
}
