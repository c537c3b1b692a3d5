package mirror

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	chunk = 64 << 10 // bytes read, hashed and written at once

	// Attempts in a row that brought nothing, and attempts at all, after which a
	// transfer is given up.
	maxIdle     = 5
	maxAttempts = 50
)

// bring fetches, verifies and keeps t.
func (m *Mirror) bring(ctx context.Context, t *transfer, key string) (err error) {
	m.counts.misses.Add(1)
	// The signature is over the hash that the index names: a file with that
	// hash is then signed as well.
	if err := m.needSignature(ctx, t.row, t.path, key); err != nil {
		return err
	}
	keep, err := m.reserve(t.size)
	if err != nil {
		return err
	}
	if keep {
		defer func() {
			if err != nil {
				m.giveBack(t.size)
			}
		}()
	}
	f, err := m.incoming()
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing is there once it is kept; clients still read it
	t.mu.Lock()
	t.file = f
	t.mu.Unlock()
	if err := allocate(f, t.size); err != nil {
		return err
	}
	sum := sha256.New()
	if err := m.receive(ctx, t, sum); err != nil {
		return fmt.Errorf("%s: %w", t.path, err)
	}
	if got := digest(sum.Sum(nil)); got != t.sum {
		m.counts.broken.Add(1)
		return fmt.Errorf("%s: %w: its SHA-256 is %s, wanted %s; nothing of it was kept", t.path, ErrBroken, got, t.sum)
	}
	if !keep {
		m.counts.passed.Add(1)
		return nil
	}
	return m.keep(f, t.row, t.modified)
}

// allocate reserves the room for a whole file, so that a full disk is told before a client gets
// the first byte.
func allocate(f *os.File, size int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil // the file system cannot, and a write will tell
	}
	return fullDisk(err)
}

// receive gets the file's bytes and resumes where a connection broke.
func (m *Mirror) receive(ctx context.Context, t *transfer, sum hash.Hash) error {
	var at int64
	idle := 0
	for attempt := 1; ; attempt++ {
		before := at
		err := m.attempt(ctx, t, sum, &at)
		if err == nil && at == t.size {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("%w: it ended after %d of %d bytes", ErrUpstream, at, t.size)
		}
		if idle++; at > before {
			idle = 1
		}
		if !errors.Is(err, ErrUpstream) || idle >= maxIdle || attempt >= maxAttempts {
			return err
		}
		m.cfg.Log.Info("resume a transfer", "file", t.path, "at", at, "size", t.size, "err", err)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(m.cfg.Pause << (idle - 1)):
		}
	}
}

// attempt is one request for the bytes from at on. Errors that a further attempt may not have
// wrap ErrUpstream.
func (m *Mirror) attempt(ctx context.Context, t *transfer, sum hash.Hash, at *int64) error {
	header := http.Header{}
	if *at > 0 {
		m.counts.resumed.Add(1)
		header.Set("Range", fmt.Sprintf("bytes=%d-", *at))
	}
	res, err := m.get(ctx, t.path, header)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }() // what was read is what counts
	body, err := bodyFrom(res, *at, t.size)
	if err != nil {
		return err
	}
	if *at == 0 {
		t.begun(res)
	}
	buf := make([]byte, chunk)
	for *at < t.size {
		n, err := body.Read(buf[:min(chunk, t.size-*at)])
		if n > 0 {
			if _, err := t.file.WriteAt(buf[:n], *at); err != nil {
				return fullDisk(err)
			}
			sum.Write(buf[:n])
			*at += int64(n)
			m.counts.fetched.Add(uint64(n))
			t.grow(*at)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUpstream, err)
		}
	}
	return nil
}

// bodyFrom returns res's body from the byte at on. A server that does not know
// ranges sends all of it: what is there already is skipped then, as the hash is of the
// whole.
func bodyFrom(res *http.Response, at, size int64) (io.Reader, error) {
	length := size - at
	switch res.StatusCode {
	case http.StatusPartialContent:
		if want := fmt.Sprintf("bytes %d-%d/%d", at, size-1, size); res.Header.Get("Content-Range") != want {
			return nil, fmt.Errorf("%w: it sent the range %q, wanted %q", ErrBroken, res.Header.Get("Content-Range"), want)
		}
	case http.StatusOK:
		length = size
	default:
		return nil, fmt.Errorf("%w: it answered %s", ErrUpstream, res.Status)
	}
	if res.ContentLength >= 0 && res.ContentLength != length {
		return nil, fmt.Errorf("%w: it has %d bytes, wanted %d; the repository may be in the middle of an update: try again later",
			ErrBroken, res.ContentLength, length)
	}
	if res.StatusCode == http.StatusOK && at > 0 {
		if _, err := io.CopyN(io.Discard, res.Body, at); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUpstream, err)
		}
	}
	return res.Body, nil
}
