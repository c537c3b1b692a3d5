package routertest

import "time"

// who names a session as the log does: api:admin@192.0.2.2.
func (s *session) who() string {
	via := s.via
	if via == "api-ssl" {
		via = "api"
	}
	name := via + ":" + s.user
	if s.remote.IsValid() {
		name += "@" + s.remote.Addr().String()
	}
	return name
}

// sessionClosed hears, with the lock held, that a connection has ended. When
// it was lost, the router doesn't know yet.
func (r *Router) sessionClosed(s *session, lost bool) {
	switch {
	case r.closed || !r.sessions[s]:
	case lost:
		r.lose(s)
	default:
		r.endSession(s, true)
	}
}

// lose begins the time after which the router notices that nobody is there.
func (r *Router) lose(s *session) {
	if r.dynamics.lost[s] != nil {
		return
	}
	r.dynamics.lost[s] = r.after(linkTimeout, func() {
		r.endSession(s, false)
		if s.conn != nil {
			s.conn.end()
		}
	})
}

// deafen leaves a connection without answers for good.
func (r *Router) deafen(c *conn) {
	c.silent, c.deaf = true, true
	if c.session != nil {
		r.lose(c.session)
	}
}

// endSession takes a session off the list. If it holds safe mode, that is
// rolled back: a moment later when the session was closed, and at once when
// the router had to find out.
func (r *Router) endSession(s *session, closed bool) {
	r.dynamics.lost[s].Stop()
	delete(r.dynamics.lost, s)
	r.drop(s)
	if r.dynamics.safe.holder != s {
		return
	}
	if !closed {
		r.rollBack()
		return
	}
	r.after(closeDelay, func() {
		if r.dynamics.safe.holder == s {
			r.rollBack()
		}
	})
}

// followSessions leaves the sessions whose way to the router is gone without
// answers, and lets those hear again whose way has come back in time.
func (r *Router) followSessions() {
	for s := range r.sessions {
		c := s.conn
		if c == nil || c.cut || !c.to.IsValid() {
			continue
		}
		if !r.stillReachable(c.from, c.to, r.servicePort("api-ssl")) {
			c.silent = true
			r.lose(s)
			continue
		}
		if r.dynamics.lost[s] == nil || c.deaf {
			continue
		}
		c.silent = false
		r.dynamics.lost[s].Stop()
		delete(r.dynamics.lost, s)
		if !r.conns[c] { // the client's goodbye arrives now
			r.endSession(s, true)
		}
	}
}

// AwaitSessions waits, at most for the real time given, until the router has
// as many sessions as wanted, those that it still believes in among them: what
// a client does to its socket reaches the router a moment later.
func (r *Router) AwaitSessions(want int, within time.Duration) bool {
	for end := time.Now().Add(within); ; time.Sleep(time.Millisecond) {
		r.mu.Lock()
		have := len(r.sessions)
		r.mu.Unlock()
		if have == want || time.Now().After(end) {
			return have == want
		}
	}
}
