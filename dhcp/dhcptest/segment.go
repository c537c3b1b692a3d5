package dhcptest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/mdlayher/packet"
)

const (
	etherIPv4 = 0x0800
	headers   = 14 + 20 + 8
)

var broadcastMAC = net.HardwareAddr{255, 255, 255, 255, 255, 255}

// Segment is an Ethernet segment with machines on it that have no addresses.
// One exchange at a time goes on in it.
type Segment struct {
	conn *packet.Conn
}

// Open opens the segment behind an interface of the caller's network namespace.
func Open(name string) (*Segment, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	conn, err := packet.Listen(ifi, packet.Raw, etherIPv4, nil)
	if err != nil {
		return nil, err
	}
	return &Segment{conn}, nil
}

// Close ends the use of the segment.
func (s *Segment) Close() error { return s.conn.Close() }

// Answer is a reply and how it came.
type Answer struct {
	*dhcpv4.DHCPv4
	To       net.HardwareAddr // the frame's destination
	Src, Dst netip.AddrPort
}

// ErrSilence is wrapped when nobody answered in time.
var ErrSilence = errors.New("no answer")

// Exchange sends p from the MAC in it, by broadcast, and returns the first
// answer to it that comes before ctx ends. It does not send again.
func (s *Segment) Exchange(ctx context.Context, p *dhcpv4.DHCPv4) (Answer, error) {
	src := netip.AddrPortFrom(netip.AddrFrom4([4]byte{}), 68)
	dst := netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), 67)
	return s.ExchangeBetween(ctx, src, dst, p)
}

// ExchangeBetween is Exchange with addresses and ports of the caller's choice.
func (s *Segment) ExchangeBetween(ctx context.Context, src, dst netip.AddrPort, p *dhcpv4.DHCPv4) (Answer, error) {
	if err := s.Send(src, dst, p.ClientHWAddr, p.ToBytes()); err != nil {
		return Answer{}, err
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(5 * time.Second)
	}
	if err := s.conn.SetReadDeadline(deadline); err != nil {
		return Answer{}, err
	}
	buf := make([]byte, 2048)
	for {
		n, _, err := s.conn.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return Answer{}, fmt.Errorf("%s of %s: %w", p.MessageType(), p.ClientHWAddr, ErrSilence)
		}
		if err != nil {
			return Answer{}, err
		}
		a, ok := parse(buf[:n])
		if ok && a.OpCode == dhcpv4.OpcodeBootReply && a.TransactionID == p.TransactionID && a.Dst.Port() == src.Port() {
			return a, nil
		}
	}
}

// Acquire gets m an address: DISCOVER, OFFER, REQUEST, and returns the ACK.
func (s *Segment) Acquire(ctx context.Context, m Machine) (Answer, error) {
	p, err := m.Discover()
	if err != nil {
		return Answer{}, err
	}
	offer, err := s.Exchange(ctx, p)
	if err != nil {
		return Answer{}, err
	}
	if p, err = m.Request(offer.DHCPv4); err != nil {
		return Answer{}, err
	}
	ack, err := s.Exchange(ctx, p)
	if err == nil && ack.MessageType() != dhcpv4.MessageTypeAck {
		return ack, fmt.Errorf("%s got %s for %s", m.MAC, ack.MessageType(), offer.YourIPAddr)
	}
	return ack, err
}

// Send sends payload, which may be anything, in a frame to all.
func (s *Segment) Send(src, dst netip.AddrPort, from net.HardwareAddr, payload []byte) error {
	b := make([]byte, headers, headers+len(payload))
	copy(b, broadcastMAC)
	copy(b[6:], from)
	binary.BigEndian.PutUint16(b[12:], etherIPv4)
	b = append(b, payload...)
	putHeaders(b, src, dst)
	_, err := s.conn.WriteTo(b, &packet.Addr{HardwareAddr: broadcastMAC})
	return err
}

// putHeaders fills in the IP and UDP headers of a frame. The UDP checksum is left out,
// as IPv4 allows and some firmware does.
func putHeaders(frame []byte, src, dst netip.AddrPort) {
	ip := frame[14:]
	from, to := src.Addr().As4(), dst.Addr().As4()
	clear(ip[:28])
	ip[0] = 0x45
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	ip[8], ip[9] = 64, 17
	copy(ip[12:], from[:])
	copy(ip[16:], to[:])
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	sum = sum&0xffff + sum>>16
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum+sum>>16))
	udp := ip[20:]
	binary.BigEndian.PutUint16(udp, src.Port())
	binary.BigEndian.PutUint16(udp[2:], dst.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
}

// parse reads a frame that may be a DHCP answer.
func parse(frame []byte) (Answer, bool) {
	if len(frame) < headers || frame[14] != 0x45 || frame[23] != 17 {
		return Answer{}, false
	}
	p, err := dhcpv4.FromBytes(frame[headers:])
	if err != nil {
		return Answer{}, false
	}
	end := func(addr, port []byte) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(addr)), binary.BigEndian.Uint16(port))
	}
	return Answer{
		DHCPv4: p,
		To:     net.HardwareAddr(append([]byte(nil), frame[:6]...)),
		Src:    end(frame[26:30], frame[34:36]),
		Dst:    end(frame[30:34], frame[36:38]),
	}, true
}
