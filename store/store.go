package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"provision.internal/host"
)

// Store is an open state folder. Its methods may be called from any goroutine.
type Store struct {
	dir       string
	deadlines map[host.State]time.Duration
	now       func() time.Time
	lock      *os.File
	db        *bolt.DB
	leases    *leaseLog
	watchers  watchers
	batcher   batcher

	// commit is held while one batch is written; stage guards what is staged
	// for the next. The order is commit, stage, mu.
	commit   sync.Mutex
	stage    sync.Mutex
	pending  *batch // collects changes
	inflight *batch // is being written; nil when none is
	closed   bool
	grants   *journal
	burned   map[string]burn // by grant ID; guarded by stage

	mu        sync.RWMutex // guards what is committed
	hosts     map[host.MAC]host.Host
	names     map[string]host.MAC
	strangers int // hosts in Seen

	admissions map[string]host.Admission // by port
}

// Open opens the state folder dir, which is made when it is missing. deadlines
// says how long a host may stay in a state; a state without one has no
// deadline. ErrLocked is wrapped when another process has the folder, ErrDamaged
// when a file in it cannot be trusted; both say what to do.
func Open(dir string, deadlines map[host.State]time.Duration) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state folder: %w", err)
	}
	s := &Store{
		dir: dir, deadlines: deadlines, now: time.Now,
		pending: newBatch(),
		burned:  map[string]burn{},
		hosts:   map[host.MAC]host.Host{},
		names:   map[string]host.MAC{},

		admissions: map[string]host.Admission{},
	}
	s.watchers.all = map[chan struct{}]bool{}
	if err := s.open(); err != nil {
		return nil, errors.Join(explain(err, dir), s.closeFiles())
	}
	s.batcher.start(s)
	return s, nil
}

func (s *Store) open() (err error) {
	if s.lock, err = lockFolder(s.dir); err != nil {
		return err
	}
	var torn int64
	if s.leases, torn, err = openLeases(s.dir); err != nil {
		return fmt.Errorf("%w; move the file away to start without leases: machines then ask for new ones", err)
	}
	if err := s.openDB(); err != nil {
		return err
	}
	guard, err := s.openGrants()
	if err != nil {
		return fmt.Errorf("%w; move the file away: open grants are then revoked, hosts are kept", err)
	}
	if err := s.load(); err != nil {
		return err
	}
	if torn > 0 {
		if err := s.repaired("leases.log", torn); err != nil {
			return err
		}
	}
	return s.applyGuard(guard)
}

// repaired records that a crash had cut an append short.
func (s *Store) repaired(name string, torn int64) error {
	return s.Record(host.Event{Kind: host.KindNotice, Actor: "store", Cause: fmt.Sprintf(
		"cut %d bytes off %s: an append that a crash interrupted, and that nobody was told of", torn, name)})
}

// Close writes what is batched and closes the folder.
func (s *Store) Close() error {
	err := s.batcher.stop(s)
	s.commit.Lock()
	defer s.commit.Unlock()
	s.stage.Lock()
	defer s.stage.Unlock()
	if s.closed {
		return err
	}
	s.closed = true
	return errors.Join(err, s.closeFiles())
}

func (s *Store) closeFiles() error {
	var all []error
	if s.leases != nil {
		all = append(all, s.leases.close())
	}
	if s.grants != nil {
		all = append(all, s.grants.close())
	}
	if s.db != nil {
		all = append(all, s.db.Close())
	}
	if s.lock != nil {
		all = append(all, s.lock.Close())
	}
	return errors.Join(all...)
}

// lockFolder takes the folder for this process. The lock goes with the process,
// however it ends.
func lockFolder(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		var pid int
		holder := "another process"
		if n, err := fmt.Fscan(f, &pid); n == 1 && err == nil {
			holder = fmt.Sprintf("process %d", pid)
		}
		return nil, errors.Join(fmt.Errorf("%s: %w by %s: stop it first (systemctl stop provision), or name another folder in server.state",
			dir, ErrLocked, holder), f.Close())
	case err != nil:
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if _, err := fmt.Fprintln(f, os.Getpid()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// load decodes every host and every standing admission.
func (s *Store) load() error {
	return guarded(s.db.Path(), func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			if err := s.loadAdmissions(tx); err != nil {
				return err
			}
			return tx.Bucket(bucketHosts).ForEach(func(k, v []byte) error {
				var h host.Host
				if err := json.Unmarshal(v, &h); err != nil {
					return fmt.Errorf("%w: host %x: %w", ErrDamaged, k, err)
				}
				if string(k) != string(h.MAC[:]) || !h.State.Valid() {
					return fmt.Errorf("%w: host %x says that it is %s in state %q", ErrDamaged, k, h.MAC, h.State)
				}
				s.publish(h)
				return nil
			})
		})
	})
}
