package mirror

import (
	"context"
	"fmt"
	"io/fs"
	"os"

	"provision.internal/xbps"
)

// Frozen is one repository of a snapshot.
type Frozen struct {
	Index  *xbps.Index
	mirror *Mirror
	path   string // of the folder
	table  *table
}

// Repository reads the repository at path for arch, as it was in s.
func (m *Mirror) Repository(s Snapshot, path, arch string) (*Frozen, error) {
	x, ok := s.Indexes[Repository{path, arch}.path()]
	if !ok {
		return nil, fmt.Errorf("the snapshot %s has no %s for %s: %w", s.Name, path, arch, fs.ErrNotExist)
	}
	index, err := m.index(x)
	if err != nil {
		return nil, fmt.Errorf("%s for %s of the snapshot %s: %w", path, arch, s.Name, err)
	}
	t, err := m.table(x)
	if err != nil {
		return nil, err
	}
	return &Frozen{Index: index, mirror: m, path: path, table: t}, nil
}

// Open opens the file of p, once it is verified and kept, and fetches it before where
// it is not.
func (f *Frozen) Open(ctx context.Context, p xbps.Package) (*os.File, error) {
	r, ok := f.table.find(p.File())
	if !ok {
		return nil, fmt.Errorf("%s: %w", join(f.path, p.File()), fs.ErrNotExist)
	}
	return f.mirror.openWhole(ctx, needed{row: r, path: join(f.path, r.file), key: f.table.key})
}

// needed is a package file with what it takes to fetch it.
type needed struct {
	row
	path string
	key  string // fingerprint
}

// openWhole opens a package file when all of it is kept, and waits for that.
func (m *Mirror) openWhole(ctx context.Context, n needed) (*os.File, error) {
	if err := m.needSignature(ctx, n.row, n.path, n.key); err != nil {
		return nil, err
	}
	f, t, _, err := m.obtain(ctx, n.row, n.path, n.key)
	if err != nil || f != nil {
		return f, err
	}
	_, err = t.wait(ctx, t.size-1)
	t.release()
	if err != nil {
		return nil, err
	}
	f, _, err = m.openKept(ctx, n.row)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: raise images.cache.size: what is needed does not fit in it", n.path, ErrFull)
	}
	return f, nil
}
