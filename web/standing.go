package web

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"

	"provision.internal/host"
)

// Ports is the router as admissions need it.
type Ports interface {
	// ForHosts returns nil when a machine may be admitted by the port, otherwise
	// why not.
	ForHosts(port string) error
}

func (s *Server) checkPort(port string) error {
	if s.Ports == nil {
		return fmt.Errorf("%w: the configuration has no router, so that nobody knows ports; name the machine by its MAC", ErrInvalid)
	}
	if port == "" {
		return fmt.Errorf("%w: the port has no name", ErrInvalid)
	}
	return nil
}

// unnamed reports whether req means whatever machine comes on its port, rather
// than one that is known by MAC or name.
func (s *Server) unnamed(req Enroll) bool {
	if !req.MAC.IsZero() {
		return false
	}
	for _, k := range s.Known {
		if k.Name == req.Name {
			return false
		}
	}
	h, ok := named(s.Hosts.Hosts(), req.Name)
	return !ok || h.State == host.Retired
}

// stand makes a standing admission. The caller holds admission.
func (s *Server) stand(w http.ResponseWriter, r *http.Request, req Enroll) error {
	if err := s.Ports.ForHosts(req.Port); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if req.Role == "" && len(s.Roles) == 1 {
		req.Role = s.Roles[0]
	}
	if err := errors.Join(checkName(req.Name), s.checkRole(req.Role)); err != nil {
		return err
	}
	t := s.terms(actor(r))
	a := host.Admission{
		ID: rand.Text(), Port: req.Port, Name: req.Name, Role: req.Role, Disk: req.Disk, Foreign: req.Disk != "",
		By: t.by, Made: t.now, Expires: t.now.Add(t.ttl),
	}
	for _, old := range s.Hosts.Admissions() {
		switch {
		case old.Port != a.Port:
		case !old.Open(t.now):
			if _, err := s.Hosts.Cancel(old.ID, t.by, "it has expired"); err != nil && !errors.Is(err, host.ErrUnknown) {
				return err
			}
		case old.Name == a.Name && old.Role == a.Role && old.Disk == a.Disk:
			return answer(w, Result{Admission: &old})
		}
	}
	for _, h := range s.Hosts.Hosts() {
		if h.Owns(a.Port) {
			return fmt.Errorf("port %s: %w: it belongs to %s, which is %s; retire that host first, or name another port", a.Port, host.ErrExists, h.Label(), h.State)
		}
	}
	if err := s.freeName(r, a.Name, host.MAC{}, "the machine awaited on port "+a.Port); err != nil {
		return err
	}
	if err := s.Hosts.Stand(a, t.by); err != nil {
		return err
	}
	return answer(w, Result{Admission: &a, Changed: true})
}

// cancel takes back the standing admission for the name or on the port ref, if
// there is one.
func (s *Server) cancel(r *http.Request, ref string) (*host.Admission, error) {
	for _, a := range s.Hosts.Admissions() {
		if a.Name == ref || a.Port == ref {
			a, err := s.Hosts.Cancel(a.ID, actor(r), "it was cancelled")
			return &a, err
		}
	}
	return nil, nil
}

func (s *Server) listAdmissions(w http.ResponseWriter, _ *http.Request) error {
	all := s.Hosts.Admissions()
	if all == nil {
		all = []host.Admission{}
	}
	return answer(w, all)
}
