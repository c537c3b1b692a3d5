package mirror

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// keptFile is a package file in the folder.
type keptFile struct {
	sum  digest
	size int64
	at   time.Time // upstream's modification time
}

// kept lists the package files in the folder.
func (m *Mirror) kept() ([]keptFile, error) {
	entries, err := os.ReadDir(m.dir("packages"))
	if err != nil {
		return nil, err
	}
	var files []keptFile
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".sig2") {
			continue
		}
		sum, err := parseDigest(e.Name())
		if err != nil {
			continue // none of ours
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files = append(files, keptFile{sum, info.Size(), info.ModTime()})
	}
	return files, nil
}

// bytesKept is how much the packages take, with those under way. The folder is read when it
// is first asked for.
func (m *Mirror) bytesKept() (int64, error) {
	m.mu.Lock()
	used := m.used
	m.mu.Unlock()
	if used >= 0 {
		return used, nil
	}
	m.keeping.Lock()
	defer m.keeping.Unlock()
	files, err := m.kept()
	if err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used < 0 {
		m.used = 0
		for _, f := range files {
			m.used += f.size
		}
	}
	return m.used, nil
}

// reserve takes size bytes of the limit for a package, and drops what no index names until they
// are there. It is false when even that is not enough. What was reserved is kept or
// given back.
func (m *Mirror) reserve(size int64) (bool, error) {
	if _, err := m.bytesKept(); err != nil {
		return false, err
	}
	over := m.take(size)
	if over <= 0 {
		return true, nil
	}
	if err := m.evict(over); err != nil {
		return false, fmt.Errorf("make room for packages: %w", err)
	}
	if over = m.take(size); over <= 0 {
		return true, nil
	}
	m.tell(fmt.Sprintf("the package mirror is full: what its indexes and snapshots name takes all but %d MiB of images.cache.size (%d MiB), so packages "+
		"are passed through and not kept; raise it, or remove snapshots (provision images snapshots)", (m.cfg.Limit-m.usage())>>20, m.cfg.Limit>>20))
	return false, nil
}

// take reserves size bytes if they fit, and else returns how many are missing.
func (m *Mirror) take(size int64) (missing int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if over := m.used + size - m.cfg.Limit; m.cfg.Limit > 0 && over > 0 {
		return over
	}
	m.used += size
	return 0
}

// giveBack ends a reservation, or notes that a package is gone.
func (m *Mirror) giveBack(size int64) { m.account(-size) }

// account notes that the packages take so many bytes more.
func (m *Mirror) account(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used >= 0 {
		m.used += bytes
	}
}

func (m *Mirror) usage() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return max(m.used, 0)
}

// evict drops at least want bytes of packages that no kept index names, the oldest first,
// as far as there are any.
func (m *Mirror) evict(want int64) error {
	m.keeping.Lock()
	defer m.keeping.Unlock()
	named, err := m.named()
	if err != nil {
		return err
	}
	files, err := m.kept()
	if err != nil {
		return err
	}
	slices.SortFunc(files, func(a, b keptFile) int { return a.at.Compare(b.at) })
	for _, f := range files {
		if want <= 0 {
			break
		}
		if named[f.sum] {
			continue
		}
		if err := m.drop(f.sum, f.size); err != nil {
			return err
		}
		m.counts.evicted.Add(1)
		want -= f.size
	}
	return nil
}

// named are the packages that any kept index names.
func (m *Mirror) named() (map[digest]bool, error) {
	named := map[digest]bool{}
	for _, x := range m.indexes() {
		// Not through the cache: one pass over all of them would empty it.
		t, err := m.loadTable(x)
		if err != nil {
			return nil, err
		}
		for _, r := range t.rows {
			named[r.sum] = true
		}
	}
	return named, nil
}

// indexes are the indexes that are live or of a snapshot.
func (m *Mirror) indexes() map[string]Index {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[string]Index{}
	for _, x := range m.live {
		all[x.SHA256] = x.Index
	}
	for _, s := range m.snapshots {
		for _, x := range s.Indexes {
			all[x.SHA256] = x
		}
	}
	return all
}

// dropIndexes removes the indexes that are neither live nor of a snapshot. The caller holds
// m.keeping.
func (m *Mirror) dropIndexes() error {
	entries, err := os.ReadDir(m.dir("indexes"))
	if err != nil {
		return err
	}
	used := m.indexes()
	for _, e := range entries {
		if _, ok := used[strings.TrimSuffix(e.Name(), ".files")]; ok {
			continue
		}
		if err := os.Remove(m.dir("indexes/" + e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
