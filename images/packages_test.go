package images_test

import (
	"archive/tar"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision.internal/images"
	"provision.internal/images/imagestest"
	"provision.internal/xbps"
)

// installedSystem is a ROOTFS that says which packages it has.
func installedSystem(t testing.TB) string {
	t.Helper()
	type entry struct {
		xbps.Package
		State string `plist:"state"`
	}
	db, err := xbps.MarshalPlist(map[string]entry{
		"glibc": {xbps.Package{Pkgver: "glibc-2.36_1", Arch: "x86_64"}, "installed"},
		"eudev": {xbps.Package{Pkgver: "eudev-3.2_1", Arch: "x86_64", Provides: []string{"libudev-3.2_1"}}, "installed"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return tarball(t,
		tar.Header{Name: "./usr/lib/", Typeflag: tar.TypeDir, Mode: 0o755},
		regular("./usr/lib/libc.so.6", "old"),
		regular("./var/db/xbps/pkgdb-0.38.plist", string(db)),
		regular("./var/db/xbps/.glibc-files.plist", "x"),
		regular("./var/db/xbps/keys/60:ae.plist", "a key"),
	)
}

func tools() []xbps.Spec {
	spec := func(pkgver string, depends []string, files ...xbps.File) xbps.Spec {
		return xbps.Spec{Package: xbps.Package{Pkgver: pkgver, Arch: "x86_64", Desc: "x", Depends: depends}, Files: files, Install: "exit 1\n"}
	}
	file := func(name, body string) xbps.File { return xbps.Regular(name, 0o755, []byte(body)) }
	return []xbps.Spec{
		spec("mdadm-4.3_1", []string{"glibc>=2.39_1", "libudev>=3.0_1"}, file("usr/bin/mdadm", "mdadm"), file("usr/share/man/man8/mdadm.8", "manual")),
		spec("cryptsetup-2.7_1", []string{"libdevmapper>=0"}, file("usr/bin/cryptsetup", "cryptsetup")),
		spec("libdevmapper-2.3_1", []string{"glibc>=2.36_1"}, file("usr/lib/libdevmapper.so.1.2", "lib"), xbps.Symlink("usr/lib/libdevmapper.so", "libdevmapper.so.1.2")),
		spec("glibc-2.41_1", nil, file("usr/lib/libc.so.6", "new")),
		spec("eudev-9.9_1", nil, file("usr/lib/libudev.so.1", "unwanted: the ROOTFS has one")),
		spec("thief-1_1", []string{"libdevmapper>=0"}, file("usr/lib/libdevmapper.so.1.2", "mine")),
		spec("outside-1_1", nil, xbps.Symlink("usr/lib/out", "../../../etc/shadow")),
	}
}

// The userland has the tools that were asked for, with what they need beyond
// what the ROOTFS has in a sufficient version.
func TestAssembleAddsPackages(t *testing.T) {
	in := inputs(t)
	in.Rootfs, in.Repositories = installedSystem(t), repository(t, kernelFiles("usr/lib"), tools()...)
	s := open(t)
	without, err := s.Assemble(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	in.Packages = []string{"mdadm", "cryptsetup"}
	image, err := s.Assemble(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	before := unpackUserland(t, content(t, s, without.Userland))
	userland := unpackUserland(t, content(t, s, image.Userland))
	added := slices.DeleteFunc(names(userland), func(name string) bool { return before[name] != "" })
	want := []string{"usr/bin/cryptsetup", "usr/bin/mdadm", "usr/lib/libdevmapper.so", "usr/lib/libdevmapper.so.1.2"}
	if diff := cmp.Diff(want, added); diff != "" {
		t.Errorf("added (-want +got):\n%s", diff)
	}
	if got := userland["usr/lib/libc.so.6"]; !strings.HasSuffix(got, "new") {
		t.Errorf("the C library is %q, want the newer one that mdadm needs to come after the old", got)
	}
	for name := range before {
		if strings.HasPrefix(name, "var/db/") && name != "var/db/xbps/keys/60:ae.plist" {
			t.Errorf("the userland has %s", name)
		}
	}
	if grown := image.Memory - without.Memory; grown < 5*4096 || grown > 5*(4096+2048) {
		t.Errorf("it occupies %d bytes more, want five pages and as many inodes", grown)
	}
	if image.Initrd == without.Initrd {
		t.Error("the initrd does not name the new userland")
	}
}

func TestAssembleRefusesPackages(t *testing.T) {
	for name, c := range map[string]struct{ pkg, want string }{
		"one that is not there":  {"nothing", "tools for the installer: nothing: not found in repository pool"},
		"two with the same file": {"thief", "usr/lib/libdevmapper.so.1.2: is in libdevmapper-2.3_1 too"},
		"a link to outside":      {"outside", `usr/lib/out: is a symbolic link to "../../../etc/shadow", which is outside`},
	} {
		in := inputs(t)
		in.Repositories, in.Packages = repository(t, kernelFiles("usr/lib"), tools()...), []string{c.pkg}
		if _, err := open(t).Assemble(t.Context(), in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// firmwareFiles are a package as Void has it: names, links to names, and some compressed.
func firmwareFiles() []xbps.File {
	return []xbps.File{
		xbps.Regular("usr/lib/firmware/intel/ice/ddp/ice-1.3.fw", 0o644, []byte("ice")),
		xbps.Symlink("usr/lib/firmware/intel/ice/ddp/ice.pkg", "ice-1.3.fw"),
		xbps.Regular("usr/lib/firmware/bnx2/a.fw", 0o644, []byte("a")),
		xbps.Regular("usr/lib/firmware/bnx2/b.fw.zst", 0o644, imagestest.Zstd([]byte("zipped"))),
		xbps.Regular("usr/lib/firmware/iwlwifi-1.ucode", 0o644, []byte("no driver here asks for it")),
		xbps.Symlink("usr/lib/firmware/circle", "circle"),
		xbps.Symlink("usr/lib/firmware/nowhere", "../gone"),
	}
}

func withFirmware(t testing.TB, config string) images.Inputs {
	t.Helper()
	files := kernelFiles("usr/lib")
	for i, f := range files {
		switch {
		case strings.HasSuffix(f.Path, "virtio_net.ko.zst"):
			files[i] = xbps.Regular(strings.TrimSuffix(f.Path, ".zst"), 0o644, imagestest.Module(
				"firmware=intel/ice/ddp/ice.pkg\x00firmware=bnx2/*.fw\x00firmware=circle\x00firmware=nowhere\x00firmware=not/there.bin\x00depends=\x00"))
		case strings.HasSuffix(f.Path, "ext4.ko"):
			files[i] = xbps.Regular(f.Path, 0o644, imagestest.Module("firmware=bnx2/a.fw\x00"))
		case strings.HasPrefix(f.Path, "boot/config-"):
			files[i] = xbps.Regular(f.Path, 0o644, []byte(config))
		}
	}
	in := inputs(t)
	in.Repositories = repository(t, files, xbps.Spec{
		Package: xbps.Package{Pkgver: "linux-firmware-network-2025_1", Arch: "noarch", Desc: "x"}, Files: firmwareFiles(),
	})
	return in
}

func TestAssembleTakesFirmware(t *testing.T) {
	for config, suffix := range map[string]string{"CONFIG_X=y\n": "", "CONFIG_FW_LOADER_COMPRESS_ZSTD=y\n": ".zst"} {
		s := open(t)
		image, err := s.Assemble(t.Context(), withFirmware(t, config))
		if err != nil {
			t.Fatal(err)
		}
		const dir = "usr/lib/firmware/"
		initrd := unpackInitrd(t, content(t, s, image.Initrd))
		got := map[string]string{}
		for name, body := range initrd {
			if rest, ok := strings.CutPrefix(name, dir); ok && strings.HasPrefix(body, "0100") {
				body = strings.TrimPrefix(body, "0100644 ")
				if suffix != "" {
					body = unzstd(t, body)
				}
				got[rest] = body
			}
		}
		want := map[string]string{"intel/ice/ddp/ice.pkg" + suffix: "ice", "bnx2/a.fw" + suffix: "a", "bnx2/b.fw" + suffix: "zipped"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("with %s firmware (-want +got):\n%s", config, diff)
		}
		if userland := unpackUserland(t, content(t, s, image.Userland)); userland[dir+"bnx2/a.fw"+suffix] == "" {
			t.Errorf("with %s the userland has %v, want what ext4 asks for", config, names(userland))
		}
	}
}

func TestAssembleRefusesFirmwareNames(t *testing.T) {
	files := append(kernelFiles("usr/lib"), xbps.Regular("usr/lib/modules/"+kernelRelease+"/kernel/drivers/nvme/host/nvme.ko", 0o644, imagestest.Module("firmware=../../etc/passwd\x00")))
	in := inputs(t)
	in.Repositories = repository(t, files)
	if _, err := open(t).Assemble(t.Context(), in); err == nil || !strings.Contains(err.Error(), `"../../etc/passwd" is no name of a firmware file`) {
		t.Errorf("error %v, want the name refused", err)
	}
}
