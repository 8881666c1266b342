package pema

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"pema/models/checkpoint"
)

// Restore writes the full-vocabulary model of a reduced checkpoint into the folder out, made where it is missing:
// model.safetensors, config.json with the vocabulary's size set back, and the tokenizer's files. Every tensor is as in the
// reduced checkpoint, but the embedding matrix has the original's rows with the trained ones put in their places; it is
// streamed and never in memory as a whole. Where the manifest names the original's weights by hash they are checked first.
// progress (nil: none) is told of the bytes of weights written, from this goroutine.
func Restore(ctx context.Context, reduced *checkpoint.Checkpoint, m *Manifest, original *checkpoint.Checkpoint, out string, progress func(done, total int64)) error {
	if err := restore(ctx, reduced, m, original, out, progress); err != nil {
		return fmt.Errorf("restore %s: %w", reduced.Dir(), err)
	}
	return nil
}

func restore(ctx context.Context, reduced *checkpoint.Checkpoint, m *Manifest, original *checkpoint.Checkpoint, out string, progress func(done, total int64)) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, dir := range []string{reduced.Dir(), original.Dir()} {
		same, err := sameFolder(dir, out)
		if err != nil {
			return err
		}
		if same {
			return fmt.Errorf("the output folder %s holds an input of the restoration: give another", out)
		}
	}
	cfg, err := checkpoint.ReadConfig(filepath.Join(reduced.Dir(), "config.json"))
	if err != nil {
		return err
	}
	matrix, err := Original(original, m.Tensor)
	if err != nil {
		return err
	}
	var tensors []checkpoint.Source
	for _, name := range reduced.Names() {
		t, _ := reduced.Tensor(name)
		tensors = append(tensors, t)
	}
	if tensors, err = Restored(tensors, m.Tensor, &m.Selection, matrix); err != nil {
		return err
	}
	if m.Weights != "" {
		got, err := original.SHA256()
		if err != nil {
			return err
		}
		if got != m.Weights {
			return fmt.Errorf("the original's weights have SHA-256 %s, the manifest names %s (is it %s at revision %q?)", got, m.Weights, m.Model, m.Revision)
		}
	}
	watch := &watcher{ctx: ctx, progress: progress}
	for i, t := range tensors {
		n, err := t.Info().Size()
		if err != nil {
			return err
		}
		watch.total += n
		tensors[i] = watched{t, watch}
	}
	if _, err := checkpoint.CopyTokenizer(out, reduced.Dir()); err != nil {
		return err
	}
	if err := cfg.Write(filepath.Join(out, "config.json"), checkpoint.Changes{VocabSize: int(m.Rows)}); err != nil {
		return err
	}
	metadata := reduced.Metadata()
	metadata["format"] = "pt"
	return checkpoint.Write(filepath.Join(out, "model.safetensors"), metadata, tensors)
}

func sameFolder(a, b string) (bool, error) {
	x, err := os.Stat(a)
	if err != nil {
		return false, err
	}
	y, err := os.Stat(b)
	if err != nil {
		return false, err
	}
	return os.SameFile(x, y), nil
}

// watcher counts what is written and stops it when its context ends.
type watcher struct {
	ctx         context.Context
	progress    func(done, total int64)
	done, total int64
}

type watched struct {
	checkpoint.Source
	*watcher
}

// WriteTo implements checkpoint.Source.
func (s watched) WriteTo(w io.Writer) (int64, error) {
	return s.Source.WriteTo(writerFunc(func(p []byte) (int, error) {
		if err := s.ctx.Err(); err != nil {
			return 0, err
		}
		n, err := w.Write(p)
		s.done += int64(n)
		if s.progress != nil {
			s.progress(s.done, s.total)
		}
		return n, err
	}))
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
