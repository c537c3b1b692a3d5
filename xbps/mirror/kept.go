package mirror

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// stamp is what changes when someone writes to a file.
type stamp struct {
	size, mtime int64
	inode       uint64
}

func stampOf(info fs.FileInfo) stamp {
	s := stamp{size: info.Size(), mtime: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode = st.Ino
	}
	return s
}

func (m *Mirror) packagePath(sum digest) string {
	return filepath.Join(m.cfg.Dir, "packages", sum.String())
}

func (m *Mirror) signaturePath(sum digest) string { return m.packagePath(sum) + ".sig2" }

// openKept opens the package file r if it is kept. Its content is checked when it is first
// asked for since the start, which is why packages need no sync when they
// are written, and again whenever the file has changed. A damaged one is removed, and
// counts as not kept.
func (m *Mirror) openKept(ctx context.Context, r row) (*os.File, fs.FileInfo, error) {
	f, err := os.Open(m.packagePath(r.sum))
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil {
		if known, ok := m.checked.Load(r.sum); ok && known == stampOf(info) {
			return f, info, nil
		}
		err = m.shared(ctx, "check "+r.sum.String(), func(context.Context) error { return m.check(r) })
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// check reads a kept package anew.
func (m *Mirror) check(r row) error {
	name := m.packagePath(r.sum)
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h := sha256.New()
	if info.Size() == r.size {
		if _, err := io.Copy(h, f); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if digest(h.Sum(nil)) == r.sum {
		m.checked.Store(r.sum, stampOf(info))
		return nil
	}
	m.counts.damaged.Add(1)
	if err := m.drop(r.sum, info.Size()); err != nil {
		return err
	}
	m.tell(fmt.Sprintf("the kept package %s was damaged on the disk; it was removed and is fetched again; check the disk", r.file))
	return fmt.Errorf("%s was damaged: %w", name, fs.ErrNotExist)
}

// drop removes a kept package.
func (m *Mirror) drop(sum digest, size int64) error {
	m.checked.Delete(sum)
	m.signed.Delete(sum)
	m.shelf.forget(sum)
	if err := os.Remove(m.packagePath(sum)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	m.giveBack(size)
	if err := os.Remove(m.signaturePath(sum)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// keep gives a verified package file its place. Its room has been reserved.
func (m *Mirror) keep(f *os.File, r row, modified time.Time) error {
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if !modified.IsZero() {
		if err := os.Chtimes(f.Name(), time.Time{}, modified); err != nil {
			return err
		}
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	m.checked.Store(r.sum, stampOf(info))
	return os.Rename(f.Name(), m.packagePath(r.sum))
}
