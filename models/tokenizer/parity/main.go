// Parity answers texts with hashes of their ids, for parity.py to compare with those of Hugging Face's `tokenizers`.
//
//	parity MODEL_FOLDER < requests > answers
//
// A request is a text and perhaps its pair, each written as its length in bytes plus one (0: none) and the bytes. The answer is,
// untruncated and then truncated to 128, the first eight bytes of the SHA-256 of the ids followed by their types. Numbers are
// little-endian uint32.
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"pema/models/tokenizer"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: parity MODEL_FOLDER")
		os.Exit(2)
	}
	if err := answer(os.Args[1], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "parity:", err)
		os.Exit(1)
	}
}

func answer(dir string, in io.Reader, out io.Writer) error {
	t, err := tokenizer.Load(dir)
	if err != nil {
		return err
	}
	e := t.NewEncoder()
	r, w := bufio.NewReaderSize(in, 1<<20), bufio.NewWriterSize(out, 1<<16)
	var ids []int32
	var raw []byte
	for {
		text, err := read(r)
		if errors.Is(err, io.EOF) {
			return w.Flush()
		}
		if err != nil {
			return err
		}
		pair, err := read(r)
		if err != nil {
			return err
		}
		for _, limit := range []int{0, 128} {
			var second int
			ids, second = e.Encode(ids[:0], *text, pair, limit)
			raw = raw[:0]
			for _, id := range ids {
				raw = binary.LittleEndian.AppendUint32(raw, uint32(id))
			}
			for i := range ids {
				typ := uint32(0)
				if i >= second {
					typ = 1
				}
				raw = binary.LittleEndian.AppendUint32(raw, typ)
			}
			sum := sha256.Sum256(raw)
			if _, err := w.Write(sum[:8]); err != nil {
				return err
			}
		}
	}
}

func read(r io.Reader) (*string, error) {
	var n uint32
	if err := binary.Read(r, binary.LittleEndian, &n); err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, nil
	}
	b := make([]byte, n-1)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	s := string(b)
	return &s, nil
}
