package tokenizer

// model turns a word into ids.
type model interface {
	tokenize(s *scratch, dst []int32, word []byte) []int32
}

// scratch is an encoder's working memory for its model.
type scratch struct {
	bytes   []byte
	symbols []symbol
	queue   []candidate
	nodes   []node
}

// tokenIDs is a vocabulary that is a map.
type tokenIDs map[string]int32

func (v tokenIDs) lookup(token string) (int32, bool) {
	id, ok := v[token]
	return id, ok
}

func (v tokenIDs) size() int { return len(v) }

func (v tokenIDs) each(f func(string, int32)) {
	for token, id := range v {
		f(token, id)
	}
}
