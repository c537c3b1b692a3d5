package dhcp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"provision.internal/host"
)

func TestRelay(t *testing.T) {
	far := func(n *Network) {
		n.Relayed, n.Gateway = true, ip("10.77.0.254")
	}
	circuit := opt(82, 1, 4, 'e', 't', 'h', '7', 5, 4, 10, 77, 0, 0)

	t.Run("chosen by the relay's address", func(t *testing.T) {
		v, m := newDesk(t, far).send(alice, dhcpv4.MessageTypeDiscover, giaddr("10.77.0.254"))
		want := destination{to: netip.MustParseAddrPort("10.77.0.254:67"), from: netip.MustParseAddrPort("10.77.0.1:67")}
		if m == nil || v.to != want {
			t.Fatalf("%s to %+v, want an offer to %+v", countNames[v.what], v.to, want)
		}
		if fromIP(m.GatewayIPAddr) != ip("10.77.0.254") {
			t.Errorf("giaddr is %s, want the relay's", m.GatewayIPAddr)
		}
	})
	t.Run("chosen by option 82, which comes back unchanged", func(t *testing.T) {
		v, m := newDesk(t, far).send(alice, dhcpv4.MessageTypeDiscover, giaddr("192.0.2.254"), circuit)
		if m == nil || v.to.to.Addr() != ip("192.0.2.254") {
			t.Fatalf("%s to %+v, want an offer to the relay", countNames[v.what], v.to)
		}
		if got := string(m.Options[82]); got != "\x01\x04eth7\x05\x04\x0a\x4d\x00\x00" {
			t.Errorf("option 82 is %q", got)
		}
	})
	t.Run("refusal is broadcast by the relay", func(t *testing.T) {
		v, m := newDesk(t, far).send(alice, dhcpv4.MessageTypeRequest, giaddr("10.77.0.254"), optIP(50, "10.77.0.101"))
		if m == nil || m.MessageType() != dhcpv4.MessageTypeNak || !m.IsBroadcast() {
			t.Errorf("%s: want a NAK with the broadcast flag", countNames[v.what])
		}
	})
	t.Run("renewal comes without the relay", func(t *testing.T) {
		d := newDesk(t, far, host.Lease{MAC: alice, Address: ip("10.77.0.101"), Expires: t0.Add(time.Minute)})
		v, _ := d.send(alice, dhcpv4.MessageTypeRequest, ciaddr("10.77.0.101"))
		if v.what != acks || v.to.frame || v.to.to != netip.MustParseAddrPort("10.77.0.101:68") {
			t.Errorf("%s to %+v, want an ACK by UDP to 10.77.0.101", countNames[v.what], v.to)
		}
	})
	t.Run("option 82 from a client is forged", func(t *testing.T) {
		if v, _ := newDesk(t, nil).send(alice, dhcpv4.MessageTypeDiscover, circuit); v.what != malformed {
			t.Errorf("outcome is %s, want %s", countNames[v.what], countNames[malformed])
		}
	})
	t.Run("a relay on another interface is forged", func(t *testing.T) {
		d := newDesk(t, far)
		v := d.handle(datagram{data: packetOf(alice, dhcpv4.MessageTypeDiscover, giaddr("10.77.0.254")), link: "other", port: serverPort}, t0)
		if v.what != strayed {
			t.Errorf("outcome is %s, want %s", countNames[v.what], countNames[strayed])
		}
	})
}
