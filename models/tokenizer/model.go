package tokenizer

// model turns a word into ids.
type model interface {
	tokenize(s *scratch, dst []int32, word []byte) []int32
}

// scratch is an encoder's working memory for its model.
type scratch struct {
	steps   int // of work done so far: how it grows with a word's length is what a test looks at
	symbols []symbol
	queue   []candidate
	nodes   []node
}
