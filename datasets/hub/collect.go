package hub

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Collect fetches files and lays them out below dir as a Mirror serves them: kind/org/name/path and, for each repository,
// the commit. A file that is there with the same size and hash is left alone; one repository has one commit.
func (c *Client) Collect(ctx context.Context, dir string, want []Want) error {
	commits := map[Repo]string{}
	files := make([]LocalFile, len(want))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(c.cfg.Parallel)
	for i, w := range want {
		group.Go(func() error {
			f, err := c.File(gctx, w.Repo, w.Path, w.Pin)
			if err != nil {
				return err
			}
			files[i] = f
			return place(f, filepath.Join(dir, string(w.Repo.Kind), filepath.FromSlash(w.Repo.ID), filepath.FromSlash(w.Path)))
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("collect to %s: %w", dir, err)
	}
	for i, w := range want {
		repo := Repo{Kind: w.Repo.Kind, ID: w.Repo.ID}
		if was, ok := commits[repo]; ok && was != files[i].Commit {
			return fmt.Errorf("collect to %s: %s is asked for at two commits, %s and %s; a mirror holds one", dir, repo, was, files[i].Commit)
		}
		commits[repo] = files[i].Commit
	}
	for repo, commit := range commits {
		path := filepath.Join(dir, string(repo.Kind), filepath.FromSlash(repo.ID), commitFile)
		if err := writeAtomic(path, strings.NewReader(commit+"\n")); err != nil {
			return fmt.Errorf("collect to %s: %w", dir, err)
		}
	}
	return nil
}

// place copies a cached file to its place in a mirror, unless it is there.
func place(f LocalFile, to string) error {
	if info, err := os.Stat(to); err == nil && info.Size() == f.Size {
		_, want, err := hashFile(f.Path, "")
		if err != nil {
			return err
		}
		if _, have, err := hashFile(to, ""); err == nil && have == want {
			return nil
		}
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return err
	}
	return copyFile(f.Path, to)
}
