package dhcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"provision.internal/host"
)

// receiveBuffer holds a storm while the loop waits for a disk: the kernel's
// default of 208 KiB loses hundreds of a thousand packets.
const receiveBuffer = 8 << 20

// Sockets are the open ends of a server on all of its interfaces.
type Sockets struct {
	links   []*link
	closers []io.Closer
}

// link is what is open on one interface.
type link struct {
	name   string
	mac    host.MAC
	server map[string]netip.Addr // by network: our address there
	ports  []port
	frames frameSender
	arp    net.PacketConn // hears every ARP frame; nil when no pool is attached
	echo   net.PacketConn // ICMP, for pools behind a relay
	nd     net.PacketConn // hears IPv6 router solicitations
}

// port receives on one UDP port.
type port struct {
	number uint16
	conn   batchConn
}

// batchConn is the part of ipv4.PacketConn that the server uses.
type batchConn interface {
	ReadBatch(ms []ipv4.Message, flags int) (int, error)
	WriteTo(b []byte, cm *ipv4.ControlMessage, dst net.Addr) (int, error)
}

// frameSender sends whole frames.
type frameSender interface{ send(frame []byte) error }

// Listen opens what c needs, which must be valid. Its errors name the network,
// the interface and the port, and what to do.
func Listen(c Config) (*Sockets, error) {
	s := &Sockets{}
	for _, n := range c.Networks {
		if n.DHCP == Off {
			continue
		}
		if err := s.open(c, n); err != nil {
			return nil, errors.Join(fmt.Errorf("network %s: %w", n.Name, err), s.Close())
		}
	}
	return s, nil
}

// Close closes all of them.
func (s *Sockets) Close() error {
	var all []error
	for _, c := range s.closers {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

func (s *Sockets) open(c Config, n Network) error {
	ifi, err := net.InterfaceByName(n.Interface)
	if err != nil {
		return fmt.Errorf("interface %s does not exist; set network.interface to one of %s", n.Interface, interfaceNames())
	}
	if len(ifi.HardwareAddr) != 6 {
		return fmt.Errorf("interface %s is not Ethernet; set network.interface to one of %s", n.Interface, interfaceNames())
	}
	addr, err := serverAddress(c, n, ifi)
	if err != nil {
		return err
	}
	l := s.link(n.Interface)
	if l == nil {
		l = &link{name: ifi.Name, mac: host.MAC(ifi.HardwareAddr), server: map[string]netip.Addr{}}
		for _, number := range []uint16{serverPort, pxePort} {
			if err := s.openPort(l, number); err != nil {
				return err
			}
		}
		if l.frames, err = s.openSender(ifi); err != nil {
			return err
		}
		if l.nd, err = s.openFrames(ifi, etherIPv6); err != nil {
			return err
		}
		s.links = append(s.links, l)
	}
	l.server[n.Name] = addr
	switch {
	case n.DHCP != Full:
	case n.Relayed && l.echo == nil:
		l.echo, err = s.openEcho(ifi.Name)
	case !n.Relayed:
		l.arp, err = s.openFrames(ifi, etherARP)
	}
	return err
}

func (s *Sockets) link(name string) *link {
	for _, l := range s.links {
		if l.name == name {
			return l
		}
	}
	return nil
}

// openPort opens a UDP port on one interface. No address reuse: a second DHCP
// server would take half of the packets, and nobody would know why.
func (s *Sockets) openPort(l *link, number uint16) error {
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
		return control(rc, func(fd int) error {
			if err := unix.BindToDevice(fd, l.name); err != nil {
				return fmt.Errorf("bind to %s: %w", l.name, err)
			}
			if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) == nil {
				return nil
			}
			// Without CAP_NET_ADMIN the system's limit holds: slower in a storm.
			return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
		})
	}}
	conn, err := lc.ListenPacket(context.Background(), "udp4", fmt.Sprintf(":%d", number))
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("port %d is in use on %s: another DHCP server runs on this machine; find it with `ss -ulnp 'sport = :%d'` and stop it, or set dhcp: off for this network",
			number, l.name, number)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("port %d on %s: %w; run as root, or with CAP_NET_ADMIN, CAP_NET_RAW and CAP_NET_BIND_SERVICE", number, l.name, err)
	case err != nil:
		return fmt.Errorf("port %d on %s: %w", number, l.name, err)
	}
	s.closers = append(s.closers, conn)
	l.ports = append(l.ports, port{number: number, conn: ipv4.NewPacketConn(conn)})
	return nil
}

// openFrames opens a socket that receives whole frames of a protocol.
func (s *Sockets) openFrames(ifi *net.Interface, protocol int) (*packet.Conn, error) {
	var filter []bpf.RawInstruction
	if protocol == etherIPv6 {
		filter = solicitations()
	}
	conn, err := packet.Listen(ifi, packet.Raw, protocol, &packet.Config{Filter: filter})
	if err != nil {
		return nil, fmt.Errorf("frames on %s: %w; run as root, or with CAP_NET_RAW", ifi.Name, err)
	}
	s.closers = append(s.closers, conn)
	if protocol == etherIPv6 {
		if err := conn.JoinGroup(allRoutersMAC[:]); err != nil {
			return nil, fmt.Errorf("hear router solicitations on %s: %w", ifi.Name, err)
		}
	}
	return conn, nil
}

// rawSender sends on a packet socket that is bound to one interface. The socket
// blocks: one that the Go runtime polls would be woken up for every frame that
// the kernel has finished with, which costs as much as sending it.
type rawSender struct{ *os.File }

// openSender opens a socket that sends whole frames and receives none.
func (s *Sockets) openSender(ifi *net.Interface) (rawSender, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return rawSender{}, fmt.Errorf("frames on %s: %w; run as root, or with CAP_NET_RAW", ifi.Name, err)
	}
	r := rawSender{os.NewFile(uintptr(fd), "frames on "+ifi.Name)}
	s.closers = append(s.closers, r)
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: ifi.Index}); err != nil {
		return rawSender{}, fmt.Errorf("frames on %s: %w", ifi.Name, err)
	}
	return r, nil
}

// send writes the frame as it is: the destination is in it.
func (r rawSender) send(frame []byte) error {
	_, err := r.Write(frame)
	if errors.Is(err, os.ErrClosed) {
		return net.ErrClosed
	}
	return err
}

// solicitations is the filter that lets only ICMPv6 router solicitations
// through: all other IPv6 traffic is not worth waking up for.
func solicitations() []bpf.RawInstruction {
	filter, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: etherLen + 6, Size: 1}, // next header
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 58, SkipFalse: 3},
		bpf.LoadAbsolute{Off: etherLen + ipv6Len, Size: 1}, // ICMPv6 type
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: icmpv6Solicit, SkipFalse: 1},
		bpf.RetConstant{Val: 1 << 16},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		panic(err) // the program above is constant
	}
	return filter
}

func (s *Sockets) openEcho(name string) (net.PacketConn, error) {
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
		return control(rc, func(fd int) error { return unix.BindToDevice(fd, name) })
	}}
	conn, err := lc.ListenPacket(context.Background(), "ip4:icmp", "0.0.0.0")
	if err != nil {
		return nil, fmt.Errorf("ICMP on %s: %w; run as root, or with CAP_NET_RAW", name, err)
	}
	s.closers = append(s.closers, conn)
	return conn, nil
}

func control(rc syscall.RawConn, f func(fd int) error) error {
	var inner error
	err := rc.Control(func(fd uintptr) { inner = f(int(fd)) })
	return errors.Join(err, inner)
}

// serverAddress is how n's machines reach us: c.Address if it is on the
// interface, else the interface's address in the network; behind a relay
// c.Address, else the interface's first.
func serverAddress(c Config, n Network, ifi *net.Interface) (netip.Addr, error) {
	all, err := ifi.Addrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("addresses of %s: %w", ifi.Name, err)
	}
	var fit []netip.Addr
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().Is4() && (n.Relayed || n.Subnet.Contains(p.Addr())) {
			fit = append(fit, p.Addr())
		}
	}
	switch {
	case n.Relayed && c.Address.IsValid(), slices.Contains(fit, c.Address):
		return c.Address, nil
	case len(fit) > 0:
		return fit[0], nil
	case n.Relayed:
		return netip.Addr{}, fmt.Errorf("interface %s has no IPv4 address; add one, or set server.address", ifi.Name)
	}
	return netip.Addr{}, fmt.Errorf("interface %s has no address in %s; add one (ip address add ADDRESS/%d dev %s), or correct network.subnet",
		ifi.Name, n.Subnet, n.Subnet.Bits(), ifi.Name)
}

func interfaceNames() string {
	all, err := net.Interfaces()
	if err != nil {
		return "the interfaces of `ip link`"
	}
	var names []string
	for _, i := range all {
		if len(i.HardwareAddr) == 6 && i.Flags&net.FlagLoopback == 0 {
			names = append(names, i.Name)
		}
	}
	return strings.Join(names, ", ")
}
