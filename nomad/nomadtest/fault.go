package nomadtest

import (
	"net/http"
	"strings"
	"time"
)

// faults are the switches.
type faults struct {
	silent     bool
	leaderless bool
	rules      []*Fault
}

// Fault makes requests fail that the server would have answered.
type Fault struct {
	Path  string // prefix of the path; /v1/ when empty
	Code  int    // 0: the connection breaks with an empty reply
	Text  string
	Times int // how many requests; without end when 0
}

// Faults that real clusters were seen with.
var (
	// Restarted: valid tokens are refused for a moment after a restart.
	Restarted = Fault{Code: http.StatusForbidden, Text: "Permission denied", Times: 3}
	// KeyringNotReady: right after bootstrap no identity can be signed.
	KeyringNotReady = Fault{Path: "/v1/acl/identity/", Code: http.StatusInternalServerError,
		Text: "rpc error: keyring has not been initialized yet", Times: 3}
	// Burst: an election, or an overload.
	Burst = Fault{Code: http.StatusInternalServerError, Text: "rpc error: EOF", Times: 3}
)

// Inject adds a fault.
func (s *Server) Inject(f Fault) {
	s.init()
	if f.Path == "" {
		f.Path = "/v1/"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.rules = append(s.faults.rules, &f)
}

// Mend takes every fault back.
func (s *Server) Mend() {
	s.init()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = faults{}
}

// Silence makes open and new event streams say nothing at all, heartbeats
// included.
func (s *Server) Silence() {
	s.init()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.silent = true
}

// Depose takes the leader away: everything but the streams fails after
// LeaderWait.
func (s *Server) Depose() {
	s.init()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.leaderless = true
}

// Restart breaks every connection and refuses a few requests, as a server that
// is restarted does.
func (s *Server) Restart() {
	s.Inject(Restarted) // first: whoever comes back at once is refused, too
	s.Break()
}

// Break breaks every stream and blocking query.
func (s *Server) Break() {
	s.init()
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.epoch)
	s.epoch = make(chan struct{})
}

func (s *Server) muted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults.silent
}

// fault returns the refusal that is due for r, if any.
func (s *Server) fault(r *http.Request) error {
	s.mu.Lock()
	_, leads := s.leading()
	leaderless := s.faults.leaderless || !leads
	var due *Fault
	for i, f := range s.faults.rules {
		if !strings.HasPrefix(r.URL.Path, f.Path) {
			continue
		}
		if due = f; f.Times > 0 {
			if f.Times--; f.Times == 0 {
				s.faults.rules = append(s.faults.rules[:i:i], s.faults.rules[i+1:]...)
			}
		}
		break
	}
	s.mu.Unlock()
	switch {
	case due != nil && due.Code == 0:
		panic(http.ErrAbortHandler)
	case due != nil:
		return refuse(due.Code, "%s", due.Text)
	case leaderless && !strings.HasPrefix(r.URL.Path, "/v1/event/") && !r.URL.Query().Has("stale"):
		select {
		case <-time.After(s.leaderWait()):
		case <-r.Context().Done():
		}
		if r.URL.Path == "/v1/agent/health" {
			return refuse(http.StatusInternalServerError, `{"server":{"ok":false,"message":"No cluster leader"}}`)
		}
		return refuse(http.StatusInternalServerError, "No cluster leader")
	}
	return nil
}
