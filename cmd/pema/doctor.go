package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"pema/models/torch"
)

func doctorCommand() *cobra.Command {
	c := &cobra.Command{Use: "doctor", Short: "what is found, what is missing, how to mend it", Args: cobra.NoArgs}
	c.RunE = func(c *cobra.Command, _ []string) error {
		line := func(what, is string) { fmt.Fprintf(c.OutOrStdout(), "%-10s %s\n", what, is) }
		cuda := "not there: runs use the CPU"
		if d, err := torch.ParseDevice("cuda:0"); err == nil {
			cuda = d.String()
		}
		line("code", codeVersion())
		line("libtorch", torch.Version())
		line("cuda", cuda)
		line("threads", fmt.Sprintf("%d (%d cores)", torch.Threads(), runtime.NumCPU()))
		cache, err := cacheDir()
		if err != nil {
			return err
		}
		line("cache", cache)
		sample := "not fetched: run make sample"
		if _, err := os.Stat(filepath.Join(cache, "sample", ".done")); err == nil {
			sample = "ready"
		}
		line("sample", sample)
		return nil
	}
	return c
}
