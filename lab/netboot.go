package lab

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cavaliergopher/cpio"
	"github.com/ulikunitz/xz"

	"provision.internal/lab/netboot"
	"provision.internal/xbps"
)

// MakeNetboot writes a tarball as void-mklive's mknet.sh makes them, below base,
// where the inputs are: Debian's kernel, and an initrd with busybox and the
// stand-ins of XBPS and of the autoinstaller. It returns the tarball's name.
func MakeNetboot(ctx context.Context, base string, p Programs) (string, error) {
	base, err := filepath.Abs(base)
	if err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(base, "inputs.lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	kernelName, err := kernelDeb(ctx)
	if err != nil {
		return "", err
	}
	d, err := fetchDebs(ctx, filepath.Join(base, "debs"), append(debsWanted(), kernelName))
	if err != nil {
		return "", err
	}
	scratch, err := os.MkdirTemp(base, scratchPrefix)
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(scratch)
	files, err := netbootFiles(ctx, d, kernelName, scratch, p)
	if err != nil {
		return "", fmt.Errorf("make a NETBOOT tarball: %w", err)
	}
	name := filepath.Join(base, "void-x86_64-NETBOOT-00000000.tar.gz")
	if err := writeNetboot(name+".new", files); err != nil {
		return "", fmt.Errorf("make a NETBOOT tarball: %w", err)
	}
	return name, os.Rename(name+".new", name)
}

// netbootFiles are what is in the tarball.
func netbootFiles(ctx context.Context, d *debs, kernelName, scratch string, p Programs) (tree, error) {
	busybox, err := d.read(ctx, "busybox-static")
	if err != nil {
		return nil, err
	}
	program, err := content(busybox["usr/bin/busybox"])
	if err != nil {
		return nil, err
	}
	file := filepath.Join(scratch, "busybox")
	if err := os.WriteFile(file, program, 0o755); err != nil {
		return nil, err
	}
	k, err := readKernel(ctx, d, kernelName, file, scratch)
	if err != nil {
		return nil, err
	}
	helper, err := os.ReadFile(filepath.Join(string(p), "standin-xbps"))
	if err != nil {
		return nil, fmt.Errorf("%w: make build makes it", err)
	}
	initrd := tree{}
	image := xbps.File{}
	for name, f := range k.files {
		switch {
		case name == "boot/vmlinuz-"+k.release:
			image = f
		case filepath.Dir(name) != "boot":
			initrd.add(f)
		}
	}
	image.Path = "vmlinuz"
	initrd.add(
		xbps.Symlink("lib", "usr/lib"), xbps.Symlink("sbin", "bin"),
		xbps.Regular("init", 0o755, []byte(netboot.Init)),
		xbps.Regular("bin/busybox", 0o755, program),
		xbps.Regular("usr/bin/dhclient", 0o755, []byte(netboot.DHClient)),
		xbps.Regular("usr/bin/xbps-uhelper", 0o755, helper),
		// The stand-in needs none of the following before it reads its configuration.
		xbps.Regular("usr/bin/lsblk", 0o755, []byte("#!/bin/sh\necho '{}'\n")),
		xbps.Regular("usr/bin/jq", 0o755, []byte("#!/bin/sh\necho none\n")),
		xbps.Regular("usr/lib/autoinstaller.sh", 0o644, []byte(netboot.Autoinstaller)),
	)
	for _, dir := range []string{"dev", "proc", "sys", "run", "root", "tmp"} {
		initrd.add(xbps.Directory(dir, 0o755))
	}
	packed := filepath.Join(scratch, "initrd")
	if err := writeInitrd(packed, initrd); err != nil {
		return nil, err
	}
	archive, err := os.ReadFile(packed)
	if err != nil {
		return nil, err
	}
	out := tree{}
	out.add(
		image, xbps.Regular("initrd", 0o644, archive),
		xbps.Regular("pxelinux.0", 0o644, []byte("not a loader")),
		xbps.Regular("pxelinux.cfg/default", 0o644, []byte("LABEL auto\nKERNEL vmlinuz\nAPPEND initrd=initrd auto\n")),
	)
	return out, nil
}

// writeInitrd writes t as an initramfs in xz. The kernel checks CRC32 only.
func writeInitrd(name string, t tree) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := xz.WriterConfig{CheckSum: xz.CRC32}.NewWriter(f)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriter(z)
	w := cpio.NewWriter(buffered)
	return errors.Join(writeArchive(w, t), w.Close(), buffered.Flush(), z.Close(), f.Close())
}

func writeNetboot(name string, t tree) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	z := gzip.NewWriter(f)
	w := tar.NewWriter(z)
	return errors.Join(writeTarball(w, t), w.Close(), z.Close(), f.Close())
}
