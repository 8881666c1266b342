package datasets

import (
	"context"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// EncodeOptions says how a split is encoded.
type EncodeOptions struct {
	MaxLength int                     // ids of an example, special tokens included; 0 = no limit
	CacheDir  string                  // where encoded splits are kept; empty = nowhere
	Workers   int                     // goroutines that encode; 0 = all cores
	Progress  func(done, total int64) // examples, called from one goroutine; may be nil
}

// batchSize is the number of examples that are handed to a worker at once.
const batchSize = 256

// Encode returns a split as ids, in the order of the split. With a CacheDir an earlier outcome is used when its inputs
// (file contents, columns, label and split rules, tokenizer, length, code version) and its own bytes are the same.
func Encode(ctx context.Context, ds *Dataset, split string, tok Tokenizer, opt EncodeOptions) (*Encoded, error) {
	s, err := ds.Split(split)
	if err != nil {
		return nil, err
	}
	var cache encodedCache
	if opt.CacheDir != "" {
		cache = newEncodedCache(opt.CacheDir, ds, s, tok.Fingerprint(), opt.MaxLength)
		if e := cache.read(); e != nil {
			if opt.Progress != nil {
				opt.Progress(s.Rows, s.Rows)
			}
			return e, nil
		}
	}
	e := &Encoded{Offsets: []int64{0}}
	err = EncodeStream(ctx, ds, split, tok, opt, func(batch *Encoded) error {
		e.grow(batch)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if opt.CacheDir != "" {
		if err := cache.write(e); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// EncodeStream encodes a split in batches and hands them to yield in the order of the split, from one goroutine. A
// batch is only valid during the call. Memory stays flat; nothing is cached. An error of yield ends the stream.
func EncodeStream(ctx context.Context, ds *Dataset, split string, tok Tokenizer, opt EncodeOptions, yield func(*Encoded) error) error {
	s, err := ds.Split(split)
	if err != nil {
		return err
	}
	if opt.MaxLength < 0 {
		return fmt.Errorf("encode %s/%s: max length %d is negative", ds.Name, split, opt.MaxLength)
	}
	workers := opt.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	type job struct {
		examples []Example
		out      Encoded
		done     chan struct{}
	}
	group, ctx := errgroup.WithContext(ctx)
	jobs := make(chan *job, workers)    // to the workers
	order := make(chan *job, 4*workers) // to the collector, in the order of the split
	free := make(chan *job, 6*workers)  // back to the reader

	group.Go(func() error { // reader
		defer close(jobs)
		defer close(order)
		send := func(j *job) bool {
			for _, to := range []chan *job{jobs, order} {
				select {
				case to <- j:
				case <-ctx.Done():
					return false
				}
			}
			return true
		}
		fresh := func() *job {
			select {
			case j := <-free:
				j.examples, j.done = j.examples[:0], make(chan struct{})
				return j
			default:
				return &job{examples: make([]Example, 0, batchSize), done: make(chan struct{})}
			}
		}
		j, n := fresh(), int64(0)
		for ex, err := range s.Examples(ctx) {
			if err != nil {
				return fmt.Errorf("encode %s/%s: %w", ds.Name, split, err)
			}
			j.examples = append(j.examples, ex)
			n++
			if len(j.examples) == batchSize {
				if !send(j) {
					return ctx.Err()
				}
				j = fresh()
			}
		}
		if len(j.examples) > 0 && !send(j) {
			return ctx.Err()
		}
		if n != s.Rows && ctx.Err() == nil {
			return fmt.Errorf("encode %s/%s: %d examples where %d were when it was opened: its files changed meanwhile", ds.Name, split, n, s.Rows)
		}
		return ctx.Err()
	})
	for range workers {
		group.Go(func() error {
			enc := tok.NewEncoder()
			for j := range jobs {
				encodeBatch(enc, j.examples, ds.HasPair(), opt.MaxLength, &j.out)
				close(j.done)
			}
			return nil
		})
	}
	group.Go(func() error { // collector
		done := int64(0)
		for j := range order {
			select {
			case <-j.done:
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := yield(&j.out); err != nil {
				return err
			}
			done += int64(len(j.examples))
			if opt.Progress != nil {
				opt.Progress(done, s.Rows)
			}
			select {
			case free <- j:
			default:
			}
		}
		return nil
	})
	return group.Wait()
}

func encodeBatch(enc Encoder, examples []Example, hasPair bool, maxLength int, out *Encoded) {
	out.IDs, out.Offsets = out.IDs[:0], append(out.Offsets[:0], 0)
	out.Second, out.Labels = out.Second[:0], out.Labels[:0]
	for i := range examples {
		var pair *string
		if hasPair {
			pair = &examples[i].Pair
		}
		ids, second := enc.Encode(out.IDs, examples[i].Text, pair, maxLength)
		out.IDs = ids
		out.Offsets = append(out.Offsets, int64(len(ids)))
		out.Second = append(out.Second, int32(second))
		out.Labels = append(out.Labels, examples[i].Label)
	}
}
