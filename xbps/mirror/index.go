package mirror

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"provision.internal/xbps"
)

// liveIndex is what upstream's index at one path was when it was last asked.
type liveIndex struct {
	Index
	ETag    string    `json:"etag,omitempty"`
	Checked time.Time `json:"checked"` // when upstream last said that it is the one
}

// Index names one kept index.
type Index struct {
	SHA256   string    `json:"sha256"`
	Modified time.Time `json:"modified"` // as upstream said
}

// maxIndex bounds an index as it is sent; Void's largest has some 2 MB.
const maxIndex = 64 << 20

// indexTime bounds the fetching and reading of one index.
const indexTime = 2 * time.Minute

// indexAt returns the live index at path, which is revalidated when it is older than
// Config.Revalidate. When upstream does not answer, or its index is refused, the
// kept one serves on.
func (m *Mirror) indexAt(ctx context.Context, path string) (Index, error) {
	m.mu.Lock()
	cur, ok := m.live[path]
	s, imported := m.newest(func(s Snapshot) bool { _, ok := s.Indexes[path]; return ok })
	m.mu.Unlock()
	if m.cfg.Upstream == nil && imported {
		return s.Indexes[path], nil // what was imported last is what is live here
	}
	if ok && m.cfg.Now().Sub(cur.Checked) < m.cfg.Revalidate {
		return cur.Index, nil
	}
	err := m.revalidate(ctx, path)
	m.mu.Lock()
	defer m.mu.Unlock()
	if cur, ok := m.live[path]; ok {
		return cur.Index, nil
	}
	if imported {
		return s.Indexes[path], nil
	}
	return Index{}, err
}

// revalidate asks upstream whether the live index at path is still its index, and
// fetches it if not.
func (m *Mirror) revalidate(ctx context.Context, path string) error {
	if m.cfg.Upstream == nil {
		return fmt.Errorf("%s: %w: there is no upstream, and no import has brought it", path, ErrVanished)
	}
	return m.shared(ctx, "index "+path, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, indexTime)
		defer cancel()
		if err := m.refresh(ctx, path); err != nil {
			err = fmt.Errorf("index %s: %w", path, err)
			m.recheckLater(path)
			// A path that nobody has heard of is no news.
			if !errors.Is(err, ErrVanished) || m.expects(path) {
				m.complain(err)
			}
			return err
		}
		return nil
	})
}

// expects reports whether there should be an index at path.
func (m *Mirror) expects(path string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.live[path]
	return ok || slices.ContainsFunc(m.cfg.Repositories, func(r Repository) bool { return r.path() == path })
}

// recheckLater has the kept index served for a while before upstream is asked again: machines
// must not wait for its silence one after another.
func (m *Mirror) recheckLater(path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if cur, ok := m.live[path]; ok {
		cur.Checked = m.cfg.Now()
		m.live[path] = cur
	}
}

func (m *Mirror) refresh(ctx context.Context, path string) error {
	m.mu.Lock()
	cur, known := m.live[path]
	m.mu.Unlock()
	header := http.Header{}
	if known && m.haveIndex(cur.Index) {
		if cur.ETag != "" {
			header.Set("If-None-Match", cur.ETag)
		}
		if !cur.Modified.IsZero() {
			header.Set("If-Modified-Since", cur.Modified.UTC().Format(http.TimeFormat))
		}
	}
	res, err := m.get(ctx, path, header)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }() // what was read is what counts
	if res.StatusCode == http.StatusNotModified && len(header) > 0 {
		cur.Checked = m.cfg.Now()
		return m.setLive(path, cur)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: it answered %s", ErrUpstream, res.Status)
	}
	next := liveIndex{ETag: res.Header.Get("ETag"), Checked: m.cfg.Now()}
	if at, err := http.ParseTime(res.Header.Get("Last-Modified")); err == nil {
		next.Modified = at
	}
	return m.takeIndex(path, res.Body, cur, next)
}

// takeIndex reads, verifies and keeps the index next, which follows cur.
func (m *Mirror) takeIndex(path string, body io.Reader, cur, next liveIndex) error {
	f, err := m.incoming()
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing is there once it is kept
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), io.LimitReader(body, maxIndex+1))
	switch {
	case err != nil:
		return fullDisk(fmt.Errorf("%w: %w", ErrUpstream, err))
	case n > maxIndex:
		return fmt.Errorf("%w: it has more than %d MiB", ErrBroken, maxIndex>>20)
	}
	next.SHA256 = digest(sum.Sum(nil)).String()
	if next.SHA256 == cur.SHA256 && m.haveIndex(cur.Index) {
		return m.setLive(path, next)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	table, err := m.readIndex(f, func(x *xbps.Index) error { return m.checkAge(cur, next, x) })
	if err != nil {
		return err
	}
	m.keeping.Lock()
	defer m.keeping.Unlock()
	if err := m.keepIndex(f, next.Index, table); err != nil {
		return err
	}
	return m.setLive(path, next)
}

// readIndex reads an index, holds it to the trusted keys and to check, and makes its table.
func (m *Mirror) readIndex(r io.Reader, check func(*xbps.Index) error) (*table, error) {
	// Reading an index takes a hundred times what the table holds.
	defer debug.FreeOSMemory()
	x, err := xbps.ReadIndex(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	m.mu.Lock()
	keys := m.keys
	m.mu.Unlock()
	if err := x.Trusted(keys); err != nil {
		return nil, fmt.Errorf("%w: %w; compare the fingerprint with what voidlinux.org publishes, then put the key's file with the others into the folder images.keys, and start provision again", ErrBroken, err)
	}
	if err := check(x); err != nil {
		return nil, err
	}
	t, err := newTable(x)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	return t, nil
}

// checkAge refuses an index older than the kept one: indexes are not signed, and who can
// replay an old one can keep security updates from machines.
func (m *Mirror) checkAge(cur, next liveIndex, x *xbps.Index) error {
	if cur.SHA256 == "" || !m.haveIndex(cur.Index) {
		return nil
	}
	const do = "the kept one serves on; if upstream really went back, stop provision and remove live.json from the mirror's folder"
	if !cur.Modified.IsZero() && !next.Modified.IsZero() && next.Modified.Before(cur.Modified) {
		return fmt.Errorf("%w: it is of %s, the kept one of %s; %s", ErrOlder, next.Modified.UTC().Format(time.RFC3339), cur.Modified.UTC().Format(time.RFC3339), do)
	}
	old, err := m.table(cur.Index)
	if err != nil {
		return err
	}
	up, down := changes(old, x)
	if down > up {
		return fmt.Errorf("%w: %d packages are older than in the kept one, %d are newer; %s", ErrOlder, down, up, do)
	}
	return nil
}

// changes counts the packages that got newer and older from old to x. A package that says which
// versions it takes back is neither.
func changes(old *table, x *xbps.Index) (up, down int) {
	for _, r := range old.rows {
		pkgver := r.file[:strings.LastIndexByte(strings.TrimSuffix(r.file, ".xbps"), '.')]
		name, version, _ := xbps.SplitPkgver(pkgver)
		p, ok := x.Packages[name]
		if !ok {
			continue
		}
		switch xbps.Compare(p.Version(), version) {
		case 1:
			up++
		case -1:
			if !slices.Contains(p.Reverts, version) {
				down++
			}
		}
	}
	return up, down
}

func (m *Mirror) setLive(path string, x liveIndex) error {
	m.mu.Lock()
	before := m.live[path]
	m.live[path] = x
	live := maps.Clone(m.live)
	m.mu.Unlock()
	if before.Index == x.Index && before.ETag == x.ETag {
		return nil // only asked again: not worth a write
	}
	m.cfg.Log.Info("upstream has a new index", "index", path, "modified", x.Modified)
	return m.writeJSON(m.dir("live.json"), live)
}

func (m *Mirror) indexPath(x Index) string { return filepath.Join(m.cfg.Dir, "indexes", x.SHA256) }

func (m *Mirror) tablePath(x Index) string { return m.indexPath(x) + ".files" }

func (m *Mirror) haveIndex(x Index) bool {
	_, err := os.Stat(m.indexPath(x))
	return err == nil
}

// keepIndex gives a verified index and its table their places.
func (m *Mirror) keepIndex(f *os.File, x Index, t *table) error {
	if err := m.writeFile(m.tablePath(x), t.write); err != nil {
		return err
	}
	err := errors.Join(f.Chmod(0o644), f.Sync())
	if err == nil {
		err = os.Rename(f.Name(), m.indexPath(x))
	}
	if err == nil {
		err = syncDir(filepath.Dir(m.indexPath(x)))
	}
	return fullDisk(err)
}

// openIndex opens a kept index. Its content is checked like that of a package.
func (m *Mirror) openIndex(x Index) (*os.File, error) {
	f, err := os.Open(m.indexPath(x))
	if err != nil {
		return nil, err
	}
	if err := m.checkIndex(f, x); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (m *Mirror) checkIndex(f *os.File, x Index) error {
	want, err := parseDigest(x.SHA256)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if known, ok := m.checked.Load(want); ok && known == stampOf(info) {
		return nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if digest(h.Sum(nil)) != want {
		m.counts.damaged.Add(1)
		m.tell("the kept index " + x.SHA256 + " was damaged on the disk and is removed; check the disk")
		return errors.Join(fmt.Errorf("%s was damaged: %w", f.Name(), fs.ErrNotExist), os.Remove(f.Name()))
	}
	m.checked.Store(want, stampOf(info))
	_, err = f.Seek(0, io.SeekStart)
	return err
}

// index reads a kept index.
func (m *Mirror) index(x Index) (*xbps.Index, error) {
	f, err := m.openIndex(x)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	defer debug.FreeOSMemory() // see readIndex
	return xbps.ReadIndex(f)
}
