// Command interop prints the logits that a saved model gives each line of standard input, a JSON list a line: the Go half of run.sh.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"pema/models/checkpoint"
	"pema/models/encoder"
	"pema/models/tokenizer"
	"pema/models/torch"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: interop DIR <texts")
	}
	runtime.LockOSThread()
	cfg, err := checkpoint.ReadConfig(filepath.Join(args[0], "config.json"))
	if err != nil {
		return err
	}
	weights, err := checkpoint.Open(args[0])
	if err != nil {
		return err
	}
	defer weights.Close()
	tok, err := tokenizer.Load(args[0])
	if err != nil {
		return err
	}
	m, err := encoder.New(cfg, &encoder.File{Checkpoint: weights}, encoder.Options{Labels: len(cfg.ID2Label), Device: torch.CPU,
		Rows: int64(cfg.VocabSize), Padding: int64(tok.Specials().Pad)})
	if err != nil {
		return err
	}
	defer m.Close()
	if len(m.Fresh) > 0 {
		return fmt.Errorf("not in the checkpoint: %v", m.Fresh)
	}
	e, out := tok.NewEncoder(), json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		ids, _ := e.Encode(nil, lines.Text(), nil, 48)
		logits, err := forward(m, ids)
		if err == nil {
			err = out.Encode(logits)
		}
		if err != nil {
			return err
		}
	}
	return lines.Err()
}

func forward(m *encoder.Model, ids []int32) ([]float32, error) {
	s := torch.NewScope(false)
	defer s.Close()
	wide := make([]int64, len(ids))
	for i, id := range ids {
		wide[i] = int64(id)
	}
	n := int64(len(ids))
	logits := s.Floats(m.Forward(s, encoder.Batch{IDs: s.Take(torch.Of(wide, 1, n)), Types: s.Take(torch.Of(make([]int64, n), 1, n)),
		Mask: s.Take(torch.Of(make([]float32, n), 1, 1, 1, n))}))
	return logits, s.Err()
}
