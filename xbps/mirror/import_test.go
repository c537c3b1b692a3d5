package mirror_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provision.internal/xbps"
	"provision.internal/xbps/bundle"
	"provision.internal/xbps/mirror"
)

// exported is a bundle of workerSite's snapshot golden.
func exported(t *testing.T) (u *upstream, file []byte, key ed25519.PrivateKey) {
	t.Helper()
	u, s := workerSite(t)
	snap, err := s.Freeze(t.Context(), "golden")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Export(t.Context(), snap, worker(), nil, newKey(t), "here"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("exported what is not kept: %v", err)
	}
	if err := s.Complete(t.Context(), snap, worker(), nil); err != nil {
		t.Fatal(err)
	}
	extra := filepath.Join(t.TempDir(), "extra")
	if err := os.WriteFile(extra, []byte("a ROOTFS"), 0o644); err != nil {
		t.Fatal(err)
	}
	key = newKey(t)
	e, err := s.Export(t.Context(), snap, worker(), map[string]string{"release/rootfs": extra}, key, "here")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := e.Write(&b); err != nil {
		t.Fatal(err)
	}
	if e.Packages != 4 || e.Size() != int64(b.Len()) {
		t.Errorf("%d packages, %d bytes said, %d written", e.Packages, e.Size(), b.Len())
	}
	return u, b.Bytes(), key
}

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// offline is a site without upstream.
func offline(t *testing.T, change ...func(*mirror.Config)) *site {
	t.Helper()
	u := newUpstream(t)
	return newSite(t, u, append(change, func(c *mirror.Config) { c.Upstream = (*url.URL)(nil) })...)
}

var errKey = errors.New("another key")

func importer(key ed25519.PrivateKey, extras map[string]string) mirror.Importer {
	return mirror.Importer{
		Trust: func(k ed25519.PublicKey, m bundle.Manifest) error {
			if !k.Equal(key.Public()) || m.By != "here" || m.Title != "golden" {
				return errKey
			}
			return nil
		},
		Place: func(snapshot string, files map[string]string) error {
			for name, file := range files {
				b, err := os.ReadFile(file)
				if err != nil {
					return err
				}
				extras[snapshot+":"+name] = string(b)
			}
			return nil
		},
	}
}

func TestImportServesASiteWithoutUpstream(t *testing.T) {
	u, file, key := exported(t)
	s := offline(t)
	extras := map[string]string{}
	in, err := s.Import(t.Context(), bytes.NewReader(file), importer(key, extras))
	if err != nil {
		t.Fatal(err)
	}
	if in.Packages != 4 || in.By != "here" || in.Snapshot.Name != "golden" || in.Snapshot.Origin != bundle.FormatKey(key.Public().(ed25519.PublicKey)) {
		t.Errorf("imported %+v", in)
	}
	if len(extras) != 1 || extras["golden:release/rootfs"] != "a ROOTFS" {
		t.Errorf("extras %q", extras)
	}
	if newest, err := s.Newest(); err != nil || newest.Name != "golden" {
		t.Errorf("newest %+v, %v", newest, err)
	}
	for range 2 {
		for name, content := range u.files {
			if strings.Contains(name, "other") {
				s.refused("@golden/"+name, 404)
				continue
			}
			s.want("@golden/"+name, content)
			s.want(name, content) // what was imported is what is live here
		}
		s.restart()
	}
	if err := s.Complete(t.Context(), in.Snapshot, worker(), nil); err != nil {
		t.Errorf("the roles' packages: %v", err)
	}
	// Once more is nothing new.
	if _, err := s.Import(t.Context(), bytes.NewReader(file), importer(key, extras)); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

// nothing fails the test when an import that failed left something.
func (s *site) nothing() {
	s.t.Helper()
	if snaps := s.Snapshots(); len(snaps) != 0 {
		s.t.Errorf("it left the snapshots %v", snaps)
	}
	for _, sub := range []string{"packages", "indexes", "keys", "incoming", "snapshots"} {
		files, err := os.ReadDir(filepath.Join(s.cfg.Dir, sub))
		if err != nil || len(files) != 0 {
			s.t.Errorf("it left %v in %s, %v", files, sub, err)
		}
	}
}

func TestImportRefuses(t *testing.T) {
	_, file, key := exported(t)
	other := newKey(t)
	none := map[string]string{}
	for name, c := range map[string]struct {
		file []byte
		im   mirror.Importer
		want error
	}{
		"another's key":     {file, importer(other, none), errKey},
		"half of it":        {file[:len(file)/2], importer(key, none), bundle.ErrBroken},
		"a changed package": {flip(file, len(file)-80_000), importer(key, none), bundle.ErrBroken},
		"nonsense":          {[]byte("hello"), importer(key, none), bundle.ErrFormat},
		"a refused place": {file, mirror.Importer{
			Trust: func(ed25519.PublicKey, bundle.Manifest) error { return nil },
			Place: func(string, map[string]string) error { return errKey },
		}, errKey},
	} {
		s := offline(t)
		if _, err := s.Import(t.Context(), bytes.NewReader(c.file), c.im); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		s.nothing()
	}
}

func flip(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

// Whoever may sign bundles still cannot bring packages that no index names or nobody signed.
func TestImportVerifiesTheContent(t *testing.T) {
	_, file, key := exported(t)
	for name, c := range map[string]struct {
		change func(files map[string][]byte)
		want   string
	}{
		"a package that no index names": {func(f map[string][]byte) {
			f["packages/"+sumOf([]byte("evil"))] = []byte("evil")
			f["packages/"+sumOf([]byte("evil"))+".sig2"] = []byte("evil")
		}, "no index names the package"},
		"a package without its signature": {func(f map[string][]byte) {
			delete(f, firstOf(f, "packages/", ".sig2"))
		}, "the signature of"},
		"a wrong signature": {func(f map[string][]byte) {
			f[firstOf(f, "packages/", ".sig2")] = []byte("evil")
		}, "the signature is not valid"},
		"an index that is missing": {func(f map[string][]byte) {
			delete(f, firstOf(f, "indexes/", ""))
		}, "is missing"},
		"an index by an unknown key": {func(f map[string][]byte) {
			delete(f, firstOf(f, "keys/", ""))
		}, "the key is not trusted"},
		"a snapshot with a path": {func(f map[string][]byte) {
			f["snapshot.json"] = bytes.Replace(f["snapshot.json"], []byte(`"golden"`), []byte(`"../../x"`), 1)
		}, "cannot be a snapshot's name"},
		"an unknown file":       {func(f map[string][]byte) { f["evil/x"] = nil }, "is nothing that a bundle of packages has"},
		"a name with a way out": {func(f map[string][]byte) { f["packages/x.sig2"] = nil }, "is no SHA-256"},
		"nothing":               {func(f map[string][]byte) { clear(f) }, "cannot be a snapshot's name"},
	} {
		files := map[string][]byte{}
		b, err := bundle.Open(bytes.NewReader(file), importer(key, nil).Trust)
		if err != nil {
			t.Fatal(err)
		}
		for {
			f, err := b.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if files[f.Name], err = io.ReadAll(b); err != nil {
				t.Fatal(err)
			}
		}
		c.change(files)
		m := bundle.Manifest{By: "here", Title: "golden"}
		for name, content := range files {
			m.Files = append(m.Files, bundle.File{Name: name, Size: int64(len(content)), SHA256: sumOf(content)})
		}
		w, err := bundle.New(key, m)
		if err != nil {
			t.Fatal(err)
		}
		var bad bytes.Buffer
		if err := w.Write(&bad, func(f bundle.File) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(files[f.Name])), nil
		}); err != nil {
			t.Fatal(err)
		}
		s := offline(t, func(c *mirror.Config) {
			if strings.Contains(name, "unknown key") {
				c.Keys = xbps.Keys{}
			}
		})
		if _, err := s.Import(t.Context(), &bad, importer(key, map[string]string{})); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		s.nothing()
	}
}

func TestImportOfAnotherSnapshotOfThatName(t *testing.T) {
	_, file, key := exported(t)
	u, s := workerSite(t)
	kept := u.files[indexFile]
	if _, err := s.Freeze(t.Context(), "golden"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Import(t.Context(), bytes.NewReader(file), importer(key, map[string]string{})); !errors.Is(err, mirror.ErrExists) {
		t.Errorf("error %v", err)
	}
	s.want("@golden/"+indexFile, kept)
}

// stopping ends the import's context once so many bytes were read.
type stopping struct {
	io.Reader
	left int
	stop func()
}

func (s *stopping) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if s.left -= n; s.left < 0 {
		s.stop()
	}
	return n, err
}

func TestInterruptedImportLeavesNothing(t *testing.T) {
	_, file, key := exported(t)
	s := offline(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	if _, err := s.Import(ctx, &stopping{bytes.NewReader(file), len(file) / 2, stop}, importer(key, nil)); !errors.Is(err, context.Canceled) && !errors.Is(err, bundle.ErrBroken) {
		t.Errorf("error %v", err)
	}
	s.nothing()
}

func TestImportBringsItsPackageKeys(t *testing.T) {
	u, file, key := exported(t)
	s := offline(t, func(c *mirror.Config) { c.Keys = xbps.Keys{} })
	if _, err := s.Import(t.Context(), bytes.NewReader(file), importer(key, map[string]string{})); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		const name = "current/lib-1.2_1.x86_64.xbps"
		s.want("@golden/"+name+".sig2", u.files[name+".sig2"])
		if keys := s.Keys(); len(keys) != 1 {
			t.Errorf("keys %v", keys)
		}
		s.restart()
	}
}

func TestImportOntoAFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounts a small file system: needs root")
	}
	_, file, key := exported(t)
	dir := t.TempDir()
	smallDisk(t, dir, 64<<10)
	s := offline(t, func(c *mirror.Config) { c.Dir = dir })
	if _, err := s.Import(t.Context(), bytes.NewReader(file), importer(key, nil)); !errors.Is(err, mirror.ErrFull) {
		t.Errorf("error %v", err)
	}
	s.nothing()
}

// A site that has lost its network for good goes on with what is imported, not with what was live last.
func TestImportIsLiveWithoutUpstream(t *testing.T) {
	theirs, file, key := exported(t)
	ours, s := workerSite(t)
	s.want(indexFile, ours.files[indexFile])
	s.cfg.Upstream = nil
	s.restart()
	s.want(indexFile, ours.files[indexFile])
	if _, err := s.Import(t.Context(), bytes.NewReader(file), importer(key, map[string]string{})); err != nil {
		t.Fatal(err)
	}
	s.want(indexFile, theirs.files[indexFile])
}
