package dhcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"

	"provision.internal/host"
)

const (
	// A machine on the same wire answers ARP within a millisecond or two; one
	// behind a relay is as far away as the network is wide.
	arpWait  = 100 * time.Millisecond
	echoWait = 400 * time.Millisecond

	// probePace is the rest between two batches: 40,000 probes a second are
	// more than a storm takes, and no flood to a switch.
	probePace = 25 * time.Millisecond

	// probeEvery is how often old verifications are looked for.
	probeEvery = 10 * time.Second

	// maxParked clients may wait for a probe; each for parkTime at most, since
	// by then it has asked again.
	maxParked = 4096
	parkTime  = 3 * time.Second
)

// prober keeps one network's stock of verified addresses filled, and answers
// the clients that came when it was empty.
type prober struct {
	server  *Server
	network *network
	link    *link
	wake    chan struct{}
	parked  map[host.MAC]parked // guarded by server.mu; one packet a client
	order   []host.MAC
}

type parked struct {
	packet datagram
	since  time.Time
}

func newProber(s *Server, n *network, l *link) *prober {
	return &prober{server: s, network: n, link: l, wake: make(chan struct{}, 1), parked: map[host.MAC]parked{}}
}

// park remembers p, whose client cannot be answered yet. server.mu is held.
func (p *prober) park(in datagram, mac host.MAC, now time.Time) {
	if len(p.parked) >= maxParked {
		p.server.counters.add(overflowed)
		return
	}
	if _, again := p.parked[mac]; !again {
		p.order = append(p.order, mac)
	}
	in.data = append([]byte(nil), in.data...) // the loop reuses its buffers
	p.parked[mac] = parked{in, now}
	p.needed()
}

func (p *prober) needed() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// batch is addresses that were asked for together.
type batch struct {
	asked, unasked []netip.Addr
	due            time.Time // by when an owner has answered
}

// run probes until ctx ends. It does not wait for the answers to one batch
// before it sends the next: a storm takes addresses faster than that.
func (p *prober) run(ctx context.Context) error {
	wait := arpWait
	if p.network.Relayed {
		wait = echoWait
	}
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	var under []batch // oldest first
	for {
		under = p.concludeDue(under, time.Now())
		if addrs := p.next(len(under) == 0); len(addrs) > 0 {
			sent, err := p.probe(addrs)
			under = append(under, batch{addrs[:sent], addrs[sent:], time.Now().Add(wait)})
			rest := probePace
			if err != nil {
				p.server.failed(probeErrors, "probe pool addresses", p.link, err)
				rest = wait + probePace
			}
			if !pause(ctx, rest) {
				return nil
			}
			if err != nil {
				under = p.concludeDue(under, time.Now())
				if !pause(ctx, time.Second) {
					return nil
				}
			}
			continue
		}
		var due <-chan time.Time
		if len(under) > 0 {
			due = time.After(time.Until(under[0].due))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		case <-tick.C:
		case <-due:
		}
	}
}

// next returns the addresses to ask for now. Old verifications are renewed only
// when nothing is under way, since their addresses stay in stock meanwhile.
func (p *prober) next(idle bool) []netip.Addr {
	defer p.server.store() // what lapsed since
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	if idle {
		return p.network.table.candidates(time.Now())
	}
	return p.network.table.fill(time.Now())
}

// concludeDue concludes the batches that have had their time and returns the
// others.
func (p *prober) concludeDue(under []batch, now time.Time) []batch {
	for len(under) > 0 && !under[0].due.After(now) {
		p.conclude(under[0].asked, under[0].unasked, now)
		under = under[1:]
	}
	return under
}

// probe asks who has addrs and returns how many it asked about.
func (p *prober) probe(addrs []netip.Addr) (int, error) {
	for i, a := range addrs {
		var err error
		if p.network.Relayed {
			_, err = p.link.echo.WriteTo(echoRequest(a), &net.IPAddr{IP: a.AsSlice()})
		} else {
			err = p.link.frames.send(arpProbe(p.link.mac, a))
		}
		if err != nil {
			return i, err
		}
		p.server.counters.add(probes)
	}
	return len(addrs), nil
}

// conclude puts the addresses that nobody answered for into the stock, and
// answers the clients that waited for one.
func (p *prober) conclude(probed, unprobed []netip.Addr, now time.Time) {
	p.server.mu.Lock()
	for _, a := range probed {
		p.network.table.silent(a, now)
	}
	for _, a := range unprobed {
		p.network.table.unprobed(a)
	}
	var again []datagram
	for _, mac := range p.order {
		if w := p.parked[mac]; now.Sub(w.since) < parkTime {
			again = append(again, w.packet)
		}
	}
	clear(p.parked)
	p.order = p.order[:0]
	p.server.mu.Unlock()
	if len(again) > 0 {
		now := p.server.decide(p.link, again, nil)
		p.server.store()
		p.server.finish(now)
	}
}

// hearARP learns from every ARP frame which addresses are in use.
func (s *Server) hearARP(ctx context.Context, l *link) error {
	return s.hear(ctx, l, l.arp, func(frame []byte, _ net.Addr) {
		addr, mac, ok := arpSender(frame)
		if ok && mac != l.mac {
			s.heard(l, addr, mac)
		}
	})
}

// hearEcho takes the answers to our ICMP probes.
func (s *Server) hearEcho(ctx context.Context, l *link) error {
	return s.hear(ctx, l, l.echo, func(message []byte, from net.Addr) {
		ip, ok := from.(*net.IPAddr)
		if !ok || len(message) < 1 || message[0] != byte(ipv4.ICMPTypeEchoReply) {
			return
		}
		s.heard(l, fromIP(ip.IP), host.MAC{})
	})
}

// heard notes that a machine uses addr.
func (s *Server) heard(l *link, addr netip.Addr, mac host.MAC) {
	s.mu.Lock()
	news := false
	for _, n := range s.handler.networks {
		if n.Interface == l.name && n.DHCP == Full && n.Subnet.Contains(addr) {
			news = n.table.heard(addr, mac, time.Now())
		}
	}
	s.mu.Unlock()
	if news {
		s.counters.add(conflicts)
		s.Log.Warn("pool address used without a lease", "interface", l.name, "address", addr, "mac", mac)
	}
}

// hear calls f with what comes in on conn until ctx ends.
func (s *Server) hear(ctx context.Context, l *link, conn net.PacketConn, f func(data []byte, from net.Addr)) error {
	buf := make([]byte, 2048)
	for {
		n, from, err := conn.ReadFrom(buf)
		switch {
		case err == nil:
			f(buf[:n], from)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("read frames on %s: %w", l.name, err)
		default:
			s.failed(readErrors, "read frames", l, err)
			if !pause(ctx, readPause) {
				return nil
			}
		}
	}
}

// advertise answers IPv6 router solicitations.
func (s *Server) advertise(ctx context.Context, l *link) error {
	return s.hear(ctx, l, l.nd, func(frame []byte, _ net.Addr) {
		reply := advertisement(frame, l.mac)
		if reply == nil {
			return
		}
		if err := l.frames.send(reply); err != nil {
			s.failed(sendErrors, "send router advertisement", l, err)
			return
		}
		s.counters.add(advertisements)
	})
}

func echoRequest(a netip.Addr) []byte {
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: int(bits(a) >> 16), Seq: int(bits(a) & 0xffff)}}
	b, err := m.Marshal(nil)
	if err != nil {
		panic(err) // an echo request always has a form
	}
	return b
}
