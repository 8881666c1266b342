// Command interop is the Go half of run.sh: a mirror of a folder, and a client that fetches one file.
//
//	interop serve DIR                 serve DIR as a hub; prints the address
//	interop get ENDPOINT REPO FILE    fetch a dataset's file into HF_HOME's cache; prints its path
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"

	"pema/datasets/hub"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "serve":
		mirror, err := hub.NewMirror(args[1])
		if err != nil {
			return err
		}
		defer mirror.Close()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		fmt.Println("http://" + l.Addr().String())
		return http.Serve(l, mirror)
	case len(args) == 4 && args[0] == "get":
		cfg, err := hub.ConfigFrom(os.Getenv, os.Getenv("HOME"))
		if err != nil {
			return err
		}
		cfg.Endpoint = args[1]
		client, err := hub.New(cfg)
		if err != nil {
			return err
		}
		f, err := client.File(context.Background(), hub.Repo{Kind: hub.Dataset, ID: args[2]}, args[3], hub.Pin{})
		if err != nil {
			return err
		}
		fmt.Println(f.Path)
		return nil
	}
	return fmt.Errorf("usage: interop serve DIR | interop get ENDPOINT REPO FILE")
}
