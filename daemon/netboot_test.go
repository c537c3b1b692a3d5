package daemon

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"provision.internal/boot"
	"provision.internal/host"
	"provision.internal/httpboot"
	"provision.internal/images"
	"provision.internal/installer"
)

func netbootConfig(role installer.Role) Config {
	c := Default()
	c.Server.Address = netip.MustParseAddr("10.77.0.1")
	c.Images.Netboot = "/srv/void-x86_64-NETBOOT-20250202.tar.gz"
	c.Roles = map[string]installer.Role{"worker": role}
	return c
}

func TestNetbootFaults(t *testing.T) {
	shell := installer.Role{Installer: installer.InstallerShell}
	for _, tt := range []struct {
		name string
		set  func(*Config)
		want string
	}{
		{"as it should be", func(*Config) {}, ""},
		{"musl", func(c *Config) { c.Images.Arch = Arches{"x86_64-musl"} }, ""},
		{"beside another architecture", func(c *Config) { c.Images.Arch = Arches{"aarch64", "x86_64"} }, ""},
		{"for an architecture that is not installed", func(c *Config) { c.Images.Arch = Arches{"aarch64"} }, "images.netboot: is for x86_64"},
		{"a role that needs it", func(c *Config) { c.Images.Netboot = "" }, "roles.worker.installer: shell needs images.netboot"},
	} {
		c := netbootConfig(shell)
		tt.set(&c)
		var fs Faults
		c.validateNetboot(&fs)
		text := ""
		if err := fs.err(); err != nil {
			text = err.Error()
		}
		if (text == "") != (tt.want == "") || !strings.Contains(text, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, text, tt.want)
		}
	}
}

// PCs boot the tarball, other machines the image that is made here, and neither
// before both are ready.
func TestNetbootKit(t *testing.T) {
	c := netbootConfig(installer.Role{})
	c.Images.Arch = Arches{"x86_64-musl", "aarch64"}
	k := &kits{cfg: c, ca: []byte("the authority"), since: time.Now()}
	p := &plans{cfg: c}
	h := host.Host{MAC: host.MAC{0x52, 0x54, 0, 0, 0, 1}, Name: "node1", Role: "worker"}
	if _, err := k.kit(boot.UEFIx64); err != httpboot.ErrAssembling { //nolint:errorlint // it is not wrapped
		t.Errorf("before it is ready: %v", err)
	}
	if _, err := k.autoinstall(p, h); err != httpboot.ErrAssembling { //nolint:errorlint // as above
		t.Errorf("before it is ready: %v", err)
	}
	blob := func(c string) images.Blob { return images.Blob{SHA256: strings.Repeat(c, 64), Size: 1} }
	image := &images.Image{Arch: "x86_64-musl", Kernel: blob("1"), Initrd: blob("2"), Userland: blob("3")}
	k.kits = map[string]kit{
		"x86_64-musl": {image: image, carrier: &carrier{images.Netboot{Release: "6.12", Kernel: blob("a"), Initrd: blob("b")}, blob("c")}},
		"aarch64":     {image: image},
	}
	for platform, want := range map[boot.Platform]httpboot.Kit{
		boot.BIOS:      {Kernel: blob("a").SHA256, Initrd: blob("b").SHA256, Autoinstall: true},
		boot.UEFIx64:   {Kernel: blob("a").SHA256, Initrd: blob("b").SHA256, Autoinstall: true},
		boot.UEFIarm64: {Kernel: blob("1").SHA256, Initrd: blob("2").SHA256},
	} {
		if got, err := k.kit(platform); err != nil || got != want {
			t.Errorf("%s boots %+v (%v), want %+v", platform, got, err, want)
		}
	}
	a, err := k.autoinstall(p, h)
	if err != nil || a.Shell {
		t.Fatalf("autoinstall = %+v, %v", a, err)
	}
	for _, want := range []string{"/image/" + blob("c").SHA256 + "/provision-agent", blob("3").SHA256, "the authority", "/autoinstall/52-54-00-00-00-01"} {
		if !strings.Contains(a.Script, want) {
			t.Errorf("the configuration lacks %q:\n%s", want, a.Script)
		}
	}
	if n := len(k.list()); n != 9 {
		t.Errorf("%d images are listed, want the files of both installers and of the tarball", n)
	}
}

// A role of upstream's installer needs no agent, and its repositories are those of
// its own C library.
func TestNetbootShell(t *testing.T) {
	c := netbootConfig(installer.Role{Installer: installer.InstallerShell, Libc: musl})
	p := &plans{cfg: c}
	a, err := (&kits{cfg: c}).autoinstall(p, host.Host{MAC: host.MAC{0x52, 0x54, 0, 0, 0, 1}, Name: "node1", Role: "worker"})
	if err != nil || !a.Shell {
		t.Fatalf("autoinstall = %+v, %v", a, err)
	}
	for _, want := range []string{"export XBPS_ARCH='x86_64-musl'", "/void/current/musl'", "/void/current/musl/nonfree'", "/var/db/xbps/keys/60:ae:0c:d6:"} {
		if !strings.Contains(a.Script, want) {
			t.Errorf("the configuration lacks %q:\n%s", want, a.Script)
		}
	}
}
