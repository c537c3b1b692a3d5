package httpboot

import (
	"errors"
	"fmt"
	"net/http"

	"provision.internal/host"
	"provision.internal/installer"
)

// enrol makes an installed system a known one: it shows the one-time token that
// the agent left on its disk, and gets a certificate for the key that it made
// itself. The same key may ask again, because the answer may get lost; nobody
// else may.
func (s *Server) enrol(w http.ResponseWriter, r *http.Request) error {
	var q installer.Enrol
	if err := decode(r, &q); err != nil {
		return err
	}
	h, err := s.tokenHolder(r, q.Host, q.Token)
	if err != nil {
		return err
	}
	request, err := parseRequest(q.Request, h.Name)
	if err != nil {
		s.notice(h.MAC, "first boot", "its certificate request was refused: "+err.Error())
		return &refusal{http.StatusBadRequest, err.Error(), nil}
	}
	key := keyDigest(request)
	if err := mayEnrol(h, key); err != nil {
		return s.refuseEnrolment(r, h, err)
	}
	// What can fail comes first: the token is used up only by an answer.
	files, err := s.Files(h)
	if err != nil {
		return fmt.Errorf("files for %s: %w", h.Label(), err)
	}
	certificate, err := s.Authority.issue(request, h.Role, s.HostNames, s.Now())
	if err != nil {
		return fmt.Errorf("certificate for %s: %w", h.Label(), err)
	}
	if err := s.booted(h, q.Token, key); err != nil {
		if errors.Is(err, host.ErrDenied) {
			return s.refuseEnrolment(r, h, err)
		}
		return err
	}
	s.reply(w, http.StatusOK, installer.Enrolled{
		Certificate: string(certificate), CA: string(s.Authority.PEM()), Files: files,
	})
	return nil
}

// tokenHolder returns the host called name if token is its enrolment token, used
// or not. Who asks wrongly does not learn whether there is such a host.
func (s *Server) tokenHolder(r *http.Request, name, token string) (host.Host, error) {
	h, err := s.Hosts.Named(name)
	if errors.Is(err, host.ErrUnknown) || name == "" {
		return host.Host{}, fmt.Errorf("enrolment of the unknown host %q: %w", printable(name, maxText), host.ErrDenied)
	}
	if err != nil {
		return host.Host{}, err
	}
	e := h.Enrolment
	switch {
	case e == nil || !e.Token.Matches(token):
		return h, s.refuseEnrolment(r, h, fmt.Errorf("%s: a wrong enrolment token: %w", h.Label(), host.ErrDenied))
	case !s.Now().Before(e.Expires):
		return h, s.refuseEnrolment(r, h, fmt.Errorf("%s: its enrolment token has expired; run provision reinstall %s: %w", h.Label(), h.Label(), host.ErrDenied))
	}
	return h, nil
}

// refuseEnrolment records the attempt.
func (s *Server) refuseEnrolment(r *http.Request, h host.Host, err error) error {
	s.notice(h.MAC, "first boot", fmt.Sprintf("enrolment from %s was refused: %v", remote(r), err))
	return err
}

// mayEnrol reports whether the holder of key may enrol as h, whose token it has
// shown.
func mayEnrol(h host.Host, key host.Digest) error {
	if used := !h.Enrolment.Used.IsZero(); used {
		if h.Enrolment.Key == key {
			return nil
		}
		return fmt.Errorf("%s: its enrolment token was used by another key: %w", h.Label(), host.ErrDenied)
	}
	if arrives(h) {
		return nil
	}
	return fmt.Errorf("%s: nothing enrols while it is %s: %w", h.Label(), h.State, host.ErrDenied)
}

// arrives reports whether a first boot of h is to be expected. The agent's last
// word may have been lost, or the deadline may have passed: the system that
// shows the token proves that the install was completed.
func arrives(h host.Host) bool {
	switch h.State {
	case host.Installed, host.Installing:
		return true
	case host.Failed:
		return h.Failure != nil && (h.Failure.In == host.Installed || h.Failure.In == host.Installing)
	}
	return false
}

// booted uses up the token and moves h on. A repeat changes nothing.
func (s *Server) booted(h host.Host, token string, key host.Digest) error {
	if h.State == host.Installing {
		_, err := s.Hosts.Change(h.MAC, "first boot", "the installed system runs, although its installer never said so", func(h *host.Host) (err error) {
			if h.State == host.Installing {
				*h, err = h.Advance(host.Installed, s.Now())
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	_, err := s.Hosts.Change(h.MAC, "first boot", "enrolled", func(h *host.Host) (err error) {
		if e := h.Enrolment; e == nil || !e.Token.Matches(token) {
			return fmt.Errorf("%s: its enrolment token was replaced: %w", h.Label(), host.ErrDenied)
		}
		if err := mayEnrol(*h, key); err != nil {
			return err
		}
		if !h.Enrolment.Used.IsZero() {
			return nil
		}
		now := s.Now()
		if *h, err = h.Advance(host.Booted, now); err != nil {
			return err
		}
		h.Enrolment.Used, h.Enrolment.Key, h.Session = now, key, nil
		return nil
	})
	return err
}

// status appends what the first boot tells of itself to the host's log.
func (s *Server) status(w http.ResponseWriter, r *http.Request) error {
	var q installer.Status
	if err := decode(r, &q); err != nil {
		return err
	}
	h, err := s.tokenHolder(r, q.Host, q.Token)
	if err != nil {
		return err
	}
	now := s.Now()
	if lines := s.agents.admit(h.MAC, q.Lines, now); len(lines) > 0 {
		if err := s.History.Log(h.MAC, lines); err != nil {
			return err
		}
	}
	if q.Done {
		err := s.History.Record(host.Event{Time: now, MAC: h.MAC, Kind: host.KindProgress, Actor: "first boot", Cause: "first boot is done: Nomad was started"})
		if err != nil {
			return err
		}
	}
	s.reply(w, http.StatusOK, struct{}{})
	return nil
}
