package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"provision.internal/xbps"
)

// holders are the paths that a run puts into the system, with the package of each.
type holders map[string]holder

type holder struct {
	pkgver string
	dir    bool
}

// collect adds the files of a package. XBPS refuses two packages with a file in common in
// one run, be it the same in both; folders they may share.
func (h holders) collect(pkgver string, list xbps.FileList) error {
	add := func(name string, dir bool) error {
		other, taken := h[name]
		if taken && !(dir && other.dir) {
			return exit(unix.EEXIST, fmt.Errorf("file `%s' already installed by package %s", name, other.pkgver))
		}
		h[name] = holder{pkgver, dir}
		return nil
	}
	for _, f := range slices.Concat(list.Files, list.ConfFiles, list.Links) {
		if err := add(f.File, false); err != nil {
			return err
		}
	}
	for _, f := range list.Dirs {
		if err := add(f.File, true); err != nil {
			return err
		}
	}
	return nil
}

// unpack runs the pre stage of a verified package, puts its payload into the
// system and adds it to the database.
func (s *system) unpack(ctx context.Context, name string, e *entry, held holders) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	a, err := xbps.OpenArchive(file)
	if err != nil {
		return err
	}
	defer a.Close()
	if a.Props.Pkgver != e.Pkgver {
		return fmt.Errorf("the file holds %s", a.Props.Pkgver)
	}
	if err := held.collect(e.Pkgver, a.List); err != nil {
		return err
	}
	e.InstallScript, e.RemoveScript = a.Install, a.Remove
	if err := s.script(ctx, e, "pre"); err != nil {
		return err
	}
	t, err := openTree(s.root)
	if err != nil {
		return err
	}
	defer t.close()
	for {
		f, err := a.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if f.Mode.IsDir() {
			continue // as XBPS does: see xbps.Builder.Add
		}
		if slices.Contains(e.ConfFiles, "/"+f.Path) && t.exists(f.Path) {
			kept := f.Path
			f.Path += ".new-" + e.Version()
			fmt.Printf("%s: File `./%s' exists, installing configuration file to `./%s'.\n", e.Pkgver, kept, f.Path)
		}
		if err := t.write(f, a); err != nil {
			return fmt.Errorf("unpack %s: %w", f.Path, err)
		}
	}
	sum := sha256.Sum256(a.RawList)
	e.MetafileSHA256 = hex.EncodeToString(sum[:])
	e.State = stateUnpacked
	s.packages[e.Name()] = e
	return os.WriteFile(s.metafile(e.Name()), a.RawList, 0o644)
}

// openDirs is how many directories stay open: packages have their files in
// order, so that few are enough.
const openDirs = 64

// tree writes files below a root folder, without leaving it through symbolic
// links: an absolute one is taken as inside of the root, as after a chroot.
type tree struct {
	root int
	dirs map[string]int // open directories
	buf  []byte
}

func openTree(root string) (*tree, error) {
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", root, err)
	}
	return &tree{root: fd, dirs: map[string]int{}, buf: make([]byte, 256<<10)}, nil
}

func (t *tree) close() {
	t.forget()
	unix.Close(t.root)
}

func (t *tree) forget() {
	for name, fd := range t.dirs {
		unix.Close(fd)
		delete(t.dirs, name)
	}
}

// dir opens a directory, which is made if needed.
func (t *tree) dir(name string) (int, error) {
	if name == "." {
		return t.root, nil
	}
	if fd, ok := t.dirs[name]; ok {
		return fd, nil
	}
	if len(t.dirs) >= openDirs {
		t.forget()
	}
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT}
	fd, err := unix.Openat2(t.root, name, how)
	if errors.Is(err, unix.ENOENT) {
		var parent int
		if parent, err = t.dir(path.Dir(name)); err != nil {
			return -1, err
		}
		if err := unix.Mkdirat(parent, path.Base(name), 0o755); err != nil {
			return -1, fmt.Errorf("make the directory %s: %w", name, err)
		}
		fd, err = unix.Openat2(t.root, name, how)
	}
	if err != nil {
		return -1, fmt.Errorf("open the directory %s: %w", name, err)
	}
	t.dirs[name] = fd
	return fd, nil
}

func (t *tree) exists(name string) bool {
	dir, err := t.dir(path.Dir(name))
	if err != nil {
		return false
	}
	var st unix.Stat_t
	return unix.Fstatat(dir, path.Base(name), &st, unix.AT_SYMLINK_NOFOLLOW) == nil
}

// write makes one file; a file of that name is replaced.
func (t *tree) write(f xbps.File, body io.Reader) error {
	dir, err := t.dir(path.Dir(f.Path))
	if err != nil {
		return err
	}
	base := path.Base(f.Path)
	err = t.create(dir, base, f, body)
	if errors.Is(err, unix.EEXIST) {
		if err := unix.Unlinkat(dir, base, 0); err != nil {
			return err
		}
		err = t.create(dir, base, f, body)
	}
	return err
}

func (t *tree) create(dir int, base string, f xbps.File, body io.Reader) error {
	switch {
	case f.Link != "":
		from, err := t.dir(path.Dir(f.Link))
		if err != nil {
			return err
		}
		// Opening the second directory may have closed the first.
		if dir, err = t.dir(path.Dir(f.Path)); err != nil {
			return err
		}
		return unix.Linkat(from, path.Base(f.Link), dir, base, 0)
	case f.Mode&fs.ModeSymlink != 0:
		if err := unix.Symlinkat(f.Target, dir, base); err != nil {
			return err
		}
		return owner(f, func(uid, gid int) error { return unix.Fchownat(dir, base, uid, gid, unix.AT_SYMLINK_NOFOLLOW) })
	}
	fd, err := unix.Openat(dir, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(f.Mode.Perm()))
	if err != nil {
		return err
	}
	out := os.NewFile(uintptr(fd), f.Path)
	err = owner(f, out.Chown)
	// The umask has taken bits away, and a change of owner setuid.
	if special := f.Mode &^ (fs.ModePerm &^ 0o022); err == nil && special != 0 {
		err = out.Chmod(f.Mode)
	}
	if err == nil {
		_, err = io.CopyBuffer(struct{ io.Writer }{out}, body, t.buf)
	}
	return errors.Join(err, out.Close())
}

// owner is for root alone: as XBPS, others keep what they unpack.
func owner(f xbps.File, chown func(uid, gid int) error) error {
	if f.UID == 0 && f.GID == 0 || os.Geteuid() != 0 {
		return nil
	}
	return chown(f.UID, f.GID)
}
