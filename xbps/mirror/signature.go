package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// needSignature makes sure that r's signature is kept on the disk. It is checked against the
// hash that the index names, before the package itself is there.
func (m *Mirror) needSignature(ctx context.Context, r row, path, key string) error {
	_, err := m.diskSignature(ctx, r, path, key)
	return err
}

// signature returns r's signature, from the shelf, kept or fetched.
func (m *Mirror) signature(ctx context.Context, r row, path, key string) (small, error) {
	k := shelfKey{r.sum, true}
	if s, ok := m.shelf.get(k); ok {
		return s, nil
	}
	s, err := m.diskSignature(ctx, r, path, key)
	if err == nil {
		m.shelf.put(k, s)
	}
	return s, err
}

// diskSignature returns r's signature, kept or fetched.
func (m *Mirror) diskSignature(ctx context.Context, r row, path, key string) (small, error) {
	s, err := m.keptSignature(r, key)
	if err == nil {
		return s, nil
	}
	path += ".sig2"
	err = m.shared(ctx, "signature "+r.sum.String(), func(ctx context.Context) error {
		if _, err := m.keptSignature(r, key); err == nil {
			return nil // whoever was asked before has brought it
		}
		b, err := m.fetchSignature(ctx, path)
		if err == nil {
			err = m.verifySignature(r, key, b)
		}
		if err == nil {
			err = m.writeSignature(r.sum, b)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", path, err)
			m.complain(err)
		}
		return err
	})
	if err != nil {
		return small{}, err
	}
	return m.keptSignature(r, key)
}

// keptSignature reads a signature from the disk. It is checked when it is first asked for, and
// again whenever the file has changed.
func (m *Mirror) keptSignature(r row, key string) (small, error) {
	f, err := os.Open(m.signaturePath(r.sum))
	if err != nil {
		return small{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return small{}, err
	}
	if info.Size() > maxSignature {
		return small{}, fmt.Errorf("%w: too large to be a signature", ErrBroken)
	}
	b := make([]byte, info.Size())
	if _, err := io.ReadFull(f, b); err != nil {
		return small{}, err
	}
	if known, ok := m.signed.Load(r.sum); ok && known == stampOf(info) {
		return small{b, info.ModTime()}, nil
	}
	if err := m.verifySignature(r, key, b); err != nil {
		return small{}, err
	}
	m.signed.Store(r.sum, stampOf(info))
	return small{b, info.ModTime()}, nil
}

func (m *Mirror) verifySignature(r row, key string, b []byte) error {
	m.mu.Lock()
	keys := m.keys
	m.mu.Unlock()
	if err := keys.Verify(key, r.sum, b); err != nil {
		return fmt.Errorf("%w: %w", ErrBroken, err)
	}
	return nil
}

func (m *Mirror) writeSignature(sum digest, b []byte) error {
	f, err := m.incoming()
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing is there after the rename
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), m.signaturePath(sum))
	}
	return fullDisk(err)
}

// maxSignature is the size of a signature by a key of 64 Kibit: nobody's.
const maxSignature = 8 << 10

// fetchSignature fetches a signature, and tries again as for a package.
func (m *Mirror) fetchSignature(ctx context.Context, path string) ([]byte, error) {
	for idle := 1; ; idle++ {
		b, err := m.fetchSignatureOnce(ctx, path)
		if err == nil || !errors.Is(err, ErrUpstream) || idle >= maxIdle {
			return b, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(m.cfg.Pause << (idle - 1)):
		}
	}
}

func (m *Mirror) fetchSignatureOnce(ctx context.Context, path string) ([]byte, error) {
	res, err := m.get(ctx, path, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }() // all was read, or is of no use
	b, err := io.ReadAll(io.LimitReader(res.Body, maxSignature+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUpstream, err)
	case len(b) > maxSignature:
		return nil, fmt.Errorf("%w: too large to be a signature", ErrBroken)
	}
	return b, nil
}
