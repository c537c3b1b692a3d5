package images_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"provision.internal/images"
	"provision.internal/images/imagestest"
	"provision.internal/xbps"
)

func TestAssemble(t *testing.T) {
	s := open(t)
	image, err := s.Assemble(t.Context(), inputs(t))
	if err != nil {
		t.Fatal(err)
	}
	if image.Arch != "x86_64" || image.Release != kernelRelease {
		t.Errorf("image %+v", image)
	}
	if got := string(content(t, s, image.Kernel)); got != "the kernel" {
		t.Errorf("kernel = %q", got)
	}
	const dir = "usr/lib/modules/" + kernelRelease
	initrd := unpackInitrd(t, content(t, s, image.Initrd))
	want := []string{
		"dev", "etc", "etc/provision", "etc/provision/agent.json", "init", "lib", "proc", "root", "run", "sys", "tmp", "usr", "usr/lib", "usr/lib/modules", dir, dir + "/kernel",
		dir + "/kernel/drivers", dir + "/kernel/drivers/net", dir + "/kernel/drivers/net/virtio_net.ko.zst",
		dir + "/kernel/drivers/virtio", dir + "/kernel/drivers/virtio/virtio.ko.zst", dir + "/kernel/drivers/virtio/virtio_ring.ko.zst",
		dir + "/kernel/net", dir + "/kernel/net/core", dir + "/kernel/net/core/failover.ko.zst", dir + "/modules.alias", dir + "/modules.dep",
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, names(initrd)); diff != "" {
		t.Errorf("initrd (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{
		"init":                     "0100755 \x7fELF agent",
		"lib":                      "0120777 usr/lib",
		"etc/provision/agent.json": "0100644 " + image.Userland.SHA256,
		dir + "/modules.alias":     "0100644 alias crypto-crc32c crc32c_generic\nalias virtio:d00000001v* virtio_net\nalias fs-ext4 ext4\n",
		dir + "/modules.dep": "0100644 kernel/crypto/crc32c_generic.ko.zst:\n" +
			"kernel/drivers/net/virtio_net.ko.zst: kernel/net/core/failover.ko.zst kernel/drivers/virtio/virtio_ring.ko.zst kernel/drivers/virtio/virtio.ko.zst\n" +
			"kernel/drivers/virtio/virtio.ko.zst:\nkernel/drivers/virtio/virtio_ring.ko.zst:\n" +
			"kernel/fs/ext4/ext4.ko.zst: kernel/crypto/crc32c_generic.ko.zst\nkernel/net/core/failover.ko.zst:\n",
	} {
		if got := initrd[name]; sortLines(got) != sortLines(want) {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	userland := unpackUserland(t, content(t, s, image.Userland))
	wantNames := []string{"bin", dir + "/kernel/crypto/crc32c_generic.ko.zst", dir + "/kernel/fs/ext4/ext4.ko.zst", dir + "/modules.alias", dir + "/modules.dep", "lib", "usr/bin/", "usr/bin/hard", "usr/bin/sfdisk"}
	slices.Sort(wantNames)
	if diff := cmp.Diff(wantNames, names(userland)); diff != "" {
		t.Errorf("userland (-want +got):\n%s", diff)
	}
	if got := userland["usr/bin/sfdisk"]; got != "-rwxr-xr-x sfdisk" {
		t.Errorf("sfdisk = %q", got)
	}
}

func sortLines(s string) string {
	lines := strings.Split(s, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// The cpio program finds the plain part of the initrd well-formed.
func TestInitrdIsReadByCpio(t *testing.T) {
	program, err := exec.LookPath("cpio")
	if err != nil {
		t.Skip("cpio is not installed: make deps")
	}
	s := open(t)
	image, err := s.Assemble(t.Context(), inputs(t))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-t")
	cmd.Stdin = bytes.NewReader(content(t, s, image.Initrd))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "virtio_net.ko.zst") {
		t.Errorf("cpio -t: %v\n%s", err, out)
	}
}

// The same inputs give the same bytes: whoever makes the image, whenever, in
// whatever folder, and in whatever order things are named.
func TestAssembleIsReproducible(t *testing.T) {
	in := withFirmware(t, "CONFIG_FW_LOADER_COMPRESS_ZSTD=y\n")
	in.Repositories = append(in.Repositories, repository(t, nil, tools()...)...)
	in.Rootfs = installedSystem(t)
	in.Packages = []string{"mdadm", "cryptsetup"}
	first, err := open(t).Assemble(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	tarball, err := os.ReadFile(in.Rootfs)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "another-name")
	if err := os.WriteFile(elsewhere, tarball, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(elsewhere, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TZ", "Asia/Kathmandu")
	defer syscall.Umask(syscall.Umask(0o077))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	in.Rootfs, in.Packages = elsewhere, []string{"cryptsetup", "mdadm"}
	second, err := open(t).Assemble(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("two images of the same inputs:\n%s", diff)
	}
}

// What was made once is found again, and made again when it was damaged.
func TestAssembleKeepsAndHeals(t *testing.T) {
	dir := t.TempDir()
	s, err := images.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	in := inputs(t)
	first, err := s.Assemble(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	made := func() (latest int64) {
		err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				info, err := d.Info()
				latest = max(latest, info.ModTime().UnixNano())
				return err
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return latest
	}
	before := made()
	again, err := s.Assemble(t.Context(), in)
	if err != nil || again != first {
		t.Errorf("second assembly: %+v, %v; want %+v", again, err, first)
	}
	if made() != before {
		t.Error("the second assembly wrote something")
	}
	other := in
	other.Agent = []byte("another agent")
	changed, err := s.Assemble(t.Context(), other)
	if err != nil || changed.Initrd == first.Initrd || changed.Userland != first.Userland {
		t.Errorf("with another agent: %+v, %v; want another initrd only", changed, err)
	}

	name := filepath.Join(dir, first.Userland.SHA256)
	damage(t, name)
	if _, err := s.File(first.Userland.SHA256); !errors.Is(err, images.ErrDamaged) {
		t.Errorf("File of a damaged image: %v, want ErrDamaged", err)
	}
	if _, err := s.File(first.Userland.SHA256); !errors.Is(err, images.ErrMissing) {
		t.Errorf("File after that: %v, want ErrMissing", err)
	}
	if healed, err := s.Assemble(t.Context(), in); err != nil || healed != first {
		t.Errorf("assembly after damage: %+v, %v; want %+v", healed, err, first)
	}
	content(t, s, first.Userland)
}

func damage(t *testing.T, name string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b, 0o444); err != nil {
		t.Fatal(err)
	}
}

func TestAssembleRefuses(t *testing.T) {
	link := func(target string) tar.Header {
		return tar.Header{Name: "etc/shadow", Typeflag: tar.TypeLink, Linkname: target}
	}
	// Frames of zeros behind the header of a file that claims to be huge.
	bomb := func(t *testing.T) string {
		var buf bytes.Buffer
		if err := tar.NewWriter(&buf).WriteHeader(&tar.Header{Name: "usr/zeros", Typeflag: tar.TypeReg, Size: 64 << 30}); err != nil {
			t.Fatal(err)
		}
		z, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		frames := z.EncodeAll(buf.Bytes(), nil)
		zeros := z.EncodeAll(make([]byte, 64<<20), nil)
		frames = append(frames, bytes.Repeat(zeros, 3)...)
		name := filepath.Join(t.TempDir(), "bomb.tar.zst")
		if err := os.WriteFile(name, frames, 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for name, c := range map[string]struct {
		change func(*testing.T, *images.Inputs)
		want   string
	}{
		"a path that leaves": {func(t *testing.T, in *images.Inputs) { in.Rootfs = tarball(t, regular("usr/../../etc/passwd", "x")) }, "leaves the tree"},
		"an absolute path":   {func(t *testing.T, in *images.Inputs) { in.Rootfs = tarball(t, regular("/etc/passwd", "x")) }, "absolute path"},
		"a device": {func(t *testing.T, in *images.Inputs) {
			in.Rootfs = tarball(t, tar.Header{Name: "usr/sda", Typeflag: tar.TypeBlock, Devmajor: 8})
		}, "are refused"},
		"a hard link outside":    {func(t *testing.T, in *images.Inputs) { in.Rootfs = tarball(t, link("../../etc/shadow")) }, "leaves the tree"},
		"a hard link to nothing": {func(t *testing.T, in *images.Inputs) { in.Rootfs = tarball(t, link("etc/other")) }, "no earlier file"},
		"a path through a link": {func(t *testing.T, in *images.Inputs) {
			in.Rootfs = tarball(t, tar.Header{Name: "out", Typeflag: tar.TypeSymlink, Linkname: "/etc"}, regular("out/passwd", "x"))
		}, "is no directory"},
		"a bomb": {func(t *testing.T, in *images.Inputs) {
			t.Cleanup(images.LimitRootfs(128 << 20))
			in.Rootfs = bomb(t)
		}, "when decompressed"},
		"a symbolic link outside": {func(t *testing.T, in *images.Inputs) {
			in.Rootfs = tarball(t, tar.Header{Name: "usr/out", Typeflag: tar.TypeSymlink, Linkname: "../../etc/shadow"})
		}, `usr/out: is a symbolic link to "../../etc/shadow", which is outside`},
		"a file twice": {func(t *testing.T, in *images.Inputs) {
			in.Rootfs = tarball(t, regular("usr/a", "x"), regular("./usr/a", "y"))
		}, "given twice"},
		"a pipe": {func(t *testing.T, in *images.Inputs) {
			in.Rootfs = tarball(t, tar.Header{Name: "usr/p", Typeflag: tar.TypeFifo})
		}, "are refused"},
		"a name too long": {func(t *testing.T, in *images.Inputs) {
			in.Rootfs = tarball(t, regular("usr/"+strings.Repeat("n", 256), "x"))
		}, "name of 256 bytes"},
		"more than a machine's memory": {func(t *testing.T, in *images.Inputs) {
			t.Cleanup(images.LimitMemory(64 << 10))
			in.Rootfs = tarball(t, regular("usr/big", strings.Repeat("x", 80<<10)))
		}, "would occupy 0 MiB of a machine's memory, more than 0"},
		"an empty one":  {func(t *testing.T, in *images.Inputs) { in.Rootfs = tarball(t) }, "no files"},
		"a missing one": {func(_ *testing.T, in *images.Inputs) { in.Rootfs += ".gone" }, "set images.rootfs"},
		"a cut one": {func(t *testing.T, in *images.Inputs) {
			if err := os.Truncate(in.Rootfs, 700); err != nil {
				t.Fatal(err)
			}
		}, "unexpected EOF"},
		"no kernel": {func(t *testing.T, in *images.Inputs) {
			in.Repositories = repository(t, nil)
		}, "no kernel (boot/vmlinuz-RELEASE) in the packages linux-6.1_1, linux6.1-6.1.9_1"},
		"a missing dependency of a module": {func(t *testing.T, in *images.Inputs) {
			files := slices.DeleteFunc(kernelFiles("usr/lib"), func(f xbps.File) bool { return strings.HasSuffix(f.Path, "failover.ko") })
			in.Repositories = repository(t, files)
		}, "virtio_net needs failover"},
		"another package name": {func(_ *testing.T, in *images.Inputs) { in.Kernel = "nothing" }, "nothing: not found in repository pool"},
		"nothing set":          {func(_ *testing.T, in *images.Inputs) { *in = images.Inputs{} }, "Agent is not set\nArch is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			in := inputs(t)
			c.change(t, &in)
			dir := t.TempDir()
			s, err := images.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Assemble(t.Context(), in); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, ".new-*")); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "parts", ".new-*")); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestAssembleStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open(t).Assemble(ctx, inputs(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

// A driver may need a module of a folder that is usually passed over.
func TestAssembleLooksEverywhereForDependencies(t *testing.T) {
	const dir = "usr/lib/modules/" + kernelRelease + "/kernel/"
	files := append(kernelFiles("usr/lib"),
		xbps.Regular(dir+"drivers/net/ethernet/nic.ko", 0o644, imagestest.Module("depends=hwmon\x00")),
		xbps.Regular(dir+"drivers/hwmon/hwmon.ko", 0o644, imagestest.Module("depends=\x00")))
	for i, f := range files {
		if strings.HasSuffix(f.Path, "drm.ko") { // it is looked at now
			files[i] = xbps.Regular(f.Path, 0o644, imagestest.Module("depends=\x00"))
		}
	}
	in := inputs(t)
	in.Repositories = repository(t, files)
	s := open(t)
	image, err := s.Assemble(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	initrd := unpackInitrd(t, content(t, s, image.Initrd))
	if initrd[dir+"drivers/hwmon/hwmon.ko.zst"] == "" || initrd[dir+"drivers/gpu/drm/drm.ko.zst"] != "" {
		t.Errorf("initrd has %v, want hwmon and no more than that", names(initrd))
	}
}

// A system without a merged /usr keeps its modules in /lib.
func TestAssembleWithoutMergedUsr(t *testing.T) {
	in := inputs(t)
	in.Rootfs = tarball(t, tar.Header{Name: "lib/", Typeflag: tar.TypeDir, Mode: 0o755}, regular("bin/sh", "sh"))
	in.Repositories = repository(t, kernelFiles("lib"))
	s := open(t)
	image, err := s.Assemble(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	initrd := unpackInitrd(t, content(t, s, image.Initrd))
	if _, ok := initrd["lib/modules/"+kernelRelease+"/modules.dep"]; !ok || !strings.HasPrefix(initrd["lib"], "040755") {
		t.Errorf("initrd has %v; want the modules in a folder lib", names(initrd))
	}
}

// BenchmarkAssemble makes an image of 300 drivers of 100 KiB and 60 MiB of tools, from
// nothing.
func BenchmarkAssemble(b *testing.B) {
	in := inputs(b)
	files := kernelFiles("usr/lib")
	random := rand.NewChaCha8([32]byte{1})
	code := func(size int) []byte { // half of it can be compressed, as code can
		body := make([]byte, size)
		_, _ = random.Read(body[:size/2]) // never fails
		return body
	}
	for i := range 300 {
		name := fmt.Sprintf("usr/lib/modules/%s/kernel/drivers/net/ethernet/m%d.ko", kernelRelease, i)
		files = append(files, xbps.Regular(name, 0o644, append(imagestest.Module("depends=\x00"), code(100<<10)...)))
	}
	var tools []tar.Header
	for i := range 600 {
		tools = append(tools, regular(fmt.Sprintf("usr/bin/t%d", i), string(code(100<<10))))
	}
	in.Repositories, in.Rootfs = repository(b, files), tarball(b, tools...)
	var image images.Image
	for b.Loop() {
		b.StopTimer()
		s := open(b)
		b.StartTimer()
		var err error
		if image, err = s.Assemble(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(image.Initrd.Size)/(1<<20), "MiB-initrd")
	b.ReportMetric(float64(image.Userland.Size)/(1<<20), "MiB-userland")
	b.ReportMetric(float64(image.Memory)/(1<<20), "MiB-memory")
}

func BenchmarkAssembleAgain(b *testing.B) {
	in, s := inputs(b), open(b)
	if _, err := s.Assemble(b.Context(), in); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Assemble(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
}
