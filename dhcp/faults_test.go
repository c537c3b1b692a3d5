package dhcp

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/net/ipv4"

	"provision.internal/dhcp/dhcptest"
)

// No ACK leaves before its lease is stored; none at all when that cannot be.
func TestNoAckWithoutStoredLease(t *testing.T) {
	c := newCable(t)
	leases := &memory{fail: errDisk}
	s, _, _ := start(t, c, Config{Networks: []Network{small()}}, leases)
	seg := segment(t, c)
	m := dhcptest.BIOS(dhcptest.MAC(1))
	offer, err := seg.Exchange(soon(t), message(t, m, dhcpv4.MessageTypeDiscover))
	if err != nil {
		t.Fatalf("an offer promises nothing and needs no disk: %v", err)
	}
	request, err := m.Request(offer.DHCPv4)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := seg.Exchange(quiet(t), request); !errors.Is(err, dhcptest.ErrSilence) {
		t.Fatalf("the disk is full and the client got %v (%v)", got.DHCPv4, err)
	}
	if got := s.Counters(); got["lease_commit_errors"] == 0 || got["sent_acks"] != 0 {
		t.Errorf("counted %d failed commits and %d ACKs", got["lease_commit_errors"], got["sent_acks"])
	}
	leases.breakWith(nil)
	if got, err := seg.Exchange(soon(t), request); err != nil || got.MessageType() != dhcpv4.MessageTypeAck {
		t.Errorf("the disk has room again and the client got %v (%v)", got.DHCPv4, err)
	}
}

// A second server on the port, a missing interface, a missing address: each is
// told at the start, with what to do.
func TestListenErrors(t *testing.T) {
	c := newCable(t)
	rival := func(t *testing.T) {
		var conn net.PacketConn
		inside(t, c.Server, func() (err error) {
			conn, err = net.ListenPacket("udp4", ":67")
			return err
		})
		t.Cleanup(func() { conn.Close() })
	}
	tests := map[string]struct {
		prepare func(t *testing.T)
		change  func(n *Network)
		want    []string
	}{
		"port in use":    {rival, func(*Network) {}, []string{"network rack: port 67 is in use on srv", "stop it"}},
		"no interface":   {nil, func(n *Network) { n.Interface = "eth9" }, []string{"interface eth9 does not exist", "srv"}},
		"not Ethernet":   {nil, func(n *Network) { n.Interface = "lo" }, []string{"interface lo is not Ethernet"}},
		"no address":     {nil, func(n *Network) { n.Subnet = netip.MustParsePrefix("10.99.0.0/16") }, []string{"srv has no address in 10.99.0.0/16", "ip address add"}},
		"nothing wrong":  {nil, func(*Network) {}, nil},
		"nothing served": {rival, func(n *Network) { n.DHCP = Off }, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.prepare != nil {
				tt.prepare(t)
			}
			n := small()
			tt.change(&n)
			var listened error
			inside(t, c.Server, func() error {
				s, err := Listen(Config{Networks: []Network{n}})
				if err == nil {
					err = s.Close()
				}
				listened = err
				return nil
			})
			if (listened != nil) != (len(tt.want) > 0) {
				t.Fatalf("Listen: %v", listened)
			}
			for _, w := range tt.want {
				if !strings.Contains(listened.Error(), w) {
					t.Errorf("error %q does not say %q", listened, w)
				}
			}
		})
	}
}

// flaky fails some reads before it gets to work.
type flaky struct {
	batchConn
	failures atomic.Int32
}

func (f *flaky) ReadBatch(ms []ipv4.Message, flags int) (int, error) {
	if f.failures.Add(-1) >= 0 {
		return 0, errors.New("network is down")
	}
	return f.batchConn.ReadBatch(ms, flags)
}

// An interface that goes down and comes back costs packets, not the server.
func TestReadErrorsDoNotEndTheServer(t *testing.T) {
	c := newCable(t)
	cfg := Config{Networks: []Network{small()}}
	var sockets *Sockets
	inside(t, c.Server, func() (err error) {
		sockets, err = Listen(cfg)
		return err
	})
	broken := &flaky{batchConn: sockets.links[0].ports[0].conn}
	broken.failures.Store(3)
	sockets.links[0].ports[0].conn = broken
	s, _, _ := serve(t, cfg, sockets, &memory{})
	if _, err := segment(t, c).Acquire(soon(t), dhcptest.BIOS(dhcptest.MAC(1))); err != nil {
		t.Error(err)
	}
	if n := s.Counters()["read_errors"]; n != 3 {
		t.Errorf("%d read errors counted, want 3", n)
	}
}

// Rubbish on the wire is counted, and the next machine is served.
func TestRubbish(t *testing.T) {
	c := newCable(t)
	s, _, _ := start(t, c, Config{Networks: []Network{small()}}, &memory{})
	seg := segment(t, c)
	for _, data := range [][]byte{nil, []byte("hello"), make([]byte, 240), make([]byte, maxPacket)} {
		for _, port := range []uint16{serverPort, pxePort} {
			to := netip.AddrPortFrom(broadcast, port)
			if err := seg.Send(netip.MustParseAddrPort("0.0.0.0:68"), to, dhcptest.MAC(7), data); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := seg.Acquire(soon(t), dhcptest.BIOS(dhcptest.MAC(1))); err != nil {
		t.Error(err)
	}
	eventually(t, "count of 8 malformed packets", func() bool { return s.Counters()["dropped_malformed"] == 8 })
}
