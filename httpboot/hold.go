package httpboot

import (
	"errors"
	"net/http"
	"sync"
	"time"

	"provision.internal/host"
	"provision.internal/installer"
)

// lookAgain is the least time between two looks at a host that waits. A thousand
// that enrol at once wake each other up with every change.
const lookAgain = 100 * time.Millisecond

// held is what ends the wait of everybody.
type held struct {
	mu   sync.Mutex
	over bool
	end  chan struct{} // closed then; nil before the first wait
}

func (h *held) ended() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.end == nil {
		h.end = make(chan struct{})
		if h.over {
			close(h.end)
		}
	}
	return h.end
}

// Release answers enrolments that are held up, now and from now on, so that they
// do not hold up a server that is to stop.
func (s *Server) Release() {
	s.held.mu.Lock()
	defer s.held.mu.Unlock()
	if !s.held.over && s.held.end != nil {
		close(s.held.end)
	}
	s.held.over = true
}

// hold waits until there is news for h, which has a stage, for installer.EnrolHold
// at most. It returns h as it is then.
func (s *Server) hold(w http.ResponseWriter, r *http.Request, h host.Host, has installer.Stage) (_ host.Host, stage installer.Stage, waits string, err error) {
	// The deadline was for the body. It would end the request that waits.
	if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return h, "", "", err
	}
	changed, stop := s.Hosts.Watch()
	defer stop()
	enough := time.NewTimer(installer.EnrolHold)
	defer enough.Stop()
	for {
		cluster := s.Members.Changed()
		if h, err = s.Hosts.Host(h.MAC); err != nil {
			return h, "", "", err
		}
		stage, waits = s.Members.Stage(h)
		if h.Enrolment == nil || news(has, stage) {
			return h, stage, waits, nil
		}
		select {
		case <-changed:
		case <-cluster:
		case <-enough.C:
			return h, stage, waits, nil
		case <-s.held.ended():
			return h, stage, waits, nil
		case <-r.Context().Done():
			return h, "", "", r.Context().Err()
		}
		select {
		case <-time.After(lookAgain):
		case <-r.Context().Done():
			return h, "", "", r.Context().Err()
		}
	}
}
