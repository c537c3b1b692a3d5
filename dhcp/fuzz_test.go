package dhcp

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"provision.internal/host"
)

func addCaptures(f *testing.F, add func(b []byte)) {
	files, err := filepath.Glob("testdata/firmware/*.hex")
	if err != nil || len(files) == 0 {
		f.Fatalf("no captures: %v", err)
	}
	for _, name := range files {
		add(captured(f, strings.TrimSuffix(filepath.Base(name), ".hex")))
	}
}

// Whatever comes in: no crash; an answer is DHCP, fits into a frame, and
// promises no address that is not stored or reserved for its host.
func FuzzHandle(f *testing.F) {
	addCaptures(f, func(b []byte) { f.Add(b, true, false) })
	f.Add(packetOf(alice, dhcpv4.MessageTypeDiscover, giaddr("10.78.0.1"), opt(82, 1, 2, 'x', 'y')), false, false)
	f.Add(packetOf(bob, dhcpv4.MessageTypeRequest, opt(52, 3), optIP(50, "10.77.0.101")), false, false)
	f.Add(packetOf(carol, dhcpv4.MessageTypeDecline, optIP(50, "10.77.0.50")), false, false)
	f.Add(packetOf(alice, dhcpv4.MessageTypeInform, ciaddr("10.77.0.9"), opt(61, make([]byte, 255)...)), true, true)
	near, far := rack(), rack()
	near.Subnet, near.Pool = netip.MustParsePrefix("10.77.0.0/24"), Pool{ip("10.77.0.100"), ip("10.77.0.120")}
	far.Name, far.Relayed, far.Gateway = "far", true, ip("10.78.0.1")
	far.Subnet, far.Pool = netip.MustParsePrefix("10.78.0.0/24"), Pool{ip("10.78.0.100"), ip("10.78.0.120")}
	cfg := Config{Networks: []Network{near, far}, Reservations: []Reservation{{carol, ip("10.77.0.50")}}}
	if err := cfg.Validate(); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte, pxe, proxy bool) {
		h := &handler{hosts: &people{}}
		for _, n := range cfg.Networks {
			if proxy {
				n.DHCP = Proxy
			}
			net := newNetwork(n, server, cfg, &ledger{})
			net.table.load([]host.Lease{{MAC: alice, Address: ip("10.77.0.101"), Expires: t0.Add(time.Hour)}}, t0)
			net.restock(t0)
			h.networks = append(h.networks, net)
		}
		p := datagram{data: data, link: "srv", src: netip.MustParseAddrPort("10.77.0.9:68"), port: serverPort}
		if pxe {
			p.port = pxePort
		}
		d := h.handle(p, t0)
		for _, n := range h.networks {
			if err := n.table.check(); err != nil {
				t.Fatal(err)
			}
		}
		if d.reply == nil {
			return
		}
		m, err := dhcpv4.FromBytes(d.reply[frameHeaders:])
		if err != nil {
			t.Fatalf("answer is no DHCP: %v", err)
		}
		if m.OpCode != dhcpv4.OpcodeBootReply || fromIP(m.ServerIdentifier()) != server {
			t.Fatalf("answer is no server's: %s", m.Summary())
		}
		if !d.to.to.IsValid() || !d.to.from.IsValid() || d.to.frame && d.to.mac.IsZero() {
			t.Fatalf("answer goes to %+v", d.to)
		}
		addr := fromIP(m.YourIPAddr)
		if m.MessageType() == dhcpv4.MessageTypeAck && addr.IsValid() && addr != ip("10.77.0.50") && !covered(d, addr) {
			t.Fatalf("promises %s and waits for %+v", addr, d.after)
		}
	})
}

// covered reports whether the ACK d waits for a lease of addr, or needs not:
// alice's is stored.
func covered(d decision, addr netip.Addr) bool {
	if d.after == nil {
		return addr == ip("10.77.0.101") && d.client.MAC == alice
	}
	return slices.ContainsFunc(d.after.cover.group.leases, func(l host.Lease) bool { return l.Address == addr && l.MAC == d.client.MAC })
}

// Frames of other protocols reach the server unfiltered.
func FuzzFrames(f *testing.F) {
	addCaptures(f, func(b []byte) { f.Add(b) })
	f.Add(arpProbe(alice, ip("10.77.0.100")))
	self := host.MAC{2, 0, 0, 0, 0, 0x99}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if b := advertisement(frame, self); b != nil && advertisement(b, alice) != nil {
			t.Error("an advertisement is answered by another: a loop")
		}
		if addr, mac, ok := arpSender(frame); ok && (!usable(addr) || mac.IsZero()) {
			t.Errorf("heard %s at %s", addr, mac)
		}
	})
}
