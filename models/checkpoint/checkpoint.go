// Package checkpoint reads and writes model folders as Hugging Face lays them out: weights (safetensors and PyTorch's zip
// files, memory-mapped with every offset checked), config.json, and the files that describe a trained model.
package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Checkpoint is one or more mapped weight files. They must not be shortened while it is open: the system kills a process that
// reads a page of a map that its file no longer has. Methods other than Close may be called from several goroutines.
type Checkpoint struct {
	dir      string
	files    []mapped
	tensors  map[string]Tensor
	names    []string
	metadata map[string]string
}

type mapped struct {
	path string
	file *os.File
	data []byte
}

// weightFiles are looked for in this order.
var weightFiles = []string{"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"}

// Open maps the weights of a model folder: one file, or the shards that an index names.
func Open(dir string) (*Checkpoint, error) {
	if st, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("model folder: %w", err)
	} else if !st.IsDir() {
		return nil, fmt.Errorf("model folder %s is a file", dir)
	}
	for _, name := range weightFiles {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("weights: %w", err)
		}
		if strings.HasSuffix(name, ".json") {
			return openShards(path)
		}
		return OpenFile(path)
	}
	return nil, fmt.Errorf("model folder %s has no weights: none of %s is there (fetch the model, or train with random weights)",
		dir, strings.Join(weightFiles, ", "))
}

// OpenFile maps one weight file. Its first bytes say whether it is PyTorch's or safetensors.
func OpenFile(path string) (*Checkpoint, error) {
	return open(filepath.Dir(path), func(c *Checkpoint) error {
		_, err := c.add(path)
		return err
	})
}

func open(dir string, fill func(c *Checkpoint) error) (*Checkpoint, error) {
	c := &Checkpoint{dir: dir, tensors: map[string]Tensor{}, metadata: map[string]string{}}
	if err := fill(c); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func openShards(index string) (*Checkpoint, error) {
	b, err := readSmall(index, 16<<20)
	if err != nil {
		return nil, err
	}
	var x struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(b, &x); err != nil {
		return nil, fmt.Errorf("%s: %w", index, err)
	}
	shards := slices.Compact(slices.Sorted(maps.Values(x.WeightMap)))
	if len(shards) == 0 {
		return nil, fmt.Errorf("%s: weight_map is missing or empty", index)
	}
	dir := filepath.Dir(index)
	return open(dir, func(c *Checkpoint) error {
		at := map[string]string{} // tensor -> shard that has it
		for _, s := range shards {
			if s != filepath.Base(s) || s == "." || s == ".." {
				return fmt.Errorf("%s: shard %.80q is not a plain file name", index, s)
			}
			names, err := c.add(filepath.Join(dir, s))
			if err != nil {
				return fmt.Errorf("shard of %s: %w", index, err)
			}
			for _, n := range names {
				at[n] = s
			}
		}
		for _, name := range slices.Sorted(maps.Keys(x.WeightMap)) {
			if at[name] != x.WeightMap[name] {
				return fmt.Errorf("%s: shard %s does not have tensor %.80q", index, x.WeightMap[name], name)
			}
		}
		return nil
	})
}

// add maps a file and takes in its tensors, whose names it returns.
func (c *Checkpoint) add(path string) ([]string, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	if size < 8 {
		err = fmt.Errorf("truncated: %d bytes are no weight file", size)
	}
	var data []byte
	if err == nil {
		// Private and writable, so that libtorch can take a tensor for its own; nothing is reserved for writes that do not come.
		data, err = unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c.files = append(c.files, mapped{path, f, data})
	list, metadata, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	maps.Copy(c.metadata, metadata)
	names := make([]string, len(list))
	for i, t := range list {
		if _, ok := c.tensors[t.Name]; ok {
			return nil, fmt.Errorf("%s: tensor %.80q is in an earlier file too", path, t.Name)
		}
		t.file = f
		c.tensors[t.Name], names[i] = t, t.Name
	}
	c.names = append(c.names, names...)
	return names, nil
}

// parse reads the table of contents of a weight file of any format. The tensors come in file order.
func parse(data []byte) ([]Tensor, map[string]string, error) {
	switch {
	case bytes.HasPrefix(data, zipMagic):
		list, err := parseZip(data)
		return list, nil, err
	case bytes.HasPrefix(data, legacyMagic):
		list, err := parseLegacy(data)
		return list, nil, err
	}
	return parseSafetensors(data)
}

// Dir is the folder of the weight files.
func (c *Checkpoint) Dir() string { return c.dir }

// Names lists the tensors in file order, shards by name.
func (c *Checkpoint) Names() []string { return slices.Clone(c.names) }

// Tensor finds a tensor by its name.
func (c *Checkpoint) Tensor(name string) (Tensor, bool) {
	t, ok := c.tensors[name]
	return t, ok
}

// Metadata is what the files say of themselves; a later shard wins.
func (c *Checkpoint) Metadata() map[string]string { return maps.Clone(c.metadata) }

// Files lists the paths of the weight files, shards by name.
func (c *Checkpoint) Files() []string {
	out := make([]string, len(c.files))
	for i, f := range c.files {
		out[i] = f.path
	}
	return out
}

// SHA256 names the weights, in hex: for one file its SHA-256, as the hub shows it; for shards that of the list of their
// SHA-256, in the form of the tool sha256sum. It reads the files as they are on disk.
func (c *Checkpoint) SHA256() (string, error) {
	var list strings.Builder
	for _, f := range c.files {
		h := sha256.New()
		if _, err := io.Copy(h, io.NewSectionReader(f.file, 0, int64(len(f.data)))); err != nil {
			return "", fmt.Errorf("hash of weights: %w", err)
		}
		sum := hex.EncodeToString(h.Sum(nil))
		if len(c.files) == 1 {
			return sum, nil
		}
		fmt.Fprintf(&list, "%s  %s\n", sum, filepath.Base(f.path))
	}
	sum := sha256.Sum256([]byte(list.String()))
	return hex.EncodeToString(sum[:]), nil
}

// Close unmaps the files; tensors are not to be used afterwards.
func (c *Checkpoint) Close() error {
	var err error
	for _, f := range c.files {
		err = errors.Join(err, unix.Munmap(f.data), f.file.Close())
	}
	c.files, c.tensors, c.names = nil, nil, nil
	return err
}

// readSmall reads a file of at most limit bytes.
func readSmall(path string, limit int64) ([]byte, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > limit {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, limit)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

func openRegular(path string) (f *os.File, size int64, err error) {
	st, err := os.Stat(path) // before opening: a pipe would wait for its writer
	if err != nil {
		return nil, 0, err
	}
	if !st.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is not a regular file", path)
	}
	if f, err = os.Open(path); err != nil {
		return nil, 0, err
	}
	if st, err = f.Stat(); err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, st.Size(), nil
}
