// Package vocabulary measures what part of a tokenizer's vocabulary a corpus uses: how often each id occurs in each
// split, which ids occur at all, and how their number grows with the text that has been seen.
//
// Special tokens that the tokenizer puts into an example are counted; padding is not, since an Encoded has none.
package vocabulary

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"pema/datasets"
)

// Split is the use of the vocabulary by one split.
type Split struct {
	Name     string
	Examples int64
	Tokens   int64
	Counts   []int64 // occurrences of each id; as long as the matrix has rows
}

// Usage is the use of the vocabulary by some splits.
type Usage struct {
	Rows   int // of the embedding matrix
	Splits []Split
}

// Named is an encoded split and its name.
type Named struct {
	Name    string
	Encoded *datasets.Encoded
}

// Count counts the ids of splits on all cores. An id outside 0..rows-1 is an error.
func Count(rows int, splits ...Named) (*Usage, error) {
	c, err := NewCounter(rows)
	if err != nil {
		return nil, err
	}
	for _, s := range splits {
		if err := c.Add(s.Name, s.Encoded); err != nil {
			return nil, err
		}
	}
	return c.Usage(), nil
}

// Stream encodes the named splits of ds and counts their ids without holding them; all splits where none is named.
func Stream(ctx context.Context, ds *datasets.Dataset, splits []string, tok datasets.Tokenizer, rows int, opt datasets.EncodeOptions) (*Usage, error) {
	c, err := NewCounter(rows)
	if err != nil {
		return nil, err
	}
	if len(splits) == 0 {
		splits = ds.SplitNames()
	}
	for _, name := range splits {
		err := datasets.EncodeStream(ctx, ds, name, tok, opt, func(batch *datasets.Encoded) error { return c.Add(name, batch) })
		if err != nil {
			return nil, err
		}
	}
	return c.Usage(), nil
}

// Counter counts batch by batch. It is used by one goroutine at a time.
type Counter struct{ usage Usage }

// NewCounter makes a counter for a matrix of the given rows.
func NewCounter(rows int) (*Counter, error) {
	if rows <= 0 {
		return nil, fmt.Errorf("count vocabulary: %d rows", rows)
	}
	return &Counter{Usage{Rows: rows}}, nil
}

// Add counts e as part of a split; batches of one split add up. After an error the counts are not to be used.
func (c *Counter) Add(split string, e *datasets.Encoded) error {
	i := slices.IndexFunc(c.usage.Splits, func(s Split) bool { return s.Name == split })
	if i < 0 {
		i = len(c.usage.Splits)
		c.usage.Splits = append(c.usage.Splits, Split{Name: split, Counts: make([]int64, c.usage.Rows)})
	}
	s := &c.usage.Splits[i]
	s.Examples += int64(e.Len())
	s.Tokens += e.Tokens()
	if err := countInto(s.Counts, e.IDs); err != nil {
		return fmt.Errorf("count vocabulary of split %s: %w", split, err)
	}
	return nil
}

// Usage returns what was counted so far; it shares memory with the counter.
func (c *Counter) Usage() *Usage { return &c.usage }

// parallelAbove is the number of ids that makes a second core worth its own table of counts.
const parallelAbove = 1 << 20

func countInto(counts []int64, ids []int32) error {
	workers := min(runtime.GOMAXPROCS(0), len(ids)/max(parallelAbove, len(counts)))
	if workers < 2 {
		return countSerial(counts, ids)
	}
	var group errgroup.Group
	parts := make([][]int64, workers)
	for w := range workers {
		group.Go(func() error {
			parts[w] = make([]int64, len(counts))
			return countSerial(parts[w], ids[len(ids)*w/workers:len(ids)*(w+1)/workers])
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, p := range parts {
		for id, n := range p {
			counts[id] += n
		}
	}
	return nil
}

func countSerial(counts []int64, ids []int32) error {
	for _, id := range ids {
		if uint(id) >= uint(len(counts)) {
			return fmt.Errorf("id %d is outside the matrix of %d rows: tokenizer and model do not belong together", id, len(counts))
		}
		counts[id]++
	}
	return nil
}

// Select returns the usage of some of the splits; all of them where none is named.
func (u *Usage) Select(splits ...string) (*Usage, error) {
	if len(splits) == 0 {
		return u, nil
	}
	out := &Usage{Rows: u.Rows}
	for _, name := range splits {
		i := slices.IndexFunc(u.Splits, func(s Split) bool { return s.Name == name })
		if i < 0 {
			var have []string
			for _, s := range u.Splits {
				have = append(have, s.Name)
			}
			return nil, fmt.Errorf("vocabulary of split %s was not counted; counted are %s", name, strings.Join(have, ", "))
		}
		out.Splits = append(out.Splits, u.Splits[i])
	}
	return out, nil
}

// Counts returns the occurrences of each id over all splits.
func (u *Usage) Counts() []int64 {
	joint := make([]int64, u.Rows)
	for _, s := range u.Splits {
		for id, n := range s.Counts {
			joint[id] += n
		}
	}
	return joint
}

// Used returns the ids that occur in any of the splits, ascending.
func (u *Usage) Used() []int32 {
	used := []int32{}
	for id := range u.Rows {
		for i := range u.Splits {
			if u.Splits[i].Counts[id] > 0 {
				used = append(used, int32(id))
				break
			}
		}
	}
	return used
}

// UsedSHA256 is the SHA-256 of the used ids, ascending, as little-endian int32; hex.
func (u *Usage) UsedSHA256() string { return HashIDs(u.Used()) }

// HashIDs is the SHA-256 of ids as little-endian int32; hex.
func HashIDs(ids []int32) string {
	b := make([]byte, 0, 4*len(ids))
	for _, id := range ids {
		b = binary.LittleEndian.AppendUint32(b, uint32(id))
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Tokens is the number of ids over all splits, without padding.
func (u *Usage) Tokens() int64 {
	n := int64(0)
	for _, s := range u.Splits {
		n += s.Tokens
	}
	return n
}

// Examples is the number of examples over all splits.
func (u *Usage) Examples() int64 {
	n := int64(0)
	for _, s := range u.Splits {
		n += s.Examples
	}
	return n
}

// Reduction is the share of rows that no split uses: 1 - used/rows.
func (u *Usage) Reduction() float64 { return 1 - float64(len(u.Used()))/float64(u.Rows) }
