package boot

import (
	"slices"
	"strings"
	"testing"
	"time"

	"provision.internal/host"
)

var (
	mac   = host.MAC{0x52, 0x54, 0, 0x12, 0x34, 0x56}
	uuid  = host.UUID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	opt97 = append([]byte{0}, uuid[:]...)
	t0    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// The options as the firmwares of Debian 12's packages send them, and what
// others are known to send.
func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    Options
		want Client
	}{
		{"OVMF, PXE", Options{VendorClass: []byte("PXEClient:Arch:00007:UNDI:003000"), Arch: []byte{0, 7}, UUID: opt97},
			Client{MAC: mac, UUID: uuid, Platform: UEFIx64, Arch: 7, PXE: true}},
		{"OVMF, HTTP", Options{VendorClass: []byte("HTTPClient:Arch:00016:UNDI:003000"), Arch: []byte{0, 16}, UUID: make([]byte, 17)},
			Client{MAC: mac, Platform: UEFIx64, Arch: 16, PXE: true, HTTP: true}},
		{"iPXE as the NIC's ROM", Options{VendorClass: []byte("PXEClient:Arch:00000:UNDI:002001"), UserClass: []byte("iPXE"), Arch: []byte{0, 0}, UUID: opt97, IPXE: []byte{1, 1, 1}},
			Client{MAC: mac, UUID: uuid, Platform: BIOS, PXE: true, IPXE: true}},
		{"iPXE loaded by OVMF", Options{VendorClass: []byte("PXEClient:Arch:00007:UNDI:003010"), UserClass: []byte("iPXE"), Arch: []byte{0, 7}, IPXE: []byte{1}},
			Client{MAC: mac, Platform: UEFIx64, Arch: 7, PXE: true, IPXE: true}},
		{"iPXE after an HTTP boot", Options{VendorClass: []byte("HTTPClient:Arch:00016"), UserClass: []byte("\x04iPXE"), Arch: []byte{0, 16}},
			Client{MAC: mac, Platform: UEFIx64, Arch: 16, PXE: true, IPXE: true}},
		{"iPXE told by option 175 alone", Options{Arch: []byte{0, 0}, IPXE: []byte{0}},
			Client{MAC: mac, Platform: BIOS, PXE: true, IPXE: true}},
		{"arm64", Options{VendorClass: []byte("PXEClient:Arch:00011:UNDI:003000"), Arch: []byte{0, 11}},
			Client{MAC: mac, Platform: UEFIarm64, Arch: 11, PXE: true}},
		{"arm64, HTTP", Options{VendorClass: []byte("HTTPClient:Arch:00019"), Arch: []byte{0, 19}},
			Client{MAC: mac, Platform: UEFIarm64, Arch: 19, PXE: true, HTTP: true}},
		{"x86-64 that calls itself EFI x86-64", Options{VendorClass: []byte("PXEClient"), Arch: []byte{0, 9, 0, 7}},
			Client{MAC: mac, Platform: UEFIx64, Arch: 9, PXE: true}},
		{"32-bit UEFI", Options{VendorClass: []byte("PXEClient:Arch:00006"), Arch: []byte{0, 6}},
			Client{MAC: mac, Arch: 6, PXE: true}},
		{"PXE without an architecture", Options{VendorClass: []byte("PXEClient")}, Client{MAC: mac, PXE: true}},
		{"an architecture of one byte", Options{VendorClass: []byte("PXEClient"), Arch: []byte{7}}, Client{MAC: mac, PXE: true}},
		{"an operating system", Options{VendorClass: []byte("dhcpcd-9.4.1:Linux"), UserClass: []byte("x"), Arch: []byte{0, 7}, UUID: opt97},
			Client{MAC: mac, UUID: uuid}},
		{"nothing", Options{}, Client{MAC: mac}},
		{"a UUID of another type", Options{UUID: append([]byte{1}, uuid[:]...)}, Client{MAC: mac}},
		{"a UUID that is cut", Options{UUID: opt97[:16]}, Client{MAC: mac}},
		{"a user class that only begins so", Options{UserClass: []byte("iPXEv2")}, Client{MAC: mac}},
	} {
		if got := Classify(mac, tt.o); got != tt.want {
			t.Errorf("%s: Classify = %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func FuzzClassify(f *testing.F) {
	f.Add([]byte("PXEClient:Arch:00007"), []byte("iPXE"), []byte{0, 7}, opt97, []byte{1})
	f.Add([]byte("HTTPClient"), []byte(nil), []byte{0, 16}, []byte{0}, []byte(nil))
	f.Add([]byte{0xff}, []byte{4}, []byte{1}, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, vendor, user, arch, uuid, ipxe []byte) {
		c := Classify(mac, Options{VendorClass: vendor, UserClass: user, Arch: arch, UUID: uuid, IPXE: ipxe})
		if (c.IPXE || c.HTTP) && !c.PXE || c.IPXE && c.HTTP || !c.PXE && c.Platform != Unknown {
			t.Errorf("Classify = %+v contradicts itself", c)
		}
		file := File(c, "http://10.77.0.1")
		if (file == "") != (!c.PXE || c.Platform == Unknown) {
			t.Errorf("File(%+v) = %q", c, file)
		}
		if step, _ := Next(c, host.Host{}, t0); step != Disk {
			t.Errorf("an unknown host is told to %s", step)
		}
	})
}

func admitted() host.Host {
	return host.Host{MAC: mac, UUID: uuid, State: host.Admitted, Grant: &host.Grant{ID: "g", Expires: t0.Add(time.Hour)}}
}

func TestNext(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Client, *host.Host)
		want   Step
		why    string
	}{
		{"admitted with an open grant", func(*Client, *host.Host) {}, Install, "open grant"},
		{"UUID not told", func(c *Client, h *host.Host) { c.UUID = host.UUID{} }, Install, "open grant"},
		{"UUID not known", func(c *Client, h *host.Host) { h.UUID = host.UUID{} }, Install, "open grant"},
		{"unknown", func(c *Client, h *host.Host) { *h = host.Host{} }, Disk, "provision enroll"},
		{"another UUID", func(c *Client, h *host.Host) { c.UUID[15]++ }, Disk, "UUID"},
		{"another MAC", func(c *Client, h *host.Host) { c.MAC[5]++ }, Disk, "MAC"},
		{"no grant", func(c *Client, h *host.Host) { h.Grant = nil }, Disk, "no grant"},
		{"a used grant", func(c *Client, h *host.Host) { h.Grant.Burned = t0 }, Disk, "provision reinstall"},
		{"an expired grant", func(c *Client, h *host.Host) { h.Grant.Expires = t0 }, Disk, "provision reinstall"},
		{"a port that is not moved yet", func(c *Client, h *host.Host) { h.Grant.Place = true }, Wait, "port"},
		{"a port that was moved before the grant was made", func(c *Client, h *host.Host) {
			h.Grant.Place, h.Grant.Port, h.Grant.Made = true, "ether7", t0
			h.Placed = &host.Placement{Port: "ether7", Stage: host.StageInstall, Since: t0.Add(-time.Second)}
		}, Wait, "port"},
		{"a port that serves the installation", func(c *Client, h *host.Host) {
			h.Grant.Place, h.Grant.Port = true, "ether7"
			h.Placed = &host.Placement{Port: "ether7", Stage: host.StageInstall, Since: t0}
		}, Install, "open grant"},
		{"an unknown architecture", func(c *Client, h *host.Host) { c.Platform, c.Arch = Unknown, 6 }, Disk, "architecture 6"},
	} {
		c, h := Client{MAC: mac, UUID: uuid, Platform: BIOS}, admitted()
		tt.change(&c, &h)
		if got, why := Next(c, h, t0); got != tt.want || !strings.Contains(why, tt.why) {
			t.Errorf("%s: Next = %s, %q; want %s because of %q", tt.name, got, why, tt.want, tt.why)
		}
	}
}

// Rule 1: whatever the state, an open grant lying about wipes nothing unless the
// host is Admitted.
func TestOnlyAdmittedHostsAreInstalled(t *testing.T) {
	for _, state := range append(host.Journey(), host.Failed, host.Retired, "", "Nonsense") {
		h := admitted()
		h.State = state
		got, why := Next(Client{MAC: mac, UUID: uuid, Platform: UEFIx64}, h, t0)
		if (got == Install) != (state == host.Admitted) || why == "" {
			t.Errorf("%q: Next = %s, %q", state, got, why)
		}
	}
}

func TestFile(t *testing.T) {
	const base = "http://10.77.0.1:8080"
	for _, tt := range []struct {
		c    Client
		want string
	}{
		{Client{PXE: true, Platform: BIOS}, "undionly.kpxe"},
		{Client{PXE: true, Platform: UEFIx64}, "snponly.efi"},
		{Client{PXE: true, Platform: UEFIarm64}, "arm64.efi"},
		{Client{PXE: true, HTTP: true, Platform: UEFIx64}, base + "/nbp/snponly.efi"},
		{Client{MAC: mac, PXE: true, IPXE: true, Platform: BIOS}, base + "/ipxe/52-54-00-12-34-56"},
		{Client{PXE: true, Platform: Unknown}, ""},
		{Client{Platform: BIOS}, ""},
		{Client{PXE: true, IPXE: true, Platform: Unknown}, ""},
	} {
		if got := File(tt.c, base); got != tt.want {
			t.Errorf("File(%+v) = %q, want %q", tt.c, got, tt.want)
		}
	}
}

// Every platform has a loader and an architecture, and no two share a loader:
// TFTP and HTTP serve them by name.
func TestPlatforms(t *testing.T) {
	var names []string
	for _, p := range []Platform{BIOS, UEFIx64, UEFIarm64} {
		name := Loader(p)
		if name == "" || p.Arch() == "" || slices.Contains(names, name) || strings.Contains(name, "/") {
			t.Errorf("%s: loader %q for %q", p, name, p.Arch())
		}
		names = append(names, name)
	}
	if Loader(Unknown) != "" || Unknown.Arch() != "" {
		t.Error("an unknown platform has a loader")
	}
}

func TestURLs(t *testing.T) {
	if got := ImageURL("http://a", "abc", "vmlinuz"); got != "http://a/image/abc/vmlinuz" {
		t.Errorf("ImageURL = %s", got)
	}
	if got := ScriptURL("http://a", mac); got != "http://a/ipxe/52-54-00-12-34-56" {
		t.Errorf("ScriptURL = %s", got)
	}
	if got := AutoinstallURL("http://a", mac); got != "http://a/autoinstall/52-54-00-12-34-56" {
		t.Errorf("AutoinstallURL = %s", got)
	}
}

func BenchmarkNext(b *testing.B) {
	c, h := Client{MAC: mac, UUID: uuid, Platform: BIOS}, admitted()
	for b.Loop() {
		if step, _ := Next(c, h, t0); step != Install {
			b.Fatal(step)
		}
	}
}

func BenchmarkClassify(b *testing.B) {
	o := Options{VendorClass: []byte("PXEClient:Arch:00007:UNDI:003000"), Arch: []byte{0, 7}, UUID: opt97}
	for b.Loop() {
		if c := Classify(mac, o); c.Platform != UEFIx64 {
			b.Fatal(c)
		}
	}
}
