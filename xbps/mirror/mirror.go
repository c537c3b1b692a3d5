package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/sys/unix"

	"provision.internal/xbps"
)

// Repository is an index that every snapshot holds.
type Repository struct {
	Path string // below upstream: "current/nonfree"
	Arch string // as XBPS calls it
}

func (r Repository) path() string { return join(r.Path, xbps.IndexName(r.Arch)) }

// Config is what a mirror is made of. Dir, Keys, Notice and Log must be set.
type Config struct {
	Dir          string
	Upstream     *url.URL  // nil: serve what was imported, and ask nobody
	Keys         xbps.Keys // that indexes and packages are held to
	Repositories []Repository
	Limit        int64 // bytes of packages; zero: no limit but the disk's

	// InUse are the snapshots that hosts were installed from, or are to be. They
	// are kept.
	InUse func() []string
	// Notice tells an operator what he should know: a refused index, a key that is
	// not trusted, a full disk.
	Notice func(text string)
	Log    *slog.Logger

	Client     *http.Client     // nil: one with timeouts and the system's authorities
	Revalidate time.Duration    // how long an index is served without asking upstream again; zero: a minute
	Refresh    time.Duration    // between automatic snapshots; zero: half an hour
	Keep       int              // automatic snapshots that no host needs; zero: three
	Pause      time.Duration    // before a failed transfer is resumed, doubled each time; zero: 250 ms
	Patience   time.Duration    // how long upstream may send nothing; zero: 30 s
	Now        func() time.Time // nil: time.Now
}

// Mirror serves repositories. Close ends it.
type Mirror struct {
	cfg    Config
	lock   *os.File
	once   singleflight.Group // indexes, signatures and checks: one of a kind at a time
	stop   chan struct{}      // closed by Close
	active sync.WaitGroup     // transfers and fetches

	checked sync.Map // digest → stamp: packages and indexes whose content was found right
	signed  sync.Map // digest → stamp: packages whose signature was found right
	shelf   shelf
	counts  counters

	// keeping is held while what is referenced changes, or what is not is removed.
	keeping sync.Mutex

	mu        sync.Mutex
	closed    bool
	keys      xbps.Keys // of the configuration and of imports
	live      map[string]liveIndex
	snapshots map[string]Snapshot
	tables    tableCache
	transfers map[digest]*transfer
	used      int64 // bytes of packages; -1 until they have been counted
	upstream  reach
	told      notices
}

type counters struct {
	hits, misses, fetched, resumed, broken, damaged, evicted, passed atomic.Uint64
}

// Open opens the mirror in cfg.Dir, which is made if needed, and removes what
// an interrupted transfer left there. It reads no package and asks nobody.
func Open(cfg Config) (*Mirror, error) {
	setDefaults(&cfg)
	m := &Mirror{
		cfg: cfg, stop: make(chan struct{}), keys: xbps.Keys{}, live: map[string]liveIndex{},
		snapshots: map[string]Snapshot{}, transfers: map[digest]*transfer{}, used: -1,
	}
	if err := m.open(); err != nil {
		return nil, fmt.Errorf("package mirror: %w", err)
	}
	return m, nil
}

func setDefaults(cfg *Config) {
	if cfg.Client == nil {
		cfg.Client = newClient()
	}
	if cfg.InUse == nil {
		cfg.InUse = func() []string { return nil }
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Keep == 0 {
		cfg.Keep = 3
	}
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{
		{&cfg.Revalidate, time.Minute}, {&cfg.Refresh, 30 * time.Minute},
		{&cfg.Pause, 250 * time.Millisecond}, {&cfg.Patience, 30 * time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.usual
		}
	}
}

func (m *Mirror) open() (err error) {
	for _, sub := range []string{"packages", "indexes", "snapshots", "keys", "incoming"} {
		if err := os.MkdirAll(filepath.Join(m.cfg.Dir, sub), 0o755); err != nil {
			return err
		}
	}
	if m.lock, err = os.OpenFile(filepath.Join(m.cfg.Dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.lock.Close())
		}
	}()
	if err := unix.Flock(int(m.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("%s is in use by another provision: %w", m.cfg.Dir, err)
	}
	if err := emptyDir(m.dir("incoming")); err != nil {
		return err
	}
	imported, err := xbps.LoadKeys(m.dir("keys"))
	if err != nil {
		return err
	}
	for _, keys := range []xbps.Keys{imported, m.cfg.Keys} {
		for fingerprint, k := range keys {
			m.keys[fingerprint] = k
		}
	}
	if err := readJSON(m.dir("live.json"), &m.live); err != nil {
		// What is live is asked for again; only the memory of what was served is lost.
		m.cfg.Log.Warn("read which indexes are live; they are fetched again", "err", err)
		m.live = map[string]liveIndex{}
	}
	return m.loadSnapshots()
}

// Run makes automatic snapshots until ctx ends.
func (m *Mirror) Run(ctx context.Context) error {
	if m.cfg.Upstream == nil || len(m.cfg.Repositories) == 0 {
		<-ctx.Done()
		return nil
	}
	for {
		pause := m.cfg.Refresh
		if _, err := m.Snapshot(ctx); err != nil && ctx.Err() == nil {
			m.cfg.Log.Warn("no new snapshot; the kept ones go on serving", "err", err)
			pause = min(pause, again)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// again is the pause after an automatic snapshot that could not be made.
const again = time.Minute

// Close ends what is under way and waits for it.
func (m *Mirror) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	close(m.stop)
	m.mu.Unlock()
	m.active.Wait()
	return m.lock.Close()
}

// errClosed is what waits of a mirror that was closed end with.
var errClosed = errors.New("the package mirror is stopping")

// begin starts work that Close ends and waits for: it outlives the request that
// caused it, because others may wait for the same.
func (m *Mirror) begin(ctx context.Context, work func(context.Context)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errClosed
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	done := make(chan struct{})
	m.active.Go(func() {
		defer close(done)
		work(ctx)
		cancel(nil)
	})
	go func() {
		select {
		case <-m.stop:
			cancel(errClosed)
		case <-done:
		}
	}()
	return nil
}

// shared runs work once for all who ask for the same key at the same time, and
// lets each of them leave early.
func (m *Mirror) shared(ctx context.Context, key string, work func(context.Context) error) error {
	result := m.once.DoChan(key, func() (any, error) {
		done := make(chan error, 1)
		if err := m.begin(ctx, func(ctx context.Context) { done <- work(ctx) }); err != nil {
			return nil, err
		}
		return nil, <-done
	})
	select {
	case r := <-result:
		return r.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *Mirror) dir(name string) string { return filepath.Join(m.cfg.Dir, name) }

// incoming makes a file for what is on its way.
func (m *Mirror) incoming() (*os.File, error) {
	f, err := os.CreateTemp(m.dir("incoming"), "*.part")
	return f, fullDisk(err)
}

// fullDisk marks the error of a full disk.
func fullDisk(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: %w; make room, or lower images.cache.size", ErrFull, err)
	}
	return err
}

func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func readJSON(name string, into any) error {
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// writeFile puts a file in its place, whole and durable or not at all.
func (m *Mirror) writeFile(name string, write func(io.Writer) error) error {
	f, err := m.incoming()
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing is there after the rename
	err = errors.Join(write(f), f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err == nil {
		err = syncDir(filepath.Dir(name))
	}
	return fullDisk(err)
}

func (m *Mirror) writeJSON(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return m.writeFile(name, func(w io.Writer) error {
		_, err := w.Write(append(b, '\n'))
		return err
	})
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
