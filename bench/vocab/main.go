// Command vocab times, inside one process, what `pema vocab` does, and encoding alone: run.sh runs it beside Hugging Face's libraries.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"pema/datasets"
	"pema/datasets/vocabulary"
	"pema/models/checkpoint"
	"pema/models/tokenizer"
)

func main() {
	model := flag.String("model", "", "folder with a tokenizer and a config.json")
	hub := flag.String("hub", "", "folder laid out as the hub")
	dataset := flag.String("dataset", "", "glue/sst2, ...")
	splits := flag.String("splits", "", "train,validation,...")
	length := flag.Int("max-length", 128, "truncation in tokens")
	flag.Parse()
	if err := run(*model, *hub, *dataset, strings.Split(*splits, ","), *length); err != nil {
		fmt.Fprintln(os.Stderr, "vocab:", err)
		os.Exit(1)
	}
}

func run(model, hub, dataset string, splits []string, length int) error {
	ctx := context.Background()
	begin := now()
	cfg, err := checkpoint.ReadConfig(filepath.Join(model, "config.json"))
	if err != nil {
		return err
	}
	tok, err := tokenizer.Load(model)
	if err != nil {
		return err
	}
	loaded := now()
	ds, err := datasets.Open(ctx, dataset, datasets.Folder(hub), datasets.OpenOptions{Splits: splits})
	if err != nil {
		return err
	}
	u, err := vocabulary.Stream(ctx, ds, splits, datasets.Adapt(tok), cfg.VocabSize, datasets.EncodeOptions{MaxLength: length})
	if err != nil {
		return err
	}
	used := u.UsedSHA256()
	counted := now()

	var examples []datasets.Example
	for _, s := range ds.Splits {
		for x, err := range s.Examples(ctx) {
			if err != nil {
				return err
			}
			examples = append(examples, x)
		}
	}
	runtime.GC()
	ready := now()
	tokens := encode(tok, examples, ds.HasPair(), length)
	encoded := now()
	if tokens != u.Tokens() {
		return fmt.Errorf("%d tokens encoded, %d counted", tokens, u.Tokens())
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"load": loaded.wall - begin.wall, "whole": counted.wall - begin.wall, "whole_cpu": counted.cpu - begin.cpu,
		"encode": encoded.wall - ready.wall, "encode_cpu": encoded.cpu - ready.cpu, "examples": len(examples), "tokens": tokens, "used_sha256": used,
	})
}

// moment is a time of the clock and the CPU time that this process has used, in seconds.
type moment struct{ wall, cpu float64 }

func now() moment {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return moment{float64(time.Now().UnixNano()) / 1e9, float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9}
}

// encode turns examples into ids and keeps them, on all cores, with word caches that know nothing yet.
func encode(tok *tokenizer.Tokenizer, examples []datasets.Example, pairs bool, length int) int64 {
	const batch = 256
	var next, tokens atomic.Int64
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			e := tok.NewEncoder()
			var ids []int32
			for {
				at := int(next.Add(batch)) - batch
				if at >= len(examples) {
					tokens.Add(int64(len(ids)))
					return
				}
				for i := at; i < min(at+batch, len(examples)); i++ {
					var pair *string
					if pairs {
						pair = &examples[i].Pair
					}
					ids, _ = e.Encode(ids, examples[i].Text, pair, length)
				}
			}
		})
	}
	group.Wait()
	return tokens.Load()
}
