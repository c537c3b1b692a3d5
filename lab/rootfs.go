package lab

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/ulikunitz/xz"

	"provision.internal/xbps"
)

// rootfsName is as Void calls its tarball; the date says that it is no release.
const rootfsName = "void-x86_64-ROOTFS-00000000.tar.xz"

// rootfsOf lists the packages whose files make the ROOTFS tarball, with those
// that they depend on: the installer's tools.
var rootfsOf = []string{"base-files", "busybox", "util-linux", "e2fsprogs", "dosfstools", "xbps"}

// storageOf are the packages that an installer needs besides for file systems
// other than ext4, mirrors and encryption. They would double the size of the
// tools: a tarball of its own has them.
var storageOf = []string{"xfsprogs", "btrfs-progs", "mdadm", "cryptsetup"}

const storageName = "void-x86_64-storage-ROOTFS-00000000.tar.xz"

// WithStorage are the same inputs with a ROOTFS tarball that has the tools for
// every layout.
func (in Inputs) WithStorage() *Inputs {
	in.Rootfs = filepath.Join(in.Dir, storageName)
	return &in
}

// installedPackage is an entry of a system's package database.
type installedPackage struct {
	xbps.Package
	State string `plist:"state"`
}

// writeRootfs writes a tarball of installer's tools, with the database of what
// is in it.
func (m *maker) writeRootfs(file string, packages []string) error {
	all, installed := tree{}, map[string]installedPackage{}
	for _, name := range packages {
		for dep := range m.closure(name) {
			all.merge(m.trees[dep])
			installed[dep] = installedPackage{m.packages[dep], "installed"}
		}
	}
	database, err := xbps.MarshalPlist(installed)
	if err != nil {
		return err
	}
	all.add(xbps.Regular(xbps.DatabaseFile, 0o644, database))
	f, err := os.Create(filepath.Join(m.out, file))
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := xz.NewWriter(f)
	if err != nil {
		return err
	}
	w := tar.NewWriter(z)
	if err := writeTarball(w, all); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return errors.Join(w.Close(), z.Close(), f.Close())
}

// writeTarball writes t as Void's tarballs are: names begin with "./", every
// folder comes before its files.
func writeTarball(w *tar.Writer, t tree) error {
	made := map[string]bool{".": true}
	for _, f := range t.files() {
		var above []string
		for dir := filepath.Dir(f.Path); !made[dir]; dir = filepath.Dir(dir) {
			made[dir] = true
			if _, listed := t[dir]; !listed {
				above = append(above, dir)
			}
		}
		for _, dir := range slices.Backward(above) {
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "./" + dir + "/", Mode: 0o755}); err != nil {
				return err
			}
		}
		h := &tar.Header{Name: "./" + f.Path, Mode: permBits(f.Mode)}
		var body []byte
		switch f.Mode.Type() {
		case fs.ModeDir:
			made[f.Path] = true
			h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
		case fs.ModeSymlink:
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.Target
		default:
			var err error
			if body, err = content(f); err != nil {
				return err
			}
			h.Typeflag, h.Size = tar.TypeReg, int64(len(body))
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := w.Write(body); err != nil {
			return err
		}
	}
	return nil
}

func permBits(m fs.FileMode) int64 {
	bits := int64(m.Perm())
	if m&fs.ModeSticky != 0 {
		bits |= 0o1000
	}
	return bits
}
