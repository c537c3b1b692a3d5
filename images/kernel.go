package images

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"provision.internal/xbps"
)

const (
	maxModule = 256 << 20 // of one module, decompressed
	maxKernel = 256 << 20
	maxConfig = 4 << 20
)

// kernelPackages returns the packages among which the kernel is: the one of the
// given name, and if that is a meta package, the versioned one ("linux6.12")
// which it depends on. The likelier come first.
func kernelPackages(in Inputs) ([]source, error) {
	chosen, err := in.resolve([]string{in.Kernel}, nil)
	if err != nil {
		return nil, fmt.Errorf("kernel package %s: %w", in.Kernel, err)
	}
	var found []source
	for _, c := range chosen {
		rest, ok := strings.CutPrefix(c.pkg.Name(), in.Kernel)
		if ok && strings.Trim(rest, "0123456789.") == "" {
			found = append(found, c)
		}
	}
	return found, nil
}

// kernelFiles is what one kernel package holds.
type kernelFiles struct {
	release string
	image   string // path in the package
	config  []byte // what it was built with
	builtin []string
	modules []module
}

// unzstds reports whether the kernel decompresses firmware in zstd by itself.
func (k *kernelFiles) unzstds() bool {
	return slices.Contains(strings.Split(string(k.config), "\n"), "CONFIG_FW_LOADER_COMPRESS_ZSTD=y")
}

// readKernel lists the kernel and its modules but for those in folders of skip; nil
// when the package has no kernel.
func readKernel(ctx context.Context, k source, skip []string) (*kernelFiles, error) {
	out := &kernelFiles{}
	err := k.walk(ctx, func(f xbps.File, r io.Reader) error {
		if !f.Mode.IsRegular() || f.Link != "" {
			return nil
		}
		if isKernel(f.Path) {
			out.image = f.Path
			return nil
		}
		if strings.HasPrefix(f.Path, "boot/config-") && f.Size <= maxConfig {
			var err error
			out.config, err = io.ReadAll(r)
			return err
		}
		release, file, ok := modulePath(f.Path)
		if !ok {
			return nil
		}
		out.release = release
		if file == "modules.builtin" {
			b, err := io.ReadAll(r)
			out.builtin = strings.Fields(string(b))
			return err
		}
		if !isModule(file) || listed(file, skip) {
			return nil
		}
		image, err := decompressed(r, maxModule)
		if err != nil {
			return err
		}
		m, err := parseModule(file, image)
		if err != nil {
			return err
		}
		out.modules = append(out.modules, m)
		return nil
	})
	if err != nil || out.image == "" {
		return nil, err
	}
	if out.release == "" {
		return nil, fmt.Errorf("%s has a kernel, but no folder lib/modules/RELEASE", k.pkg.Pkgver)
	}
	return out, nil
}

// isKernel: Void and Debian have boot/vmlinuz-RELEASE on x86, Void boot/vmlinux-RELEASE elsewhere.
func isKernel(name string) bool {
	return path.Dir(name) == "boot" && (strings.HasPrefix(path.Base(name), "vmlinuz") || strings.HasPrefix(path.Base(name), "vmlinux"))
}

// modulePath takes usr/lib/modules/RELEASE/FILE apart; the folder may also be
// lib/modules, as Debian has it.
func modulePath(name string) (release, file string, ok bool) {
	name = strings.TrimPrefix(name, "usr/")
	rest, ok := strings.CutPrefix(name, "lib/modules/")
	if !ok {
		return "", "", false
	}
	return strings.Cut(rest, "/")
}

func isModule(file string) bool {
	for _, suffix := range []string{".ko", ".ko.zst", ".ko.xz", ".ko.gz"} {
		if strings.HasSuffix(file, suffix) {
			return true
		}
	}
	return false
}

// decompressed reads a file whatever its compression.
func decompressed(r io.Reader, limit int64) ([]byte, error) {
	d, err := xbps.Decompress(r, limit)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return io.ReadAll(d)
}

// kernel makes the parts that come from the kernel's package: "kernel", "boot"
// (a cpio archive with the boot drivers) and "late" (tar frames with the others). lib
// is the folder that lib/modules is in.
func (s *Store) kernel(ctx context.Context, in Inputs, lib string) (made, error) {
	packages, err := kernelPackages(in)
	if err != nil {
		return made{}, err
	}
	firmware := in.named(firmwarePackages)
	inputs := append([]string{"kernel", lib}, identities(packages)...)
	inputs = append(append(inputs, "firmware"), identities(firmware)...)
	return s.remember(func() (made, error) {
		var names []string
		for _, k := range slices.Backward(packages) {
			files, err := readKernel(ctx, k, ignored)
			if err != nil {
				return made{}, err
			}
			if files != nil {
				return s.extract(ctx, k, files, firmware, lib)
			}
			names = append(names, k.pkg.Pkgver)
		}
		return made{}, fmt.Errorf("no kernel (boot/vmlinuz-RELEASE) in the packages %s: set images.kernel to the package that has one", strings.Join(names, ", "))
	}, inputs...)
}

func (s *Store) extract(ctx context.Context, k source, files *kernelFiles, firmware []source, lib string) (made, error) {
	sel, err := newModuleSet(files.modules, files.builtin).choose()
	if err != nil {
		// This kernel may be one whose drivers need what others' do not.
		if all, readErr := readKernel(ctx, k, nil); readErr == nil {
			sel, err = newModuleSet(all.modules, all.builtin).choose()
		}
	}
	if err != nil {
		return made{}, fmt.Errorf("%s: %w", k.pkg.Pkgver, err)
	}
	z, err := newCompressor()
	if err != nil {
		return made{}, err
	}
	defer z.Close()
	bodies := map[string][]byte{}
	out := made{Blobs: map[string]Blob{}, Notes: map[string]string{"release": files.release}}
	err = k.walk(ctx, func(f xbps.File, r io.Reader) error {
		if f.Path == files.image {
			if f.Size > maxKernel {
				return fmt.Errorf("%d bytes are no kernel", f.Size)
			}
			out.Blobs["kernel"], err = s.Put(r)
			return err
		}
		_, file, ok := modulePath(f.Path)
		if _, boot := sel.boot[file]; !ok || !boot && sel.late[file].path == "" {
			return nil
		}
		image, err := decompressed(r, maxModule)
		if err != nil {
			return err
		}
		bodies[packed(file)] = z.EncodeAll(image, nil)
		return nil
	})
	if err != nil {
		return made{}, err
	}
	loadable, err := collectFirmware(ctx, firmware, wantedFirmware(sel))
	if err != nil {
		return made{}, err
	}
	dir := path.Join(lib, "modules", files.release)
	pick := func(of map[string]module) map[string][]byte {
		tree := map[string][]byte{path.Join(dir, "modules.dep"): []byte(sel.dep), path.Join(dir, "modules.alias"): []byte(sel.alias)}
		for file, m := range of {
			tree[path.Join(dir, packed(file))] = bodies[packed(file)]
			for name, body := range loadable.of(m) {
				name = path.Join(lib, "firmware", name)
				if files.unzstds() {
					name, body = name+".zst", z.EncodeAll(body, nil)
				}
				tree[name] = body
			}
		}
		for _, body := range tree {
			out.Memory += occupied(int64(len(body)))
		}
		return tree
	}
	if out.Blobs["boot"], err = s.bootArchive(pick(sel.boot), lib); err != nil {
		return made{}, err
	}
	out.Blobs["late"], err = s.lateArchive(pick(sel.late))
	return out, err
}

// bootArchive writes the boot drivers as a plain cpio archive: each is compressed by itself, so that
// only those of this machine's hardware are ever decompressed, and the kernel has nothing to do but
// copy.
func (s *Store) bootArchive(tree map[string][]byte, lib string) (Blob, error) {
	var buf bytes.Buffer
	a := newInitramfs(&buf)
	var faults []error
	for _, name := range []string{"dev", "proc", "sys", "run", "tmp", "root", "etc"} {
		faults = append(faults, a.dir(name))
	}
	if lib != "lib" {
		faults = append(faults, a.symlink("lib", lib))
	}
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		faults = append(faults, a.file(name, 0o644, tree[name]))
	}
	if err := errors.Join(append(faults, a.close())...); err != nil {
		return Blob{}, err
	}
	return s.Put(&buf)
}
