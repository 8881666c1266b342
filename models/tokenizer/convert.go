package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// conversion builds a tokenizer from the vocabulary files of a slow tokenizer of transformers, as its converters of the versions
// 4.37 to 4.57 do. (5.x converts DeBERTa-v3 otherwise.)
type conversion struct {
	files   []string // what it needs; all must be there
	tokens  defaults
	convert func(c *config, files [][]byte) (*Tokenizer, error)
}

// defaults are the special tokens of a class, in the order in which transformers adds them, and the flags they get when the
// configuration names them by a string. flagged are the exceptions.
type defaults struct {
	roles      []string
	names      map[string]string
	normalized bool
	flagged    map[string]addedToken
}

// conversions by the class of the tokenizer.
var conversions = map[string]conversion{
	"Bert":       {[]string{"vocab.txt"}, bertTokens, convertBert},
	"Roberta":    {[]string{"vocab.json", "merges.txt"}, robertaTokens, convertRoberta},
	"GPT2":       {[]string{"vocab.json", "merges.txt"}, gpt2Tokens, convertGPT2},
	"XLMRoberta": {[]string{"sentencepiece.bpe.model"}, xlmrTokens, convertXLMR},
	"DebertaV2":  {[]string{"spm.model"}, debertaTokens, convertDeberta},
	"Albert":     {[]string{"spiece.model"}, albertTokens, convertAlbert},
}

// classes that are the same as another one, and the classes of model types, for repositories that name none.
var (
	sameClass = map[string]string{"DistilBert": "Bert", "Electra": "Bert"}

	classOfModel = map[string]string{
		"bert": "Bert", "distilbert": "Bert", "electra": "Bert", "roberta": "Roberta", "gpt2": "GPT2",
		"xlm-roberta": "XLMRoberta", "deberta-v2": "DebertaV2", "albert": "Albert",
	}
)

// convert finds the class and builds its tokenizer.
func (s *source) convert(c *config) (*Tokenizer, error) {
	class, err := s.class(c)
	if err != nil {
		return nil, err
	}
	s.note("class", []byte(class))
	how, ok := conversions[class]
	if !ok {
		return nil, fmt.Errorf("there is no tokenizer.json, and a %sTokenizer cannot be converted", class)
	}
	var files [][]byte
	for _, name := range how.files {
		b, err := s.read(name)
		if err != nil {
			return nil, err
		}
		if b == nil {
			return nil, fmt.Errorf("there is neither tokenizer.json nor %s, which a %sTokenizer is converted from", name, class)
		}
		s.note(name, b)
		files = append(files, b)
	}
	t, err := how.convert(c.with(how.tokens), files)
	if err != nil {
		return nil, fmt.Errorf("convert %s: %w", strings.Join(how.files, " and "), err)
	}
	return t, s.checkAdded(c, t)
}

// class names the class of the slow tokenizer: by the configuration of the tokenizer or the model, else by the model's type.
func (s *source) class(c *config) (string, error) {
	name := c.TokenizerClass
	if name == "" {
		b, err := s.read("config.json")
		if err != nil {
			return "", err
		}
		if b == nil {
			return "", errors.New("there is no tokenizer.json, and neither tokenizer_config.json nor config.json to say what else to read")
		}
		var m struct {
			Class string `json:"tokenizer_class"`
			Type  string `json:"model_type"`
		}
		if err := json.Unmarshal(b, &m); err != nil {
			return "", fmt.Errorf("config.json: %w", err)
		}
		if name = m.Class; name == "" {
			if name = classOfModel[m.Type]; name == "" {
				return "", fmt.Errorf("there is no tokenizer.json, and the tokenizer of model type %q cannot be converted", m.Type)
			}
		}
	}
	name = strings.TrimSuffix(strings.TrimSuffix(name, "Fast"), "Tokenizer")
	if same, ok := sameClass[name]; ok {
		name = same
	}
	return name, nil
}

// with fills in the default names of special tokens.
func (c *config) with(d defaults) *config {
	filled := *c
	filled.names = make(map[string]tokenName, len(d.names)+len(c.names))
	for role, name := range d.names {
		filled.names[role] = tokenName{Content: name}
	}
	for role, n := range c.names {
		filled.names[role] = n
	}
	return &filled
}

// addSpecials takes over the added tokens of the vocabulary's own and the special tokens, whose flags win.
func (t *Tokenizer) addSpecials(c *config, d defaults, own []addedToken) error {
	var specials []addedToken
	have := map[string]bool{}
	add := func(a addedToken, n tokenName) {
		if n.Content == "" || have[n.Content] {
			return
		}
		have[n.Content] = true
		a.content, a.special = n.Content, true
		if n.object {
			a.singleWord, a.lstrip, a.rstrip = n.SingleWord, n.LStrip, n.RStrip
			if n.Normalized != nil {
				a.normalized = *n.Normalized
			}
		}
		specials = append(specials, a)
	}
	for _, role := range d.roles {
		flags, ok := d.flagged[role]
		if !ok {
			flags.normalized = d.normalized
		}
		add(flags, c.names[role])
	}
	for _, n := range c.AdditionalTok {
		add(addedToken{}, n)
	}
	list := slices.DeleteFunc(own, func(a addedToken) bool { return have[a.content] })
	list = append(list, specials...)
	after := int32(t.vocab.size())
	for i := range list {
		id, ok := t.vocab.lookup(list[i].content)
		if !ok {
			id = after
			after++
		}
		list[i].id = id
	}
	return t.setAdded(list)
}

// checkAdded holds what the configuration says of added tokens against what the conversion made of them.
func (s *source) checkAdded(c *config, t *Tokenizer) error {
	b, err := s.read("added_tokens.json")
	if err != nil {
		return err
	}
	if b != nil {
		s.note("added_tokens.json", b)
		if err := json.Unmarshal(b, &c.addedTokens); err != nil {
			return fmt.Errorf("added_tokens.json: %w", err)
		}
	}
	want := map[string]int64{}
	for token, id := range c.addedTokens {
		want[token] = id
	}
	for id, n := range c.decoder {
		var number int64
		if err := json.Unmarshal([]byte(id), &number); err != nil {
			return fmt.Errorf("added_tokens_decoder: %q is not an id", id)
		}
		want[n.Content] = number
	}
	for token, id := range want {
		if got, ok := t.id(token); !ok || int64(got) != id {
			return fmt.Errorf("added token %q with id %d is not among the tokens of the class", token, id)
		}
	}
	return nil
}

// option is the value of an option, or the class's default.
func option(o *bool, otherwise bool) bool {
	if o == nil {
		return otherwise
	}
	return *o
}
