package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
)

// parsePostProcessor sets the templates.
func (t *Tokenizer) parsePostProcessor(b json.RawMessage) error {
	if absent(b) {
		return t.plainTemplates()
	}
	name, err := pieceType("post_processor", b)
	if err != nil {
		return err
	}
	switch name {
	case "Sequence":
		err = t.parsePostSequence(b)
	case "ByteLevel": // moves offsets, no ids
		err = t.plainTemplates()
	case "TemplateProcessing":
		err = t.parseTemplates(b)
	case "BertProcessing", "RobertaProcessing":
		err = t.parseFixedTemplates(b, name == "RobertaProcessing")
	default:
		return fmt.Errorf("post_processor %q is not supported", name)
	}
	if err != nil {
		return fmt.Errorf("post_processor %s: %w", name, err)
	}
	return nil
}

// parsePostSequence allows one processor beside those that only move offsets.
func (t *Tokenizer) parsePostSequence(b json.RawMessage) error {
	var p struct {
		Type       string            `json:"type"`
		Processors []json.RawMessage `json:"processors"`
	}
	if err := strict(b, &p); err != nil {
		return err
	}
	var one json.RawMessage
	for _, x := range p.Processors {
		name, err := pieceType("processor", x)
		if err != nil {
			return err
		}
		if name == "ByteLevel" {
			continue
		}
		if one != nil {
			return errors.New("more than one processor that adds tokens is not supported")
		}
		if name == "Sequence" {
			return errors.New("a sequence in a sequence is not supported")
		}
		one = x
	}
	return t.parsePostProcessor(one)
}

// plainTemplates add no special tokens.
func (t *Tokenizer) plainTemplates() error {
	return t.setTemplates([]piece{sequence(0, 0)}, []piece{sequence(0, 0), sequence(1, 1)})
}

func (t *Tokenizer) setTemplates(single, pair []piece) (err error) {
	if t.templates[0], err = newTemplate(single...); err != nil {
		return err
	}
	t.templates[1], err = newTemplate(pair...)
	return err
}

// parseFixedTemplates reads the two processors that are written for one model each.
func (t *Tokenizer) parseFixedTemplates(b json.RawMessage, roberta bool) error {
	var p struct {
		Type        string `json:"type"`
		Sep         named  `json:"sep"`
		Cls         named  `json:"cls"`
		TrimOffsets *bool  `json:"trim_offsets"`
		AddPrefix   *bool  `json:"add_prefix_space"`
	}
	if err := strict(b, &p); err != nil {
		return err
	}
	if p.Sep.name == "" || p.Cls.name == "" {
		return errors.New("cls or sep is missing")
	}
	if roberta {
		return t.setTemplates(robertaTemplates(p.Cls.id, p.Sep.id))
	}
	return t.setTemplates(bertTemplates(p.Cls.id, p.Sep.id))
}

// bertTemplates are [CLS] A [SEP] and [CLS] A [SEP] B [SEP], the second sequence of type 1.
func bertTemplates(cls, sep int32) (single, pair []piece) {
	single = []piece{special(0, cls), sequence(0, 0), special(0, sep)}
	return single, []piece{special(0, cls), sequence(0, 0), special(0, sep), sequence(1, 1), special(1, sep)}
}

// robertaTemplates are <s> A </s> and <s> A </s></s> B </s>, all of type 0.
func robertaTemplates(cls, sep int32) (single, pair []piece) {
	single = []piece{special(0, cls), sequence(0, 0), special(0, sep)}
	return single, []piece{special(0, cls), sequence(0, 0), special(0, sep, sep), sequence(1, 0), special(0, sep)}
}

// named is ["token", id].
type named struct {
	name string
	id   int32
}

// UnmarshalJSON reads a list of a token and its id.
func (n *named) UnmarshalJSON(b []byte) error {
	var list []json.RawMessage
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	if len(list) != 2 {
		return errors.New("not a token and an id")
	}
	if err := json.Unmarshal(list[0], &n.name); err != nil {
		return err
	}
	if err := json.Unmarshal(list[1], &n.id); err != nil {
		return err
	}
	return validID(n.id)
}

func validID(id int32) error {
	if id < 0 {
		return fmt.Errorf("id %d is negative", id)
	}
	return nil
}

// templatePart is a sequence or a special token of a TemplateProcessing.
type templatePart struct {
	Sequence     *templateRef
	SpecialToken *templateRef
}

type templateRef struct {
	ID   string `json:"id"`
	Type int32  `json:"type_id"`
}

func (t *Tokenizer) parseTemplates(b json.RawMessage) error {
	type specialToken struct {
		ID     string   `json:"id"`
		IDs    []int32  `json:"ids"`
		Tokens []string `json:"tokens"`
	}
	var p struct {
		Type     string                  `json:"type"`
		Single   []templatePart          `json:"single"`
		Pair     []templatePart          `json:"pair"`
		Specials map[string]specialToken `json:"special_tokens"`
	}
	if err := strict(b, &p); err != nil {
		return err
	}
	ids := make(map[string][]int32, len(p.Specials))
	for name, s := range p.Specials {
		for _, id := range s.IDs {
			if err := validID(id); err != nil {
				return fmt.Errorf("special token %q: %w", name, err)
			}
		}
		ids[name] = s.IDs
	}
	single, err := templatePieces(p.Single, ids, 1)
	if err != nil {
		return fmt.Errorf("single: %w", err)
	}
	pair, err := templatePieces(p.Pair, ids, 2)
	if err != nil {
		return fmt.Errorf("pair: %w", err)
	}
	return t.setTemplates(single, pair)
}

// templatePieces resolves a template of the given number of sequences, each of which must be there once.
func templatePieces(parts []templatePart, ids map[string][]int32, sequences int) ([]piece, error) {
	var out []piece
	seen := 0
	for _, x := range parts {
		switch {
		case x.Sequence != nil && x.SpecialToken == nil:
			i := int8(-1)
			switch x.Sequence.ID {
			case "A":
				i = 0
			case "B":
				i = 1
			}
			if i != int8(seen) || seen == sequences {
				return nil, fmt.Errorf("sequence %q is not expected there", x.Sequence.ID)
			}
			seen++
			typ, err := tokenType(x.Sequence.Type)
			if err != nil {
				return nil, err
			}
			out = append(out, sequence(i, typ))
		case x.SpecialToken != nil && x.Sequence == nil:
			list, ok := ids[x.SpecialToken.ID]
			if !ok {
				return nil, fmt.Errorf("special token %q has no ids", x.SpecialToken.ID)
			}
			typ, err := tokenType(x.SpecialToken.Type)
			if err != nil {
				return nil, err
			}
			out = append(out, special(typ, list...))
		default:
			return nil, errors.New("a part is neither a sequence nor a special token")
		}
	}
	if seen != sequences {
		return nil, fmt.Errorf("%d of %d sequences", seen, sequences)
	}
	return out, nil
}

func tokenType(i int32) (int8, error) {
	if i != 0 && i != 1 {
		return 0, fmt.Errorf("token type %d: only 0 and 1 are supported", i)
	}
	return int8(i), nil
}
