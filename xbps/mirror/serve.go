package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"provision.internal/xbps"
)

// ServeHTTP answers requests for files of repositories, by their paths below
// upstream: current/x86_64-repodata, or @NAME/current/… for those of a snapshot.
func (m *Mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "read only", http.StatusMethodNotAllowed)
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/")
	if err := m.serve(w, r, path); err != nil {
		status, text := statusOf(err)
		if r.Context().Err() == nil {
			m.cfg.Log.Warn("no answer for a machine", "path", path, "peer", r.RemoteAddr, "status", status, "err", err)
		}
		http.Error(w, text, status)
	}
}

// statusOf maps an error to the answer. Texts of errors stay inside: machines are not
// operators.
func statusOf(err error) (int, string) {
	switch {
	case errors.Is(err, ErrFull):
		return http.StatusInsufficientStorage, "the mirror's disk is full"
	case errors.Is(err, ErrBroken):
		return http.StatusBadGateway, "upstream's file is not what its index names"
	case errors.Is(err, ErrUpstream):
		return http.StatusBadGateway, "upstream does not answer"
	case errors.Is(err, errClosed):
		return http.StatusServiceUnavailable, "the mirror is stopping"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, ErrVanished), errors.Is(err, ErrUnknown), errors.Is(err, ErrNone):
		return http.StatusNotFound, "not found"
	}
	return http.StatusInternalServerError, "the mirror could not answer; its log says why"
}

// serve returns an error as long as nothing was sent.
func (m *Mirror) serve(w http.ResponseWriter, r *http.Request, path string) error {
	l, ok := locate(path)
	if !ok {
		return fmt.Errorf("%q is no file of a repository: %w", path, fs.ErrNotExist)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if l.kind == indexFile {
		return m.serveIndex(w, r, l)
	}
	row, key, err := m.lookup(r.Context(), l)
	if err != nil {
		return err
	}
	upstream := join(l.repo, l.packageFile())
	if l.kind == signatureFile {
		s, err := m.signature(r.Context(), row, upstream, key)
		if err != nil {
			return err
		}
		http.ServeContent(w, r, "", s.modified, bytes.NewReader(s.content))
		return nil
	}
	return m.servePackage(w, r, row, upstream, key)
}

func (m *Mirror) serveIndex(w http.ResponseWriter, r *http.Request, l location) error {
	var x Index
	var err error
	if l.snapshot != "" {
		x, err = m.frozen(l)
	} else {
		x, err = m.indexAt(r.Context(), l.path())
	}
	if err != nil {
		return err
	}
	f, err := m.openIndex(x)
	if err != nil && l.snapshot == "" && errors.Is(err, fs.ErrNotExist) {
		f, x, err = m.refetched(r.Context(), l.path())
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if l.snapshot == "" {
		w.Header().Set("Cache-Control", "no-cache") // whatever stands between asks again
	}
	w.Header().Set("ETag", `"`+x.SHA256+`"`)
	http.ServeContent(w, r, "", x.Modified, f)
	return nil
}

// refetched replaces a live index that was damaged.
func (m *Mirror) refetched(ctx context.Context, path string) (*os.File, Index, error) {
	if err := m.revalidate(ctx, path); err != nil {
		return nil, Index{}, err
	}
	x, err := m.indexAt(ctx, path)
	if err != nil {
		return nil, x, err
	}
	f, err := m.openIndex(x)
	return f, x, err
}

// frozen returns the index of a snapshot that l is, or that its package is in.
func (m *Mirror) frozen(l location) (Index, error) {
	s, err := m.Named(l.snapshot)
	if err != nil {
		return Index{}, err
	}
	x, ok := s.Indexes[join(l.repo, xbps.IndexName(l.arch))]
	if !ok {
		return Index{}, fmt.Errorf("the snapshot %s has no %s for %s: %w", s.Name, l.repo, l.arch, fs.ErrNotExist)
	}
	return x, nil
}

// lookup finds the package of l in the indexes that may name it.
func (m *Mirror) lookup(ctx context.Context, l location) (row, string, error) {
	for _, x := range m.candidates(ctx, l) {
		t, err := m.table(x)
		if err != nil {
			return row{}, "", err
		}
		if r, ok := t.find(l.packageFile()); ok {
			return r, t.key, nil
		}
	}
	return row{}, "", fmt.Errorf("no index of %s names %s: %w", l.repo, l.packageFile(), fs.ErrNotExist)
}

// candidates are the indexes that may name l's package: for the live view the live one and then those
// of the snapshots, the newest first, since a machine may hold an older index.
func (m *Mirror) candidates(ctx context.Context, l location) []Index {
	paths := m.pathsFor(l)
	if l.snapshot != "" {
		s, err := m.Named(l.snapshot)
		if err != nil {
			return nil
		}
		return s.at(paths)
	}
	var all []Index
	for _, path := range paths {
		if x, err := m.indexAt(ctx, path); err == nil {
			all = append(all, x)
		}
	}
	for _, s := range m.Snapshots() {
		all = append(all, s.at(paths)...)
	}
	return all
}

// at returns the indexes that s has at paths.
func (s Snapshot) at(paths []string) []Index {
	var all []Index
	for _, path := range paths {
		if x, ok := s.Indexes[path]; ok {
			all = append(all, x)
		}
	}
	return all
}

// pathsFor are the paths of the indexes that l's package may be in. One for every
// architecture is in the indexes of all.
func (m *Mirror) pathsFor(l location) []string {
	if l.arch != "noarch" {
		return []string{join(l.repo, xbps.IndexName(l.arch))}
	}
	paths := map[string]bool{}
	add := func(path string) {
		if at, ok := locate(path); ok && at.repo == l.repo {
			paths[path] = true
		}
	}
	for _, r := range m.cfg.Repositories {
		add(r.path())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for path := range m.live {
		add(path)
	}
	for _, s := range m.snapshots {
		for path := range s.Indexes {
			add(path)
		}
	}
	return slices.Sorted(maps.Keys(paths))
}

// servePackage serves a package that is kept, or that is on its way.
func (m *Mirror) servePackage(w http.ResponseWriter, r *http.Request, p row, path, key string) error {
	const forever = "public, max-age=31536000, immutable"
	if s, ok := m.onShelf(r.Context(), p); ok {
		m.counts.hits.Add(1)
		w.Header().Set("Cache-Control", forever)
		http.ServeContent(w, r, "", s.modified, bytes.NewReader(s.content))
		return nil
	}
	f, t, at, err := m.obtain(r.Context(), p, path, key)
	switch {
	case err != nil:
		return err
	case f != nil:
		defer f.Close()
		m.counts.hits.Add(1)
		w.Header().Set("Cache-Control", forever)
		http.ServeContent(w, r, "", at, f)
		return nil
	}
	defer t.release()
	// A transfer that breaks leaves the answer shorter than its Content-Length,
	// which closes the connection: the machine sees that it has not all of it.
	http.ServeContent(w, r, "", t.modified, &feed{transfer: t, ctx: r.Context()})
	return nil
}

// obtain opens p where it is kept, or returns its transfer once upstream has
// begun to send, which the caller must release.
func (m *Mirror) obtain(ctx context.Context, p row, path, key string) (*os.File, *transfer, time.Time, error) {
	for {
		f, info, err := m.openKept(ctx, p)
		if err == nil {
			return f, nil, info.ModTime(), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, time.Time{}, err
		}
		t, err := m.fetch(ctx, p, path, key)
		if err != nil {
			return nil, nil, time.Time{}, err
		}
		if t == nil {
			continue // it has been kept meanwhile
		}
		select {
		case <-t.ready:
		case <-ctx.Done():
			t.release()
			return nil, nil, time.Time{}, ctx.Err()
		}
		if err := t.failed(); err != nil {
			t.release()
			return nil, nil, time.Time{}, err
		}
		return nil, t, t.modified, nil
	}
}
