package lab

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"

	"provision.internal/xbps"
)

// The stand-in repository has everything that an install on either firmware
// asks for, in packages that its own key vouches for.
func TestInputsAreCompleteAndSigned(t *testing.T) {
	in := testInputs(t)
	keys, err := xbps.LoadKeys(filepath.Join(in.Dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	var indexes []*xbps.Index
	var repositories []*xbps.Repository
	for _, part := range []string{mainPart, nonfreePart} {
		r, err := xbps.OpenRepository(filepath.Join(in.Dir, "void", part), "x86_64", keys)
		if err != nil {
			t.Fatal(err)
		}
		repositories, indexes = append(repositories, r), append(indexes, r.Index)
	}
	wanted := []string{"base-system", "linux", "grub", "grub-x86_64-efi", "dhcpcd", "nomad"}
	chosen, err := xbps.Resolve(indexes, wanted, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range chosen {
		f, err := repositories[c.Repository].Open(c.Package) // verifies hash and signature
		if err != nil {
			t.Errorf("%s: %v", c.Pkgver, err)
			continue
		}
		f.Close()
	}
}

// The installer's tools come from the ROOTFS tarball.
func TestRootfsHasTheInstallersTools(t *testing.T) {
	names := tarball(t, testInputs(t).Rootfs)
	for _, want := range []string{
		"./usr/bin/sfdisk", "./usr/bin/wipefs", "./usr/bin/blkid", "./usr/bin/mkswap", "./usr/bin/mkfs.ext4", "./usr/bin/mkfs.vfat",
		"./usr/bin/xbps-install", "./usr/bin/sh", "./usr/lib/libc.so.6", "./usr/lib/ld-linux-x86-64.so.2", "./bin", "./lib64", "./tmp/",
		"./" + xbps.DatabaseFile, // of them: packages that are added need not bring all that they depend on
	} {
		if !slices.Contains(names, want) {
			t.Errorf("the tarball lacks %s", want)
		}
	}
}

func TestInputsAreMadeOnce(t *testing.T) {
	in := testInputs(t)
	before, err := os.Stat(in.Rootfs)
	if err != nil {
		t.Fatal(err)
	}
	again := testInputs(t)
	after, err := os.Stat(again.Rootfs)
	if err != nil {
		t.Fatal(err)
	}
	if *again != *in || !os.SameFile(before, after) {
		t.Errorf("made again: %s at %v, then %s at %v", in.Rootfs, before.ModTime(), again.Rootfs, after.ModTime())
	}
}

// XBPS installs no two packages with a file in common.
func TestNoTwoPackagesHoldAFile(t *testing.T) {
	m := maker{holders: map[string]holder{}}
	first, second := tree{}, tree{}
	first.add(xbps.Directory("etc", 0o755), xbps.Regular("usr/lib/liblzma.so.5", 0o644, nil))
	second.add(xbps.Directory("etc", 0o755), xbps.Symlink("usr/lib/liblzma.so.5", "liblzma.so.5.4"))
	if err := m.hold("grub", first); err != nil {
		t.Fatal(err)
	}
	if err := m.hold("xbps", second); err == nil || !strings.Contains(err.Error(), "usr/lib/liblzma.so.5 is in the package grub already") {
		t.Errorf("hold = %v, want the file and the package that has it", err)
	}
}

// busybox has what the recipes link to it: Debian may build it otherwise one day.
func TestBusyboxHasTheApplets(t *testing.T) {
	out, err := exec.Command("busybox", "--list").Output()
	if err != nil {
		t.Skipf("needs busybox: make deps installs it: %v", err)
	}
	has := strings.Fields(string(out))
	for _, link := range applets() {
		name, _, _ := strings.Cut(filepath.Base(link), " ")
		if !slices.Contains(has, name) {
			t.Errorf("busybox has no %s", name)
		}
	}
}

func TestDebiansPathsBecomeVoids(t *testing.T) {
	for from, want := range map[string]string{
		"./bin/sh":                                "usr/bin/sh",
		"./sbin/mke2fs":                           "usr/bin/mke2fs",
		"./usr/sbin/grub-install":                 "usr/bin/grub-install",
		"./lib/x86_64-linux-gnu/libc.so.6":        "usr/lib/libc.so.6",
		"./usr/lib/x86_64-linux-gnu/libfoo.so.1":  "usr/lib/libfoo.so.1",
		"./lib64/ld-linux-x86-64.so.2":            "usr/lib/ld-linux-x86-64.so.2",
		"./etc/grub.d/10_linux":                   "etc/grub.d/10_linux",
		"../../etc/passwd":                        "etc/passwd",
		"/lib/modules/6.1/kernel/fs/ext4/ext4.ko": "usr/lib/modules/6.1/kernel/fs/ext4/ext4.ko",
	} {
		if got := asVoid(from); got != want {
			t.Errorf("asVoid(%q) = %q, want %q", from, got, want)
		}
	}
}

func TestPickNamesWhatDebianMoved(t *testing.T) {
	all := tree{}
	all.add(xbps.Regular("usr/bin/a", 0o755, nil), xbps.Regular("usr/lib/x/b", 0o644, nil))
	got, err := all.pick([]string{"usr/bin/*", "usr/lib/x/"})
	if err != nil || len(got) != 2 {
		t.Errorf("pick = %v, %v, want both files", got, err)
	}
	if _, err := all.pick([]string{"usr/bin/gone"}); err == nil || !strings.Contains(err.Error(), "usr/bin/gone") {
		t.Errorf("pick of a missing file: %v, want its name", err)
	}
}

// testInputs are the inputs that every rack of this checkout shares.
func testInputs(t *testing.T) *Inputs {
	t.Helper()
	for _, program := range []string{"apt-get", "dpkg-deb", "depmod"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs %s: the stand-in is made on Debian, after make deps", program)
		}
	}
	src := Programs(filepath.Join("..", "bin")).Sources()
	for _, program := range []string{src.XBPS, src.Nomad, src.Ansible} {
		if !exists(program) {
			t.Skipf("needs %s: make build makes it", program)
		}
	}
	base := filepath.Join("..", "build", "lab")
	in, err := MakeInputs(t.Context(), base, src, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func tarball(t *testing.T, file string) []string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := xz.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
}
