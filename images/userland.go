package images

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"provision.internal/xbps"
)

// maxRootfs bounds a ROOTFS tarball when it is decompressed. Void's have a quarter
// of a gigabyte. It is a variable for the test of it alone.
var maxRootfs int64 = 4 << 30

// junk is what no install needs, in a system that lives in memory.
var junk = []string{
	"boot", "dev", "proc", "sys", "run", "tmp",
	"lib/modules", "usr/lib/modules", "usr/lib/firmware",
	"usr/lib/gconv", "usr/share/zoneinfo", "usr/share/kbd", "etc/udev/hwdb.bin", "usr/lib/udev/hwdb.bin", "usr/lib/udev/hwdb.d",
	"usr/include", "usr/lib/pkgconfig", "usr/lib/cmake", "usr/share/pkgconfig",
	"usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/gtk-doc", "usr/share/locale", "usr/lib/locale", "usr/share/i18n",
	"usr/share/bash-completion", "usr/share/zsh", "usr/share/fish", "usr/share/licenses",
	"var/cache", "var/log", "var/tmp",
}

func isJunk(name string) bool {
	// What is installed here is of no use to the installed system, but for the keys.
	if strings.HasPrefix(name, "var/db/xbps/") && !strings.HasPrefix(name, "var/db/xbps/keys") {
		return true
	}
	for _, j := range junk {
		if name == j || strings.HasPrefix(name, j+"/") {
			return true
		}
	}
	return strings.HasPrefix(name, "usr/lib/") && path.Ext(name) == ".a"
}

// rootfs makes the part that comes from the ROOTFS tarball: "rootfs", tar
// entries in zstd without an end; "database" of its packages, if it has one; and the note "lib" of
// the folder that its modules go to.
func (s *Store) rootfs(ctx context.Context, file string) (made, error) {
	sum, err := s.hashOf(file)
	if err != nil {
		return made{}, fmt.Errorf("ROOTFS: %w; set images.rootfs to Void's ROOTFS tarball", err)
	}
	return s.remember(func() (made, error) {
		m, err := s.strip(ctx, file)
		if err != nil {
			return made{}, fmt.Errorf("ROOTFS %s: %w", file, err)
		}
		return m, nil
	}, "rootfs", sum)
}

func (s *Store) strip(ctx context.Context, file string) (made, error) {
	out, err := s.newFrames()
	if err != nil {
		return made{}, err
	}
	defer out.blob.Abort()
	m := made{Blobs: map[string]Blob{}, Notes: map[string]string{"lib": "usr/lib"}}
	err = eachOf(ctx, file, maxRootfs, func(e xbps.File, r io.Reader) (err error) {
		if e.Path == "lib" && e.Mode.IsDir() {
			m.Notes["lib"] = "lib" // not a system with a merged /usr
		}
		if e.Path == xbps.DatabaseFile && e.Mode.IsRegular() {
			m.Blobs["database"], err = s.Put(r)
			return err
		}
		if isJunk(e.Path) {
			return nil
		}
		if isJunk(e.Link) {
			return fmt.Errorf("is a hard link to %s, which the userland leaves out", e.Link)
		}
		return out.add(e, r)
	})
	if err != nil {
		return made{}, err
	}
	if out.memory == 0 {
		return made{}, errors.New("it has no files")
	}
	m.Memory = out.memory
	m.Blobs["rootfs"], err = out.commit(false)
	return m, err
}

// entries are the files of a tarball or a package, one after the other.
type entries interface {
	io.Reader // of the content of the file that Next returned last
	Next() (xbps.File, error)
}

// each calls f for every file. Errors name it.
func each(ctx context.Context, from entries, f func(xbps.File, io.Reader) error) error {
	for {
		e, err := from.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if err := f(e, from); err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
	}
}

// eachOf is each for a tarball that is a file of somebody else's.
func eachOf(ctx context.Context, file string, limit int64, f func(xbps.File, io.Reader) error) error {
	r, err := os.Open(file)
	if err != nil {
		return err
	}
	defer r.Close()
	t, err := xbps.OpenTarball(r, limit)
	if err != nil {
		return err
	}
	defer t.Close()
	return each(ctx, t, f)
}

// leaves reports whether a symbolic link climbs out of the root. Absolute ones
// do not: they count from the machine's own root.
func leaves(e xbps.File) bool {
	if path.IsAbs(e.Target) {
		return false
	}
	to := path.Join(path.Dir(e.Path), e.Target)
	return to == ".." || strings.HasPrefix(to, "../")
}

// lateArchive writes files as tar entries in zstd, with the end of the archive.
func (s *Store) lateArchive(tree map[string][]byte) (Blob, error) {
	out, err := s.newFrames()
	if err != nil {
		return Blob{}, err
	}
	defer out.blob.Abort()
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		if err := out.add(xbps.File{Path: name, Mode: 0o644, Size: int64(len(tree[name]))}, bytes.NewReader(tree[name])); err != nil {
			return Blob{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	return out.commit(true)
}

// frames writes tar entries in zstd. Parts written one after the other make
// one archive, since zstd frames may be concatenated.
type frames struct {
	blob   *Writer
	zstd   *zstd.Encoder
	tar    *tar.Writer
	memory int64 // that what was added occupies
}

func (s *Store) newFrames() (*frames, error) {
	blob, err := s.Create()
	if err != nil {
		return nil, err
	}
	// One goroutine, since the cut into blocks must not depend on timing. The window is small because
	// the machine that unpacks has little memory and no time.
	z, err := zstd.NewWriter(blob, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(4<<20))
	if err != nil {
		blob.Abort()
		return nil, err
	}
	return &frames{blob: blob, zstd: z, tar: tar.NewWriter(z)}, nil
}

// add writes one entry, owned by root and without a time.
func (f *frames) add(e xbps.File, body io.Reader) error {
	if leaves(e) {
		return fmt.Errorf("is a symbolic link to %q, which is outside", e.Target)
	}
	f.memory += occupied(e.Size)
	h := &tar.Header{Name: e.Path, Mode: int64(e.Mode.Perm()), Format: tar.FormatPAX}
	for flag, bit := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if e.Mode&flag != 0 {
			h.Mode |= bit
		}
	}
	switch {
	case e.Link != "":
		h.Typeflag, h.Linkname = tar.TypeLink, e.Link
	case e.Mode.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, e.Path+"/"
	case e.Mode&fs.ModeSymlink != 0:
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.Target
	default:
		h.Typeflag, h.Size = tar.TypeReg, e.Size
	}
	if err := f.tar.WriteHeader(h); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	_, err := io.Copy(f.tar, body)
	return err
}

func (f *frames) commit(end bool) (Blob, error) {
	finish := f.tar.Flush
	if end {
		finish = f.tar.Close
	}
	if err := errors.Join(finish(), f.zstd.Close()); err != nil {
		return Blob{}, err
	}
	return f.blob.Commit()
}
