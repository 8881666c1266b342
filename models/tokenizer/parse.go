package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// document is a tokenizer.json. Each part is read strictly: a field that is not known could change ids.
type document struct {
	Version       string          `json:"version"`
	Truncation    *direction      `json:"truncation"`
	Padding       json.RawMessage `json:"padding"` // concerns no id of a text
	AddedTokens   []jsonAdded     `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"` // concerns only the way back
	Model         json.RawMessage `json:"model"`
}

// direction is the only part of a stored truncation that outlives the caller's own maximal length.
type direction struct {
	Direction string          `json:"direction"`
	MaxLength json.RawMessage `json:"max_length"`
	Strategy  json.RawMessage `json:"strategy"`
	Stride    json.RawMessage `json:"stride"`
}

type jsonAdded struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

// parse builds a tokenizer from a tokenizer.json.
func parse(b []byte) (*Tokenizer, error) {
	if !utf8.Valid(b) {
		return nil, errors.New("not UTF-8")
	}
	rest, long, broken := cutLists(b)
	if broken != nil {
		rest = b // encoding/json says better where it is broken, if it thinks so too
	}
	var d document
	if err := strict(rest, &d); err != nil {
		return nil, err
	}
	if broken != nil {
		return nil, broken
	}
	if d.Version != "" && d.Version != "1.0" {
		return nil, fmt.Errorf("version %q is not known, only 1.0", d.Version)
	}
	t := &Tokenizer{}
	if d.Truncation != nil {
		switch d.Truncation.Direction {
		case "", "Right":
		case "Left":
			t.left = true
		default:
			return nil, fmt.Errorf("truncation direction %q is not known", d.Truncation.Direction)
		}
	}
	var err error
	if t.normalizers, err = parseNormalizer(nil, d.Normalizer); err != nil {
		return nil, err
	}
	if err := t.parseModel(d.Model, long); err != nil {
		return nil, err
	}
	if err := t.parsePreTokenizer(d.PreTokenizer); err != nil {
		return nil, err
	}
	added := make([]addedToken, 0, len(d.AddedTokens))
	for _, a := range d.AddedTokens {
		if a.Content == "" {
			continue // as the reference does
		}
		added = append(added, addedToken{a.Content, a.ID, a.SingleWord, a.LStrip, a.RStrip, a.Normalized, a.Special})
	}
	if err := t.setAdded(added); err != nil {
		return nil, err
	}
	return t, t.parsePostProcessor(d.PostProcessor)
}

// strict decodes all of b into v and refuses fields that v does not have.
func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return errors.New("more than one JSON value")
	}
	return nil
}

// absent reports whether a part is missing or null.
func absent(b json.RawMessage) bool { return len(b) == 0 || string(b) == "null" }

// pieceType reads the type of a part of the pipeline.
func pieceType(part string, b json.RawMessage) (string, error) {
	var p struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return "", fmt.Errorf("%s: %w", part, err)
	}
	return p.Type, nil
}

// parseNormalizer appends the steps of a normalizer.
func parseNormalizer(list []normalizer, b json.RawMessage) ([]normalizer, error) {
	if absent(b) {
		return list, nil
	}
	name, err := pieceType("normalizer", b)
	if err != nil {
		return nil, err
	}
	switch name {
	case "Sequence":
		var p struct {
			Type        string            `json:"type"`
			Normalizers []json.RawMessage `json:"normalizers"`
		}
		err = strict(b, &p)
		for _, n := range p.Normalizers {
			if err == nil {
				list, err = parseNormalizer(list, n)
			}
		}
		return list, err
	case "BertNormalizer":
		var p struct {
			Type    string `json:"type"`
			Clean   bool   `json:"clean_text"`
			Chinese bool   `json:"handle_chinese_chars"`
			Strip   *bool  `json:"strip_accents"`
			Lower   bool   `json:"lowercase"`
		}
		if err = strict(b, &p); err == nil {
			n := bertNormalizer{clean: p.Clean, chinese: p.Chinese, strip: p.Lower, lower: p.Lower}
			if p.Strip != nil {
				n.strip = *p.Strip
			}
			return append(list, n), nil
		}
	case "Precompiled":
		var p struct {
			Type     string `json:"type"`
			Charsmap string `json:"precompiled_charsmap"`
		}
		if err = strict(b, &p); err == nil {
			var m *charsmap
			if m, err = decodeCharsmap(p.Charsmap); err == nil {
				return append(list, m), nil
			}
		}
	case "Replace":
		var n normalizer
		if n, err = parseReplace(b); err == nil {
			return append(list, n), nil
		}
	case "Strip":
		var p struct {
			Type  string `json:"type"`
			Left  bool   `json:"strip_left"`
			Right bool   `json:"strip_right"`
		}
		if err = strict(b, &p); err == nil {
			return append(list, strip{p.Left, p.Right}), nil
		}
	case "Lowercase", "StripAccents", "NFD", "NFKD":
		var p struct {
			Type string `json:"type"`
		}
		if err = strict(b, &p); err == nil {
			return append(list, map[string]normalizer{
				"Lowercase":    lowercase{},
				"StripAccents": stripMarks{mark},
				"NFD":          decompose{norm.NFD},
				"NFKD":         decompose{norm.NFKD},
			}[name]), nil
		}
	default:
		return nil, fmt.Errorf("normalizer %q is not supported", name)
	}
	return nil, fmt.Errorf("normalizer %s: %w", name, err)
}

func parseReplace(b json.RawMessage) (normalizer, error) {
	var p struct {
		Type    string `json:"type"`
		Pattern struct {
			String *string
			Regex  *string
		} `json:"pattern"`
		Content string `json:"content"`
	}
	if err := strict(b, &p); err != nil {
		return nil, err
	}
	content := []byte(p.Content)
	switch {
	case p.Pattern.String != nil && *p.Pattern.String != "":
		return replace{[]byte(*p.Pattern.String), content}, nil
	case p.Pattern.Regex != nil && *p.Pattern.Regex == " {2,}":
		return replaceSpaces{content}, nil
	case p.Pattern.Regex != nil:
		return nil, fmt.Errorf("the regular expression %q is not supported", *p.Pattern.Regex)
	}
	return nil, errors.New("there is no pattern")
}

// preTokenizer is a step of a pre_tokenizer.
type preTokenizer struct {
	name string
	raw  json.RawMessage
}

// flatten lists the steps of a pre_tokenizer.
func flatten(list []preTokenizer, b json.RawMessage) ([]preTokenizer, error) {
	if absent(b) {
		return list, nil
	}
	name, err := pieceType("pre_tokenizer", b)
	if err != nil {
		return nil, err
	}
	if name != "Sequence" {
		return append(list, preTokenizer{name, b}), nil
	}
	var p struct {
		Type string            `json:"type"`
		List []json.RawMessage `json:"pretokenizers"`
	}
	if err := strict(b, &p); err != nil {
		return nil, fmt.Errorf("pre_tokenizer Sequence: %w", err)
	}
	for _, x := range p.List {
		if list, err = flatten(list, x); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// parsePreTokenizer knows the compositions that the three families use.
func (t *Tokenizer) parsePreTokenizer(b json.RawMessage) error {
	steps, err := flatten(nil, b)
	if err != nil {
		return err
	}
	if len(steps) == 0 {
		return errors.New("a tokenizer without a pre_tokenizer is not supported")
	}
	composition := ""
	for _, s := range steps {
		switch s.name {
		case "BertPreTokenizer", "ByteLevel", "Metaspace", "WhitespaceSplit":
		default:
			return fmt.Errorf("pre_tokenizer %q is not supported", s.name)
		}
		composition += s.name + " "
	}
	first, last := steps[0], steps[len(steps)-1]
	switch composition {
	case "BertPreTokenizer ":
		t.split, err = bertSplitter{}, strictType(first.raw)
	case "ByteLevel ":
		t.split, err = parseByteLevel(first.raw)
	case "Metaspace ":
		t.split, err = parseMetaspace(last.raw, false)
	case "WhitespaceSplit Metaspace ":
		if err = strictType(first.raw); err == nil {
			t.split, err = parseMetaspace(last.raw, true)
		}
	default:
		return fmt.Errorf("pre_tokenizer: the sequence %sis not supported", composition)
	}
	if err != nil {
		return fmt.Errorf("pre_tokenizer %s: %w", last.name, err)
	}
	if _, isBytes := t.split.(byteLevel); isBytes != isBPE(t.model) {
		return errors.New("a BPE model without a ByteLevel pre_tokenizer, or the reverse, is not supported")
	}
	return nil
}

func isBPE(m model) bool {
	_, ok := m.(*bpe)
	return ok
}

// strictType refuses a piece that has more than a type.
func strictType(b json.RawMessage) error {
	var p struct {
		Type string `json:"type"`
	}
	return strict(b, &p)
}

func parseByteLevel(b json.RawMessage) (splitter, error) {
	var p struct {
		Type        string `json:"type"`
		AddPrefix   bool   `json:"add_prefix_space"`
		TrimOffsets bool   `json:"trim_offsets"`
		UseRegex    *bool  `json:"use_regex"`
	}
	if err := strict(b, &p); err != nil {
		return nil, err
	}
	if p.UseRegex != nil && !*p.UseRegex {
		return nil, errors.New("use_regex false is not supported")
	}
	return byteLevel{p.AddPrefix}, nil
}

func parseMetaspace(b json.RawMessage, byWhite bool) (splitter, error) {
	var p struct {
		Type        string  `json:"type"`
		Replacement string  `json:"replacement"`
		StrRep      *string `json:"str_rep"`
		AddPrefix   *bool   `json:"add_prefix_space"`
		Scheme      *string `json:"prepend_scheme"`
		Split       *bool   `json:"split"`
	}
	if err := strict(b, &p); err != nil {
		return nil, err
	}
	if utf8.RuneCountInString(p.Replacement) != 1 {
		return nil, fmt.Errorf("replacement %q is not one character", p.Replacement)
	}
	prepend := p.AddPrefix == nil || *p.AddPrefix
	if p.Scheme != nil {
		switch *p.Scheme {
		case "always", "never":
			if p.AddPrefix != nil && *p.AddPrefix != (*p.Scheme == "always") {
				return nil, fmt.Errorf("add_prefix_space %v contradicts prepend_scheme %q", *p.AddPrefix, *p.Scheme)
			}
			prepend = *p.Scheme == "always"
		default:
			return nil, fmt.Errorf("prepend_scheme %q is not supported", *p.Scheme)
		}
	}
	return &metaspace{[]byte(p.Replacement), prepend, p.Split != nil && !*p.Split, byWhite}, nil
}
