package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

var bertTokens = defaults{
	roles: []string{"pad_token", "unk_token", "cls_token", "sep_token", "mask_token"},
	names: map[string]string{
		"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]",
	},
}

// convertBert reads vocab.txt: a token a line, its id the line's number.
func convertBert(c *config, files [][]byte) (*Tokenizer, error) {
	lines, err := textLines(files[0])
	if err != nil {
		return nil, err
	}
	if n := len(lines); n > 0 && lines[n-1] == "" {
		lines = lines[:n-1] // after the last line's end
	}
	vocab := make([]token, len(lines))
	for i, text := range lines {
		vocab[i] = token{text, int32(i)}
	}
	t := &Tokenizer{split: bertSplitter{}}
	lower := option(c.DoLowerCase, true)
	t.normalizers = []normalizer{bertNormalizer{
		clean: true, chinese: option(c.Chinese, true), strip: option(c.StripAccents, lower), lower: lower,
	}}
	if err := t.setWordpiece(vocab, c.names["unk_token"].Content, "##", 100); err != nil {
		return nil, err
	}
	if err := t.addSpecials(c, bertTokens, nil); err != nil {
		return nil, err
	}
	return t, t.useTemplates(c, bertTemplates)
}

var robertaTokens = defaults{
	roles: []string{"bos_token", "pad_token", "eos_token", "unk_token", "cls_token", "sep_token", "mask_token"},
	names: map[string]string{
		"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>", "unk_token": "<unk>", "pad_token": "<pad>",
		"mask_token": "<mask>",
	},
	normalized: true,
	flagged:    map[string]addedToken{"mask_token": {lstrip: true}},
}

// convertRoberta reads vocab.json and merges.txt.
func convertRoberta(c *config, files [][]byte) (*Tokenizer, error) {
	t, err := convertByteLevel(c, files)
	if err != nil {
		return nil, err
	}
	if err := t.addSpecials(c, robertaTokens, nil); err != nil {
		return nil, err
	}
	return t, t.useTemplates(c, robertaTemplates)
}

var gpt2Tokens = defaults{
	roles:      []string{"bos_token", "eos_token", "unk_token", "pad_token"},
	names:      map[string]string{"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"},
	normalized: true,
}

// convertGPT2 reads vocab.json and merges.txt.
func convertGPT2(c *config, files [][]byte) (*Tokenizer, error) {
	t, err := convertByteLevel(c, files)
	if err != nil {
		return nil, err
	}
	if err := t.addSpecials(c, gpt2Tokens, nil); err != nil {
		return nil, err
	}
	if !option(c.AddBOS, false) {
		return t, t.plainTemplates()
	}
	bos, ok := t.id(c.names["bos_token"].Content)
	if !ok {
		return nil, errors.New("add_bos_token without a bos_token")
	}
	return t, t.setTemplates([]piece{special(0, bos), sequence(0, 0)}, []piece{special(0, bos), sequence(0, 0), sequence(1, 1)})
}

// convertByteLevel reads the model and the pre-tokenizer that GPT-2 and RoBERTa have in common.
func convertByteLevel(c *config, files [][]byte) (*Tokenizer, error) {
	if !json.Valid(files[0]) || !utf8.Valid(files[0]) {
		return nil, errors.New("vocab.json: not JSON in UTF-8")
	}
	vocab, err := (&scanner{b: files[0]}).ids()
	if err != nil {
		return nil, fmt.Errorf("vocab.json: %w", err)
	}
	lines, err := textLines(files[1])
	if err != nil {
		return nil, err
	}
	if len(lines) < 2 {
		return nil, errors.New("merges.txt: it has no merges")
	}
	var pairs [][2]string
	for i, line := range lines[1 : len(lines)-1] { // the first line is a comment, the last is what follows its end
		p := strings.Fields(line)
		if len(p) != 2 {
			return nil, fmt.Errorf("merges.txt:%d: %q is not a pair", i+2, line)
		}
		pairs = append(pairs, [2]string{p[0], p[1]})
	}
	t := &Tokenizer{split: byteLevel{option(c.AddPrefix, false)}}
	return t, t.setBPE(vocab, pairs, nil, false)
}

// textLines parts a text as Python's text mode does, where "\r\n" and "\r" end a line too.
func textLines(b []byte) ([]string, error) {
	if !utf8.Valid(b) {
		return nil, errors.New("not UTF-8")
	}
	return strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(b)), "\n"), nil
}

// useTemplates sets the templates with the tokens that the configuration names.
func (t *Tokenizer) useTemplates(c *config, f func(cls, sep int32) (single, pair []piece)) error {
	cls, ok := t.id(c.names["cls_token"].Content)
	if !ok {
		return fmt.Errorf("cls_token %q is not in the vocabulary", c.names["cls_token"].Content)
	}
	sep, ok := t.id(c.names["sep_token"].Content)
	if !ok {
		return fmt.Errorf("sep_token %q is not in the vocabulary", c.names["sep_token"].Content)
	}
	return t.setTemplates(f(cls, sep))
}
