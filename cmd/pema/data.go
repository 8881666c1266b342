package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"pema/datasets"
	"pema/experiments"
	"pema/models/tokenizer"
)

// text names what is counted or encoded: a registered dataset, or columns of a local file.
type text struct {
	dataset, file, columns, splits string
}

func (t *text) flags(c *cobra.Command) {
	c.Flags().StringVar(&t.dataset, "dataset", "", "glue/cola, xnli/de, xnli/all, ...")
	c.Flags().StringVar(&t.file, "file", "", "CSV, TSV, JSONL or Parquet file, instead of a dataset")
	c.Flags().StringVar(&t.columns, "columns", "", "text[,text_pair] of the file: names, or numbers from 1 without a header")
	c.Flags().StringVar(&t.splits, "splits", "", "train,validation,...; all if not given")
}

// open opens it, with the splits to count.
func (t *text) open(ctx context.Context, src *experiments.Source) (*datasets.Dataset, []string, error) {
	var splits []string
	if t.splits != "" {
		splits = strings.Split(t.splits, ",")
	}
	var ds *datasets.Dataset
	var err error
	switch {
	case t.dataset != "" && t.file == "":
		ds, err = src.Dataset(ctx, t.dataset, splits)
	case t.file != "" && t.columns != "" && t.dataset == "":
		first, pair, _ := strings.Cut(t.columns, ",")
		ds, err = datasets.OpenFile(ctx, t.file, datasets.Columns{Text: first, Pair: pair}, datasets.FileOptions{})
	default:
		return nil, nil, usageError{errors.New("name either --dataset, or --file with --columns")}
	}
	if err != nil {
		return nil, nil, err
	}
	if splits == nil {
		splits = ds.SplitNames()
	}
	return ds, splits, nil
}

func encodeCommand() *cobra.Command {
	var model string
	var pair bool
	var maxLength int
	c := &cobra.Command{Use: "encode", Short: "text lines on stdin to JSON id lists", Args: cobra.NoArgs}
	c.Flags().StringVar(&model, "model", "", "hub id or folder")
	c.Flags().BoolVar(&pair, "pair", false, "a tab parts a line into a pair")
	c.Flags().IntVar(&maxLength, "max-length", 128, "truncation in tokens; 0: none")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if model == "" {
			return usageError{errors.New("--model is needed")}
		}
		src, done, err := source(c)
		if err != nil {
			return err
		}
		dir, _, err := src.Model(c.Context(), model, experiments.Tokenize)
		done()
		if err != nil {
			return err
		}
		tok, err := tokenizer.Load(dir)
		if err != nil {
			return err
		}
		e := tok.NewEncoder()
		in, out := bufio.NewReader(c.InOrStdin()), bufio.NewWriter(c.OutOrStdout())
		defer out.Flush()
		enc := json.NewEncoder(out)
		var ids []int32
		for n := 1; ; n++ {
			line, err := in.ReadString('\n')
			if line == "" && err != nil {
				return out.Flush()
			}
			line = strings.TrimSuffix(line, "\n")
			var second *string
			if pair {
				a, b, ok := strings.Cut(line, "\t")
				if !ok {
					return fmt.Errorf("line %d has no tab between a pair", n)
				}
				line, second = a, &b
			}
			ids, _ = e.Encode(ids[:0], line, second, maxLength)
			if err := enc.Encode(ids); err != nil {
				return err
			}
		}
	}
	return c
}
