package xbps

import (
	"archive/tar"
	"bytes"
	"cmp"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Builder makes packages and the index of one repository in Dir. Dir, Arch and
// Key must be set; Dir must exist. The same input gives the same bytes, times
// included, which are all zero. It may be used by several goroutines.
type Builder struct {
	Dir      string
	Arch     string // of the index: x86_64, x86_64-musl, …
	Key      *rsa.PrivateKey
	SignedBy string            // who holds Key, for people
	Level    zstd.EncoderLevel // 0 means zstd.SpeedBetterCompression

	mu       sync.Mutex
	packages map[string]Package
}

// Spec is a package to be built. Pkgver, Arch and Desc must be set;
// InstalledSize, SHA256 and Size are filled in.
type Spec struct {
	Package
	Install string // shell script, called with pre or post as $1, pkgname $2, version $3; optional
	Remove  string // likewise, with pre, post or purge; optional
	Files   []File // the payload, in any order
}

// Add builds and signs one package and remembers it for the index, which
// Finish writes.
//
// XBPS unpacks no directories: it makes those that files need, root's with mode 0755.
// A directory of Files that is empty, or another's, or has another mode, is therefore made by
// the package's INSTALL script, ahead of Install's own post stage.
func (b *Builder) Add(s Spec) (Package, error) {
	p, err := b.add(s)
	if err != nil {
		return Package{}, fmt.Errorf("build %s: %w", s.Pkgver, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.packages == nil {
		b.packages = map[string]Package{}
	}
	if old, ok := b.packages[p.Name()]; ok {
		return Package{}, fmt.Errorf("build %s: the repository has %s already", s.Pkgver, old.Pkgver)
	}
	b.packages[p.Name()] = p
	return p, nil
}

func (b *Builder) add(s Spec) (Package, error) {
	p := s.Package
	p.SHA256, p.Size = "", 0
	if err := p.check(); err != nil {
		return p, err
	}
	if !p.Fits(b.Arch) {
		return p, fmt.Errorf("its architecture is %s, the repository's %s", p.Arch, b.Arch)
	}
	files := slices.Clone(s.Files)
	slices.SortFunc(files, func(x, y File) int { return cmp.Compare(x.Path, y.Path) })
	list, size, err := listFiles(files, p.ConfFiles)
	if err != nil {
		return p, err
	}
	p.InstalledSize = size

	name := filepath.Join(b.Dir, p.File())
	f, err := os.CreateTemp(b.Dir, ".build-*")
	if err != nil {
		return p, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	h := sha256.New()
	if err := b.write(io.MultiWriter(f, h), p, s, list, files); err != nil {
		return p, err
	}
	digest := h.Sum(nil)
	signature, err := rsa.SignPKCS1v15(rand.Reader, b.Key, crypto.SHA256, digest)
	if err != nil {
		return p, fmt.Errorf("sign: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return p, err
	}
	p.SHA256, p.Size = hex.EncodeToString(digest), uint64(info.Size())
	return p, errors.Join(
		f.Chmod(0o644),
		os.WriteFile(name+".sig2", signature, 0o644),
		os.Rename(f.Name(), name),
	)
}

// Finish writes the index of all packages added.
func (b *Builder) Finish() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	x := Index{Packages: b.packages, Key: b.PublicKey()}
	if x.Packages == nil {
		x.Packages = map[string]Package{}
	}
	var buf bytes.Buffer
	if err := x.Write(&buf); err != nil {
		return fmt.Errorf("write the index: %w", err)
	}
	name := filepath.Join(b.Dir, IndexName(b.Arch))
	if err := os.WriteFile(name+".new", buf.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the index: %w", err)
	}
	return os.Rename(name+".new", name)
}

// PublicKey is the key that machines must trust. Its Marshal gives the file
// for /var/db/xbps/keys.
func (b *Builder) PublicKey() *Key { return &Key{Public: &b.Key.PublicKey, SignedBy: b.SignedBy} }

// props is props.plist: it names the package twice more than the index does.
type props struct {
	Package
	Name    string `plist:"pkgname"`
	Version string `plist:"version"`
}

func (b *Builder) write(w io.Writer, p Package, s Spec, list FileList, files []File) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(cmp.Or(b.Level, zstd.SpeedBetterCompression)), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	if install := directories(files) + s.Install; install != "" {
		if err := writeMember(t, "./INSTALL", 0o755, []byte(install)); err != nil {
			return err
		}
	}
	if s.Remove != "" {
		if err := writeMember(t, "./REMOVE", 0o755, []byte(s.Remove)); err != nil {
			return err
		}
	}
	for _, m := range []struct {
		name  string
		value any
	}{{"./props.plist", props{p, p.Name(), p.Version()}}, {"./files.plist", list}} {
		body, err := MarshalPlist(m.value)
		if err != nil {
			return err
		}
		if err := writeMember(t, m.name, 0o644, body); err != nil {
			return err
		}
	}
	for _, f := range files {
		if f.Mode.IsDir() {
			continue
		}
		if err := writeFile(t, f); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	return errors.Join(t.Close(), z.Close())
}

// directories is the part of an INSTALL script that makes the directories which
// XBPS would not make, or would make otherwise.
func directories(files []File) string {
	parents := map[string]bool{}
	for _, f := range files {
		if !f.Mode.IsDir() {
			parents[filepath.Dir(f.Path)] = true
		}
	}
	var script strings.Builder
	for _, f := range files {
		ordinary := f.UID == 0 && f.GID == 0 && unixMode(f.Mode) == 0o755
		if !f.Mode.IsDir() || ordinary && parents[f.Path] {
			continue
		}
		fmt.Fprintf(&script, "\tmkdir -p %s && chown %d:%d %[1]s && chmod %04[4]o %[1]s || exit 1\n",
			quote("./"+f.Path), f.UID, f.GID, unixMode(f.Mode))
	}
	if script.Len() == 0 {
		return ""
	}
	return "#!/bin/sh\nif [ \"$1\" = post ]; then\n" + script.String() + "fi\n"
}

// quote makes s one word of a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// unixMode is the mode as tar and chmod know it.
func unixMode(m fs.FileMode) int64 {
	bits := int64(m.Perm())
	for flag, bit := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&flag != 0 {
			bits |= bit
		}
	}
	return bits
}
