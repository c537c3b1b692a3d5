package dhcp

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"
)

// After a group of busyGroup leases the committer rests before the next one, for
// about as long as a machine takes to come back with its next packet. Otherwise
// that packet would miss the next sync and wait for the one after it: with the
// rest, half as many syncs serve more machines. Fewer machines do not wait.
const (
	busyGroup = 4
	restTime  = 100 * time.Microsecond
)

// rest sleeps for restTime. The runtime's own timers may take a millisecond.
func rest() {
	ts := unix.NsecToTimespec(int64(restTime))
	_ = unix.Nanosleep(&ts, nil) // a signal ends it early, which does no harm
}

// store lets the committer look into the ledger.
func (s *Server) store() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// commit makes leases durable, as many at a time as have come together. It ends
// when last is closed and the ledger is empty.
func (s *Server) commit(last <-chan struct{}) {
	for ended := false; ; {
		g := s.next()
		switch {
		case g != nil:
			busy := len(g.leases) >= busyGroup
			s.conclude(g, s.Leases.CommitLeases(g.leases))
			if busy {
				rest()
			}
		case ended:
			return
		default:
			select {
			case <-s.wake:
			case <-last:
				ended = true
			}
		}
	}
}

// next returns the group that comes next to the disk; nil when there is none.
func (s *Server) next() *group {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ledger.take()
}

// conclude notes how storing g went and sends what waited for it: nothing when
// the store failed, so that the clients ask again.
func (s *Server) conclude(g *group, err error) {
	fate := stored
	if err != nil {
		fate = failed
	}
	s.mu.Lock()
	waiting := g.settle(fate)
	s.mu.Unlock()
	s.counters.add(commits)
	s.finish(waiting)
	if err != nil {
		s.counters.add(commitErrors)
	}
	// Once each, since packets go on coming in.
	switch {
	case err != nil && !s.failing:
		s.Log.Error("leases not stored, requests not answered; check the state folder's disk", "err", err)
	case err == nil && s.failing:
		s.Log.Info("leases are stored again")
	}
	s.failing = err != nil
}

// finish sends answers, and then counts them and tells Hosts.
func (s *Server) finish(batch []answer) {
	for _, a := range batch {
		if a.reply == nil {
			continue
		}
		if err := a.link.send(a.to, a.reply); err != nil {
			s.failed(sendErrors, "send answer", a.link, err)
		}
	}
	debug := s.Log.Enabled(context.Background(), slog.LevelDebug)
	for _, a := range batch {
		s.counters.add(a.what)
		if debug {
			s.Log.Debug("packet", "mac", a.client.MAC, "outcome", countNames[a.what], "to", a.to.to, "interface", a.link.name)
		}
		if a.saw {
			s.Hosts.Saw(a.client, a.addr)
		}
		if a.notice != "" {
			s.Hosts.Notice(a.client.MAC, a.notice)
		}
	}
}
