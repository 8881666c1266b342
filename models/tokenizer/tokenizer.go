// Package tokenizer turns text into ids exactly as Hugging Face tokenizers does, for the pipelines of BERT (WordPiece),
// byte-level BPE and Unigram, without offsets and with a cache of words.
package tokenizer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// version changes whenever this package gives any text other ids.
const version = "1"

// Tokenizer is a loaded tokenizer.json; it is safe for many goroutines, each with its own Encoder.
type Tokenizer struct {
	core        *core
	fingerprint string
	specials    Specials
}

// Specials are the ids of the special tokens; -1: there is none.
type Specials struct{ Pad, CLS, SEP, Unk, Mask int32 }

// Load reads the tokenizer of a model folder: tokenizer.json, and the names of its special tokens in tokenizer_config.json or
// special_tokens_map.json.
func Load(dir string) (*Tokenizer, error) {
	file := filepath.Join(dir, "tokenizer.json")
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("model folder %s has no tokenizer.json", dir)
	}
	if err != nil {
		return nil, err
	}
	t, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	names := map[string]json.RawMessage{}
	for _, f := range []string{"special_tokens_map.json", "tokenizer_config.json"} {
		c, err := os.ReadFile(filepath.Join(dir, f))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = json.Unmarshal(c, &names)
		}
		if err != nil {
			return nil, fmt.Errorf("%s in %s: %w", f, dir, err)
		}
	}
	t.name(names)
	return t, nil
}

func parse(b []byte) (t *Tokenizer, err error) {
	defer func() { // a hostile file may lack what the pipeline needs
		if r := recover(); r != nil {
			t, err = nil, fmt.Errorf("not a tokenizer that can be used: %v", r)
		}
	}()
	c, err := load(b)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append([]byte(version+"\n"), b...))
	return &Tokenizer{core: c, fingerprint: hex.EncodeToString(sum[:])}, nil
}

// name finds the ids of the special tokens by their names.
func (t *Tokenizer) name(names map[string]json.RawMessage) {
	id := func(keys ...string) int32 {
		for _, k := range keys {
			var s string
			if json.Unmarshal(names[k], &s) != nil {
				var o struct{ Content string }
				if json.Unmarshal(names[k], &o) == nil {
					s = o.Content
				}
			}
			for _, list := range [][]added{t.core.raw, t.core.normed} {
				for _, a := range list {
					if s != "" && a.Content == s {
						return int32(a.ID)
					}
				}
			}
		}
		return -1
	}
	t.specials = Specials{Pad: id("pad_token"), CLS: id("cls_token", "bos_token"), SEP: id("sep_token", "eos_token"), Unk: id("unk_token"), Mask: id("mask_token")}
}

// Fingerprint changes whenever any text could get other ids.
func (t *Tokenizer) Fingerprint() string { return t.fingerprint }

// Specials are the ids of the special tokens.
func (t *Tokenizer) Specials() Specials { return t.specials }

// NewEncoder makes an encoder for one goroutine.
func (t *Tokenizer) NewEncoder() *Encoder { return &Encoder{core: t.core.clone()} }

// Encoder encodes texts; it has its own cache and is used by one goroutine.
type Encoder struct {
	core *core
	a, b []int32
}

// Encode appends the ids of one example with its special tokens. maxLength limits them by longest_first truncation; 0: no
// limit. second is the index, relative to the first appended id, where the ids of type 1 begin: their count if there are none.
func (e *Encoder) Encode(dst []int32, text string, pair *string, maxLength int) (ids []int32, second int) {
	c, k, begin := e.core, 0, len(dst)
	e.a, e.b = c.append(e.a[:0], valid(text)), e.b[:0]
	if pair != nil {
		k = 1
		e.b = c.append(e.b, valid(*pair))
	}
	a, b := e.a, e.b
	if maxLength > 0 {
		n1, n2 := cut(len(a), len(b), max(0, maxLength-c.nSpecial[k]), pair != nil)
		a, b = a[:n1], b[:n2]
	}
	second = -1
	for _, p := range c.tmpl[k] {
		if p.typ == 1 && second < 0 {
			second = len(dst) - begin
		}
		switch p.seq {
		case -1:
			dst = append(dst, p.id)
		case 0:
			dst = append(dst, a...)
		case 1:
			dst = append(dst, b...)
		}
	}
	if second < 0 {
		second = len(dst) - begin
	}
	return dst, second
}

// valid replaces invalid UTF-8 as Hugging Face sees it.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
