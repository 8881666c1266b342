package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"pema/datasets/hub"
	"pema/models/torch"
)

func doctorCommand() *cobra.Command {
	c := &cobra.Command{Use: "doctor", Short: "what is found, what is missing, how to mend it", Args: cobra.NoArgs}
	c.RunE = func(c *cobra.Command, _ []string) error {
		line := func(what, is string) { fmt.Fprintf(c.OutOrStdout(), "%-10s %s\n", what, is) }
		cuda := "cuda:0 is there"
		if _, err := torch.ParseDevice("cuda:0"); err != nil {
			cuda = fmt.Sprintf("not there, runs use the CPU (%v); on a CUDA machine: make setup CUDA=1", err)
		}
		line("code", codeVersion())
		line("libtorch", torch.Version())
		line("cuda", cuda)
		line("threads", fmt.Sprintf("%d of %d cores; OMP_NUM_THREADS sets them, OMP_WAIT_POLICY=passive helps on a shared machine", torch.Threads(), runtime.NumCPU()))
		for _, tool := range []string{"go", "g++", "make", "python3"} {
			if _, err := exec.LookPath(tool); err != nil {
				line(tool, "missing: needed to build (python3: to fetch packages once)")
			}
		}
		cache, err := cacheDir()
		if err != nil {
			return err
		}
		line("cache", cache+" (PEMA_CACHE)")
		sample := "not fetched: make sample"
		if _, err := os.Stat(filepath.Join(cache, "sample", ".done")); err == nil {
			sample = "ready"
		}
		line("sample", sample)
		home, err := os.UserHomeDir()
		if err != nil {
			return err
		}
		cfg, err := hub.ConfigFrom(os.Getenv, home)
		if err != nil {
			line("hub", err.Error())
			return nil
		}
		offline := ""
		if cfg.Offline {
			offline = ", offline (HF_HUB_OFFLINE)"
		}
		line("hub", fmt.Sprintf("%s (HF_ENDPOINT)%s, cache %s (HF_HOME)", cmp.Or(cfg.Endpoint, hub.DefaultEndpoint), offline, cfg.CacheDir))
		return nil
	}
	return c
}
