package dhcptest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Load lets many machines get an address, each by DISCOVER, OFFER, REQUEST and
// ACK, as UEFI machines that boot by PXE or as installed systems. A storm is
// InFlight = Count; a closed loop has fewer in flight and starts the next when
// one has ended.
type Load struct {
	Interface string // of the caller's network namespace
	System    bool   // the machines run a system and want no boot file
	InFlight  int
	Count     int           // exchanges in all; 0 means as many as fit into Duration
	Duration  time.Duration // used without Count
	Machines  int           // distinct ones, which come back in turn; 0 means each exchange has a new one
	First     uint32        // number of the first machine

	// Timeout is after how long a message is sent again; it doubles each time
	// and varies by Jitter, as RFC 2131 §4.1 says. A machine gives up when it
	// has sent one message Tries times. Zero values mean 4 s, a quarter of
	// Timeout, and 4.
	Timeout, Jitter time.Duration
	Tries           int
}

// Result tells how a Load went.
type Result struct {
	Done            int           `json:"done"`
	Retransmissions int           `json:"retransmissions"`
	GaveUp          int           `json:"gave_up"`
	Refused         int           `json:"refused"`    // by NAK
	Duplicates      int           `json:"duplicates"` // addresses given to two machines
	Elapsed         time.Duration `json:"elapsed_ns"` // until the last ACK
	Rate            float64       `json:"rate"`       // exchanges a second
	P50             time.Duration `json:"p50_ns"`     // of an exchange, waiting and repeating included
	P90             time.Duration `json:"p90_ns"`
	P99             time.Duration `json:"p99_ns"`
	Max             time.Duration `json:"max_ns"`

	// Given maps addresses to the number of the machine that had it last.
	Given map[netip.Addr]uint32 `json:"-"`
}

// MAC is the hardware address of machine number n of a Load.
func MAC(n uint32) net.HardwareAddr {
	return net.HardwareAddr{0x02, 0x10, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
}

// machine is one exchange under way.
type machine struct {
	number      uint32
	requesting  bool
	start, sent time.Time
	wait        time.Duration
	tries       int
	addr        [4]byte
	server      [4]byte
}

// load is the state of a running Load. It is single-threaded and reuses its
// buffers, to leave the processor to the server that it measures.
type load struct {
	Load
	fd        int
	buf       []byte
	active    map[uint32]*machine // by transaction identifier, which is the number
	next      uint32
	begin     time.Time
	last      time.Time
	latencies []time.Duration
	result    Result
}

// Run runs the load until its end or that of ctx.
func (l Load) Run(ctx context.Context) (Result, error) {
	if l.InFlight <= 0 || l.Count <= 0 && l.Duration <= 0 {
		return Result{}, errors.New("a load needs InFlight, and Count or Duration")
	}
	if l.Timeout == 0 {
		l.Timeout = 4 * time.Second
	}
	if l.Jitter == 0 {
		l.Jitter = l.Timeout / 4
	}
	if l.Tries == 0 {
		l.Tries = 4
	}
	fd, err := openRaw(l.Interface)
	if err != nil {
		return Result{}, fmt.Errorf("frames on %s: %w", l.Interface, err)
	}
	defer unix.Close(fd)
	r := &load{Load: l, fd: fd, buf: make([]byte, 0, 1600), active: map[uint32]*machine{}}
	r.result.Given = map[netip.Addr]uint32{}
	return r.run(ctx)
}

// openRaw opens a socket for frames that does not hear its own and whose reads
// end after 2 ms, so that timers are looked at.
func openRaw(name string) (int, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return 0, err
	}
	proto := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, etherIPv4))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(proto))
	if err != nil {
		return 0, err
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 32<<20),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 2000}),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: ifi.Index}),
	)
	if err != nil {
		unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

func (l *load) run(ctx context.Context) (Result, error) {
	l.begin = time.Now()
	l.last = l.begin
	for range l.InFlight {
		if err := l.launch(); err != nil {
			return l.result, err
		}
	}
	frame := make([]byte, 2048)
	scanned := l.begin
	for len(l.active) > 0 {
		if ctx.Err() != nil {
			return l.result, ctx.Err()
		}
		n, err := unix.Read(l.fd, frame)
		now := time.Now()
		if now.Sub(scanned) > 20*time.Millisecond {
			scanned = now
			if err := l.retransmit(now); err != nil {
				return l.result, err
			}
		}
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
		case err != nil:
			return l.result, err
		default:
			if err := l.receive(frame[:n], now); err != nil {
				return l.result, err
			}
		}
	}
	l.summarise()
	return l.result, nil
}

// launch starts the next machine, if any is left.
func (l *load) launch() error {
	if l.Count > 0 && int(l.next) >= l.Count || l.Count <= 0 && time.Since(l.begin) >= l.Duration {
		return nil
	}
	number := l.next
	if l.Machines > 0 {
		number %= uint32(l.Machines)
	}
	l.next++
	m := &machine{number: l.First + number, start: time.Now()}
	l.active[m.number] = m
	return l.send(m)
}

// send sends m's message of the moment, for the m.tries-th time after the first.
func (l *load) send(m *machine) error {
	m.sent = time.Now()
	m.wait = l.Timeout<<m.tries + time.Duration(rand.Int64N(int64(2*l.Jitter))) - l.Jitter
	m.tries++
	_, err := unix.Write(l.fd, l.build(m))
	if err == unix.ENOBUFS {
		return nil // lost, as frames get lost
	}
	return err
}

// end takes m out and starts the next one.
func (l *load) end(m *machine) error {
	delete(l.active, m.number)
	return l.launch()
}

func (l *load) retransmit(now time.Time) error {
	for _, m := range l.active {
		if now.Sub(m.sent) < m.wait {
			continue
		}
		var err error
		if m.tries < l.Tries {
			l.result.Retransmissions++
			err = l.send(m)
		} else {
			l.result.GaveUp++
			err = l.end(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// build writes m's message of the moment into l.buf, by hand: the codec would
// cost more than the server that is measured.
func (l *load) build(m *machine) []byte {
	mac := MAC(m.number)
	b := append(l.buf[:0], broadcastMAC...)
	b = append(b, mac...)
	b = binary.BigEndian.AppendUint16(b, etherIPv4)
	b = append(b, make([]byte, 28)...)
	b = append(b, 1, 1, 6, 0)
	b = binary.BigEndian.AppendUint32(b, m.number)
	b = append(b, make([]byte, 20)...)
	b = append(b, mac...)
	b = append(b, make([]byte, 10+64+128)...)
	b = append(b, 99, 130, 83, 99)
	if m.requesting {
		b = append(b, 53, 1, 3, 50, 4)
		b = append(b, m.addr[:]...)
		b = append(b, 54, 4)
		b = append(b, m.server[:]...)
	} else {
		b = append(b, 53, 1, 1)
	}
	if !l.System {
		b = append(b, 57, 2, 5, 0xc0, 93, 2, 0, 7, 94, 3, 1, 3, 16, 97, 17, 0)
		b = append(b, 0x52, 0x54, 0, 0x12)
		b = append(b, mac...)
		b = append(b, mac...)
		b = append(b, 60, 32)
		b = append(b, "PXEClient:Arch:00007:UNDI:003016"...)
	}
	b = append(b, 55, 8, 1, 3, 6, 12, 15, 43, 66, 67, 255)
	if short := headers + 300 - len(b); short > 0 { // RFC 1542 §2.1: some relays drop less than BOOTP's size
		b = append(b, make([]byte, short)...)
	}
	putHeaders(b, netip.AddrPortFrom(netip.AddrFrom4([4]byte{}), 68), netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), 67))
	return b
}

// receive takes one frame.
func (l *load) receive(frame []byte, now time.Time) error {
	if len(frame) < headers+240 || frame[23] != 17 || binary.BigEndian.Uint16(frame[36:]) != 68 {
		return nil
	}
	p := frame[headers:]
	m := l.active[binary.BigEndian.Uint32(p[4:])]
	if p[0] != 2 || m == nil || [6]byte(p[28:34]) != [6]byte(MAC(m.number)) {
		return nil
	}
	kind, server := options(p[240:])
	switch {
	case kind == 2 && !m.requesting:
		m.requesting, m.tries = true, 0
		m.addr, m.server = [4]byte(p[16:20]), server
		return l.send(m)
	case kind == 5 && m.requesting:
		l.result.Done++
		l.last = now
		l.latencies = append(l.latencies, now.Sub(m.start))
		addr := netip.AddrFrom4([4]byte(p[16:20]))
		if other, ok := l.result.Given[addr]; ok && other != m.number {
			l.result.Duplicates++
		}
		l.result.Given[addr] = m.number
		return l.end(m)
	case kind == 6 && m.requesting:
		l.result.Refused++
		return l.end(m)
	}
	return nil
}

// options finds the message type and the server identifier.
func options(o []byte) (kind byte, server [4]byte) {
	for len(o) > 1 && o[0] != 255 {
		if o[0] == 0 {
			o = o[1:]
			continue
		}
		size := int(o[1])
		if len(o) < 2+size {
			break
		}
		switch {
		case o[0] == 53 && size == 1:
			kind = o[2]
		case o[0] == 54 && size == 4:
			server = [4]byte(o[2:6])
		}
		o = o[2+size:]
	}
	return kind, server
}

func (l *load) summarise() {
	r := &l.result
	r.Elapsed = l.last.Sub(l.begin)
	if len(l.latencies) == 0 {
		return
	}
	r.Rate = float64(r.Done) / r.Elapsed.Seconds()
	slices.Sort(l.latencies)
	at := func(share float64) time.Duration { return l.latencies[int(share*float64(len(l.latencies)-1))] }
	r.P50, r.P90, r.P99, r.Max = at(0.5), at(0.9), at(0.99), at(1)
}
