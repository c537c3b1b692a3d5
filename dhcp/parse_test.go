package dhcp

import (
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// What no machine may send costs nothing and is counted.
func TestBadPackets(t *testing.T) {
	good := packetOf(alice, dhcpv4.MessageTypeDiscover)
	with := func(change func(b []byte)) []byte {
		b := append([]byte(nil), good...)
		change(b)
		return b
	}
	tests := map[string]struct {
		data []byte
		want count
	}{
		"empty":                  {nil, malformed},
		"header only":            {good[:236], malformed},
		"no end":                 {good[:243], malformed},
		"wrong cookie":           {with(func(b []byte) { b[236] = 0 }), malformed},
		"a reply":                {with(func(b []byte) { b[0] = 2 }), notForUs},
		"token ring":             {with(func(b []byte) { b[1] = 6 }), notForUs},
		"long hardware address":  {with(func(b []byte) { b[2] = 16 }), notForUs},
		"no hardware address":    {with(func(b []byte) { clear(b[28:34]) }), malformed},
		"multicast source":       {with(func(b []byte) { b[28] = 1 }), malformed},
		"too many hops":          {with(func(b []byte) { b[3] = 17 }), malformed},
		"BOOTP":                  {with(func(b []byte) { b[240] = 0; b[241] = 0; b[242] = 0 }), notForUs},
		"type of two bytes":      {packetOf(alice, 1, opt(53, 1, 1)), malformed},
		"short wish":             {packetOf(alice, 1, opt(50, 10, 77)), malformed},
		"short server":           {packetOf(alice, 3, opt(54, 10)), malformed},
		"overload of 4":          {packetOf(alice, 1, opt(52, 4)), malformed},
		"bad relay information":  {packetOf(alice, 1, giaddr("10.77.0.254"), opt(82, 1, 9, 0)), malformed},
		"longer than a frame":    {append(good, make([]byte, 1400)...), oversized},
		"long client identifier": {packetOf(alice, 1, opt(61, make([]byte, 255)...)), offers},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, nil)
			if v, _ := d.sendTo(serverPort, "0.0.0.0:68", tt.data); v.what != tt.want {
				t.Errorf("outcome is %s, want %s", countNames[v.what], countNames[tt.want])
			}
		})
	}
}

// RFC 2131 §4.1: options may go on in the file and sname fields.
func TestOptionOverload(t *testing.T) {
	b := packetOf(alice, dhcpv4.MessageTypeRequest, opt(52, 3))
	copy(b[fileOffset:], append([]byte{50, 4}, 10, 77, 0, 101, 255))
	copy(b[snameOffset:], append([]byte{54, 4}, 10, 77, 0, 1, 255))
	d := newDesk(t, nil)
	if v, m := d.sendTo(serverPort, "0.0.0.0:68", b); v.what != acks || fromIP(m.YourIPAddr) != ip("10.77.0.101") {
		t.Errorf("outcome is %s, want an ACK for the address in the file field", countNames[v.what])
	}
}

// A long identifier, which must be echoed, drives out what a client can do without.
func TestAnswerFitsTheClient(t *testing.T) {
	d := newDesk(t, func(n *Network) { n.Domain = strings.Repeat("a.", 90) + "example" })
	id := make([]byte, 200)
	firmware := []func(*dhcpv4.DHCPv4){opt(61, id...), opt(60, []byte("PXEClient")...), opt(93, 0, 0)}
	v, m := d.send(alice, dhcpv4.MessageTypeDiscover, firmware...)
	if got := len(v.reply) - frameHeaders; got > 576-28 {
		t.Errorf("answer has %d bytes for a client that takes %d", got, 576-28)
	}
	if m.BootFileNameOption() == "" || m.SubnetMask() == nil || string(m.Options[61]) != string(id) {
		t.Errorf("the short answer lacks something vital: %s", m.Summary())
	}
	v, m = d.send(alice, dhcpv4.MessageTypeDiscover, append(firmware, opt(57, 0x05, 0xc0))...)
	if m.DomainName() == "" {
		t.Errorf("the answer of %d bytes to a client that takes 1472 lacks the domain", len(v.reply)-frameHeaders)
	}
}

// RFC 3396: the parts of an option belong together, wherever they are. Joining
// them leaves the packet as it came.
func TestOptionInParts(t *testing.T) {
	b := packetOf(alice, dhcpv4.MessageTypeDiscover)
	b = b[:headerLen+3] // the message type
	b = append(b, 61, 2, 1, 'a', 0, 12, 1, 'x', 61, 1, 'b', 61, 0, 61, 1, 'c', 255)
	before := string(b)
	_, m := newDesk(t, nil).sendTo(serverPort, "0.0.0.0:68", b)
	if got := string(m.Options[61]); got != "\x01abc" || string(b) != before {
		t.Errorf("client identifier is %q, want %q; packet unchanged: %t", got, "\x01abc", string(b) == before)
	}
}
