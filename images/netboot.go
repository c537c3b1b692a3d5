package images

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"provision.internal/xbps"
)

// Netboot is what a NETBOOT tarball boots: see Store.Netboot.
type Netboot struct {
	Release string `json:"release"` // the kernel's, as its image says
	Kernel  Blob   `json:"kernel"`
	Initrd  Blob   `json:"initrd"`
}

// Bounds of a NETBOOT tarball. They are variables for the test of them alone.
var (
	maxNetboot int64 = 4 << 30 // decompressed
	maxInitrd  int64 = 2 << 30
)

// Netboot stores kernel and initrd of a tarball that void-mklive's mknet.sh has
// made, or finds them stored. The tarball is somebody else's: it is read whole, and
// refused when anything in it is not as it should be, before either file is
// kept. Its loaders and menus for a BIOS are not used.
func (s *Store) Netboot(ctx context.Context, file string) (Netboot, error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return Netboot{}, err
	}
	defer unlock()
	sum, err := s.hashOf(file)
	if err != nil {
		return Netboot{}, fmt.Errorf("NETBOOT: %w; set images.netboot to a tarball of void-mklive's mknet.sh", err)
	}
	m, err := s.remember(func() (made, error) { return s.readNetboot(ctx, file) }, netbootRecipe, sum)
	if err != nil {
		return Netboot{}, fmt.Errorf("NETBOOT %s: %w", file, err)
	}
	return Netboot{Release: m.Notes["release"], Kernel: m.Blobs["kernel"], Initrd: m.Blobs["initrd"]}, nil
}

const netbootRecipe = "netboot"

// Names in the tarball, at its top.
const (
	netbootKernel = "vmlinuz"
	netbootInitrd = "initrd"
)

func (s *Store) readNetboot(ctx context.Context, file string) (made, error) {
	var kernel, initrd *Writer
	defer func() {
		for _, w := range []*Writer{kernel, initrd} {
			if w != nil {
				w.Abort()
			}
		}
	}()
	release := ""
	err := eachOf(ctx, file, maxNetboot, func(e xbps.File, r io.Reader) (err error) {
		switch e.Path {
		case netbootKernel:
			kernel, release, err = s.netbootKernel(e, r)
		case netbootInitrd:
			initrd, err = s.netbootInitrd(e, r)
		}
		return err
	})
	if err != nil {
		return made{}, err
	}
	switch {
	case kernel == nil:
		return made{}, fmt.Errorf("it has no %s: is it a NETBOOT tarball for a PC?", netbootKernel)
	case initrd == nil:
		return made{}, fmt.Errorf("it has no %s: is it a NETBOOT tarball for a PC?", netbootInitrd)
	}
	k, err := kernel.Commit()
	if err != nil {
		return made{}, err
	}
	i, err := initrd.Commit()
	return made{Blobs: map[string]Blob{"kernel": k, "initrd": i}, Notes: map[string]string{"release": release}}, err
}

func (s *Store) netbootKernel(e xbps.File, r io.Reader) (*Writer, string, error) {
	if err := wantFile(e, maxKernel); err != nil {
		return nil, "", err
	}
	image, err := io.ReadAll(r)
	if err != nil {
		return nil, "", err
	}
	release, err := bzImageRelease(image)
	if err != nil {
		return nil, "", err
	}
	w, err := s.keep(bytes.NewReader(image))
	return w, release, err
}

func (s *Store) netbootInitrd(e xbps.File, r io.Reader) (*Writer, error) {
	if err := wantFile(e, maxInitrd); err != nil {
		return nil, err
	}
	br := bufio.NewReader(r)
	head, err := br.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !slices.ContainsFunc(initrdMagics, func(m string) bool { return bytes.HasPrefix(head, []byte(m)) }) {
		return nil, errors.New("is no initramfs: want a cpio archive, plain or compressed with xz, zstd, gzip, bzip2 or lz4")
	}
	return s.keep(br)
}

// initrdMagics begin what a kernel unpacks as an initramfs (the kernel's
// lib/decompress.c, and its documentation of early user space).
var initrdMagics = []string{"070701", "070702", "\xfd7zXZ\x00", "\x28\xb5\x2f\xfd", "\x1f\x8b", "BZh", "\x02\x21\x4c\x18"}

func wantFile(e xbps.File, limit int64) error {
	switch {
	case !e.Mode.IsRegular() || e.Link != "":
		return errors.New("is no file of its own")
	case e.Size == 0:
		return errors.New("is empty")
	case e.Size > limit:
		return fmt.Errorf("has %d bytes, more than %d", e.Size, limit)
	}
	return nil
}

// keep writes what r yields to the store, for a Commit that comes later.
func (s *Store) keep(r io.Reader) (*Writer, error) {
	w, err := s.Create()
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(w, r); err != nil {
		w.Abort()
		return nil, err
	}
	return w, nil
}

// bzImageRelease returns the release that a kernel for a PC names in its header:
// Documentation/arch/x86/boot.rst of the kernel, fields header and kernel_version.
func bzImageRelease(image []byte) (string, error) {
	const (
		bootFlag, header = 0x1fe, 0x202
		versionPointer   = 0x20e // from here less 0x200
	)
	if len(image) < versionPointer+2 || string(image[bootFlag:bootFlag+2]) != "\x55\xaa" || string(image[header:header+4]) != "HdrS" {
		return "", errors.New("is no Linux kernel for a PC")
	}
	at := 0x200 + int(binary.LittleEndian.Uint16(image[versionPointer:]))
	if at == 0x200 || at >= len(image) {
		return "", nil // it names none
	}
	text := image[at:min(at+128, len(image))]
	// "6.12.10_1 (voidlinux@voidlinux) #1 SMP …": the first word.
	release, _, _ := bytes.Cut(text, []byte{' '})
	release, _, _ = bytes.Cut(release, []byte{0})
	for _, c := range release {
		if c <= ' ' || c > '~' {
			return "", nil
		}
	}
	return string(release), nil
}
