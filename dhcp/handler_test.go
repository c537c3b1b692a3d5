package dhcp

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"provision.internal/host"
)

var (
	t0     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	server = netip.MustParseAddr("10.77.0.1")
	alice  = host.MAC{0x52, 0x54, 0, 0, 0, 1}
	bob    = host.MAC{0x52, 0x54, 0, 0, 0, 2}
	carol  = host.MAC{0x52, 0x54, 0, 0, 0, 3}
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// desk is a handler with one small network, 10.77.0.0/24 with a pool of four
// addresses, .100 to .103; carol has .50 reserved.
type desk struct {
	*handler
	t   *testing.T
	net *network
	now time.Time
	put []host.Lease // what the last packet put into the ledger; it is stored at once
}

func newDesk(t *testing.T, change func(*Network), leases ...host.Lease) *desk {
	t.Helper()
	n := rack()
	n.Subnet = netip.MustParsePrefix("10.77.0.0/24")
	n.Pool = Pool{ip("10.77.0.100"), ip("10.77.0.103")}
	if change != nil {
		change(&n)
	}
	cfg := Config{Networks: []Network{n}, Reservations: []Reservation{{carol, ip("10.77.0.50")}}}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	net := newNetwork(n, server, cfg, &ledger{})
	net.table.load(leases, t0)
	d := &desk{handler: &handler{networks: []*network{net}, hosts: &people{names: map[host.MAC]string{bob: "node-b"}}}, t: t, net: net, now: t0}
	net.restock(t0)
	return d
}

// packetOf builds a client's packet.
func packetOf(mac host.MAC, kind dhcpv4.MessageType, change ...func(*dhcpv4.DHCPv4)) []byte {
	m := &dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootRequest, HWType: iana.HWTypeEthernet, ClientHWAddr: mac[:],
		TransactionID: dhcpv4.TransactionID{1, 2, 3, 4},
		Options:       dhcpv4.Options{53: {byte(kind)}},
	}
	for _, f := range change {
		f(m)
	}
	return m.ToBytes()
}

func opt(code uint8, value ...byte) func(*dhcpv4.DHCPv4) {
	return func(m *dhcpv4.DHCPv4) { m.Options[code] = value }
}
func optIP(code uint8, a string) func(*dhcpv4.DHCPv4) { return opt(code, ip(a).AsSlice()...) }
func ciaddr(a string) func(*dhcpv4.DHCPv4) {
	return func(m *dhcpv4.DHCPv4) { m.ClientIPAddr = ip(a).AsSlice() }
}
func giaddr(a string) func(*dhcpv4.DHCPv4) {
	return func(m *dhcpv4.DHCPv4) { m.GatewayIPAddr = ip(a).AsSlice() }
}
func wantsBroadcast(m *dhcpv4.DHCPv4) { m.SetBroadcast() }

// send hands one packet in and decodes the answer; nil for silence.
func (d *desk) send(mac host.MAC, kind dhcpv4.MessageType, change ...func(*dhcpv4.DHCPv4)) (decision, *dhcpv4.DHCPv4) {
	d.t.Helper()
	return d.sendTo(serverPort, "0.0.0.0:68", packetOf(mac, kind, change...))
}

func (d *desk) sendTo(port uint16, src string, data []byte) (decision, *dhcpv4.DHCPv4) {
	d.t.Helper()
	v := d.handle(datagram{data: data, link: "srv", src: netip.MustParseAddrPort(src), port: port}, d.now)
	d.put = nil
	if g := d.net.table.ledger.take(); g != nil {
		d.put = g.leases
		g.settle(stored)
	}
	if v.reply == nil {
		return v, nil
	}
	m, err := dhcpv4.FromBytes(v.reply[frameHeaders:])
	if err != nil {
		d.t.Fatalf("answer is no DHCP: %v", err)
	}
	if id := fromIP(m.ServerIdentifier()); id != server {
		d.t.Errorf("server identifier is %s, want %s", id, server)
	}
	return v, m
}

// lease lets mac get an address by the book.
func (d *desk) lease(mac host.MAC) netip.Addr {
	d.t.Helper()
	_, offer := d.send(mac, dhcpv4.MessageTypeDiscover)
	if offer == nil {
		d.t.Fatalf("%s was offered nothing", mac)
	}
	addr := fromIP(offer.YourIPAddr)
	v, ack := d.send(mac, dhcpv4.MessageTypeRequest, optIP(50, addr.String()), optIP(54, server.String()))
	if ack == nil || ack.MessageType() != dhcpv4.MessageTypeAck || fromIP(ack.YourIPAddr) != addr {
		d.t.Fatalf("%s asked for the offered %s and got %s", mac, addr, countNames[v.what])
	}
	return addr
}

// RFC 2131 §4.3: what is answered to which message in which state.
func TestEveryMessage(t *testing.T) {
	const (
		discover = dhcpv4.MessageTypeDiscover
		request  = dhcpv4.MessageTypeRequest
		nak      = dhcpv4.MessageTypeNak
		ack      = dhcpv4.MessageTypeAck
	)
	mine := host.Lease{MAC: alice, Address: ip("10.77.0.101"), Expires: t0.Add(time.Minute)}
	ended := host.Lease{MAC: alice, Address: ip("10.77.0.101"), Expires: t0.Add(-time.Hour)}
	bobs := host.Lease{MAC: bob, Address: ip("10.77.0.102"), Expires: t0.Add(time.Hour)}
	humble := func(n *Network) { n.Authoritative = false }
	tests := map[string]struct {
		change  func(*Network)
		leases  []host.Lease
		kind    dhcpv4.MessageType
		options []func(*dhcpv4.DHCPv4)
		want    count
		answer  dhcpv4.MessageType
		addr    string
		stored  *host.Lease
	}{
		"discover": {kind: discover, want: offers, answer: dhcpv4.MessageTypeOffer, addr: "10.77.0.100"},
		"discover with a lease": {kind: discover, leases: []host.Lease{mine}, want: offers,
			answer: dhcpv4.MessageTypeOffer, addr: "10.77.0.101"},
		"discover with a lease that ended": {kind: discover, leases: []host.Lease{ended}, want: offers,
			answer: dhcpv4.MessageTypeOffer, addr: "10.77.0.101"},
		"discover with a wish": {kind: discover, options: []func(*dhcpv4.DHCPv4){optIP(50, "10.77.0.103")}, want: offers,
			answer: dhcpv4.MessageTypeOffer, addr: "10.77.0.103"},
		"discover with somebody else's address as a wish": {kind: discover, leases: []host.Lease{bobs},
			options: []func(*dhcpv4.DHCPv4){optIP(50, "10.77.0.102")}, want: offers, answer: dhcpv4.MessageTypeOffer, addr: "10.77.0.100"},
		"discover with a wish outside of the pool": {kind: discover, options: []func(*dhcpv4.DHCPv4){optIP(50, "10.77.0.7")},
			want: offers, answer: dhcpv4.MessageTypeOffer, addr: "10.77.0.100"},

		"selecting us": {kind: request, options: []func(*dhcpv4.DHCPv4){optIP(50, "10.77.0.101"), optIP(54, "10.77.0.1")},
			want: acks, answer: ack, addr: "10.77.0.101", stored: &host.Lease{MAC: alice, Address: ip("10.77.0.101"), Expires: t0.Add(time.Hour)}},
		"selecting us, address in another's hands": {kind: request, leases: []host.Lease{bobs},
			options: []func(*dhcpv4.DHCPv4){optIP(50, "10.77.0.102"), optIP(54, "10.77.0.1")}, want: naks, answer: nak},
		"selecting us, address reserved for another": {kind: request,
			options: []func(*dhcpv4.DHCPv4){optIP(50, "10.77.0.50"), optIP(54, "10.77.0.1")}, want: naks, answer: nak},
		"selecting us, address outside of the pool": {kind: request, change: humble,
			options: []func(*dhcpv4.DHCPv4){optIP(50, "10.77.0.7"), optIP(54, "10.77.0.1")}, want: naks, answer: nak},
		"selecting another server": {kind: request, options: []func(*dhcpv4.DHCPv4){optIP(50, "10.77.0.101"), optIP(54, "10.77.0.9")},
			want: withdrawals},

		"init-reboot": {kind: request, leases: []host.Lease{mine}, options: []func(*dhcpv4.DHCPv4){optIP(50, "10.77.0.101")},
			want: acks, answer: ack, addr: "10.77.0.101", stored: &host.Lease{MAC: alice, Address: ip("10.77.0.101"), Expires: t0.Add(time.Hour)}},
		"init-reboot, lease ended, address free": {kind: request, leases: []host.Lease{ended},
			options: []func(*dhcpv4.DHCPv4){optIP(50, "10.77.0.101")}, want: acks, answer: ack, addr: "10.77.0.101",
			stored: &host.Lease{MAC: alice, Address: ip("10.77.0.101"), Expires: t0.Add(time.Hour)}},
		"init-reboot, known with another address": {kind: request, change: humble, leases: []host.Lease{mine},
			options: []func(*dhcpv4.DHCPv4){optIP(50, "10.77.0.102")}, want: naks, answer: nak},
		"init-reboot, unknown": {kind: request, change: humble, options: []func(*dhcpv4.DHCPv4){optIP(50, "10.77.0.101")}, want: silent},
		"init-reboot, unknown, authoritative": {kind: request, options: []func(*dhcpv4.DHCPv4){optIP(50, "10.77.0.101")},
			want: naks, answer: nak},
		"init-reboot, from another network, authoritative": {kind: request, options: []func(*dhcpv4.DHCPv4){optIP(50, "192.168.1.9")},
			want: naks, answer: nak},

		"renewing": {kind: request, leases: []host.Lease{mine}, options: []func(*dhcpv4.DHCPv4){ciaddr("10.77.0.101")},
			want: acks, answer: ack, addr: "10.77.0.101", stored: &host.Lease{MAC: alice, Address: ip("10.77.0.101"), Expires: t0.Add(time.Hour)}},
		"renewing another's": {kind: request, leases: []host.Lease{bobs}, options: []func(*dhcpv4.DHCPv4){ciaddr("10.77.0.102")},
			want: naks, answer: nak},
		"rebinding an unknown lease": {kind: request, change: humble, options: []func(*dhcpv4.DHCPv4){ciaddr("10.77.0.101")}, want: silent},
		"rebinding an unknown lease, authoritative": {kind: request, options: []func(*dhcpv4.DHCPv4){ciaddr("10.77.0.101")},
			want: naks, answer: nak},
		"request for nothing": {kind: request, want: malformed},

		"decline": {kind: dhcpv4.MessageTypeDecline, leases: []host.Lease{mine}, options: []func(*dhcpv4.DHCPv4){optIP(50, "10.77.0.101")},
			want: declines, stored: &host.Lease{MAC: alice, Address: ip("10.77.0.101"), Expires: t0.Add(quarantineTime), Declined: true}},
		"decline of another's": {kind: dhcpv4.MessageTypeDecline, leases: []host.Lease{bobs},
			options: []func(*dhcpv4.DHCPv4){optIP(50, "10.77.0.102")}, want: silent},
		"release": {kind: dhcpv4.MessageTypeRelease, leases: []host.Lease{mine}, options: []func(*dhcpv4.DHCPv4){ciaddr("10.77.0.101")},
			want: releases, stored: &host.Lease{MAC: alice, Address: ip("10.77.0.101")}},
		"release of another's": {kind: dhcpv4.MessageTypeRelease, leases: []host.Lease{bobs},
			options: []func(*dhcpv4.DHCPv4){ciaddr("10.77.0.102")}, want: silent},
		"release to another server": {kind: dhcpv4.MessageTypeRelease, leases: []host.Lease{mine},
			options: []func(*dhcpv4.DHCPv4){ciaddr("10.77.0.101"), optIP(54, "10.77.0.9")}, want: notForUs},
		"inform": {kind: dhcpv4.MessageTypeInform, options: []func(*dhcpv4.DHCPv4){ciaddr("10.77.0.7")}, want: informs, answer: ack},
		"inform from a foreign address": {kind: dhcpv4.MessageTypeInform, options: []func(*dhcpv4.DHCPv4){ciaddr("192.0.2.7")},
			want: strayed},
		"an offer":           {kind: dhcpv4.MessageTypeOffer, want: unhandled},
		"a lease query":      {kind: 10, want: unhandled},
		"relay from nowhere": {kind: discover, options: []func(*dhcpv4.DHCPv4){giaddr("192.0.2.1")}, want: strayed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, tt.change, tt.leases...)
			v, m := d.send(alice, tt.kind, tt.options...)
			if v.what != tt.want {
				t.Fatalf("outcome is %s, want %s", countNames[v.what], countNames[tt.want])
			}
			if (m != nil) != (tt.answer != 0) || m != nil && m.MessageType() != tt.answer {
				t.Fatalf("answer is %v, want %s", m, tt.answer)
			}
			if m != nil && tt.addr != "" && fromIP(m.YourIPAddr) != ip(tt.addr) {
				t.Errorf("address is %s, want %s", m.YourIPAddr, tt.addr)
			}
			if m != nil && tt.addr == "" && fromIP(m.YourIPAddr).IsValid() {
				t.Errorf("address is %s, want none", m.YourIPAddr)
			}
			var want []host.Lease
			if tt.stored != nil {
				want = []host.Lease{*tt.stored}
			} else if tt.want == offers {
				want = []host.Lease{{MAC: alice, Address: ip(tt.addr), Expires: t0.Add(offerTime + time.Hour)}}
			}
			if !slices.Equal(d.put, want) {
				t.Errorf("put into the ledger: %+v, want %+v", d.put, want)
			}
			if waits := v.after != nil; waits != (tt.answer == ack && tt.want == acks) {
				t.Errorf("the answer waits for the disk: %t", waits)
			}
		})
	}
}

// RFC 2131 §4.1: where answers go.
func TestDestination(t *testing.T) {
	mine := host.Lease{MAC: alice, Address: ip("10.77.0.101"), Expires: t0.Add(time.Hour)}
	everybody := destination{frame: true, mac: broadcastMAC, to: netip.MustParseAddrPort("255.255.255.255:68"), from: netip.MustParseAddrPort("10.77.0.1:67")}
	toAlice := everybody
	toAlice.mac, toAlice.to = alice, netip.MustParseAddrPort("10.77.0.101:68")
	tests := map[string]struct {
		kind    dhcpv4.MessageType
		options []func(*dhcpv4.DHCPv4)
		want    destination
	}{
		"offer, no address yet": {dhcpv4.MessageTypeDiscover, nil, toAlice},
		"offer, broadcast flag": {dhcpv4.MessageTypeDiscover, []func(*dhcpv4.DHCPv4){wantsBroadcast}, everybody},
		"renewal":               {dhcpv4.MessageTypeRequest, []func(*dhcpv4.DHCPv4){ciaddr("10.77.0.101")}, toAlice},
		"refusal":               {dhcpv4.MessageTypeRequest, []func(*dhcpv4.DHCPv4){optIP(50, "10.77.0.102")}, everybody},
		// A foreign ciaddr would make us send to a stranger.
		"offer, foreign ciaddr": {dhcpv4.MessageTypeDiscover, []func(*dhcpv4.DHCPv4){ciaddr("192.0.2.1")}, toAlice},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if v, _ := newDesk(t, nil, mine).send(alice, tt.kind, tt.options...); v.to != tt.want {
				t.Errorf("goes to %+v, want %+v", v.to, tt.want)
			}
		})
	}
}

// What an operating system is told.
func TestNetworkOptions(t *testing.T) {
	d := newDesk(t, nil)
	_, m := d.send(bob, dhcpv4.MessageTypeDiscover, opt(61, 1, 2, 3))
	got := map[string]string{
		"mask":   m.SubnetMask().String(),
		"router": m.Router()[0].String(),
		"dns":    m.DNS()[0].String(),
		"domain": m.DomainName(),
		"name":   m.HostName(),
		"lease":  m.IPAddressLeaseTime(0).String(),
		"T1":     m.IPAddressRenewalTime(0).String(),
		"T2":     m.IPAddressRebindingTime(0).String(),
		"id":     string(m.Options[61]),
		"boot":   m.BootFileName + string(m.Options[67]) + string(m.Options[60]) + string(m.Options[43]),
	}
	want := map[string]string{
		"mask": "ffffff00", "router": "10.77.0.1", "dns": "10.77.0.1", "domain": "rack.example", "name": "node-b",
		"lease": "1h0m0s", "T1": "30m0s", "T2": "52m30s", "id": "\x01\x02\x03", "boot": "",
	}
	for k := range want {
		if got[k] != want[k] {
			t.Errorf("%s is %q, want %q", k, got[k], want[k])
		}
	}
}

// A client may show any identifier and any firmware: the address stays.
func TestOneHostOneAddress(t *testing.T) {
	d := newDesk(t, nil)
	first := d.lease(alice)
	for _, id := range [][]byte{nil, append([]byte{1}, alice[:]...), {255, 1, 2, 3, 4, 0, 1}, []byte("node-a")} {
		_, offer := d.send(alice, dhcpv4.MessageTypeDiscover, opt(61, id...), opt(60, []byte("dhcpcd-9.4.1")...))
		if got := fromIP(offer.YourIPAddr); got != first {
			t.Errorf("with client identifier %x the address is %s, was %s", id, got, first)
		}
	}
	// And two machines with the same identifier, cloned from one disk, differ.
	a, b := d.lease(alice), d.lease(bob)
	if a == b {
		t.Errorf("two machines both have %s", a)
	}
}
