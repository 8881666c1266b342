// Command pema measures what Partial Embedding Matrix Adaptation saves, and shows that the result stays the same.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"pema/experiments"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
	exitMissed  = 3 // a tolerance or an equality was missed
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

type usageError struct{ error }

func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	root := &cobra.Command{
		Use: "pema", Short: "fine-tune with only the embedding rows that your data uses",
		SilenceErrors: true, SilenceUsage: true,
	}
	root.PersistentFlags().String("hub", "", "another hub: its address, or a folder laid out as one (else HF_ENDPOINT)")
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(planCommand(), runCommand(), reportCommand(), vocabCommand(), encodeCommand(), estimateCommand(), verifyCommand(), restoreCommand(), fetchCommand(), mirrorCommand(), doctorCommand())
	root.AddCommand(submitCommand(), exportCommand(), resultsCommand(), checkCommand())
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(errOut, "pema: error: %v\n", err)
	var usage usageError
	var spec *experiments.SpecError
	if errors.As(err, &usage) || errors.As(err, &spec) {
		return exitUsage
	}
	var missed missedError
	if errors.As(err, &missed) {
		return exitMissed
	}
	return exitFailure
}

// cacheDir is the per-user cache, shared with the set-up scripts.
func cacheDir() (string, error) {
	if d := os.Getenv("PEMA_CACHE"); d != "" {
		return d, nil
	}
	d, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder: %w; hint: set PEMA_CACHE", err)
	}
	return d + "/pema", nil
}
