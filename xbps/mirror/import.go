package mirror

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"provision.internal/xbps"
	"provision.internal/xbps/bundle"
)

// Importer says whom an import trusts, and where the appliance's own files go.
type Importer struct {
	// Trust returns an error unless bundles by key are to be taken.
	Trust func(key ed25519.PublicKey, made bundle.Manifest) error
	// Place takes the extras, by their names, out of the files given: it renames what it
	// takes. They are verified.
	Place func(snapshot string, extras map[string]string) error
}

// Imported is what an import brought.
type Imported struct {
	Snapshot Snapshot `json:"snapshot"`
	By       string   `json:"by"`  // the appliance that made it
	Key      string   `json:"key"` // which signed it
	Packages int      `json:"packages"`
}

// Import takes a bundle in. Everything is verified in a folder apart before the first file
// gets its place, and the snapshot appears last: what is broken, or ends too early, leaves nothing.
func (m *Mirror) Import(ctx context.Context, r io.Reader, im Importer) (Imported, error) {
	b, err := bundle.Open(interruptible{ctx, r}, im.Trust)
	if err != nil {
		return Imported{}, err
	}
	dir, err := os.MkdirTemp(m.dir("incoming"), "import-*")
	if err != nil {
		return Imported{}, fullDisk(err)
	}
	defer os.RemoveAll(dir) // what was taken is not there any more
	if err := roomFor(dir, b.Manifest.Total()); err != nil {
		return Imported{}, err
	}
	in := &staged{dir: dir, mirror: m, packages: map[digest]bool{}, extras: map[string]string{}, keys: xbps.Keys{}}
	if err := in.receive(b); err != nil {
		return Imported{}, err
	}
	in.snapshot.Origin = bundle.FormatKey(b.Key)
	if err := in.verify(ctx); err != nil {
		return Imported{}, fmt.Errorf("%w: %w", bundle.ErrBroken, err)
	}
	if err := im.Place(in.snapshot.Name, in.extras); err != nil {
		return Imported{}, fullDisk(err)
	}
	if err := in.commit(); err != nil {
		return Imported{}, fullDisk(err)
	}
	return Imported{Snapshot: in.snapshot, By: b.Manifest.By, Key: bundle.FormatKey(b.Key), Packages: len(in.packages)}, nil
}

// interruptible is a reader that ends with its context.
type interruptible struct {
	ctx context.Context // of one import
	r   io.Reader
}

func (i interruptible) Read(b []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(b)
}

// leave is what an import leaves free on the disk.
const leave = 256 << 20

// roomFor refuses what the disk has no room for, before any of it is there.
func roomFor(dir string, size int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return err
	}
	if free := int64(st.Bavail) * st.Bsize; free < size+min(leave, size/8) {
		return fmt.Errorf("%w: the bundle needs %d MiB and %s has %d MiB free; make room", ErrFull, size>>20, dir, free>>20)
	}
	return nil
}

// staged is a bundle that was received and is not yet taken.
type staged struct {
	dir      string
	mirror   *Mirror
	snapshot Snapshot
	packages map[digest]bool
	extras   map[string]string // name → file
	keys     xbps.Keys
}

func (in *staged) file(name string) string { return filepath.Join(in.dir, name) }

// receive writes the bundle's files to the staging folder. Their hashes are the manifest's.
func (in *staged) receive(b *bundle.Reader) error {
	for _, sub := range []string{"indexes", "packages", "files"} {
		if err := os.Mkdir(in.file(sub), 0o755); err != nil {
			return fullDisk(err)
		}
	}
	for {
		f, err := b.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = in.take(f, b)
		}
		if err != nil {
			return fullDisk(err)
		}
	}
}

// maxSmall bounds the files that are read into memory.
const maxSmall = 4 << 20

func (in *staged) take(f bundle.File, r io.Reader) error {
	folder, name := path.Split(f.Name)
	sum, _ := strings.CutSuffix(name, ".sig2")
	switch {
	case f.Name == bundleSnapshot && f.Size <= maxSmall:
		return in.takeSnapshot(r)
	case folder == bundleKeys && f.Size <= maxSmall:
		return in.takeKey(r)
	case folder == bundleIndexes && name == f.SHA256 && f.Size <= maxIndex:
	case folder == bundlePackages && name == f.SHA256:
		d, err := parseDigest(name)
		if err != nil {
			return err
		}
		in.packages[d] = true
	case folder == bundlePackages && sum != name && f.Size <= maxSignature:
		if _, err := parseDigest(sum); err != nil {
			return err
		}
	case strings.HasPrefix(f.Name, bundleExtras):
		// A name of ours: the bundle's may have folders.
		at := in.file(fmt.Sprintf("files/%d", len(in.extras)))
		in.extras[strings.TrimPrefix(f.Name, bundleExtras)] = at
		return write(at, r)
	default:
		return fmt.Errorf("%w: %q is nothing that a bundle of packages has", bundle.ErrFormat, f.Name)
	}
	return write(in.file(f.Name), r)
}

func (in *staged) takeSnapshot(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&in.snapshot); err != nil {
		return fmt.Errorf("%w: %s: %w", bundle.ErrFormat, bundleSnapshot, err)
	}
	in.snapshot.Automatic = false
	return nil
}

func (in *staged) takeKey(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	k, err := xbps.ParseKey(text)
	if err != nil {
		return fmt.Errorf("%w: a package key: %w", bundle.ErrFormat, err)
	}
	in.keys[k.Fingerprint()] = k
	return nil
}

func write(name string, r io.Reader) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// verify holds everything to everything: indexes to the keys, packages to the indexes and
// to their signatures.
func (in *staged) verify(ctx context.Context) error {
	if err := in.snapshot.check(); err != nil {
		return err
	}
	in.mirror.mu.Lock()
	old, exists := in.mirror.snapshots[in.snapshot.Name]
	maps.Copy(in.keys, in.mirror.keys) // what the site has pinned wins
	in.mirror.mu.Unlock()
	if exists && old.content() != in.snapshot.content() {
		return fmt.Errorf("%w: %s, with other content; remove it first (provision images thaw %[2]s)", ErrExists, in.snapshot.Name)
	}
	rows := map[digest]row{}
	signer := map[digest]string{}
	for _, p := range slices.Sorted(maps.Keys(in.snapshot.Indexes)) {
		t, err := in.index(in.snapshot.Indexes[p])
		if err != nil {
			return fmt.Errorf("index %s: %w", p, err)
		}
		for _, r := range t.rows {
			rows[r.sum], signer[r.sum] = r, t.key
		}
	}
	for sum := range in.packages {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, ok := rows[sum]
		if !ok {
			return fmt.Errorf("no index names the package %s", sum)
		}
		name := in.file(bundlePackages + sum.String())
		if info, err := os.Stat(name); err != nil || info.Size() != r.size {
			return fmt.Errorf("%s has another size than its index says", r.file)
		}
		signature, err := os.ReadFile(name + ".sig2")
		if err != nil {
			return fmt.Errorf("the signature of %s is missing", r.file)
		}
		if err := in.keys.Verify(signer[sum], sum, signature); err != nil {
			return fmt.Errorf("%s: %w", r.file, err)
		}
	}
	return nil
}

// index reads a staged index and makes its table beside it.
func (in *staged) index(x Index) (*table, error) {
	f, err := os.Open(in.file(bundleIndexes + x.SHA256))
	if err != nil {
		return nil, fmt.Errorf("%s is missing", x.SHA256)
	}
	defer f.Close()
	index, err := xbps.ReadIndex(f)
	if err != nil {
		return nil, err
	}
	if err := index.Trusted(in.keys); err != nil {
		return nil, err
	}
	t, err := newTable(index)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.write(&b); err != nil {
		return nil, err
	}
	return t, os.WriteFile(in.file(bundleIndexes+x.SHA256+".files"), b.Bytes(), 0o644)
}

// commit gives everything its place. The snapshot, which makes it count, comes last.
func (in *staged) commit() error {
	m := in.mirror
	m.keeping.Lock()
	defer m.keeping.Unlock()
	if err := in.keep(); err != nil {
		return err
	}
	if err := m.sync(); err != nil {
		return err
	}
	if err := m.put(in.snapshot); !errors.Is(err, ErrExists) {
		return err
	}
	return nil // it is the same: see verify
}

// sync makes all that was renamed durable at once.
func (m *Mirror) sync() error {
	d, err := os.Open(m.cfg.Dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(d.Fd())), d.Close())
}

func (in *staged) keep() error {
	m := in.mirror
	for sum := range in.packages {
		from, to := in.file(bundlePackages+sum.String()), m.packagePath(sum)
		info, err := os.Stat(from)
		if err != nil {
			return err
		}
		if _, err := os.Stat(to); err != nil {
			m.account(info.Size())
		}
		if err := errors.Join(os.Rename(from, to), os.Rename(from+".sig2", to+".sig2")); err != nil {
			return err
		}
	}
	for _, x := range in.snapshot.Indexes {
		from, to := in.file(bundleIndexes+x.SHA256), m.indexPath(x)
		if _, err := os.Stat(from); err != nil {
			continue // two paths may have the same index
		}
		if err := errors.Join(os.Rename(from+".files", to+".files"), os.Rename(from, to)); err != nil {
			return err
		}
	}
	return in.keepKeys()
}

// keepKeys makes the bundle's package keys the mirror's: who is trusted to bring packages is trusted
// to say who signs them.
func (in *staged) keepKeys() error {
	m := in.mirror
	m.mu.Lock()
	keys := maps.Clone(m.keys)
	m.mu.Unlock()
	for fingerprint, k := range in.keys {
		if _, ok := keys[fingerprint]; ok {
			continue
		}
		keys[fingerprint] = k
		name, text, err := k.Marshal()
		if err != nil {
			return err
		}
		if err := m.writeFile(m.dir("keys/"+name), func(w io.Writer) error { _, err := w.Write(text); return err }); err != nil {
			return err
		}
	}
	m.mu.Lock()
	m.keys = keys
	m.mu.Unlock()
	return nil
}
