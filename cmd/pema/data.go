package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"pema/datasets"
	"pema/datasets/vocabulary"
	"pema/experiments"
	"pema/models/checkpoint"
	"pema/models/tokenizer"
)

func vocabCommand() *cobra.Command {
	var model, file, columns string
	var maxLength int
	var asJSON bool
	c := &cobra.Command{Use: "vocab", Short: "which rows of the embedding matrix a dataset uses", Args: cobra.NoArgs}
	c.Flags().StringVar(&model, "model", "", "model folder")
	c.Flags().StringVar(&file, "file", "", "CSV, TSV, JSONL or Parquet file")
	c.Flags().StringVar(&columns, "columns", "", "text[,text_pair]: names, or numbers from 1 in a file without a header")
	c.Flags().IntVar(&maxLength, "max-length", 128, "truncation in tokens; 0: none")
	c.Flags().BoolVar(&asJSON, "json", false, "for programs")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if model == "" || file == "" || columns == "" {
			return usageError{errors.New("--model, --file and --columns are needed")}
		}
		text, pair, _ := strings.Cut(columns, ",")
		cfg, err := checkpoint.ReadConfig(filepath.Join(model, "config.json"))
		if err != nil {
			return err
		}
		tok, err := tokenizer.Load(model)
		if err != nil {
			return err
		}
		ds, err := datasets.OpenFile(c.Context(), file, datasets.Columns{Text: text, Pair: pair}, datasets.FileOptions{})
		if err != nil {
			return err
		}
		u, err := vocabulary.Stream(c.Context(), ds, ds.SplitNames(), experiments.Tokens{Tokenizer: tok}, cfg.VocabSize, datasets.EncodeOptions{MaxLength: maxLength})
		if err != nil {
			return err
		}
		used := len(u.Used())
		if asJSON {
			return json.NewEncoder(c.OutOrStdout()).Encode(map[string]any{"model": model, "dataset": file, "splits": ds.SplitNames(),
				"max_length": maxLength, "examples": u.Examples(), "tokens": u.Tokens(), "rows": cfg.VocabSize, "used": used, "used_sha256": u.UsedSHA256()})
		}
		fmt.Fprintf(c.OutOrStdout(), "%d of %d rows used (%.1f %%) by %d examples, %d tokens: PEMA leaves out %.1f %% of the embedding matrix\n",
			used, cfg.VocabSize, 100*float64(used)/float64(cfg.VocabSize), u.Examples(), u.Tokens(), 100*(1-float64(used)/float64(cfg.VocabSize)))
		return nil
	}
	return c
}

func encodeCommand() *cobra.Command {
	var model string
	var pair bool
	var maxLength int
	c := &cobra.Command{Use: "encode", Short: "text lines on stdin to JSON id lists", Args: cobra.NoArgs}
	c.Flags().StringVar(&model, "model", "", "model folder")
	c.Flags().BoolVar(&pair, "pair", false, "a tab parts a line into a pair")
	c.Flags().IntVar(&maxLength, "max-length", 128, "truncation in tokens; 0: none")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if model == "" {
			return usageError{errors.New("--model is needed")}
		}
		tok, err := tokenizer.Load(model)
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
