package dhcp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/mdlayher/packet"

	"provision.internal/dhcp/dhcptest"
	"provision.internal/host"
)

// segment opens the machines' end of c.
func segment(tb testing.TB, c dhcptest.Cable) *dhcptest.Segment {
	tb.Helper()
	var s *dhcptest.Segment
	inside(tb, c.Client, func() (err error) {
		s, err = dhcptest.Open("cli")
		return err
	})
	tb.Cleanup(func() { s.Close() })
	return s
}

// soon is the time that an answer may take on a busy machine.
func soon(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	tb.Cleanup(cancel)
	return ctx
}

// quiet is long enough for an answer that must not come.
func quiet(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	tb.Cleanup(cancel)
	return ctx
}

func message(tb testing.TB, m dhcptest.Machine, kind dhcpv4.MessageType, change ...func(*dhcpv4.DHCPv4)) *dhcpv4.DHCPv4 {
	tb.Helper()
	p, err := m.Message(kind)
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range change {
		f(p)
	}
	return p
}

// small is a network with a pool of three addresses.
func small() Network {
	n := rack()
	n.Pool = Pool{ip("10.77.1.1"), ip("10.77.1.3")}
	return n
}

// One machine's life: firmware, iPXE and system get the same address, the
// lease is stored before each ACK, and release frees it.
func TestLifeOfAMachine(t *testing.T) {
	c := newCable(t)
	leases := &memory{}
	s, people, _ := start(t, c, Config{Networks: []Network{small()}}, leases)
	seg := segment(t, c)
	firmware := dhcptest.UEFI(dhcptest.MAC(1))
	mac := host.MAC(firmware.MAC)

	ack, err := seg.Acquire(soon(t), firmware)
	if err != nil {
		t.Fatal(err)
	}
	addr := fromIP(ack.YourIPAddr)
	if l, ok := leases.lease(addr); !ok || l.MAC != mac {
		t.Errorf("an ACK came for %s; stored is %+v", addr, l)
	}
	if ack.Dst != netip.MustParseAddrPort("255.255.255.255:68") || ack.Src != netip.MustParseAddrPort("10.77.0.1:67") {
		t.Errorf("ACK went from %s to %s; the firmware asked for broadcast", ack.Src, ack.Dst)
	}
	eventually(t, "sighting", func() bool { return people.saw(mac) })

	loader := dhcptest.IPXE(firmware)
	if ack, err = seg.Acquire(soon(t), loader); err != nil {
		t.Fatal(err)
	}
	if fromIP(ack.YourIPAddr) != addr || ack.To.String() != firmware.MAC.String() {
		t.Errorf("iPXE got %s in a frame to %s, want %s to its own MAC", ack.YourIPAddr, ack.To, addr)
	}
	system := dhcptest.Machine{MAC: firmware.MAC, ClientID: []byte{255, 0, 0, 0, 1, 0, 2}, Class: "dhcpcd"}
	if ack, err = seg.Acquire(soon(t), system); err != nil || fromIP(ack.YourIPAddr) != addr {
		t.Errorf("the system got %v (%v), want %s", ack.DHCPv4, err, addr)
	}

	renew := message(t, system, dhcpv4.MessageTypeRequest, ciaddr(addr.String()))
	got, err := seg.ExchangeBetween(soon(t), netip.AddrPortFrom(addr, 68), netip.MustParseAddrPort("10.77.0.1:67"), renew)
	if err != nil || got.MessageType() != dhcpv4.MessageTypeAck || got.Dst.Addr() != addr {
		t.Errorf("renewal: %v, %v", got.DHCPv4, err)
	}
	release := message(t, system, dhcpv4.MessageTypeRelease, ciaddr(addr.String()))
	if err := seg.Send(netip.AddrPortFrom(addr, 68), netip.MustParseAddrPort("10.77.0.1:67"), firmware.MAC, release.ToBytes()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "release", func() bool { l, _ := leases.lease(addr); return l.Expires.IsZero() })
	eventually(t, "count", func() bool { return s.Counters()["sent_acks"] == 4 && s.Counters()["releases"] == 1 })
}

// A server that restarts knows its leases, and refuses what it never gave.
func TestRestart(t *testing.T) {
	c := newCable(t)
	leases := &memory{}
	cfg := Config{Networks: []Network{small()}}
	_, _, stop := start(t, c, cfg, leases)
	seg := segment(t, c)
	m := dhcptest.BIOS(dhcptest.MAC(1))
	ack, err := seg.Acquire(soon(t), m)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	start(t, c, cfg, leases)
	reboot := func(addr []byte) dhcpv4.MessageType {
		got, err := seg.Exchange(soon(t), message(t, m, dhcpv4.MessageTypeRequest, opt(50, addr...)))
		if err != nil {
			t.Fatal(err)
		}
		return got.MessageType()
	}
	if got := reboot(ack.YourIPAddr.To4()); got != dhcpv4.MessageTypeAck {
		t.Errorf("init-reboot after a restart of the server: %s", got)
	}
	if got := reboot([]byte{10, 77, 1, 200}); got != dhcpv4.MessageTypeNak {
		t.Errorf("init-reboot with another address: %s, want a NAK", got)
	}
}

// An address that somebody uses without a lease is never offered.
func TestConflictProbe(t *testing.T) {
	c := newCable(t)
	run(t, "ip", "-n", c.Client, "address", "add", "10.77.1.1/16", "dev", "cli")
	s, _, _ := start(t, c, Config{Networks: []Network{small()}}, &memory{})
	seg := segment(t, c)
	got := map[netip.Addr]bool{}
	for n := range uint32(2) {
		ack, err := seg.Acquire(soon(t), dhcptest.BIOS(dhcptest.MAC(n)))
		if err != nil {
			t.Fatal(err)
		}
		got[fromIP(ack.YourIPAddr)] = true
	}
	if len(got) != 2 || got[ip("10.77.1.1")] {
		t.Errorf("gave %v, want 10.77.1.2 and 10.77.1.3: a machine answers ARP for 10.77.1.1", got)
	}
	if n := s.Counters()["conflicts"]; n != 1 {
		t.Errorf("%d conflicts counted, want 1", n)
	}
	_, err := seg.Exchange(quiet(t), message(t, dhcptest.BIOS(dhcptest.MAC(3)), dhcpv4.MessageTypeDiscover))
	if !errors.Is(err, dhcptest.ErrSilence) {
		t.Errorf("a third machine was answered: %v", err)
	}
}

// A machine behind a relay is offered no address that answers a ping, and is
// answered through the relay.
func TestRelayedNetwork(t *testing.T) {
	c := newCable(t)
	// The machines' end is a router: 10.78.0.1 is its other side.
	run(t, "ip", "-n", c.Client, "address", "add", "10.77.0.2/16", "dev", "cli")
	run(t, "ip", "-n", c.Client, "address", "add", "10.78.0.1/32", "dev", "lo")
	run(t, "ip", "-n", c.Client, "address", "add", "10.78.0.10/32", "dev", "lo") // a machine with a fixed address
	run(t, "ip", "-n", c.Server, "route", "add", "10.78.0.0/24", "via", "10.77.0.2")
	far := Network{Name: "far", Interface: "srv", Subnet: netip.MustParsePrefix("10.78.0.0/24"), DHCP: Full, Relayed: true,
		Pool: Pool{ip("10.78.0.10"), ip("10.78.0.11")}}
	s, _, _ := start(t, c, Config{Networks: []Network{far}}, &memory{})

	var relay net.PacketConn
	inside(t, c.Client, func() (err error) {
		relay, err = net.ListenPacket("udp4", "10.78.0.1:67")
		return err
	})
	defer relay.Close()
	exchange := func(p *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
		t.Helper()
		p.GatewayIPAddr = net.IP{10, 78, 0, 1}
		p.Options[82] = []byte{1, 2, 'p', '7'}
		if _, err := relay.WriteTo(p.ToBytes(), &net.UDPAddr{IP: net.IP{10, 77, 0, 1}, Port: 67}); err != nil {
			t.Fatal(err)
		}
		if err := relay.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1500)
		n, from, err := relay.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		m, err := dhcpv4.FromBytes(buf[:n])
		if err != nil || from.String() != "10.77.0.1:67" || string(m.Options[82]) != "\x01\x02p7" {
			t.Fatalf("answer from %s: %v, %v", from, m, err)
		}
		return m
	}
	m := dhcptest.BIOS(dhcptest.MAC(1))
	offer := exchange(message(t, m, dhcpv4.MessageTypeDiscover))
	if fromIP(offer.YourIPAddr) != ip("10.78.0.11") {
		t.Errorf("offered %s, want 10.78.0.11: 10.78.0.10 answers pings", offer.YourIPAddr)
	}
	request, err := m.Request(offer)
	if err != nil {
		t.Fatal(err)
	}
	if ack := exchange(request); ack.MessageType() != dhcpv4.MessageTypeAck {
		t.Errorf("got %s", ack.Summary())
	}
	if n := s.Counters()["conflicts"]; n != 1 {
		t.Errorf("%d conflicts counted, want 1", n)
	}
}

// Beside another server: boot file on 67 and on 4011, to the source port.
func TestProxyOnTheWire(t *testing.T) {
	c := newCable(t)
	n := small()
	n.DHCP, n.Pool = Proxy, Pool{}
	start(t, c, Config{Networks: []Network{n}}, &memory{})
	seg := segment(t, c)
	m := dhcptest.UEFI(dhcptest.MAC(1))
	offer, err := seg.Exchange(soon(t), message(t, m, dhcpv4.MessageTypeDiscover))
	if err != nil || offer.BootFileName != "snponly.efi" || fromIP(offer.YourIPAddr).IsValid() {
		t.Fatalf("offer: %v, %v", offer.DHCPv4, err)
	}
	ask := message(t, m, dhcpv4.MessageTypeRequest, ciaddr("10.77.5.5"))
	ack, err := seg.ExchangeBetween(soon(t), netip.MustParseAddrPort("10.77.5.5:4011"), netip.MustParseAddrPort("10.77.0.1:4011"), ask)
	if err != nil || ack.MessageType() != dhcpv4.MessageTypeAck || ack.BootFileName != "snponly.efi" || ack.Src.Port() != 4011 {
		t.Errorf("answer on 4011: %v, %v", ack.DHCPv4, err)
	}
	_, err = seg.Exchange(quiet(t), message(t, dhcptest.Machine{MAC: m.MAC}, dhcpv4.MessageTypeDiscover))
	if !errors.Is(err, dhcptest.ErrSilence) {
		t.Errorf("an operating system was answered by a proxy: %v", err)
	}
}

// iPXE and EDK2 get their IPv6 router advertisement at once, on a bridge too.
func TestRouterAdvertisementOnTheWire(t *testing.T) {
	for name, bridged := range map[string]bool{"card": false, "bridge": true} {
		t.Run(name, func(t *testing.T) {
			c := newCable(t)
			if bridged {
				bridge(t, c)
			}
			s, _, _ := start(t, c, Config{Networks: []Network{small()}}, &memory{})
			solicit(t, c)
			// It is counted when it has been sent.
			for counted := soon(t); s.Counters()["router_advertisements"] == 0; time.Sleep(time.Millisecond) {
				if counted.Err() != nil {
					t.Fatal("the advertisement was not counted")
				}
			}
			if _, err := segment(t, c).Acquire(soon(t), dhcptest.UEFI(dhcptest.MAC(1))); err != nil {
				t.Error(err)
			}
		})
	}
}

// solicit sends iPXE's router solicitation and waits for the answer.
func solicit(t *testing.T, c dhcptest.Cable) {
	t.Helper()
	var conn *packet.Conn
	inside(t, c.Client, func() error {
		ifi, err := net.InterfaceByName("cli")
		if err == nil {
			conn, err = packet.Listen(ifi, packet.Raw, etherIPv6, nil)
		}
		return err
	})
	defer conn.Close()
	// Like iPXE, asks again: a bridge's port drops frames for a moment when it
	// has come up.
	buf := make([]byte, 2000)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		if _, err := conn.WriteTo(captured(t, "ipxe-solicitation"), &packet.Addr{HardwareAddr: allRoutersMAC[:]}); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		for {
			n, _, err := conn.ReadFrom(buf)
			if err != nil {
				break // nothing came
			}
			if n >= etherLen+ipv6Len+16 && buf[etherLen+ipv6Len] == icmpv6Advertise && host.MAC(buf[:6]) == (host.MAC{0x52, 0x54, 0, 0xaa, 0, 1}) {
				return
			}
		}
	}
	t.Fatal("no advertisement")
}
