package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Buckets of provision.db.
var (
	bucketHosts  = []byte("hosts")  // MAC → host, JSON
	bucketEvents = []byte("events") // ID, big-endian → event, JSON
	bucketByHost = []byte("byhost") // MAC, event ID → nothing
	bucketMeta   = []byte("meta")   // generation: see grants.go

	bucketAdmissions = []byte("admissions") // port → standing admission, JSON
	bucketSecrets    = []byte("secrets")    // name → sealed secret: see seal.go
	bucketUpkeep     = []byte("upkeep")     // see runs.go
)

// dbLockWait bounds the wait for bbolt's own lock, which a tool that inspects
// the file may hold.
const dbLockWait = time.Second

func (s *Store) openDB() error {
	path := filepath.Join(s.dir, "provision.db")
	err := guarded(path, func() (err error) {
		if err := verifyDB(path); err != nil {
			return err
		}
		s.db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: dbLockWait, FreelistType: bolt.FreelistMapType})
		if err != nil {
			return err
		}
		return s.makeBuckets()
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("%s: %w by another program: close it first", path, ErrLocked)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return fmt.Errorf("%s: %w: %w; %s", path, ErrDamaged, err, restore)
	}
	return err
}

// makeBuckets makes what is missing; it writes nothing when nothing is.
func (s *Store) makeBuckets() error {
	var missing [][]byte
	err := s.db.View(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketHosts, bucketEvents, bucketByHost, bucketMeta, bucketAdmissions, bucketSecrets, bucketUpkeep} {
			if tx.Bucket(name) == nil {
				missing = append(missing, name)
			}
		}
		return nil
	})
	if err != nil || len(missing) == 0 {
		return err
	}
	return s.db.Update(func(tx *bolt.Tx) error {
		for _, name := range missing {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return nil
	})
}

// restore tells what can be done about a damaged database.
const restore = "put a backup of it back, or move it away to start with no hosts: every machine then boots its own disk"

// verifyDB finds a database that was cut short. Its pages are read through a
// memory map, where a missing one ends the process, so the size is compared
// before anything is opened for good.
func verifyDB(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: dbLockWait})
	if err != nil {
		return err
	}
	err = db.View(func(tx *bolt.Tx) error {
		if tx.Size() > info.Size() {
			return fmt.Errorf("%s: %w: it has %d of %d bytes; %s", path, ErrDamaged, info.Size(), tx.Size(), restore)
		}
		return nil
	})
	return errors.Join(err, db.Close())
}

// guarded runs f, which reads or writes the database at path. bbolt panics on
// pages that make no sense, and a memory map faults on a disk error: both
// become ErrDamaged.
func guarded(path string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: %w: %v; %s", path, ErrDamaged, r, restore)
		}
	}()
	return f()
}
