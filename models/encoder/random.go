package encoder

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"

	"pema/models/checkpoint"
	"pema/models/pema"
	"pema/models/torch"
)

// Random makes any model from its config alone, as transformers initialises a new one: matrices normal with the config's
// initializer_range, biases 0, norms 1 and 0, the padding token's embedding 0. A value depends on the seed, the tensor's name, the
// row in the full matrix and the column only, so that a reduced matrix has the same rows as the full one, which is never made.
// The values are not PyTorch's: its generator has no such rows.
type Random struct {
	Config *checkpoint.Config
	Seed   int64
	Rows   []int32 // of the embedding matrix, ascending; nil: all
}

// Selected implements Weights.
func (r *Random) Selected() []int32 { return r.Rows }

// Tensor implements Weights. shape is that of the model's tensor, with the selected rows only.
func (r *Random) Tensor(name string, shape []int64) (*torch.Tensor, error) {
	t, err := torch.Empty(shape, torch.Float32)
	if err != nil {
		return nil, err
	}
	b, err := t.Bytes()
	if err != nil {
		t.Drop()
		return nil, err
	}
	rows := r.Rows
	if !strings.HasSuffix(name, wordEmbeddings) {
		rows = nil
	}
	if rows != nil && int64(len(rows)) != shape[0] {
		t.Drop()
		return nil, fmt.Errorf("tensor %s has %d rows, %d are selected", name, shape[0], len(rows))
	}
	r.fill(b, name, shape, rows, 0)
	return t, nil
}

// Matrix is the full embedding matrix of a name, computed where it is read: the original to restore a reduced one over.
func (r *Random) Matrix(name string) pema.Rows {
	c := r.Config
	width := int64(c.HiddenSize)
	if c.Disentangled != nil {
		width = int64(c.Disentangled.EmbeddingSize)
	}
	return &randomMatrix{r, checkpoint.Info{Name: name, DType: checkpoint.F32, Shape: []int64{int64(c.VocabSize), width}}}
}

type randomMatrix struct {
	r    *Random
	info checkpoint.Info
}

// Info implements pema.Rows.
func (m *randomMatrix) Info() checkpoint.Info { return m.info }

// ReadAt implements pema.Rows.
func (m *randomMatrix) ReadAt(p []byte, off int64) (int, error) {
	width := m.info.Shape[1] * 4
	size := m.info.Shape[0] * width
	if off < 0 || off >= size {
		return 0, io.EOF
	}
	n := min(int64(len(p)), size-off)
	first, end := off/width, (off+n+width-1)/width
	buf := p
	whole := off%width == 0 && n%width == 0
	if !whole {
		buf = make([]byte, (end-first)*width)
	}
	m.r.fill(buf[:(end-first)*width], m.info.Name, m.info.Shape, nil, first)
	if !whole {
		copy(p[:n], buf[off-first*width:])
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// fill computes consecutive rows of a tensor, from the given one on: those of rows, or (nil) all.
func (r *Random) fill(dst []byte, name string, shape []int64, rows []int32, from int64) {
	if len(shape) < 2 {
		value := float32(0)
		if strings.HasSuffix(name, ".weight") { // a norm's
			value = 1
		}
		for i := 0; i < len(dst); i += 4 {
			binary.LittleEndian.PutUint32(dst[i:], math.Float32bits(value))
		}
		return
	}
	width := 4
	for _, d := range shape[1:] {
		width *= int(d)
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", r.Seed, name)
	key, std, zero := h.Sum64(), float32(r.Config.InitializerRange), r.zero(name)
	n := len(dst) / max(width, 1)
	fill := func(begin, end int) {
		pcg := rand.NewPCG(0, 0)
		normal := rand.New(pcg)
		for i := begin; i < end; i++ {
			id := from + int64(i)
			if rows != nil {
				id = int64(rows[i])
			}
			row := dst[i*width : (i+1)*width]
			if id == zero {
				clear(row)
				continue
			}
			pcg.Seed(mix(key^uint64(id)), mix(key+uint64(id)))
			for j := 0; j < width; j += 4 {
				binary.LittleEndian.PutUint32(row[j:], math.Float32bits(float32(normal.NormFloat64())*std))
			}
		}
	}
	parts := min(runtime.GOMAXPROCS(0), 1+len(dst)>>20)
	var all sync.WaitGroup
	for k := range parts {
		all.Go(func() { fill(n*k/parts, n*(k+1)/parts) })
	}
	all.Wait()
}

// zero is the row of a matrix that begins at 0, -1: none.
func (r *Random) zero(name string) int64 {
	roberta := families[r.Config.ModelType].prefix == "roberta." // its positions begin after the padding token's id
	if strings.HasSuffix(name, wordEmbeddings) || roberta && strings.HasSuffix(name, "position_embeddings.weight") {
		return int64(r.Config.PadTokenID)
	}
	return -1
}

// mix is the finaliser of SplitMix64 (Steele et al., 2014): neighbouring rows get generators that have nothing in common.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
