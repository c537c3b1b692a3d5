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
	// pulse is how often the queue is looked at while no transfer ends. Clients that take longer
	// for a block than this leave the server idle.
	pulse = 5 * time.Millisecond
	// pulseShare is how many more begin at a pulse then.
	pulseShare = 16
	// longWait is after what time a request begins although the server is busy.
	// EDK2 gives up after six times 4 s.
	longWait = 10 * time.Second
)

// limits are Server's.
type limits struct {
	share, sessions, queue int
}

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
	queued  time.Time    // when it entered the queue
	ticket  string       // its name in the library; empty in the queue
	begun   time.Time    // when it left the queue
	active  atomic.Int64 // when the client last took a block, in Unix nanoseconds
	ending  atomic.Bool  // its last block is out, and others were acknowledged
	again   again        // the request came once more
	next    request      // that request
}

// again says what a repeated request may mean; the larger the surer.
type again int

const (
	no    again = iota
	maybe       // a repetition, or the request after a probe
	yes         // a new one: its client has seen all blocks but the last
)

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
//   - The end of a transfer and the request that follows it travel to different
//     sockets, and may be seen in the other order. The request is kept, and starts when the
//     transfer ends: by the ERROR of a size probe, or after its last block.
type gate struct {
	net.PacketConn // the port, for LocalAddr; it is never read or closed from here

	limits  limits
	count   *counters
	now     func() time.Time
	blocks  atomic.Int64  // read for all transfers
	ready   chan *session // begun, not yet read by the library
	stop    chan struct{} // closed: the library's reads fail
	stopped sync.Once

	mu       sync.Mutex
	sessions map[key]*session
	running  map[string]*session // by ticket
	queue    []*session
	pulsing  bool  // a timer for beat is set, as it is while queue is not empty
	beaten   int64 // blocks at the last beat
	tickets  uint64
	handed   string        // the ticket that the library read last
	draining bool          // nothing more is admitted or handed over
	empty    chan struct{} // closed when draining and nothing runs
}

func newGate(port net.PacketConn, limits limits, count *counters) *gate {
	return &gate{
		PacketConn: port, limits: limits, count: count, now: time.Now,
		ready: make(chan *session, limits.sessions), stop: make(chan struct{}), empty: make(chan struct{}),
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
		old.again, old.next = maybe, r
		if old.ending.Load() {
			old.again = yes
		}
		return
	}
	g.open(&session{key: k, request: r, asked: now})
}

// open begins s or queues it. It needs mu.
func (g *gate) open(s *session) {
	switch {
	case len(g.running) < min(g.limits.share, g.limits.sessions):
		g.begin(s)
	case len(g.queue) < g.limits.queue:
		g.count.queued.Add(1)
		s.queued = s.asked
		g.queue = append(g.queue, s)
		g.pulse()
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
	if current && (s.again == yes || s.again == maybe && aborted) {
		g.open(&session{key: s.key, request: s.next, asked: now})
	}
	for len(g.running) < g.limits.share && g.beginNext(now) {
	}
}

// beginNext takes a request from the queue, if there is one for which a session
// is free. It needs mu.
func (g *gate) beginNext(now time.Time) bool {
	for len(g.queue) > 0 && len(g.running) < g.limits.sessions {
		first := g.queue[0]
		g.queue = g.queue[1:]
		if now.Sub(first.asked) <= patience {
			g.begin(first)
			return true
		}
		delete(g.sessions, first.key)
		g.count.dropped.Add(1)
	}
	return false
}

// pulse has beat called soon. It needs mu.
func (g *gate) pulse() {
	if !g.pulsing && len(g.queue) > 0 {
		g.pulsing = true
		g.beaten = g.blocks.Load()
		time.AfterFunc(pulse, g.beat)
	}
}

// beat begins more transfers than the share when those that run leave the
// server idle, because their clients are slow or gone, and when the first
// has waited for long.
func (g *gate) beat() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	idle := g.blocks.Load()-g.beaten < int64(len(g.running))
	for range pulseShare {
		if len(g.queue) == 0 || !idle && now.Sub(g.queue[0].queued) < longWait || !g.beginNext(now) {
			break
		}
	}
	g.pulsing = false
	g.pulse()
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
