package dhcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sync/errgroup"
)

const (
	// batchSize is how many packets one read may return. Room for more would
	// cost at each read, also of one packet.
	batchSize = 32

	// readPause is the rest after a failed read, so that an interface that is
	// down costs no processor.
	readPause = 100 * time.Millisecond
)

// Server answers the packets that come in on Sockets. All fields must be set
// before Run.
type Server struct {
	Config  Config // valid
	Sockets *Sockets
	Hosts   Hosts
	Leases  Leases
	Log     *slog.Logger

	counters counters
	mu       sync.Mutex // guards handler, the tables in it, and ledger
	handler  *handler
	ledger   ledger
	wake     chan struct{} // the committer
	failing  bool          // the last commit did; the committer's own
	probers  map[*network]*prober
}

// answer is a decision and where its packet came in.
type answer struct {
	decision
	link *link
}

// Run serves until ctx ends, and then closes Sockets. It returns nil when it
// was asked to end.
func (s *Server) Run(ctx context.Context) error {
	if err := s.prepare(time.Now()); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		<-ctx.Done()
		return s.Sockets.Close()
	})
	for _, p := range s.probers {
		group.Go(func() error { return p.run(ctx) })
	}
	var readers sync.WaitGroup
	for _, l := range s.Sockets.links {
		for _, p := range l.ports {
			readers.Add(1)
			group.Go(func() error {
				defer readers.Done()
				return s.receive(ctx, l, p)
			})
		}
		if l.arp != nil {
			group.Go(func() error { return s.hearARP(ctx, l) })
		}
		if l.echo != nil {
			group.Go(func() error { return s.hearEcho(ctx, l) })
		}
		if l.nd != nil {
			group.Go(func() error { return s.advertise(ctx, l) })
		}
	}
	last := make(chan struct{})
	group.Go(func() error {
		s.commit(last)
		return nil
	})
	group.Go(func() error {
		readers.Wait()
		close(last)
		return nil
	})
	return group.Wait()
}

// Counters returns how often things happened since the start, by the names of
// counters.go.
func (s *Server) Counters() map[string]uint64 { return s.counters.snapshot() }

// prepare builds the tables from the stored leases.
func (s *Server) prepare(now time.Time) error {
	s.handler = &handler{hosts: s.Hosts}
	s.wake = make(chan struct{}, 1)
	s.probers = map[*network]*prober{}
	leases := s.Leases.Leases()
	for _, c := range s.Config.Networks {
		if c.DHCP == Off {
			continue
		}
		l := s.Sockets.link(c.Interface)
		if l == nil {
			return fmt.Errorf("network %s: Sockets were opened for another configuration", c.Name)
		}
		n := newNetwork(c, l.server[c.Name], s.Config, &s.ledger)
		n.table.load(leases, now)
		s.handler.networks = append(s.handler.networks, n)
		if c.DHCP == Full {
			s.probers[n] = newProber(s, n, l)
		}
	}
	return nil
}

func newNetwork(n Network, server netip.Addr, c Config, l *ledger) *network {
	base := "http://" + server.String()
	if c.HTTPPort != 0 && c.HTTPPort != 80 {
		base = fmt.Sprintf("%s:%d", base, c.HTTPPort)
	}
	return &network{Network: n, server: server, base: base, table: newTable(n, server, c.Reservations, l)}
}

// receive reads batches from one port and decides about them. What need not
// wait for the disk is sent at once; commit sends the rest, so that reading goes
// on while the disk syncs.
func (s *Server) receive(ctx context.Context, l *link, p port) error {
	msgs := make([]ipv4.Message, batchSize)
	for i := range msgs {
		// One byte more than is accepted shows that a packet is too long.
		msgs[i].Buffers = [][]byte{make([]byte, maxPacket+1)}
	}
	in := make([]datagram, 0, batchSize)
	var now []answer
	for {
		n, err := p.conn.ReadBatch(msgs, 0)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("read port %d on %s: %w", p.number, l.name, err)
			}
			s.failed(readErrors, "read packets", l, err)
			if !pause(ctx, readPause) {
				return nil
			}
			continue
		}
		in = in[:0]
		for i := range msgs[:n] {
			d := datagram{data: msgs[i].Buffers[0][:msgs[i].N], link: l.name, port: p.number}
			if from, ok := msgs[i].Addr.(*net.UDPAddr); ok {
				d.src = from.AddrPort()
			}
			s.counters.add(received)
			in = append(in, d)
		}
		now = s.decide(l, in, now[:0])
		s.store() // first, so that the disk works while this sends
		s.finish(now)
	}
}

// decide decides about packets, in order. It appends to now the answers that
// can be sent at once; the others wait for the disk.
func (s *Server) decide(l *link, in []datagram, now []answer) []answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := time.Now()
	for _, p := range in {
		d := s.handler.handle(p, at)
		switch a := (answer{d, l}); {
		case d.park != nil:
			s.counters.add(d.what)
			s.probers[d.park].park(p, d.client.MAC, at)
		case d.after == nil:
			now = append(now, a)
		case !a.await():
			s.counters.add(behind)
		}
	}
	for n, p := range s.probers {
		if n.table.hungry() {
			p.needed()
		}
	}
	return now
}

// send sends one reply.
func (l *link) send(to destination, reply []byte) error {
	if to.frame {
		putHeaders(reply, l.mac, to.mac, to.from, to.to)
		return l.frames.send(reply)
	}
	for _, p := range l.ports {
		if p.number == to.from.Port() {
			_, err := p.conn.WriteTo(reply[frameHeaders:], nil, net.UDPAddrFromAddrPort(to.to))
			return err
		}
	}
	return fmt.Errorf("port %d is not open on %s", to.from.Port(), l.name)
}

// failed counts what went wrong with the network and goes on.
func (s *Server) failed(what count, step string, l *link, err error) {
	s.counters.add(what)
	if errors.Is(err, net.ErrClosed) {
		return // the server ends
	}
	s.Log.Warn(step, "interface", l.name, "err", err)
}

// pause waits and reports whether ctx still lives.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
