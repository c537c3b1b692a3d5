package images

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Inputs are what an installer image is made of. All but Packages must be set.
type Inputs struct {
	Arch         string       // as XBPS calls it: x86_64, x86_64-musl, aarch64, …
	Rootfs       string       // Void's ROOTFS tarball: the installer's tools
	Repositories []Repository // with the packages; the first match wins
	Kernel       string       // name of the kernel's package: "linux"
	Packages     []string     // tools that the ROOTFS may not have, by the names of their packages
	Agent        []byte       // static binary, started as /init

	// Overlay returns the appliance's own files for the initrd, by path
	// ("etc/provision/agent.json"). userland is what the agent has to fetch.
	Overlay func(userland Blob) (map[string][]byte, error)
}

// Image is an installer image in the store.
type Image struct {
	Arch     string `json:"arch"`
	Release  string `json:"release"` // the kernel's
	Kernel   Blob   `json:"kernel"`
	Initrd   Blob   `json:"initrd"`   // the agent as /init, drivers for network and disks, the overlay
	Userland Blob   `json:"userland"` // tar in zstd: the tools and the other drivers, for the root of the initrd
	Memory   int64  `json:"memory"`   // bytes that initrd and userland occupy once unpacked; while it unpacks, the machine holds Userland as well
}

// maxMemory bounds what an installer occupies. On a machine with 2 GiB its file
// system may take half of them (the kernel's default for a tmpfs). It is a
// variable for the test of it alone.
var maxMemory int64 = 800 << 20

// Assemble makes the installer image for in, or finds it made. It needs no
// privilege and no other program, and the same inputs give the same bytes.
//
// The image has two parts because hello shall come early: what the machine
// must read before its kernel starts is only the agent and the drivers that
// find network and disks. The agent fetches the userland afterwards.
func (s *Store) Assemble(ctx context.Context, in Inputs) (Image, error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return Image{}, err
	}
	defer unlock()
	clear(s.used)
	image, err := s.assemble(ctx, in)
	if err != nil {
		return Image{}, fmt.Errorf("installer image for %s: %w", in.Arch, err)
	}
	return image, nil
}

func (s *Store) assemble(ctx context.Context, in Inputs) (Image, error) {
	if err := in.check(); err != nil {
		return Image{}, err
	}
	parts, err := s.sub(partsDir)
	if err != nil {
		return Image{}, err
	}
	rootfs, err := parts.rootfs(ctx, in.Rootfs)
	if err != nil {
		return Image{}, err
	}
	packages, err := parts.packages(ctx, in, rootfs)
	if err != nil {
		return Image{}, err
	}
	kernel, err := parts.kernel(ctx, in, rootfs.Notes["lib"])
	if err != nil {
		return Image{}, err
	}
	agent, err := parts.agent(in.Agent)
	if err != nil {
		return Image{}, err
	}

	out := Image{Arch: in.Arch, Release: kernel.Notes["release"]}
	for _, part := range []made{rootfs, packages, kernel, agent} {
		out.Memory += part.Memory
	}
	if out.Memory > maxMemory {
		return Image{}, fmt.Errorf("unpacked, the installer would occupy %d MiB of a machine's memory, more than %d: is %s Void's ROOTFS?", out.Memory>>20, maxMemory>>20, in.Rootfs)
	}
	if out.Kernel, err = s.join(parts, "kernel", nil, kernel.Blobs["kernel"]); err != nil {
		return Image{}, err
	}
	frames := []Blob{rootfs.Blobs["rootfs"]}
	if b, ok := packages.Blobs["packages"]; ok {
		frames = append(frames, b)
	}
	if out.Userland, err = s.join(parts, "userland", nil, append(frames, kernel.Blobs["late"])...); err != nil {
		return Image{}, err
	}
	files, err := in.Overlay(out.Userland)
	if err != nil {
		return Image{}, fmt.Errorf("overlay: %w", err)
	}
	overlay, err := overlayArchive(files)
	if err != nil {
		return Image{}, fmt.Errorf("overlay: %w", err)
	}
	// The agent is last, because it alone is compressed: the kernel takes plain archives
	// before a compressed one everywhere (early microcode has this form).
	if out.Initrd, err = s.join(parts, "initrd", overlay, kernel.Blobs["boot"], agent.Blobs["agent"]); err != nil {
		return Image{}, err
	}
	return out, s.assembled(out, parts)
}

func (in Inputs) check() error {
	var faults []error
	for what, missing := range map[string]bool{
		"Arch": in.Arch == "", "Rootfs": in.Rootfs == "", "Repositories": len(in.Repositories) == 0,
		"Kernel": in.Kernel == "", "Agent": len(in.Agent) == 0, "Overlay": in.Overlay == nil,
	} {
		if missing {
			faults = append(faults, fmt.Errorf("%s is not set", what))
		}
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(faults...)
}

// join concatenates parts into one file of s, with extra before the last one.
func (s *Store) join(parts *Store, name string, extra []byte, blobs ...Blob) (Blob, error) {
	sum := sha256.Sum256(extra)
	inputs := []string{name, hex.EncodeToString(sum[:])}
	for _, b := range blobs {
		inputs = append(inputs, b.SHA256)
	}
	m, err := s.remember(func() (made, error) {
		w, err := s.Create()
		if err != nil {
			return made{}, err
		}
		defer w.Abort()
		var readers []io.Reader
		for i, b := range blobs {
			f, err := parts.File(b.SHA256)
			if err != nil {
				return made{}, err
			}
			defer f.Close()
			if i == len(blobs)-1 && extra != nil {
				readers = append(readers, bytes.NewReader(extra))
			}
			readers = append(readers, f)
		}
		if extra == nil {
			_, err = io.Copy(w, io.MultiReader(readers...))
		} else {
			err = concatenate(w, readers...)
		}
		if err != nil {
			return made{}, err
		}
		blob, err := w.Commit()
		return made{Blobs: map[string]Blob{name: blob}}, err
	}, inputs...)
	return m.Blobs[name], err
}

// agent makes the part with /init.
func (s *Store) agent(binary []byte) (made, error) {
	sum := sha256.Sum256(binary)
	return s.remember(func() (made, error) {
		var buf bytes.Buffer
		a := newInitramfs(&buf)
		if err := errors.Join(a.file("init", 0o755, binary), a.close()); err != nil {
			return made{}, err
		}
		z, err := newCompressor()
		if err != nil {
			return made{}, err
		}
		defer z.Close()
		blob, err := s.Put(bytes.NewReader(z.EncodeAll(buf.Bytes(), nil)))
		return made{Blobs: map[string]Blob{"agent": blob}, Memory: occupied(int64(len(binary)))}, err
	}, "agent", hex.EncodeToString(sum[:]))
}

func overlayArchive(files map[string][]byte) ([]byte, error) {
	var buf bytes.Buffer
	a := newInitramfs(&buf)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := a.file(strings.TrimPrefix(name, "/"), 0o644, files[name]); err != nil {
			return nil, err
		}
	}
	err := a.close()
	return buf.Bytes(), err
}

// newCompressor returns an encoder for EncodeAll of what is decompressed on the
// machine in one piece. It has large tables: one serves a whole step, and none is kept. The window stays
// within what every kernel accepts.
func newCompressor() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(4<<20))
}
