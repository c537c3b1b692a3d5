package httpboot

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"provision.internal/host"
	"provision.internal/installer"
)

// Bounds on what one machine's installer or first boot may write: lines a
// second, and how many at once.
const (
	lineRate  = 200
	lineBurst = 5000
	// progressEvery is how often a progress inside a step is stored.
	progressEvery = 2 * time.Second
	// agentForgotten is when a silent machine is dropped from memory.
	agentForgotten = time.Hour
)

// agents is what is known of running installers beside what the store has. It
// need not survive: after a restart one repeated report may be stored twice.
type agents struct {
	mu   sync.Mutex
	last map[host.MAC]*agent
}

type agent struct {
	token    string      // the session that its last hello got
	secret   host.Digest // which that hello showed
	session  string      // sequence belongs to it
	sequence uint64      // of the last report
	waiting  time.Time   // since when it lingers
	lines    float64     // tokens of the bucket
	filled   time.Time
	dropped  int
	stored   time.Time // when progress was stored last
	seen     time.Time
}

// of returns what is known of mac. The caller holds mu.
func (a *agents) of(mac host.MAC, now time.Time) *agent {
	if a.last == nil {
		a.last = map[host.MAC]*agent{}
	}
	m := a.last[mac]
	if m == nil {
		for other, o := range a.last {
			if len(a.last) < maxTold && now.Sub(o.seen) < agentForgotten {
				break // a sample is enough: each newcomer looks at some
			}
			delete(a.last, other)
		}
		m = &agent{lines: lineBurst, filled: now}
		a.last[mac] = m
	}
	m.seen = now
	return m
}

// session returns the token for an agent that says hello: the one that it has,
// when the same boot of it asks again, because a report may be under way with
// that one.
func (a *agents) session(h host.Host, secret string, now time.Time) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.of(h.MAC, now)
	if !m.secret.Matches(secret) || holds(h, m.token) != nil {
		m.token, m.secret = newSession(h.MAC), host.DigestOf(secret)
	}
	return m.token
}

// lingers reports whether an agent on a machine that nobody admitted shall wait.
func (a *agents) lingers(mac host.MAC, now time.Time, linger time.Duration) bool {
	if linger <= 0 {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.of(mac, now)
	if m.waiting.IsZero() {
		m.waiting = now
	}
	if now.Sub(m.waiting) < linger {
		return true
	}
	m.waiting = time.Time{}
	return false
}

// fresh reports whether a report is news; a repeat is not.
func (a *agents) fresh(mac host.MAC, session string, sequence uint64, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.of(mac, now)
	return m.session != session || sequence > m.sequence
}

// stored notes that a report was stored.
func (a *agents) stored(mac host.MAC, session string, sequence uint64, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.of(mac, now)
	m.session, m.sequence = session, sequence
}

// worthStoring reports whether a progress is worth a write: when a step began,
// and inside of one now and then.
func (a *agents) worthStoring(mac host.MAC, began bool, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.of(mac, now)
	if !began && now.Sub(m.stored) < progressEvery {
		return false
	}
	m.stored = now
	return true
}

// admit returns those of lines that mac may still write, made printable, and a
// word about the others.
func (a *agents) admit(mac host.MAC, lines []string, now time.Time) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.of(mac, now)
	m.lines = min(lineBurst, m.lines+now.Sub(m.filled).Seconds()*lineRate)
	m.filled = now
	var kept []string
	for _, line := range lines {
		if m.lines < 1 {
			m.dropped++
			continue
		}
		if m.dropped > 0 {
			kept = append(kept, fmt.Sprintf("(%d lines were dropped: too many at once)", m.dropped))
			m.dropped = 0
		}
		m.lines--
		kept = append(kept, printable(line, maxLine))
	}
	return kept
}

// report stores progress and log lines.
func (s *Server) report(w http.ResponseWriter, r *http.Request) error {
	var q installer.Report
	if err := decode(r, &q); err != nil {
		return err
	}
	if q.Sequence == 0 {
		return badRequest("reports are counted from 1")
	}
	h, session, err := s.session(r)
	if err != nil {
		return err
	}
	now := s.Now()
	if s.agents.fresh(h.MAC, session, q.Sequence, now) {
		if err := s.storeReport(h, session, q, now); err != nil {
			return err
		}
		s.agents.stored(h.MAC, session, q.Sequence, now)
	}
	s.reply(w, http.StatusOK, struct{}{})
	return nil
}

func (s *Server) storeReport(h host.Host, session string, q installer.Report, now time.Time) error {
	if err := s.storeProgress(h, session, progressOf(q.Progress), now); err != nil {
		return err
	}
	if lines := s.agents.admit(h.MAC, q.Lines, now); len(lines) > 0 {
		return s.History.Log(h.MAC, lines)
	}
	return nil
}

// storeProgress keeps p with the host: each new step, with an event, and of what
// goes on inside a step a value every few seconds. Lines may come after the end,
// progress may not.
func (s *Server) storeProgress(h host.Host, session string, p host.Progress, now time.Time) error {
	under := h.State == host.Installing || h.State == host.Admitted
	began := p.Step != h.Progress.Step
	if !under || p == h.Progress || p == (host.Progress{}) || !s.agents.worthStoring(h.MAC, began, now) {
		return nil
	}
	_, err := s.Hosts.Change(h.MAC, "agent", "", func(h *host.Host) error {
		if err := holds(*h, session); err != nil {
			return err
		}
		if h.State == host.Installing || h.State == host.Admitted {
			h.Progress = p
		}
		return nil
	})
	if err != nil || !began {
		return err
	}
	return s.History.Record(host.Event{Time: now, MAC: h.MAC, Kind: host.KindProgress, Actor: "agent", Cause: p.Step})
}
