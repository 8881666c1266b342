package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"pema/datasets"
	"pema/datasets/hub"
	"pema/experiments"
)

// source is the hub as the environment or --hub names it; done ends its progress bars.
func source(c *cobra.Command) (src *experiments.Source, done func(), err error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, nil, err
	}
	cfg, err := hub.ConfigFrom(os.Getenv, home)
	if err != nil {
		return nil, nil, err
	}
	end := func() {}
	if f := c.Flag("hub"); f != nil && f.Value.String() != "" {
		if end, err = serveHub(&cfg, f.Value.String()); err != nil {
			return nil, nil, err
		}
	}
	d := &downloads{p: terminal(c.ErrOrStderr()), bars: map[string]*mpb.Bar{}}
	if d.p != nil {
		cfg.Progress = d.update
	}
	client, err := hub.New(cfg)
	if err != nil {
		return nil, nil, err
	}
	pins, err := experiments.Pins()
	if err != nil {
		return nil, nil, err
	}
	return &experiments.Source{Client: client, Pins: pins}, func() { d.close(); end() }, nil
}

// serveHub makes cfg use another hub: an address, or a folder that is served as a mirror within this process. What comes from a
// folder is cached apart, so that the user's own cache never holds it.
func serveHub(cfg *hub.Config, place string) (end func(), err error) {
	if strings.HasPrefix(place, "http://") || strings.HasPrefix(place, "https://") {
		cfg.Endpoint = place
		return func() {}, nil
	}
	dir, err := filepath.Abs(place)
	if err != nil {
		return nil, err
	}
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	m, err := hub.NewMirror(dir)
	if err != nil {
		return nil, usageError{err}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		m.Close()
		return nil, err
	}
	server := &http.Server{Handler: m, ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(l)
	sum := sha256.Sum256([]byte(dir))
	cfg.Endpoint, cfg.CacheDir = "http://"+l.Addr().String(), filepath.Join(cache, "hub-"+hex.EncodeToString(sum[:6]))
	return func() { server.Close(); m.Close() }, nil
}

// downloads shows one bar for each file under way.
type downloads struct {
	mu   sync.Mutex
	p    *mpb.Progress
	bars map[string]*mpb.Bar
}

func (d *downloads) update(x hub.Progress) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := x.Repo + "/" + x.Path
	b, ok := d.bars[key]
	if !ok {
		b = d.p.AddBar(x.Total, mpb.BarRemoveOnComplete(), mpb.PrependDecorators(decor.Name(key+" "), decor.CountersKibiByte("% .1f / % .1f")),
			mpb.AppendDecorators(decor.AverageSpeed(decor.SizeB1024(0), "% .1f")))
		d.bars[key] = b
	}
	b.SetCurrent(x.Done)
}

func (d *downloads) close() {
	if d.p == nil {
		return
	}
	for _, b := range d.bars {
		if !b.Completed() {
			b.Abort(true)
		}
	}
	d.p.Wait()
	d.p = nil
}

func fetchCommand() *cobra.Command {
	var to, pins, only string
	c := &cobra.Command{Use: "fetch SPEC...", Short: "everything a spec needs, for a machine without network"}
	c.Flags().StringVar(&to, "to", "", "folder laid out for pema mirror; else the hub cache is filled")
	c.Flags().StringVar(&only, "only", "", onlyHelp)
	c.Flags().StringVar(&pins, "update-pins", "", "write the newest dataset pins to this file instead")
	c.RunE = func(c *cobra.Command, args []string) error {
		src, done, err := source(c)
		if err != nil {
			return err
		}
		defer done()
		if pins != "" {
			p, err := datasets.UpdatePins(c.Context(), src.Client)
			if err != nil {
				return err
			}
			return os.WriteFile(pins, p.YAML(), 0o644)
		}
		if err := specArgs(c, args); err != nil {
			return err
		}
		runs, err := plan(c.Context(), args, only, src)
		if err != nil {
			return err
		}
		needs, missing, err := src.Needs(c.Context(), runs)
		if err != nil {
			return err
		}
		var want []hub.Want
		for _, n := range needs {
			want = append(want, n.Want)
		}
		if to != "" {
			err = src.Client.Collect(c.Context(), to, want)
		} else {
			_, err = src.Client.Files(c.Context(), want)
		}
		if err != nil {
			return err
		}
		done()
		fmt.Fprintf(c.ErrOrStderr(), "pema: %d files are there\n", len(want))
		if len(missing) > 0 {
			return fmt.Errorf("the hub does not have %s", strings.Join(missing, "; "))
		}
		return nil
	}
	return c
}

func mirrorCommand() *cobra.Command {
	var listen string
	c := &cobra.Command{Use: "mirror DIR", Short: "serve a fetched folder as a hub (HF_ENDPOINT)", Args: func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{errors.New("name the one folder to serve")}
		}
		return nil
	}}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8080", "address")
	c.RunE = func(c *cobra.Command, args []string) error {
		m, err := hub.NewMirror(args[0])
		if err != nil {
			return err
		}
		defer m.Close()
		l, err := net.Listen("tcp", listen)
		if err != nil {
			return err
		}
		server := &http.Server{Handler: m, ReadHeaderTimeout: 10 * time.Second}
		stop := context.AfterFunc(c.Context(), func() { server.Close() })
		defer stop()
		fmt.Fprintf(c.OutOrStdout(), "HF_ENDPOINT=http://%s\n", l.Addr())
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}
	return c
}
