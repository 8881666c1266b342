package tokenizer

import (
	library "github.com/sugarme/tokenizer"
	"github.com/sugarme/tokenizer/decoder"
	"github.com/sugarme/tokenizer/pretokenizer"
)

// Token returns the token of an id.
func (t *Tokenizer) Token(id int32) (string, bool) {
	t.reverseOnce.Do(func() {
		t.reverse = make(map[int32]string, t.Size())
		t.vocab.each(func(token string, id int32) { t.reverse[id] = token })
		for _, a := range t.added {
			t.reverse[a.id] = a.content
		}
	})
	token, ok := t.reverse[id]
	return token, ok
}

// Decode puts the tokens of ids together to a text, as sugarme/tokenizer's decoders do it; ids that are no tokens are left out, and
// so are the special tokens if skipSpecials is set. The text is meant to be read: it is not always the one that was encoded.
func (t *Tokenizer) Decode(ids []int32, skipSpecials bool) string {
	special := map[int32]bool{}
	if skipSpecials {
		for _, a := range t.added {
			special[a.id] = a.special
		}
	}
	var tokens []string
	for _, id := range ids {
		if token, ok := t.Token(id); ok && !special[id] {
			tokens = append(tokens, token)
		}
	}
	if len(tokens) == 0 {
		return ""
	}
	return t.decoder().Decode(tokens)
}

// decoder is the one that goes with the way of splitting.
func (t *Tokenizer) decoder() library.Decoder {
	switch s := t.split.(type) {
	case byteLevel:
		return pretokenizer.NewByteLevel()
	case *metaspace:
		return pretokenizer.NewMetaspace(string(s.mark), s.prepend)
	}
	return decoder.NewWordPieceDecoder(t.model.(*wordpiece).prefix, true)
}
