package experiments

import (
	"pema/models/checkpoint"
	"pema/models/encoder"
	"pema/models/pema"
)

// start is where a run's weights come from: a checkpoint, or (nil) a seed.
type start struct {
	file   *checkpoint.Checkpoint
	random encoder.Random
}

func open(weights, dir string, cfg *checkpoint.Config, seed int64) (*start, error) {
	if weights == "random" {
		return &start{random: encoder.Random{Config: cfg, Seed: seed}}, nil
	}
	c, err := checkpoint.Open(dir)
	return &start{file: c}, err
}

// rows gives a model the selected rows of the embedding matrix; nil: all.
func (s *start) rows(selected []int32) encoder.Weights {
	if s.file != nil {
		return &encoder.File{Checkpoint: s.file, Rows: selected}
	}
	r := s.random
	r.Rows = selected
	return &r
}

// matrix is the full embedding matrix before training.
func (s *start) matrix(name string) (pema.Rows, error) {
	if s.file != nil {
		return pema.Original(s.file, name)
	}
	return s.random.Matrix(name), nil
}

// sha256 names the weights; "": they are random.
func (s *start) sha256() (string, error) {
	if s.file == nil {
		return "", nil
	}
	return s.file.SHA256()
}

func (s *start) close() {
	if s.file != nil {
		s.file.Close()
	}
}
