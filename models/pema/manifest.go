package pema

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"pema/internal/wholefile"
)

// ManifestFile is the manifest's name in the folder of a reduced checkpoint.
const ManifestFile = "pema.json"

// Manifest says which rows of which matrix a reduced checkpoint keeps, so that it can be audited and restored anywhere. The
// folder's tokenizer and the token ids in its config.json speak of the full vocabulary.
type Manifest struct {
	Model    string // hub id or folder of the original
	Revision string // commit of the original; "": not known
	Weights  string // SHA-256 of the original's weights, as Checkpoint.SHA256 gives it; "": it had random weights
	Tensor   string // name of the embedding matrix in the reduced checkpoint
	Selection
}

// manifestJSON is the file's form. The ids are ranges, "0-3,7": a person can read them and they stay short.
type manifestJSON struct {
	Version   int    `json:"version"`
	Model     string `json:"model"`
	Revision  string `json:"revision,omitempty"`
	Weights   string `json:"weights_sha256,omitempty"`
	Tensor    string `json:"tensor"`
	Rows      int64  `json:"rows"`
	Used      int    `json:"used"`
	Kept      int    `json:"kept"`
	KeptIDs   string `json:"kept_ids"`
	KeptIDSum string `json:"kept_ids_sha256"`
}

const (
	manifestVersion = 1
	maxManifest     = 128 << 20 // bytes; every second of maxRows ids needs 75 MB
	maxRows         = 1 << 24
)

// Write writes the manifest into the folder of a reduced checkpoint.
func (m *Manifest) Write(dir string) error {
	x := manifestJSON{manifestVersion, m.Model, m.Revision, m.Weights, m.Tensor, m.Rows, m.Used, len(m.IDs), formatRanges(m.IDs), m.SHA256()}
	if _, err := x.manifest(); err != nil {
		return fmt.Errorf("write %s: %w", ManifestFile, err)
	}
	err := wholefile.Write(filepath.Join(dir, ManifestFile), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(x)
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", ManifestFile, err)
	}
	return nil
}

// ReadManifest reads and checks the manifest of a reduced checkpoint's folder.
func ReadManifest(dir string) (*Manifest, error) {
	path := dir + string(os.PathSeparator) + ManifestFile
	st, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s has no %s: it is not a reduced checkpoint", dir, ManifestFile)
	}
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	if !st.Mode().IsRegular() || st.Size() > maxManifest {
		return nil, fmt.Errorf("read manifest: %s is not a regular file of at most %d bytes", path, maxManifest)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	m, err := parseManifest(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func parseManifest(b []byte) (*Manifest, error) {
	var x manifestJSON
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&x); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("text after its end")
	}
	return x.manifest()
}

func (x manifestJSON) manifest() (*Manifest, error) {
	switch {
	case x.Version != manifestVersion:
		return nil, fmt.Errorf("version %d is not known, only %d", x.Version, manifestVersion)
	case x.Rows < 1 || x.Rows > maxRows:
		return nil, fmt.Errorf("rows is not in 1..%d", maxRows)
	case x.Tensor == "":
		return nil, errors.New("tensor is missing")
	case x.Weights != "" && !isSHA256(x.Weights):
		return nil, fmt.Errorf("weights_sha256 %.80q is no SHA-256", x.Weights)
	case x.Kept < 1 || int64(x.Kept) > x.Rows || x.Used < 0 || x.Used > x.Kept:
		return nil, fmt.Errorf("used %d, kept %d of %d rows: not possible", x.Used, x.Kept, x.Rows)
	}
	ids, err := parseRanges(x.KeptIDs, x.Kept, x.Rows)
	if err != nil {
		return nil, fmt.Errorf("kept_ids: %w", err)
	}
	m := &Manifest{Model: x.Model, Revision: x.Revision, Weights: x.Weights, Tensor: x.Tensor, Selection: *newSelection(ids, x.Used, x.Rows)}
	if got := m.SHA256(); got != x.KeptIDSum {
		return nil, fmt.Errorf("kept_ids_sha256 is %.80q, the ids have %s", x.KeptIDSum, got)
	}
	return m, nil
}

func isSHA256(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32
}

// formatRanges writes ascending ids: 0,1,2,3,7 as 0-3,7.
func formatRanges(ids []int32) string {
	var b []byte
	for i := 0; i < len(ids); {
		j := i
		for j+1 < len(ids) && ids[j+1] == ids[j]+1 {
			j++
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(ids[i]), 10)
		if j > i {
			b = strconv.AppendInt(append(b, '-'), int64(ids[j]), 10)
		}
		i = j + 1
	}
	return string(b)
}

// parseRanges reads count ascending ids below rows.
func parseRanges(s string, count int, rows int64) ([]int32, error) {
	ids, next := make([]int32, 0, count), int64(0)
	for r := range strings.SplitSeq(s, ",") {
		from, to, isRange := strings.Cut(r, "-")
		if !isRange {
			to = from
		}
		a, errA := strconv.ParseUint(from, 10, 31)
		b, errB := strconv.ParseUint(to, 10, 31)
		if errA != nil || errB != nil || int64(a) < next || b < a || int64(b) >= rows {
			return nil, fmt.Errorf("%.40q: ranges of ids in ascending order below %d are expected", r, rows)
		}
		if int(b-a)+1 > count-len(ids) {
			return nil, fmt.Errorf("more than %d ids", count)
		}
		for id := a; id <= b; id++ {
			ids = append(ids, int32(id))
		}
		next = int64(b) + 1
	}
	if len(ids) != count {
		return nil, fmt.Errorf("%d ids, %d are announced", len(ids), count)
	}
	return ids, nil
}
