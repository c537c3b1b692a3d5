package tftp

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// quietTime is how long a live client may take for a block, at most: it is the
	// library's timeout, after which the block is sent again.
	quietTime = time.Second
	// patience is how long a request may wait in the queue without being
	// repeated. EDK2 repeats after 4 s, iPXE sooner: an older one belongs to a
	// machine that has given up, and a session for that lasts 16 s.
	patience = 10 * time.Second
)

var errStopping = errors.New("the server is stopping")

// key names a transfer: there is one for each client, address and port, and file.
type key struct {
	client netip.AddrPort
	file   string
}

// session is an admitted request, from the queue to the end of its transfer.
type session struct {
	key     key
	request request
	asked   time.Time    // when the client last sent the request
	ticket  string       // its name in the library; empty in the queue
	begun   time.Time    // when it left the queue
	active  atomic.Int64 // when the client last took a block, in Unix nanoseconds
	again   bool         // the request came once more: see gate.admit
	next    request      // that request
}

// gate is the net.PacketConn that the library reads instead of the port. Requests
// enter by admit, leave by ReadFrom when a session is free, and end by end.
//
// A request for a running transfer is most often a repetition: the answer was
// slow or lost, the library will send it again, and a second transfer would only
// confuse the client. Two cases need care:
//
//   - A machine that was reset asks again, from the same port when its ROM uses a fixed
//     one. It shows by the old transfer's silence for quietTime. The request gets
//     a transfer of its own; the old one meets nobody and gives up.
//   - The ERROR that ends a size probe and the request that follows it travel to
//     different sockets, and may be seen in the other order. The request is
//     kept, and starts when the probe ends.
type gate struct {
	net.PacketConn // the port, for LocalAddr; it is never read or closed from here

	limit, queueLimit int
	count             *counters
	now               func() time.Time
	ready             chan *session // begun, not yet read by the library
	stop              chan struct{} // closed: the library's reads fail
	stopped           sync.Once

	mu       sync.Mutex
	sessions map[key]*session
	running  map[string]*session // by ticket
	queue    []*session
	tickets  uint64
	handed   string        // the ticket that the library read last
	draining bool          // nothing more is admitted or handed over
	empty    chan struct{} // closed when draining and nothing runs
}

func newGate(port net.PacketConn, limit, queueLimit int, count *counters) *gate {
	return &gate{
		PacketConn: port, limit: limit, queueLimit: queueLimit, count: count, now: time.Now,
		ready: make(chan *session, limit), stop: make(chan struct{}), empty: make(chan struct{}),
		sessions: map[key]*session{}, running: map[string]*session{},
	}
}

// admit takes a request from the port. It never blocks.
func (g *gate) admit(client netip.AddrPort, r request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining {
		return
	}
	k := key{client, r.name}
	old, now := g.sessions[k], g.now()
	switch {
	case old == nil:
	case old.ticket == "":
		g.count.duplicates.Add(1)
		old.asked, old.request = now, r
		return
	case now.UnixNano()-old.active.Load() < int64(quietTime):
		g.count.duplicates.Add(1)
		old.again, old.next = true, r
		return
	}
	g.open(&session{key: k, request: r, asked: now})
}

// open begins s or queues it. It needs mu.
func (g *gate) open(s *session) {
	switch {
	case len(g.running) < g.limit:
		g.begin(s)
	case len(g.queue) < g.queueLimit:
		g.count.queued.Add(1)
		g.queue = append(g.queue, s)
	default:
		// Silence, not an ERROR: the client asks again, while an ERROR would end
		// its boot.
		g.count.dropped.Add(1)
		return
	}
	g.sessions[s.key] = s
}

// begin makes s ready for the library. It needs mu and a free place in running.
func (g *gate) begin(s *session) {
	g.tickets++
	s.ticket = strconv.FormatUint(g.tickets, 10)
	s.begun = g.now()
	s.active.Store(s.begun.UnixNano())
	g.running[s.ticket] = s
	g.ready <- s // never blocks: there is room for every session that may run
}

// end is called once for each session that was begun; aborted says that the client ended
// it by an ERROR.
func (g *gate) end(s *session, aborted bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.running, s.ticket)
	current := g.sessions[s.key] == s
	if current {
		delete(g.sessions, s.key)
	}
	if g.draining {
		g.settle()
		return
	}
	now := g.now()
	if current && aborted && s.again {
		g.open(&session{key: s.key, request: s.next, asked: now})
	}
	for len(g.queue) > 0 && len(g.running) < g.limit {
		first := g.queue[0]
		g.queue = g.queue[1:]
		if now.Sub(first.asked) > patience {
			delete(g.sessions, first.key)
			g.count.dropped.Add(1)
			continue
		}
		g.begin(first)
	}
}

// find gives the running session with a ticket.
func (g *gate) find(ticket string) *session {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.running[ticket]
}

// ReadFrom gives the library its next request, in a packet of our making.
func (g *gate) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		select {
		case <-g.stop:
			return 0, nil, errStopping
		case s := <-g.ready:
			if g.hand(s) {
				return copy(p, s.request.packet(s.ticket)), net.UDPAddrFromAddrPort(s.key.client), nil
			}
		}
	}
}

// hand notes that the library gets s, unless it is too late for that.
func (g *gate) hand(s *session) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.handed = s.ticket
	if !g.draining {
		return true
	}
	delete(g.running, s.ticket)
	g.settle()
	return false
}

// unhanded takes back the session that the library read last: it could not open
// a socket for it. The client asks again.
func (g *gate) unhanded() *session {
	s := g.find(g.handed)
	if s != nil {
		g.end(s, false)
	}
	return s
}

// drain stops admission. The channel is closed when the last session has ended.
func (g *gate) drain() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.draining = true
	g.queue = nil
	g.settle()
	return g.empty
}

// settle tells drain when nothing runs any more. It needs mu, and draining.
func (g *gate) settle() {
	if len(g.running) == 0 {
		select {
		case <-g.empty:
		default:
			close(g.empty)
		}
	}
}

// Close makes the library's reads fail. The port is the caller's.
func (g *gate) Close() error {
	g.stopped.Do(func() { close(g.stop) })
	return nil
}

// load is how many sessions run and wait.
func (g *gate) load() (running, waiting int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.running), len(g.queue)
}
