package mirror

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Snapshot is what all repositories had at one instant. Its packages are fetched when they
// are first asked for; upstream may have dropped them by then, so Complete fetches those that
// are going to be needed.
type Snapshot struct {
	Name      string           `json:"name"`
	Time      time.Time        `json:"time"`
	Automatic bool             `json:"automatic,omitempty"` // goes when no host needs it and newer ones are there
	Origin    string           `json:"origin,omitempty"`    // of an imported one: the fingerprint of the site's key
	Indexes   map[string]Index `json:"indexes"`             // by path: "current/x86_64-repodata"
}

// content is what tells snapshots of different content apart.
func (s Snapshot) content() string {
	h := sha256.New()
	for _, path := range slices.Sorted(maps.Keys(s.Indexes)) {
		fmt.Fprintln(h, path, s.Indexes[path].SHA256)
	}
	return digest(h.Sum(nil)).String()
}

func (m *Mirror) loadSnapshots() error {
	names, err := filepath.Glob(m.dir("snapshots/*.json"))
	if err != nil {
		return err
	}
	for _, file := range names {
		s, err := readSnapshot(file)
		if err != nil {
			return fmt.Errorf("%w; move the file away to go on without this snapshot", err)
		}
		m.snapshots[s.Name] = s
	}
	return nil
}

func readSnapshot(file string) (s Snapshot, err error) {
	if err := readJSON(file, &s); err != nil {
		return s, err
	}
	if err := s.check(); err != nil {
		return s, fmt.Errorf("%s: %w", file, err)
	}
	if s.Name != strings.TrimSuffix(filepath.Base(file), ".json") {
		return s, fmt.Errorf("%s holds the snapshot %q", file, s.Name)
	}
	return s, nil
}

// check refuses what must not become a path.
func (s Snapshot) check() error {
	if !ValidName(s.Name) {
		return fmt.Errorf("%q cannot be a snapshot's name: want lower-case letters, digits, dots and hyphens, at most 64", s.Name)
	}
	if len(s.Indexes) == 0 {
		return fmt.Errorf("the snapshot %s holds no index", s.Name)
	}
	for path, x := range s.Indexes {
		if l, ok := locate(path); !ok || l.kind != indexFile || l.snapshot != "" {
			return fmt.Errorf("the snapshot %s holds %q, which is no index", s.Name, path)
		}
		if _, err := parseDigest(x.SHA256); err != nil {
			return fmt.Errorf("the snapshot %s: %s: %w", s.Name, path, err)
		}
	}
	return nil
}

// Snapshots returns all, the newest first.
func (m *Mirror) Snapshots() []Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(maps.Values(m.snapshots), newer)
}

func newer(a, b Snapshot) int {
	if c := b.Time.Compare(a.Time); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

// Newest returns the newest snapshot that holds every repository of the configuration;
// ErrNone is wrapped when there is none.
func (m *Mirror) Newest() (Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.newest(m.complete)
	if !ok {
		return s, fmt.Errorf("%w: upstream must answer once, or provision images import must bring one", ErrNone)
	}
	return s, nil
}

// Named returns the snapshot called name; ErrUnknown is wrapped when there is none.
func (m *Mirror) Named(name string) (Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.snapshots[name]
	if !ok {
		return s, fmt.Errorf("%w: %q; provision images snapshots lists them", ErrUnknown, name)
	}
	return s, nil
}

// complete reports whether s holds every repository of the configuration.
func (m *Mirror) complete(s Snapshot) bool {
	for _, r := range m.cfg.Repositories {
		if _, ok := s.Indexes[r.path()]; !ok {
			return false
		}
	}
	return true
}

// newest is called with m.mu held.
func (m *Mirror) newest(fits func(Snapshot) bool) (best Snapshot, ok bool) {
	for _, s := range m.snapshots {
		if fits(s) && (!ok || newer(s, best) < 0) {
			best, ok = s, true
		}
	}
	return best, ok
}

// Snapshot makes an automatic snapshot of what upstream has now, unless the newest
// one is the same. Its name is of its day and its content.
func (m *Mirror) Snapshot(ctx context.Context) (Snapshot, error) {
	s, err := m.instant(ctx)
	if err != nil {
		return Snapshot{}, err
	}
	content := s.content()
	if last, err := m.Newest(); err == nil && last.content() == content {
		return last, nil
	}
	s.Name, s.Automatic = s.Time.UTC().Format("20060102-")+content[:8], true
	if err := m.add(s); err != nil && !errors.Is(err, ErrExists) {
		return Snapshot{}, err
	}
	m.cfg.Log.Info("new snapshot", "snapshot", s.Name)
	return s, m.prune()
}

// Freeze makes a snapshot with a name, which is kept until it is removed. Where upstream does
// not answer it is of the indexes as they were when it last did.
func (m *Mirror) Freeze(ctx context.Context, name string) (Snapshot, error) {
	if !ValidName(name) {
		return Snapshot{}, Snapshot{Name: name}.check()
	}
	if _, err := m.Named(name); err == nil {
		return Snapshot{}, fmt.Errorf("%w: %s", ErrExists, name)
	}
	s, err := m.instant(ctx)
	if errors.Is(err, ErrUpstream) || m.cfg.Upstream == nil {
		var last Snapshot
		if last, err = m.Newest(); err == nil {
			s = last
		}
	}
	if err != nil {
		return Snapshot{}, err
	}
	s.Name, s.Automatic, s.Origin = name, false, ""
	return s, m.add(s)
}

// instant returns a nameless snapshot of all indexes of the configuration. They are asked for
// again after the last has come, until none has changed meanwhile.
func (m *Mirror) instant(ctx context.Context) (Snapshot, error) {
	if len(m.cfg.Repositories) == 0 {
		return Snapshot{}, fmt.Errorf("%w: no repository is configured", ErrNone)
	}
	const tries = 4
	var s Snapshot
	for range tries {
		next := Snapshot{Time: m.cfg.Now(), Indexes: map[string]Index{}}
		for _, r := range m.cfg.Repositories {
			if err := m.revalidate(ctx, r.path()); err != nil {
				return Snapshot{}, err
			}
			m.mu.Lock()
			next.Indexes[r.path()] = m.live[r.path()].Index
			m.mu.Unlock()
		}
		if maps.Equal(next.Indexes, s.Indexes) || len(next.Indexes) == 1 {
			return next, nil
		}
		s = next
	}
	return Snapshot{}, fmt.Errorf("%w as one: its indexes changed %d times while they were fetched; try again", ErrUpstream, tries)
}

// add makes s durable.
func (m *Mirror) add(s Snapshot) error {
	if err := s.check(); err != nil {
		return err
	}
	m.keeping.Lock()
	defer m.keeping.Unlock()
	return m.put(s)
}

// put is add with m.keeping held.
func (m *Mirror) put(s Snapshot) error {
	m.mu.Lock()
	_, exists := m.snapshots[s.Name]
	m.mu.Unlock()
	if exists {
		return fmt.Errorf("%w: %s", ErrExists, s.Name)
	}
	if err := m.writeJSON(m.snapshotPath(s.Name), s); err != nil {
		return err
	}
	m.mu.Lock()
	m.snapshots[s.Name] = s
	m.mu.Unlock()
	return nil
}

func (m *Mirror) snapshotPath(name string) string { return m.dir("snapshots/" + name + ".json") }

// Remove removes a snapshot. Its packages stay as long as there is room for
// them. One that a host needs is refused.
func (m *Mirror) Remove(name string) error {
	if _, err := m.Named(name); err != nil {
		return err
	}
	if slices.Contains(m.cfg.InUse(), name) {
		return fmt.Errorf("%w: hosts are installed from %s; reinstall or retire them first (provision hosts)", ErrInUse, name)
	}
	m.keeping.Lock()
	defer m.keeping.Unlock()
	return m.remove(name)
}

// remove is called with m.keeping held.
func (m *Mirror) remove(name string) error {
	if err := os.Remove(m.snapshotPath(name)); err != nil {
		return err
	}
	m.mu.Lock()
	delete(m.snapshots, name)
	m.mu.Unlock()
	return m.dropIndexes()
}

// prune removes the automatic snapshots that no host needs, but for the newest.
func (m *Mirror) prune() error {
	inUse := m.cfg.InUse()
	m.keeping.Lock()
	defer m.keeping.Unlock()
	young := m.cfg.Keep
	var faults []error
	for _, s := range m.Snapshots() {
		if !s.Automatic || slices.Contains(inUse, s.Name) {
			continue
		}
		if young--; young >= 0 {
			continue
		}
		faults = append(faults, m.remove(s.Name))
	}
	return errors.Join(append(faults, m.dropIndexes())...)
}
