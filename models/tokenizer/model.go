package tokenizer

// model turns a word into ids.
type model interface {
	tokenize(s *scratch, dst []int32, word []byte) []int32
}

// scratch is an encoder's working memory for its model.
type scratch struct {
	symbols []symbol
	queue   []candidate
	nodes   []node
}
