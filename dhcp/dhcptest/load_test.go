package dhcptest

import (
	"context"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// What a Load builds by hand is what the codec reads.
func TestLoadSpeaksDHCP(t *testing.T) {
	l := &load{buf: make([]byte, 0, 1600)}
	m := &machine{number: 0x01020304, addr: [4]byte{10, 77, 0, 9}, server: [4]byte{10, 77, 0, 1}}
	for _, requesting := range []bool{false, true} {
		m.requesting = requesting
		a, ok := parse(l.build(m))
		if !ok {
			t.Fatal("not DHCP")
		}
		want := dhcpv4.MessageTypeDiscover
		if requesting {
			want = dhcpv4.MessageTypeRequest
		}
		if a.MessageType() != want || a.ClientHWAddr.String() != "02:10:01:02:03:04" || len(a.ClientArch()) != 1 {
			t.Errorf("built %s", a.Summary())
		}
		if requesting && (!a.RequestedIPAddress().Equal(m.addr[:]) || !a.ServerIdentifier().Equal(m.server[:])) {
			t.Errorf("requests %s from %s", a.RequestedIPAddress(), a.ServerIdentifier())
		}
		if a.Dst != netip.MustParseAddrPort("255.255.255.255:67") || a.Src != netip.MustParseAddrPort("0.0.0.0:68") {
			t.Errorf("goes from %s to %s", a.Src, a.Dst)
		}
	}
}

func TestLoadRefusesNonsense(t *testing.T) {
	for name, l := range map[string]Load{
		"nobody":       {Interface: "lo", Count: 1},
		"no end":       {Interface: "lo", InFlight: 1},
		"no interface": {Interface: "none", InFlight: 1, Count: 1},
	} {
		if r, err := l.Run(context.Background()); err == nil {
			t.Errorf("%s: ran, %+v", name, r)
		}
	}
}

func FuzzParse(f *testing.F) {
	m := UEFI(MAC(1))
	p, err := m.Discover()
	if err != nil {
		f.Fatal(err)
	}
	frame := append(make([]byte, headers), p.ToBytes()...)
	putHeaders(frame, netip.MustParseAddrPort("10.0.0.1:67"), netip.MustParseAddrPort("10.0.0.2:68"))
	f.Add(frame)
	f.Add(frame[:headers+243])
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, ok := parse(b); ok && (a.DHCPv4 == nil || !a.Src.IsValid()) {
			t.Errorf("parsed to %+v", a)
		}
		if len(b) >= headers+240 {
			kind, _ := options(b[headers+240:])
			if a, ok := parse(b); ok && a.MessageType() != dhcpv4.MessageType(kind) && len(a.Options[53]) == 1 {
				t.Errorf("message type is %d for one parser and %d for the other", kind, a.MessageType())
			}
		}
	})
}
