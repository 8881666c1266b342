package hub

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// commitFile, in a repository's folder of a mirror, holds the commit that its files were collected at.
const commitFile = ".commit"

// Mirror serves a folder laid out as kind/org/name/path (what Collect writes) as a hub: repository information, listing,
// resolve with Range. It answers to the commit in the folder's .commit file, or to one made of the files' hashes, and to
// every branch name; an unknown full commit is answered too, and echoed, since a mirror holds one version and clients pin
// by content.
type Mirror struct {
	root *os.Root

	mu     sync.Mutex
	hashes map[string]fileHash
	busy   sync.Mutex // one file is hashed at a time, and by one request
}

type fileHash struct {
	size    int64
	changed time.Time
	sha256  string
	git     string
}

// NewMirror opens a folder. Close it after use.
func NewMirror(dir string) (*Mirror, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open mirror: %w", err)
	}
	return &Mirror{root: root, hashes: map[string]fileHash{}}, nil
}

// Close frees the folder.
func (m *Mirror) Close() error { return m.root.Close() }

// Repos lists the repositories of the folder.
func (m *Mirror) Repos() ([]Repo, error) {
	var repos []Repo
	for _, kind := range []Kind{Model, Dataset} {
		names, err := fs.Glob(m.root.FS(), string(kind)+"/*/*")
		if err != nil {
			return nil, fmt.Errorf("list mirror: %w", err)
		}
		for _, n := range names {
			repos = append(repos, Repo{Kind: kind, ID: strings.TrimPrefix(n, string(kind)+"/")})
		}
	}
	return repos, nil
}

// ServeHTTP answers as the hub does.
func (m *Mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	for i, p := range parts {
		u, err := url.PathUnescape(p)
		if err != nil {
			hubError(w, http.StatusBadRequest, "", "bad address")
			return
		}
		parts[i] = u
	}
	kind := Model
	api := parts[0] == "api"
	if api {
		parts = parts[1:]
	}
	switch {
	case len(parts) > 0 && (parts[0] == "datasets" || parts[0] == "models"):
		kind, parts = Kind(parts[0]), parts[1:]
	case api:
		hubError(w, http.StatusNotFound, "", "no such address")
		return
	}
	if len(parts) < 2 {
		hubError(w, http.StatusNotFound, "RepoNotFound", "Repository Not Found")
		return
	}
	repo := Repo{Kind: kind, ID: parts[0] + "/" + parts[1]}
	if info, err := m.stat(repo, ""); repo.check() != nil || err != nil || !info.IsDir() {
		hubError(w, http.StatusNotFound, "RepoNotFound", "Repository Not Found: the mirror has no "+repo.String())
		return
	}
	parts = parts[2:]
	if api {
		m.serveAPI(w, r, repo, parts)
		return
	}
	if len(parts) < 3 || parts[0] != "resolve" {
		hubError(w, http.StatusNotFound, "", "no such address")
		return
	}
	repo.Revision = parts[1]
	m.serveFile(w, r, repo, strings.Join(parts[2:], "/"))
}

func hubError(w http.ResponseWriter, code int, name, message string) {
	if name != "" {
		w.Header().Set("X-Error-Code", name)
	}
	w.Header().Set("X-Error-Message", message)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(map[string]string{"error": message})
}

func (m *Mirror) stat(repo Repo, file string) (fs.FileInfo, error) {
	return m.root.Stat(path.Join(string(repo.Kind), repo.ID, file))
}

func (m *Mirror) serveFile(w http.ResponseWriter, r *http.Request, repo Repo, file string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		hubError(w, http.StatusMethodNotAllowed, "", "only GET and HEAD")
		return
	}
	commit, err := m.commit(repo)
	if err != nil {
		hubError(w, http.StatusInternalServerError, "", err.Error())
		return
	}
	w.Header().Set("X-Repo-Commit", commit)
	name := path.Join(string(repo.Kind), repo.ID, file)
	if !safePath(file) || file == commitFile {
		hubError(w, http.StatusNotFound, "EntryNotFound", "Entry not found")
		return
	}
	f, err := m.root.Open(name)
	if err != nil {
		hubError(w, http.StatusNotFound, "EntryNotFound", "Entry not found: the mirror has no "+file)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		hubError(w, http.StatusNotFound, "EntryNotFound", "Entry not found")
		return
	}
	h, err := m.hash(name)
	if err != nil {
		hubError(w, http.StatusInternalServerError, "", err.Error())
		return
	}
	etag := h.git
	if isLarge(file, h.size) {
		etag = h.sha256
		w.Header().Set("X-Linked-Etag", `"`+etag+`"`)
		w.Header().Set("X-Linked-Size", fmt.Sprint(h.size))
	}
	w.Header().Set("ETag", `"`+etag+`"`)
	typ := mime.TypeByExtension(path.Ext(file))
	if typ == "" {
		typ = "application/octet-stream"
	}
	w.Header().Set("Content-Type", typ)
	http.ServeContent(w, r, "", time.Time{}, f)
}

// isLarge says which files the hub keeps outside git, named by SHA-256: binary formats, and all of some size.
func isLarge(file string, size int64) bool {
	switch path.Ext(file) {
	case ".parquet", ".safetensors", ".bin", ".model", ".h5", ".gz", ".zip":
		return true
	}
	return size >= 10<<20
}

// hash returns a file's hashes, computed once for each size and time.
func (m *Mirror) hash(name string) (fileHash, error) {
	info, err := m.root.Stat(name)
	if err != nil {
		return fileHash{}, err
	}
	known := func() (fileHash, bool) {
		m.mu.Lock()
		defer m.mu.Unlock()
		h, ok := m.hashes[name]
		return h, ok && h.size == info.Size() && h.changed.Equal(info.ModTime())
	}
	if h, ok := known(); ok {
		return h, nil
	}
	m.busy.Lock()
	defer m.busy.Unlock()
	if h, ok := known(); ok {
		return h, nil
	}
	f, err := m.root.Open(name)
	if err != nil {
		return fileHash{}, err
	}
	defer f.Close()
	large, small := sha256.New(), sha1.New()
	fmt.Fprintf(small, "blob %d\x00", info.Size())
	if _, err := io.CopyBuffer(io.MultiWriter(large, small), struct{ io.Reader }{f}, make([]byte, 1<<20)); err != nil {
		return fileHash{}, err
	}
	h := fileHash{info.Size(), info.ModTime(), sum(large), sum(small)}
	m.mu.Lock()
	m.hashes[name] = h
	m.mu.Unlock()
	return h, nil
}

func sum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// files lists a repository's files in order.
func (m *Mirror) files(repo Repo) ([]string, error) {
	var files []string
	base := path.Join(string(repo.Kind), repo.ID)
	err := fs.WalkDir(m.root.FS(), base, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(p, base+"/")
		if d.IsDir() || name == commitFile || !safePath(name) {
			return nil
		}
		if info, err := m.root.Stat(p); err == nil && info.Mode().IsRegular() { // a link may lead out of the folder
			files = append(files, name)
		}
		return nil
	})
	slices.Sort(files)
	return files, err
}

// commit is what a repository answers to be at.
func (m *Mirror) commit(repo Repo) (string, error) {
	if isHex(repo.revision(), 40) {
		return repo.revision(), nil
	}
	base := path.Join(string(repo.Kind), repo.ID)
	b, err := m.root.ReadFile(path.Join(base, commitFile))
	if commit := strings.TrimSpace(string(b)); err == nil && isHex(commit, 40) {
		return commit, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	files, err := m.files(repo)
	if err != nil {
		return "", err
	}
	all := sha1.New()
	for _, f := range files {
		h, err := m.hash(path.Join(base, f))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(all, "%s %s\n", h.sha256, f)
	}
	return sum(all), nil
}

// entry is a file or folder in the hub's JSON.
type entry struct {
	Type string    `json:"type"`
	OID  string    `json:"oid"`
	Size int64     `json:"size"`
	Path string    `json:"path"`
	LFS  *entryLFS `json:"lfs,omitempty"`
}

type entryLFS struct {
	OID         string `json:"oid"`
	SHA256      string `json:"sha256"`
	Size        int64  `json:"size"`
	PointerSize int64  `json:"pointerSize"`
}

func (m *Mirror) entry(repo Repo, file string) (entry, error) {
	h, err := m.hash(path.Join(string(repo.Kind), repo.ID, file))
	if err != nil {
		return entry{}, err
	}
	e := entry{Type: "file", OID: h.git, Size: h.size, Path: file}
	if isLarge(file, h.size) {
		pointer := fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", h.sha256, h.size)
		oid := sha1.New()
		fmt.Fprintf(oid, "blob %d\x00%s", len(pointer), pointer)
		e.OID = sum(oid)
		e.LFS = &entryLFS{OID: h.sha256, SHA256: h.sha256, Size: h.size, PointerSize: int64(len(pointer))}
	}
	return e, nil
}

// folder is the entry of a folder; its id only has to be stable.
func folder(name string) entry {
	return entry{Type: "directory", OID: fmt.Sprintf("%x", sha1.Sum([]byte(name))), Path: name}
}

func (m *Mirror) serveAPI(w http.ResponseWriter, r *http.Request, repo Repo, parts []string) {
	verb := ""
	if len(parts) > 0 {
		verb = parts[0]
	}
	if len(parts) > 1 {
		repo.Revision = parts[1]
	}
	if err := repo.check(); err != nil {
		hubError(w, http.StatusNotFound, "RevisionNotFound", "Invalid rev id")
		return
	}
	var answer any
	var err error
	switch {
	case (verb == "" || verb == "revision") && len(parts) <= 2:
		answer, err = m.info(repo)
	case verb == "tree" && len(parts) >= 2:
		answer, err = m.tree(repo, strings.Join(parts[2:], "/"), truth(r.URL.Query().Get("recursive")))
	case verb == "paths-info" && r.Method == http.MethodPost:
		answer, err = m.pathsInfo(repo, r)
	case verb == "refs":
		var commit string
		commit, err = m.commit(Repo{Kind: repo.Kind, ID: repo.ID})
		answer = map[string]any{
			"branches": []map[string]string{{"name": "main", "ref": "refs/heads/main", "targetCommit": commit}},
			"tags":     []string{}, "converts": []string{},
		}
	default:
		hubError(w, http.StatusNotFound, "", "the mirror does not know this address")
		return
	}
	if errors.Is(err, fs.ErrNotExist) {
		hubError(w, http.StatusNotFound, "EntryNotFound", "Entry not found")
		return
	}
	if err != nil {
		hubError(w, http.StatusInternalServerError, "", err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(answer)
}

func (m *Mirror) info(repo Repo) (any, error) {
	commit, err := m.commit(repo)
	if err != nil {
		return nil, err
	}
	files, err := m.files(repo)
	if err != nil {
		return nil, err
	}
	type sibling struct {
		Name   string    `json:"rfilename"`
		Size   int64     `json:"size"`
		BlobID string    `json:"blobId"`
		LFS    *entryLFS `json:"lfs,omitempty"`
	}
	siblings := []sibling{}
	for _, f := range files {
		e, err := m.entry(repo, f)
		if err != nil {
			return nil, err
		}
		siblings = append(siblings, sibling{f, e.Size, e.OID, e.LFS})
	}
	author, _, _ := strings.Cut(repo.ID, "/")
	return map[string]any{
		"_id": commit[:24], "id": repo.ID, "modelId": repo.ID, "author": author, "sha": commit, "siblings": siblings,
		"private": false, "gated": false, "disabled": false, "downloads": 0, "likes": 0, "tags": []string{},
		"lastModified": "1970-01-01T00:00:00.000Z", "createdAt": "1970-01-01T00:00:00.000Z",
	}, nil
}

// tree lists the files below a folder, with the folders between when recursive is set, else its direct entries.
func (m *Mirror) tree(repo Repo, below string, recursive bool) (any, error) {
	files, err := m.files(repo)
	if err != nil {
		return nil, err
	}
	entries, seen := []entry{}, map[string]bool{}
	for _, f := range files {
		rest := f
		if below != "" {
			var ok bool
			if rest, ok = strings.CutPrefix(f, below+"/"); !ok {
				continue
			}
		}
		parts := strings.Split(rest, "/")
		for i := 1; i < len(parts) && (recursive || i == 1); i++ {
			if dir := path.Join(below, strings.Join(parts[:i], "/")); !seen[dir] {
				seen[dir] = true
				entries = append(entries, folder(dir))
			}
		}
		if len(parts) > 1 && !recursive {
			continue
		}
		e, err := m.entry(repo, f)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	if len(entries) == 0 && below != "" {
		return nil, fs.ErrNotExist
	}
	return entries, nil
}

// maxRequest bounds the body of a request.
const maxRequest = 1 << 20

// pathsInfo describes the paths that a client asks for, as form or JSON; those that are not there are left out.
func (m *Mirror) pathsInfo(repo Repo, r *http.Request) (any, error) {
	b, err := io.ReadAll(io.LimitReader(r.Body, maxRequest))
	if err != nil {
		return nil, err
	}
	var paths []string
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		var body struct {
			Paths []string `json:"paths"`
		}
		if err := json.Unmarshal(b, &body); err != nil {
			return nil, err
		}
		paths = body.Paths
	} else {
		form, err := url.ParseQuery(string(b))
		if err != nil {
			return nil, err
		}
		paths = form["paths"]
	}
	entries := []entry{}
	for _, p := range paths {
		if !safePath(p) || p == commitFile {
			continue
		}
		info, err := m.stat(repo, p)
		switch {
		case err != nil:
		case info.IsDir():
			entries = append(entries, folder(p))
		default:
			e, err := m.entry(repo, p)
			if err != nil {
				return nil, err
			}
			entries = append(entries, e)
		}
	}
	return entries, nil
}
