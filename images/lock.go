package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lock waits until nobody else changes the store: not in this process, not in
// another.
func (s *Store) lock(ctx context.Context) (unlock func(), err error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		f, err := s.tryLock()
		if err != nil {
			return nil, err
		}
		if f != nil {
			return func() { f.Close() }, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for another provision that works on %s: %w", s.dir, ctx.Err())
		case <-tick.C:
		}
	}
}

// tryLock returns nil when somebody else has the lock. Closing the file gives
// it back, and so does the end of the process.
func (s *Store) tryLock() (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("image store: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, f.Close()
	}
	f.Close()
	return nil, fmt.Errorf("image store: lock %s: %w", f.Name(), err)
}

// Hold keeps files from being collected, by any process, until the holder
// closes what it got: a daemon serves files that the next assembly supersedes.
func (s *Store) Hold(blobs ...Blob) (io.Closer, error) {
	var held closers
	for _, b := range blobs {
		f, err := s.File(b.SHA256)
		if err == nil {
			held = append(held, f)
			err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("hold image %s: %w", b.SHA256, err), held.Close())
		}
	}
	return held, nil
}

type closers []io.Closer

// Close closes all.
func (c closers) Close() error {
	var faults []error
	for _, f := range c {
		faults = append(faults, f.Close())
	}
	return errors.Join(faults...)
}
