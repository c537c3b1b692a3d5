package dhcp

import (
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"provision.internal/boot"
	"provision.internal/host"
)

// captured reads what real firmware sent; see testdata/firmware/README.md.
func captured(tb testing.TB, name string) []byte {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "firmware", name+".hex"))
	if err != nil {
		tb.Fatal(err)
	}
	b, err := hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
	if err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	return b
}

// captureDesk is the network that the captures were made on.
func captureDesk(t *testing.T, mode Mode) (*handler, *network) {
	t.Helper()
	cfg := Config{HTTPPort: 8080, Networks: []Network{{
		Name: "rack", Interface: "srv", Subnet: netip.MustParsePrefix("10.50.0.0/24"), DHCP: mode,
		Pool: Pool{ip("10.50.0.102"), ip("10.50.0.102")},
	}}}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	h, n := newHandler(cfg, nil, &people{}, ip("10.50.0.1"))
	n.restock(time.Now())
	return h, n
}

// want is what makes one firmware boot.
type want struct {
	platform boot.Platform
	file     string
	class    string // 60
	vendor   string // 43
	ipxe     string // 175
	nul      bool   // 67 ends with one
	toAll    bool   // the firmware asks for broadcast
}

var firmwares = map[string]want{
	"ovmf-pxe":        {platform: boot.UEFIx64, file: "snponly.efi", class: "PXEClient", vendor: "\x06\x01\x08\xff", nul: true, toAll: true},
	"ovmf-http":       {platform: boot.UEFIx64, file: "http://10.50.0.1:8080/nbp/snponly.efi", class: "HTTPClient", toAll: true},
	"ipxe-uefi":       {platform: boot.UEFIx64, file: "http://10.50.0.1:8080/ipxe/52-54-00-aa-00-01", class: "PXEClient", vendor: "\x06\x01\x08\xff", ipxe: "\xb0\x01\x01"},
	"ipxe-after-http": {platform: boot.UEFIx64, file: "http://10.50.0.1:8080/ipxe/52-54-00-aa-00-01", class: "PXEClient", vendor: "\x06\x01\x08\xff", ipxe: "\xb0\x01\x01"},
	"ipxe-bios":       {platform: boot.BIOS, file: "http://10.50.0.1:8080/ipxe/52-54-00-aa-00-01", class: "PXEClient", vendor: "\x06\x01\x08\xff", ipxe: "\xb0\x01\x01"},
	"ipxe-e1000":      {platform: boot.BIOS, file: "http://10.50.0.1:8080/ipxe/52-54-00-aa-00-01", class: "PXEClient", vendor: "\x06\x01\x08\xff", ipxe: "\xb0\x01\x01"},
}

func (w want) check(t *testing.T, d decision) {
	t.Helper()
	m, err := dhcpv4.FromBytes(d.reply[frameHeaders:])
	if err != nil {
		t.Fatalf("answer: %v", err)
	}
	option67, hasNUL := strings.CutSuffix(string(m.Options[67]), "\x00")
	if m.BootFileName != w.file || option67 != w.file || hasNUL != w.nul {
		t.Errorf("boot file is %q in the field and %q in option 67, want %q with NUL %t", m.BootFileName, m.Options[67], w.file, w.nul)
	}
	if got := string(m.Options[60]); got != w.class {
		t.Errorf("option 60 is %q, want %q", got, w.class)
	}
	if got := string(m.Options[43]); got != w.vendor {
		t.Errorf("option 43 is %x, want %x", got, w.vendor)
	}
	if got := string(m.Options[175]); got != w.ipxe {
		t.Errorf("option 175 is %x, want %x", got, w.ipxe)
	}
	if fromIP(m.ServerIPAddr) != ip("10.50.0.1") {
		t.Errorf("siaddr is %s, want the server's", m.ServerIPAddr)
	}
	if w.class == "PXEClient" && (m.ServerHostName != "10.50.0.1" || string(m.Options[66]) != "10.50.0.1") {
		t.Errorf("TFTP server is %q in the field and %q in option 66", m.ServerHostName, m.Options[66])
	}
	if len(m.Options[97]) != 17 {
		t.Errorf("option 97 is %x, want the client's", m.Options[97])
	}
	if d.client.Platform != w.platform {
		t.Errorf("platform is %q, want %q", d.client.Platform, w.platform)
	}
	if (d.to.mac == broadcastMAC) != w.toAll {
		t.Errorf("answer goes to %s, broadcast wanted: %t", d.to.mac, w.toAll)
	}
	if n := len(d.reply) - frameHeaders; n < minReply {
		t.Errorf("answer has %d bytes, less than BOOTP's %d", n, minReply)
	}
}

// Real firmware is offered an address and what it can boot, and then granted both.
func TestFirmware(t *testing.T) {
	for name, w := range firmwares {
		t.Run(name, func(t *testing.T) {
			h, _ := captureDesk(t, Full)
			d := h.handle(datagram{data: captured(t, name+"-discover"), link: "srv", port: serverPort}, t0)
			if d.what != offers {
				t.Fatalf("DISCOVER: %s, want an offer", countNames[d.what])
			}
			w.check(t, d)
			d = h.handle(datagram{data: captured(t, name+"-request"), link: "srv", port: serverPort}, t0)
			if d.what != acks || d.addr != ip("10.50.0.102") || !d.saw {
				t.Fatalf("REQUEST: %s for %s, want an ACK for 10.50.0.102", countNames[d.what], d.addr)
			}
			w.check(t, d)
		})
	}
}

// Beside another server the same firmware is offered the same boot file and
// no address, and its REQUEST to the other server is left alone.
func TestFirmwareByProxy(t *testing.T) {
	for name, w := range firmwares {
		t.Run(name, func(t *testing.T) {
			w.toAll = true // nobody has an address from us
			h, _ := captureDesk(t, Proxy)
			d := h.handle(datagram{data: captured(t, name+"-discover"), link: "srv", port: serverPort}, t0)
			if d.what != proxied || !d.saw {
				t.Fatalf("DISCOVER: %s, want an answer", countNames[d.what])
			}
			w.check(t, d)
			m, _ := dhcpv4.FromBytes(d.reply[frameHeaders:])
			if fromIP(m.YourIPAddr).IsValid() || m.Options[51] != nil || m.Options[1] != nil || m.Options[3] != nil {
				t.Errorf("a proxy's offer carries addresses: %s", m.Summary())
			}
			d = h.handle(datagram{data: captured(t, name+"-request"), link: "srv", port: serverPort}, t0)
			if d.reply != nil {
				t.Errorf("REQUEST to the other server was answered: %s", countNames[d.what])
			}
		})
	}
}

// On port 4011 the boot file comes from the source port's point of view: EDK2
// asks from 4011, iPXE from 68.
func TestBootServerPort(t *testing.T) {
	for _, mode := range []Mode{Full, Proxy} {
		for name, src := range map[string]string{"ovmf-pxe": "10.50.0.102:4011", "ipxe-uefi": "10.50.0.102:68", "ipxe-bios": "0.0.0.0:68"} {
			t.Run(string(mode)+" "+name, func(t *testing.T) {
				h, _ := captureDesk(t, mode)
				from := netip.MustParseAddrPort(src)
				d := h.handle(datagram{data: captured(t, name+"-request"), link: "srv", src: from, port: pxePort}, t0)
				if d.what != proxied {
					t.Fatalf("outcome is %s", countNames[d.what])
				}
				w := firmwares[name]
				w.toAll = from.Addr().IsUnspecified()
				w.check(t, d)
				if d.to.to.Port() != from.Port() || d.to.from.Port() != pxePort {
					t.Errorf("answer goes from %s to %s", d.to.from, d.to.to)
				}
			})
		}
	}
	t.Run("not to strangers", func(t *testing.T) {
		h, _ := captureDesk(t, Proxy)
		d := h.handle(datagram{data: captured(t, "ovmf-pxe-request"), link: "srv", src: netip.MustParseAddrPort("192.0.2.1:53"), port: pxePort}, t0)
		if d.what != strayed || d.reply != nil {
			t.Errorf("outcome is %s, want %s", countNames[d.what], countNames[strayed])
		}
	})
}

// A proxy leaves operating systems and unknown machines to the other server.
func TestProxyStaysSilent(t *testing.T) {
	h, _ := captureDesk(t, Proxy)
	send := func(change ...func(*dhcpv4.DHCPv4)) decision {
		return h.handle(datagram{data: packetOf(alice, dhcpv4.MessageTypeDiscover, change...), link: "srv", port: serverPort}, t0)
	}
	if d := send(); d.reply != nil || d.notice != "" {
		t.Errorf("an operating system: %s", countNames[d.what])
	}
	if d := send(opt(60, []byte("MSFT 5.0")...)); d.reply != nil {
		t.Errorf("another vendor class: %s", countNames[d.what])
	}
	if d := send(opt(60, []byte("PXEClient:Arch:00006")...), opt(93, 0, 6)); d.reply != nil || d.notice == "" {
		t.Errorf("an unknown architecture: %s, notice %q; want silence and a notice", countNames[d.what], d.notice)
	}
}

// An unknown architecture gets an address, no boot file, and one notice.
func TestUnknownArchitecture(t *testing.T) {
	d := newDesk(t, nil)
	arch := []func(*dhcpv4.DHCPv4){opt(60, []byte("PXEClient:Arch:00027:UNDI:003000")...), opt(93, 0, 27)}
	v, m := d.send(alice, dhcpv4.MessageTypeDiscover, arch...)
	if v.what != offers || m.BootFileName != "" || m.Options[67] != nil || m.Options[60] != nil || m.Options[43] != nil {
		t.Errorf("offer: %s, %s", countNames[v.what], m.Summary())
	}
	if !strings.Contains(v.notice, "architecture 27") {
		t.Errorf("notice is %q", v.notice)
	}
	if v, _ = d.send(alice, dhcpv4.MessageTypeDiscover, arch...); v.notice != "" {
		t.Errorf("second notice %q", v.notice)
	}
}

// The script's URL is too long for nobody; a longer one must not be cut.
func TestLongBootFileIsNotCut(t *testing.T) {
	h, n := captureDesk(t, Full)
	n.base = "http://" + strings.Repeat("a", 130) + ".example"
	d := h.handle(datagram{data: captured(t, "ipxe-uefi-discover"), link: "srv", port: serverPort}, t0)
	m, err := dhcpv4.FromBytes(d.reply[frameHeaders:])
	if err != nil {
		t.Fatal(err)
	}
	if full := boot.ScriptURL(n.base, d.client.MAC); m.BootFileName != "" || string(m.Options[67]) != full {
		t.Errorf("file field %q, option 67 %q, want none and %q", m.BootFileName, m.Options[67], full)
	}
}

// Only router solicitations are answered, to who sent them, by nobody's router.
func TestAdvertisement(t *testing.T) {
	self := host.MAC{0x02, 0, 0, 0, 0, 0x99}
	for name, to := range map[string]string{"ipxe-solicitation": "fe80::5054:ff:feaa:1", "ovmf-solicitation": "ff02::1"} {
		t.Run(name, func(t *testing.T) {
			b := advertisement(captured(t, name), self)
			if b == nil {
				t.Fatal("not answered")
			}
			ipv6, icmp := b[etherLen:], b[etherLen+ipv6Len:]
			dst := netip.AddrFrom16([16]byte(ipv6[24:40]))
			if dst != ip(to) {
				t.Errorf("goes to %s, want %s", dst, to)
			}
			if src := netip.AddrFrom16([16]byte(ipv6[8:24])); src != ip("fe80::ff:fe00:99") {
				t.Errorf("comes from %s, want our link-local address", src)
			}
			wantMAC := allNodesMAC
			if !dst.IsMulticast() {
				wantMAC = host.MAC{0x52, 0x54, 0, 0xaa, 0, 1}
			}
			if host.MAC(b[:6]) != wantMAC || host.MAC(b[6:12]) != self {
				t.Errorf("frame goes from %s to %s", host.MAC(b[6:12]), host.MAC(b[:6]))
			}
			if ipv6[7] != 255 || icmp[0] != icmpv6Advertise || icmpv6Sum(ipv6, icmp) != 0 {
				t.Errorf("hop limit %d, type %d, checksum rest %#x", ipv6[7], icmp[0], icmpv6Sum(ipv6, icmp))
			}
			if lifetime := int(icmp[6])<<8 | int(icmp[7]); lifetime != 0 || icmp[5] != 0 || len(icmp) != 16 {
				t.Errorf("router lifetime %d, flags %#x, %d bytes: want 0, 0, and no option", lifetime, icmp[5], len(icmp))
			}
		})
	}
	good := captured(t, "ipxe-solicitation")
	for name, change := range map[string]func(b []byte){
		"from another link": func(b []byte) { b[etherLen+7] = 64 },
		"bad checksum":      func(b []byte) { b[etherLen+ipv6Len+3] ^= 1 },
		"another type":      func(b []byte) { b[etherLen+ipv6Len]++ },
		"our own":           func(b []byte) { copy(b[6:], self[:]) },
		"wrong length":      func(b []byte) { b[etherLen+5] = 200 },
		"IPv4":              func(b []byte) { b[12], b[13] = 8, 0 },
	} {
		t.Run(name, func(t *testing.T) {
			b := append([]byte(nil), good...)
			change(b)
			if advertisement(b, self) != nil {
				t.Error("was answered")
			}
		})
	}
}
