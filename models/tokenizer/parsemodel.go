package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
)

// parseModel reads the model and its vocabulary. Old files do not say of which type it is: its fields do.
func (t *Tokenizer) parseModel(b json.RawMessage, long lists) error {
	if absent(b) {
		return errors.New("there is no model")
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	has := func(field string) bool { _, ok := fields[field]; return ok }
	var name string
	if has("type") {
		if err := json.Unmarshal(fields["type"], &name); err != nil {
			return fmt.Errorf("model: type: %w", err)
		}
	}
	if name == "" {
		switch {
		case has("merges"):
			name = "BPE"
		case has("max_input_chars_per_word"):
			name = "WordPiece"
		case has("unk_id"):
			name = "Unigram"
		default:
			return errors.New("model: it has no type")
		}
	}
	// The long lists were parted from it.
	delete(fields, "vocab")
	if name == "BPE" {
		delete(fields, "merges")
	}
	options, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	switch name {
	case "WordPiece":
		err = t.parseWordpiece(options, long)
	case "BPE":
		err = t.parseBPE(options, long)
	case "Unigram":
		err = t.parseUnigram(options, long)
	default:
		return fmt.Errorf("model %q is not supported", name)
	}
	if err != nil {
		return fmt.Errorf("model %s: %w", name, err)
	}
	return nil
}

func (t *Tokenizer) parseWordpiece(options []byte, long lists) error {
	p := struct {
		Type     string `json:"type"`
		Unk      string `json:"unk_token"`
		Prefix   string `json:"continuing_subword_prefix"`
		MaxChars int    `json:"max_input_chars_per_word"`
	}{Unk: "[UNK]", Prefix: "##", MaxChars: 100}
	if err := strict(options, &p); err != nil {
		return err
	}
	if long.tokens == nil {
		return errors.New("vocab: not an object of ids")
	}
	if p.MaxChars < 0 {
		return fmt.Errorf("max_input_chars_per_word is %d", p.MaxChars)
	}
	return t.setWordpiece(long.tokens, p.Unk, p.Prefix, p.MaxChars)
}

func (t *Tokenizer) setWordpiece(list []token, unk, prefix string, maxChars int) error {
	vocab, err := newTokens(list)
	if err != nil {
		return err
	}
	m, err := newWordpiece(vocab, unk, prefix, maxChars)
	if err != nil {
		return err
	}
	t.model, t.vocab = m, vocab
	return nil
}

func (t *Tokenizer) parseBPE(options []byte, long lists) error {
	var p struct {
		Type         string   `json:"type"`
		Dropout      *float64 `json:"dropout"`
		Unk          *string  `json:"unk_token"`
		Prefix       string   `json:"continuing_subword_prefix"`
		Suffix       string   `json:"end_of_word_suffix"`
		FuseUnk      bool     `json:"fuse_unk"`
		ByteFallback bool     `json:"byte_fallback"`
		IgnoreMerges bool     `json:"ignore_merges"`
	}
	if err := strict(options, &p); err != nil {
		return err
	}
	switch {
	case p.Dropout != nil && *p.Dropout != 0:
		return fmt.Errorf("dropout %v is not supported", *p.Dropout)
	case p.Prefix != "":
		return fmt.Errorf("continuing_subword_prefix %q is not supported", p.Prefix)
	case p.Suffix != "":
		return fmt.Errorf("end_of_word_suffix %q is not supported", p.Suffix)
	case p.ByteFallback:
		return errors.New("byte_fallback is not supported")
	case p.IgnoreMerges:
		return errors.New("ignore_merges is not supported")
	}
	if long.tokens == nil {
		return errors.New("vocab: not an object of ids")
	}
	if long.merges == nil {
		return errors.New("merges: not a list")
	}
	return t.setBPE(long.tokens, long.merges, p.Unk, p.FuseUnk)
}

func (t *Tokenizer) setBPE(list []token, merges [][2]string, unk *string, fuseUnk bool) error {
	vocab, err := newTokens(list)
	if err != nil {
		return err
	}
	m, err := newBPE(vocab, merges, unk, fuseUnk)
	if err != nil {
		return err
	}
	t.model, t.vocab = m, vocab
	return nil
}

func (t *Tokenizer) parseUnigram(options []byte, long lists) error {
	var p struct {
		Type         string `json:"type"`
		UnkID        *int   `json:"unk_id"`
		ByteFallback bool   `json:"byte_fallback"`
	}
	if err := strict(options, &p); err != nil {
		return err
	}
	if p.UnkID == nil {
		return errors.New("a vocabulary without unk_id is not supported")
	}
	if long.pieces == nil {
		return errors.New("vocab: not a list of pieces")
	}
	return t.setUnigram(long.pieces, *p.UnkID, p.ByteFallback)
}

func (t *Tokenizer) setUnigram(pieces []scored, unk int, byteFallback bool) error {
	m, err := newUnigram(pieces, unk, byteFallback)
	if err != nil {
		return err
	}
	t.model, t.vocab = m, m
	return nil
}
