package routertest

import (
	"bufio"
	"crypto/tls"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// conn is one connection to the API.
type conn struct {
	net.Conn  // TLS
	router    *Router
	from, to  netip.Addr           // as the router sees them; to is zero when it does not matter
	session   *session             // nil before the login; router.mu
	listeners map[string]*listener // by tag; router.mu
	silent    bool                 // nothing is answered any more; router.mu
	deaf      bool                 // silent for good; router.mu
	cut       bool                 // the router has not noticed that the client is gone; router.mu

	done chan struct{} // closed by end
	once sync.Once

	mu      sync.Mutex
	pending []*reply
	ready   chan struct{} // there is something to write
	written sync.WaitGroup
}

// reply is what is left to write of an answer.
type reply struct {
	tag   string
	lines [][]byte
	last  bool // close after it
}

func newConn(r *Router, raw net.Conn, to netip.Addr) *conn {
	c := &conn{
		Conn: tls.Server(raw, r.tlsConfig()), router: r, to: to,
		listeners: map[string]*listener{}, done: make(chan struct{}), ready: make(chan struct{}, 1),
	}
	if peer, err := netip.ParseAddrPort(raw.RemoteAddr().String()); err == nil {
		c.from = peer.Addr().Unmap()
	}
	if r.config.Client.IsValid() {
		c.from = r.config.Client
	}
	return c
}

// remote is the client's address and port as the router sees them.
func (c *conn) remote() netip.AddrPort {
	peer, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.AddrPortFrom(c.from, 0)
	}
	return netip.AddrPortFrom(c.from, peer.Port())
}

// end closes the connection; the reader notices.
func (c *conn) end() {
	c.once.Do(func() {
		close(c.done)
		_ = c.Conn.(*tls.Conn).NetConn().Close() // without a goodbye: it may be a cut
	})
}

// run serves the connection until it ends.
func (c *conn) run() {
	r := c.router
	defer func() {
		c.end()
		c.written.Wait()
		r.mu.Lock()
		delete(r.conns, c)
		if c.session != nil {
			r.sessionClosed(c.session, c.cut || c.silent)
		}
		tell := r.untold()
		r.mu.Unlock()
		tell()
	}()
	r.mu.Lock()
	verdict := r.admit(c)
	r.mu.Unlock()
	switch verdict {
	case refused:
		return
	case dropped:
		c.wait()
		return
	}
	if err := c.SetDeadline(time.Now().Add(handshakeTime)); err != nil {
		return
	}
	if err := c.Conn.(*tls.Conn).Handshake(); err != nil {
		return
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		return
	}
	c.written.Go(c.write)
	c.read()
}

// wait lets the client hear nothing until it goes, or the router is closed.
func (c *conn) wait() {
	raw := c.Conn.(*tls.Conn).NetConn()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		var b [512]byte
		for {
			if _, err := raw.Read(b[:]); err != nil {
				return
			}
		}
	}()
	select {
	case <-gone:
	case <-c.done:
		<-gone
	}
}

// read takes sentences until the connection ends. What came in one piece is
// executed before any of it is answered, so that the answers to commands with
// tags interleave, as those of a busy router do.
func (c *conn) read() {
	in := bufio.NewReader(c.Conn)
	for {
		words, err := readSentence(in)
		if err != nil {
			return
		}
		if len(words) == 0 {
			continue
		}
		if !c.take(words) {
			return
		}
		if in.Buffered() == 0 {
			c.flush()
		}
	}
}

// take executes one sentence and queues its answer; false ends the connection.
func (c *conn) take(words []string) bool {
	r := c.router
	fault := r.faults.next(words[0])
	if fault.delay > 0 && !c.sleep(fault.delay) {
		return false
	}
	if fault.cutBefore {
		c.cutOff()
		return false
	}
	r.mu.Lock()
	if c.cut { // the router was restarted meanwhile
		r.mu.Unlock()
		return false
	}
	if fault.silentBefore {
		r.deafen(c)
	}
	if c.silent {
		r.mu.Unlock()
		return true // the sentence never arrived
	}
	answer, more := c.execute(words)
	tell := r.untold()
	silent := c.silent // the command may have taken the ground from under itself
	if fault.silent {
		r.deafen(c)
		silent = true
	}
	r.mu.Unlock()
	tell()
	switch {
	case fault.cutAfter:
		c.cutOff()
		return false
	case silent:
		return true
	case fault.fatal != "":
		answer = &reply{lines: [][]byte{appendSentence(nil, "!fatal", fault.fatal)}, last: true}
	case fault.garbage != nil:
		answer = &reply{lines: [][]byte{fault.garbage}}
	}
	c.queue(answer)
	return more
}

// cutOff ends the connection as a cut link does: the router goes on believing
// in it.
func (c *conn) cutOff() {
	c.router.mu.Lock()
	c.cut = true
	if c.session != nil {
		c.router.lose(c.session) // now: whoever hears of the cut may advance the clock at once
	}
	c.router.mu.Unlock()
	c.end()
}

// sleep waits in real time; false when the connection ended meanwhile.
func (c *conn) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.done:
		return false
	}
}

func (c *conn) queue(a *reply) {
	if len(a.lines) == 0 {
		return // listening begins without a word
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = append(c.pending, a)
}

// flush lets the writer see what is queued.
func (c *conn) flush() {
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

// write sends the queued answers until the connection ends.
func (c *conn) write() {
	out := bufio.NewWriter(c.Conn)
	for {
		select {
		case <-c.done:
			return
		case <-c.ready:
		}
		turn := 0
		for {
			line, last := c.nextLine(&turn)
			if line == nil {
				break
			}
			if _, err := out.Write(line); err != nil {
				return
			}
			if last {
				if out.Flush() == nil {
					c.end()
				}
				return
			}
		}
		if err := out.Flush(); err != nil {
			return
		}
	}
}

// nextLine takes a sentence from the answers in turn: one of each tag, the
// answers of one tag after another.
func (c *conn) nextLine(turn *int) (line []byte, last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := map[string]bool{}
	var heads []int
	for i, a := range c.pending {
		if !first[a.tag] {
			first[a.tag] = true
			heads = append(heads, i)
		}
	}
	if len(heads) == 0 {
		return nil, false
	}
	at := heads[*turn%len(heads)]
	*turn++
	a := c.pending[at]
	line, a.lines = a.lines[0], a.lines[1:]
	if len(a.lines) == 0 {
		last = a.last
		c.pending = append(c.pending[:at], c.pending[at+1:]...)
	}
	return line, last
}

// execute runs one sentence, with the router's lock held.
func (c *conn) execute(words []string) (answer *reply, more bool) {
	var tag string
	var rest []string
	for _, word := range words[1:] {
		if value, ok := strings.CutPrefix(word, ".tag="); ok {
			tag = value
			continue
		}
		rest = append(rest, word)
	}
	a := &answerWriter{reply: &reply{tag: tag}, empty: c.router.version.atLeast(emptyReplies)}
	args, err := parseArgs(rest)
	switch {
	case err != nil:
		a.trap(trap(categoryAPI, "%v", err))
	case words[0] == "/login":
		a.finish(nil, c.login(args), false)
	case words[0] == "/quit":
		return &reply{lines: [][]byte{appendSentence(nil, "!fatal", "session terminated on request")}, last: true}, true
	case c.session == nil:
		return &reply{lines: [][]byte{appendSentence(nil, "!fatal", "not logged in")}, last: true}, true
	case words[0] == "/cancel":
		c.cancel(a, args)
	default:
		menu, verb := splitCommand(words[0])
		if verb == "listen" {
			c.listen(a, menu, args)
			return a.reply, true
		}
		rows, err := c.router.do(c.session, menu, verb, args)
		a.finish(rows, err, reads(verb))
	}
	return a.reply, true
}

// reads tells whether a verb shows rows, of which there may be none.
func reads(verb string) bool { return verb == "print" || verb == "getall" }
