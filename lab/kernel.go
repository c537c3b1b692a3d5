package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/cavaliergopher/cpio"
	"github.com/klauspost/compress/zstd"

	"provision.internal/xbps"
)

// Debian's kernel for virtual machines: compressed with LZ4 instead of XZ, it
// comes to its init in 2 s under emulation where the ordinary one needs 5 s.
const kernelMeta = "linux-image-cloud-amd64"

// modulesWanted are the drivers that machines of the rack, and QEMU machines of
// other makes, need, with the file systems of an installed system. What the
// kernel has built in is skipped.
var modulesWanted = []string{
	"virtio_pci", "virtio_net", "virtio_blk", "virtio_scsi", "virtio_rng", "ata_piix", "ata_generic", "sd_mod", "nvme", "ext4", "xfs", "vfat",
	"nls_cp437", "nls_ascii", "nls_iso8859-1", "efivarfs", "loop", "crc32c-intel", "vmxnet3", "overlay", "veth", "bridge", "8021q",
	"raid1", "dm-crypt", "xts", "ecb", "aesni-intel", "btrfs",
}

// initramfsWanted are those that find and mount a root file system.
var initramfsWanted = []string{
	"virtio_pci", "virtio_blk", "virtio_scsi", "ata_piix", "ata_generic", "sd_mod", "nvme", "ext4", "xfs", "crc32c-intel",
}

// kernel is Debian's kernel as Void's package has it.
type kernel struct {
	release string // 6.1.0-56-cloud-amd64
	version string // 6.1.192_1
	files   tree
}

// kernelDeb finds the package with the kernel that the meta package depends on.
func kernelDeb(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "apt-cache", "show", "--no-all-versions", kernelMeta).Output()
	if err != nil {
		return "", fmt.Errorf("look up %s: %w; run apt-get update", kernelMeta, err)
	}
	m := kernelDepends.FindSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("%s depends on no kernel: run apt-get update", kernelMeta)
	}
	return string(m[1]), nil
}

var kernelDepends = regexp.MustCompile(`(?m)^Depends:.*\b(linux-image-\d\S*)`)

// readKernel takes the kernel with the wanted modules out of its package and makes
// its initramfs. scratch is a folder to work in.
func readKernel(ctx context.Context, d *debs, deb, busybox, scratch string) (*kernel, error) {
	release := strings.TrimPrefix(deb, "linux-image-")
	k := &kernel{release: release, version: d.version(deb), files: tree{}}
	all := filepath.Join(scratch, "all")
	if err := run(ctx, "dpkg-deb", "-x", d.file[deb], all); err != nil {
		return nil, err
	}
	image, err := os.ReadFile(filepath.Join(all, "boot", "vmlinuz-"+release))
	if err != nil {
		return nil, err
	}
	k.files.add(xbps.Regular("boot/vmlinuz-"+release, 0o644, image))
	modules, err := chooseModules(ctx, all, filepath.Join(scratch, "chosen"), release, modulesWanted)
	if err != nil {
		return nil, err
	}
	k.files.merge(modules)
	early, err := chooseModules(ctx, all, filepath.Join(scratch, "early"), release, initramfsWanted)
	if err != nil {
		return nil, err
	}
	initramfs, err := makeInitramfs(early, busybox)
	if err != nil {
		return nil, fmt.Errorf("make the initramfs: %w", err)
	}
	k.files.add(xbps.Regular("boot/initramfs-"+release+".img", 0o600, initramfs))
	return k, nil
}

// chooseModules returns usr/lib/modules/RELEASE with the wanted modules and those
// that they need, and depmod's lists of them.
func chooseModules(ctx context.Context, all, chosen, release string, wanted []string) (tree, error) {
	needs, err := moduleNeeds(ctx, all, release)
	if err != nil {
		return nil, err
	}
	from := filepath.Join(all, "lib/modules", release)
	to := filepath.Join(chosen, "lib/modules", release)
	if err := os.MkdirAll(to, 0o755); err != nil {
		return nil, err
	}
	for _, list := range []string{"modules.builtin", "modules.builtin.modinfo", "modules.order"} {
		if err := copyFile(filepath.Join(from, list), filepath.Join(to, list)); err != nil {
			return nil, err
		}
	}
	for _, name := range wanted {
		for _, file := range needs[moduleKey(name)] {
			if err := os.MkdirAll(filepath.Join(to, path.Dir(file)), 0o755); err != nil {
				return nil, err
			}
			if err := copyFile(filepath.Join(from, file), filepath.Join(to, file)); err != nil {
				return nil, err
			}
		}
	}
	if err := run(ctx, "depmod", "-b", chosen, release); err != nil {
		return nil, err
	}
	files, err := xbps.Tree(os.DirFS(filepath.Join(chosen, "lib/modules")))
	if err != nil {
		return nil, err
	}
	out := tree{}
	for _, f := range files {
		if strings.HasSuffix(f.Path, ".bin") || f.Mode.IsDir() {
			continue // kmod's binary indexes: busybox reads the text
		}
		f.Path = "usr/lib/modules/" + f.Path
		out.add(f)
	}
	return out, nil
}

// moduleNeeds maps each module to its file and those of all modules it needs.
func moduleNeeds(ctx context.Context, root, release string) (map[string][]string, error) {
	if err := run(ctx, "depmod", "-b", root, release); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(root, "lib/modules", release, "modules.dep"))
	if err != nil {
		return nil, err
	}
	needs := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		file, others, ok := strings.Cut(strings.TrimSpace(line), ":")
		if ok {
			needs[moduleKey(file)] = append([]string{file}, strings.Fields(others)...)
		}
	}
	return needs, nil
}

// moduleKey is how the kernel calls the module in a file.
func moduleKey(file string) string {
	return strings.ReplaceAll(strings.TrimSuffix(path.Base(file), ".ko"), "-", "_")
}

// makeInitramfs makes the archive that finds and mounts the root of an
// installed system: busybox, modules, and void/initramfs/init.
func makeInitramfs(modules tree, busybox string) ([]byte, error) {
	init, err := voidFiles.ReadFile("void/initramfs/init")
	if err != nil {
		return nil, err
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		return nil, err
	}
	t := tree{}
	t.merge(modules)
	t.add(
		xbps.Symlink("lib", "usr/lib"),
		xbps.Regular("init", 0o755, init),
		xbps.Regular("bin/busybox", 0o755, program),
	)
	for _, dir := range []string{"dev", "proc", "sys", "run", "root"} {
		t.add(xbps.Directory(dir, 0o755))
	}
	var packed bytes.Buffer
	z, err := zstd.NewWriter(&packed, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(4<<20))
	if err != nil {
		return nil, err
	}
	buffered := bufio.NewWriter(z)
	w := cpio.NewWriter(buffered)
	if err := errors.Join(writeArchive(w, t), w.Close(), buffered.Flush(), z.Close()); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// writeArchive writes t with the folders that its files are in.
func writeArchive(w *cpio.Writer, t tree) error {
	made := map[string]bool{".": true}
	var folder func(dir string) error
	folder = func(dir string) error {
		if made[dir] {
			return nil
		}
		made[dir] = true
		if err := folder(path.Dir(dir)); err != nil {
			return err
		}
		return w.WriteHeader(&cpio.Header{Name: dir, Mode: cpio.TypeDir | 0o755})
	}
	for _, f := range t.files() {
		if err := folder(path.Dir(f.Path)); err != nil {
			return err
		}
		switch f.Mode.Type() {
		case fs.ModeDir:
			if err := folder(f.Path); err != nil {
				return err
			}
		case fs.ModeSymlink:
			h := &cpio.Header{Name: f.Path, Mode: cpio.TypeSymlink | 0o777, Size: int64(len(f.Target))}
			if err := w.WriteHeader(h); err != nil {
				return err
			}
			if _, err := w.Write([]byte(f.Target)); err != nil {
				return err
			}
		default:
			body, err := content(f)
			if err != nil {
				return err
			}
			h := &cpio.Header{Name: f.Path, Mode: cpio.TypeReg | cpio.FileMode(f.Mode.Perm()), Size: int64(len(body))}
			if err := w.WriteHeader(h); err != nil {
				return err
			}
			if _, err := w.Write(body); err != nil {
				return err
			}
		}
	}
	return nil
}
