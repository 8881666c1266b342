// Package tokenizer turns text into token ids, exactly as Hugging Face's `tokenizers` does, in pure Go.
//
// Load reads a model folder: its tokenizer.json, or, where a repository has none, the vocabulary files that transformers would
// convert (spm.model, sentencepiece.bpe.model, spiece.model, vocab.txt, vocab.json + merges.txt). Three families are known: BERT
// WordPiece, byte-level BPE and SentencePiece Unigram. A piece of a tokenizer.json that is not known is an error that names it;
// nothing is approximated.
//
// No offsets are kept, and the ids of a word are remembered, so that a corpus is encoded many times faster than with the
// reference. A Tokenizer is safe for use by many goroutines; each takes an Encoder of its own.
package tokenizer

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// version is part of every fingerprint. It moves whenever a change of this package can change an id.
const version = "pema/models/tokenizer 1"

// Tokenizer holds the read-only tables of one tokenizer.
type Tokenizer struct {
	normalizers []normalizer
	raw         matcher // added tokens found in the text as it is
	normalized  matcher // added tokens found in the normalized text
	split       splitter
	model       model
	templates   [2]template // one sequence, a pair
	left        bool        // truncation drops the beginning

	vocab       vocabulary
	added       []addedToken
	specials    Specials
	files       []string
	fingerprint string

	reverseOnce sync.Once
	reverse     map[int32]string // token of each id, made when it is first asked for
}

// vocabulary finds the ids of tokens.
type vocabulary interface {
	lookup(token string) (id int32, ok bool)
	size() int
	each(func(token string, id int32))
}

// Specials are the ids of the special tokens, -1 where a tokenizer has none. A tokenizer without a CLS or SEP token shows its BOS
// or EOS token there.
type Specials struct {
	Pad, CLS, SEP, Unk, Mask int32
}

// Load reads the tokenizer of the model folder dir.
func Load(dir string) (*Tokenizer, error) {
	src := &source{dir: dir, digest: sha256.New()}
	src.note("version", []byte(version))
	t, err := src.load()
	if err != nil {
		return nil, fmt.Errorf("load tokenizer in %s: %w", dir, err)
	}
	t.files = src.files
	t.fingerprint = hex.EncodeToString(src.digest.Sum(nil))
	return t, nil
}

// NewEncoder returns an encoder that shares the tokenizer's tables and has a word cache of its own.
func (t *Tokenizer) NewEncoder() *Encoder {
	return &Encoder{t: t, cache: newWordCache()}
}

// Fingerprint is the SHA-256, in hexadecimal, of everything that determines the ids: the bytes of the files and the version of
// this package.
func (t *Tokenizer) Fingerprint() string { return t.fingerprint }

// Size is the number of distinct tokens, added ones included. The embedding matrix of a model can have more rows.
func (t *Tokenizer) Size() int {
	n := t.vocab.size()
	for _, a := range t.added {
		if _, ok := t.vocab.lookup(a.content); !ok {
			n++
		}
	}
	return n
}

// Specials returns the ids of the special tokens.
func (t *Tokenizer) Specials() Specials { return t.specials }

// Files are the paths of the files that the tokenizer was read from.
func (t *Tokenizer) Files() []string { return slices.Clone(t.files) }

// id finds a token among the added ones and in the vocabulary.
func (t *Tokenizer) id(token string) (int32, bool) {
	for _, a := range t.added {
		if a.content == token {
			return a.id, true
		}
	}
	return t.vocab.lookup(token)
}

// source reads the files of one folder, and keeps their names and the digest of what they say.
type source struct {
	dir    string
	files  []string
	digest interface {
		Write([]byte) (int, error)
		Sum([]byte) []byte
	}
}

// maxFile bounds a file that is read into memory: the largest tokenizer of the hub (XLM-V) has 60 MB.
const maxFile = 512 << 20

// read returns the bytes of a file of the folder, or nil when there is none.
func (s *source) read(name string) ([]byte, error) {
	path := filepath.Join(s.dir, name)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("read %s: %d bytes are more than any tokenizer has", name, info.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s.files = append(s.files, path)
	if b == nil {
		b = []byte{}
	}
	return b, nil
}

// note adds something that determines ids to the fingerprint.
func (s *source) note(name string, b []byte) {
	var n [8]byte
	for _, part := range [][]byte{[]byte(name), b} {
		binary.LittleEndian.PutUint64(n[:], uint64(len(part)))
		s.digest.Write(n[:])
		s.digest.Write(part)
	}
}

// load reads tokenizer.json, or converts what there is in its place.
func (s *source) load() (*Tokenizer, error) {
	cfg, err := s.config()
	if err != nil {
		return nil, err
	}
	b, err := s.read("tokenizer.json")
	if err != nil {
		return nil, err
	}
	var t *Tokenizer
	if b != nil {
		s.note("tokenizer.json", b)
		if t, err = parse(b); err != nil {
			return nil, fmt.Errorf("tokenizer.json: %w", err)
		}
	} else if t, err = s.convert(cfg); err != nil {
		return nil, err
	}
	switch cfg.TruncationSide {
	case "":
	case "left", "right":
		t.left = cfg.TruncationSide == "left"
	default:
		return nil, fmt.Errorf("tokenizer_config.json: truncation_side %q is neither left nor right", cfg.TruncationSide)
	}
	t.specials = t.findSpecials(cfg)
	return t, nil
}
