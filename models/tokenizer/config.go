package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
)

// config is what matters of tokenizer_config.json, special_tokens_map.json and config.json. Unlike tokenizer.json these are loose
// files with much that concerns only Python, so unknown fields are let be.
type config struct {
	TokenizerClass string `json:"tokenizer_class"`
	TruncationSide string `json:"truncation_side"`

	// Options of the slow tokenizers, used when a vocabulary is converted. nil: the class's default.
	DoLowerCase  *bool `json:"do_lower_case"`
	StripAccents *bool `json:"strip_accents"`
	Chinese      *bool `json:"tokenize_chinese_chars"`
	KeepAccents  *bool `json:"keep_accents"`
	AddPrefix    *bool `json:"add_prefix_space"`
	AddBOS       *bool `json:"add_bos_token"`
	SplitByPunct *bool `json:"split_by_punct"`

	AdditionalTok []tokenName
	names         map[string]tokenName // role, such as cls_token -> token
	decoder       map[string]tokenName // added_tokens_decoder
	addedTokens   map[string]int64     // added_tokens.json
}

// tokenName is a token as the configuration files write it: a string, or an object with the flags of an AddedToken.
type tokenName struct {
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized *bool  `json:"normalized"`
	Special    *bool  `json:"special"`
	object     bool
}

// UnmarshalJSON reads both ways of writing a token; null is no token.
func (n *tokenName) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte("{")) {
		type plain tokenName
		n.object = true
		return json.Unmarshal(b, (*plain)(n))
	}
	return json.Unmarshal(b, &n.Content)
}

// roles are the special tokens that the configuration files name.
var roles = [...]string{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}

// config reads the configuration files; all may be absent.
func (s *source) config() (*config, error) {
	c := &config{names: map[string]tokenName{}}
	b, err := s.read("tokenizer_config.json")
	if err != nil {
		return nil, err
	}
	if b != nil {
		s.note("tokenizer_config.json", b)
		if err := c.parse(b); err != nil {
			return nil, fmt.Errorf("tokenizer_config.json: %w", err)
		}
	}
	if b, err = s.read("special_tokens_map.json"); err != nil {
		return nil, err
	}
	if b != nil {
		s.note("special_tokens_map.json", b)
		var m config
		m.names = map[string]tokenName{}
		if err := m.parse(b); err != nil {
			return nil, fmt.Errorf("special_tokens_map.json: %w", err)
		}
		// As in transformers: the older file wins, unless the newer one lists the added tokens itself.
		if c.decoder == nil {
			maps.Copy(c.names, m.names)
			if len(m.AdditionalTok) > 0 {
				c.AdditionalTok = m.AdditionalTok
			}
		}
	}
	return c, nil
}

// parse reads tokenizer_config.json or special_tokens_map.json.
func (c *config) parse(b []byte) error {
	if err := json.Unmarshal(b, c); err != nil {
		return err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	for _, role := range roles {
		raw, ok := all[role]
		if !ok {
			continue
		}
		var n tokenName
		if err := json.Unmarshal(raw, &n); err != nil {
			return fmt.Errorf("%s: %w", role, err)
		}
		if n.Content != "" {
			c.names[role] = n
		}
	}
	if raw, ok := all["additional_special_tokens"]; ok {
		if err := json.Unmarshal(raw, &c.AdditionalTok); err != nil {
			return fmt.Errorf("additional_special_tokens: %w", err)
		}
	}
	if raw, ok := all["added_tokens_decoder"]; ok {
		if err := json.Unmarshal(raw, &c.decoder); err != nil {
			return fmt.Errorf("added_tokens_decoder: %w", err)
		}
	}
	return nil
}

// findSpecials resolves the special tokens: by the name that the configuration gives, else by the names that are customary.
func (t *Tokenizer) findSpecials(c *config) Specials {
	find := func(roles []string, customary ...string) int32 {
		for _, r := range roles {
			if n, ok := c.names[r]; ok {
				if id, ok := t.id(n.Content); ok {
					return id
				}
			}
		}
		for _, name := range customary {
			for _, a := range t.added {
				if a.special && a.content == name {
					return a.id
				}
			}
		}
		return -1
	}
	return Specials{
		Pad:  find([]string{"pad_token"}, "[PAD]", "<pad>"),
		CLS:  find([]string{"cls_token", "bos_token"}, "[CLS]", "<s>", "<|endoftext|>"),
		SEP:  find([]string{"sep_token", "eos_token"}, "[SEP]", "</s>", "<|endoftext|>"),
		Unk:  find([]string{"unk_token"}, "[UNK]", "<unk>", "<|endoftext|>"),
		Mask: find([]string{"mask_token"}, "[MASK]", "<mask>"),
	}
}
