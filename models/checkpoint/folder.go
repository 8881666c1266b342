package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"pema/internal/wholefile"
)

// tokenizerFiles are what a tokenizer of any family may consist of.
var tokenizerFiles = []string{
	"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
	"vocab.txt", "vocab.json", "merges.txt", "sentencepiece.bpe.model", "spm.model", "spiece.model",
}

// CopyTokenizer copies the tokenizer's files of a model folder into another, byte by byte, and returns their names.
func CopyTokenizer(to, from string) (copied []string, err error) {
	for _, name := range tokenizerFiles {
		f, err := os.Open(filepath.Join(from, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = wholefile.Write(filepath.Join(to, name), func(w io.Writer) error {
				_, err := io.Copy(w, f)
				return err
			})
			f.Close()
		}
		if err != nil {
			return copied, fmt.Errorf("copy tokenizer: %w", err)
		}
		copied = append(copied, name)
	}
	return copied, nil
}
