package tokenizer

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

var metaMark = []byte("▁")

// added are the pieces that transformers adds as tokens found in the raw text: control and user-defined ones.
func (m *spModel) added() (list []addedToken) {
	seen := map[string]bool{}
	for _, p := range m.pieces {
		if (p.kind == spControl || p.kind == spUserDefined) && p.text != "" && !seen[p.text] {
			seen[p.text] = true
			list = append(list, addedToken{content: p.text, special: p.kind == spControl})
		}
	}
	return list
}

// charmap appends the model's normalization map, if it has one.
func (m *spModel) charmap(list []normalizer) ([]normalizer, error) {
	if len(m.charsmap) == 0 {
		return list, nil
	}
	c, err := newCharsmap(m.charsmap)
	if err != nil {
		return nil, err
	}
	return append(list, c), nil
}

var xlmrTokens = defaults{
	roles: []string{"bos_token", "pad_token", "eos_token", "unk_token", "sep_token", "cls_token", "mask_token"},
	names: map[string]string{
		"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>", "unk_token": "<unk>", "pad_token": "<pad>",
		"mask_token": "<mask>",
	},
	flagged: map[string]addedToken{"mask_token": {lstrip: true}},
}

// convertXLMR reads sentencepiece.bpe.model, whose first three pieces fairseq replaced by four of its own.
func convertXLMR(c *config, files [][]byte) (*Tokenizer, error) {
	m, err := parseSentencePiece(files[0])
	if err != nil {
		return nil, err
	}
	if len(m.pieces) < 3 {
		return nil, fmt.Errorf("%d pieces are too few", len(m.pieces))
	}
	pieces := []scored{{"<s>", 0}, {"<pad>", 0}, {"</s>", 0}, {"<unk>", 0}}
	for _, p := range m.pieces[3:] {
		pieces = append(pieces, scored{p.text, float64(p.score)})
	}
	pieces = append(pieces, scored{"<mask>", 0})

	t := &Tokenizer{split: &metaspace{mark: metaMark, prepend: true}}
	if t.normalizers, err = m.charmap(nil); err != nil {
		return nil, err
	}
	t.normalizers = append(t.normalizers, strip{right: true}, replaceSpaces{metaMark})
	if err := t.setUnigram(pieces, 3, false); err != nil {
		return nil, err
	}
	if err := t.addSpecials(c, xlmrTokens, m.added()); err != nil {
		return nil, err
	}
	return t, t.useTemplates(c, robertaTemplates)
}

var debertaTokens = defaults{
	roles: []string{"pad_token", "cls_token", "sep_token", "unk_token", "bos_token", "eos_token", "mask_token"},
	names: map[string]string{
		"bos_token": "[CLS]", "eos_token": "[SEP]", "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]",
		"cls_token": "[CLS]", "mask_token": "[MASK]",
	},
	flagged: map[string]addedToken{"unk_token": {normalized: true}},
}

// convertDeberta reads spm.model of the DeBERTa-v3 family.
func convertDeberta(c *config, files [][]byte) (*Tokenizer, error) {
	m, err := parseSentencePiece(files[0])
	if err != nil {
		return nil, err
	}
	if option(c.SplitByPunct, false) {
		return nil, errors.New("split_by_punct is not supported")
	}
	var list []normalizer
	if option(c.DoLowerCase, false) {
		list = append(list, lowercase{})
	}
	list, err = m.charmap(append(list, strip{true, true}))
	if err != nil {
		return nil, err
	}
	t := &Tokenizer{split: &metaspace{mark: metaMark, prepend: true}, normalizers: append(list, replaceSpaces{[]byte(" ")})}
	if err := t.setUnigram(m.scored(0), m.unk, false); err != nil {
		return nil, err
	}
	if err := t.addSpecials(c, debertaTokens, m.added()); err != nil {
		return nil, err
	}
	return t, t.useTemplates(c, bertTemplates)
}

var albertTokens = defaults{
	roles: []string{"pad_token", "unk_token", "cls_token", "sep_token", "bos_token", "eos_token", "mask_token"},
	names: map[string]string{
		"bos_token": "[CLS]", "eos_token": "[SEP]", "unk_token": "<unk>", "sep_token": "[SEP]", "pad_token": "<pad>",
		"cls_token": "[CLS]", "mask_token": "[MASK]",
	},
	flagged: map[string]addedToken{"mask_token": {lstrip: true}},
}

// convertAlbert reads spiece.model.
func convertAlbert(c *config, files [][]byte) (*Tokenizer, error) {
	m, err := parseSentencePiece(files[0])
	if err != nil {
		return nil, err
	}
	list := []normalizer{replace{[]byte("``"), []byte(`"`)}, replace{[]byte("''"), []byte(`"`)}}
	if !option(c.KeepAccents, false) {
		list = append(list, decompose{norm.NFKD}, stripMarks{mark})
	}
	if option(c.DoLowerCase, true) {
		list = append(list, lowercase{})
	}
	if list, err = m.charmap(list); err != nil {
		return nil, err
	}
	t := &Tokenizer{split: &metaspace{mark: metaMark, prepend: true}, normalizers: append(list, replaceSpaces{[]byte(" ")})}
	if err := t.setUnigram(m.scored(100), m.unk, false); err != nil {
		return nil, err
	}
	if err := t.addSpecials(c, albertTokens, m.added()); err != nil {
		return nil, err
	}
	return t, t.useTemplates(c, bertTemplates)
}

// scored are the pieces with their scores, less a penalty for those that end in a comma after a digit.
func (m *spModel) scored(penalty float64) []scored {
	out := make([]scored, len(m.pieces))
	for i, p := range m.pieces {
		out[i] = scored{p.text, float64(p.score)}
		if number, ok := strings.CutSuffix(p.text, ","); ok {
			if r, _ := utf8.DecodeLastRuneInString(number); unicode.IsDigit(r) {
				out[i].score -= penalty
			}
		}
	}
	return out
}
