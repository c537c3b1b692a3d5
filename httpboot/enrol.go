package httpboot

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"

	"provision.internal/host"
	"provision.internal/installer"
)

// enrol makes an installed system a known one, and then a member of the cluster:
// it shows the one-time token that the agent left on its disk, and gets what it
// needs for the next stage with a certificate for the key that it made itself. The
// same key may ask again, because an answer may get lost, and asks for each
// further stage; nobody else may. Who has everything that there is waits here.
func (s *Server) enrol(w http.ResponseWriter, r *http.Request) error {
	var q installer.Enrol
	if err := decode(r, &q); err != nil {
		return err
	}
	h, request, err := s.keyHolder(r, q.Host, q.Token, q.Request)
	if err != nil {
		return err
	}
	key := keyDigest(request)
	if q.Stage != installer.StageNone {
		s.Members.Heard(h)
	}
	stage, waits := s.Members.Stage(h)
	if !news(q.Stage, stage) {
		if err := s.enrolled(r, h, q.Token, key, installer.StageNone); err != nil {
			return err
		}
		if h, stage, waits, err = s.hold(w, r, h, q.Stage); err != nil {
			return err
		}
		if err := mayEnrol(h, q.Token, key); err != nil {
			return s.refuseEnrolment(r, h, err)
		}
	}
	if !news(q.Stage, stage) {
		s.reply(w, http.StatusOK, installer.Enrolled{Stage: q.Stage, Waits: waits})
		return nil
	}
	// What can fail comes first: the token is used up only by an answer.
	m, err := s.Members.Join(r.Context(), h, stage, !clientGiven(h))
	if err != nil {
		s.waits(h, err)
		err = fmt.Errorf("%s of %s: %w", stage, h.Label(), err)
		return &refusal{http.StatusServiceUnavailable, "it cannot be let into the cluster yet: " + err.Error(), nil}
	}
	var issuer Issuer = s.Authority
	if m.Issuer != nil {
		issuer = m.Issuer
	}
	certificate, err := issuer.Sign(certificateOf(request, h.Role, m, s.Now()), request.PublicKey)
	if err != nil {
		return fmt.Errorf("certificate for %s: %w", h.Label(), err)
	}
	if err := s.enrolled(r, h, q.Token, key, stage); err != nil {
		return err
	}
	s.reply(w, http.StatusOK, installer.Enrolled{
		Stage: stage, Certificate: string(certificate), CA: string(s.Authority.PEM()), Files: m.Files,
	})
	return nil
}

// news reports whether a host that has one stage is to be given another. A member
// stays one.
func news(has, stage installer.Stage) bool {
	return stage != installer.StageNone && stage != has && has != installer.StageMember
}

// clientGiven reports whether h may have a living node.
func clientGiven(h host.Host) bool {
	switch installer.Stage(h.Enrolment.Stage) {
	case installer.StageQuarantine, installer.StageMember:
		return true
	}
	return false
}

// keyHolder returns the host called name for which token and request are good,
// and the request.
func (s *Server) keyHolder(r *http.Request, name, token, request string) (host.Host, *x509.CertificateRequest, error) {
	h, err := s.tokenHolder(r, name, token)
	if err != nil {
		return h, nil, err
	}
	q, err := parseRequest(request, h.Name)
	if err != nil {
		s.notice(h.MAC, "first boot", "its certificate request was refused: "+err.Error())
		return h, nil, &refusal{http.StatusBadRequest, err.Error(), nil}
	}
	if err := mayEnrol(h, token, keyDigest(q)); err != nil {
		return h, nil, s.refuseEnrolment(r, h, err)
	}
	return h, q, nil
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
	case e.Used.IsZero() && !s.Now().Before(e.Expires): // a used one is nothing without its key
		return h, s.refuseEnrolment(r, h, fmt.Errorf("%s: its enrolment token has expired; run provision reinstall %s: %w", h.Label(), h.Label(), host.ErrDenied))
	}
	return h, nil
}

// refuseEnrolment records the attempt.
func (s *Server) refuseEnrolment(r *http.Request, h host.Host, err error) error {
	s.notice(h.MAC, "first boot", fmt.Sprintf("enrolment from %s was refused: %v", remote(r), err))
	return err
}

// mayEnrol reports whether who shows token and holds key may enrol as h.
func mayEnrol(h host.Host, token string, key host.Digest) error {
	e := h.Enrolment
	switch {
	case e == nil || !e.Token.Matches(token):
		return fmt.Errorf("%s: its enrolment token was replaced: %w", h.Label(), host.ErrDenied)
	case !e.Used.IsZero() && e.Key != key:
		return fmt.Errorf("%s: its enrolment token was used by another key: %w", h.Label(), host.ErrDenied)
	case !e.Used.IsZero(), arrives(h):
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

// enrolled uses up the token, moves h on, and remembers the stage that it is
// given. A repeat changes nothing.
func (s *Server) enrolled(r *http.Request, h host.Host, token string, key host.Digest, stage installer.Stage) error {
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
		if err := mayEnrol(*h, token, key); err != nil {
			return err
		}
		if h.Enrolment.Used.IsZero() {
			now := s.Now()
			if *h, err = h.Advance(host.Booted, now); err != nil {
				return err
			}
			h.Enrolment.Used, h.Enrolment.Key, h.Session = now, key, nil
		}
		if stage != installer.StageNone {
			h.Enrolment.Stage = string(stage)
			if h.Progress.Step == host.StepEnrol {
				h.Progress = host.Progress{}
			}
		}
		return nil
	})
	if errors.Is(err, host.ErrDenied) {
		return s.refuseEnrolment(r, h, err)
	}
	return err
}

// waits shows on the page of h why it is not given what it needs. It asks again.
func (s *Server) waits(h host.Host, why error) {
	text := "enrolment waits: " + why.Error()
	_, err := s.Hosts.Change(h.MAC, "first boot", text, func(h *host.Host) error {
		if !h.State.Settled() {
			h.Progress = host.Progress{Step: host.StepEnrol, Text: text}
		}
		return nil
	})
	if err != nil {
		s.Log.Error("progress not stored", "mac", h.MAC, "host", h.Label(), "err", err)
	}
}

// status appends what the first boot tells of itself to the host's log.
func (s *Server) status(w http.ResponseWriter, r *http.Request) error {
	var q installer.Status
	if err := decode(r, &q); err != nil {
		return err
	}
	h, _, err := s.keyHolder(r, q.Host, q.Token, q.Request)
	if err != nil {
		return err
	}
	s.Members.Heard(h)
	now := s.Now()
	if lines := s.agents.admit(h.MAC, q.Lines, now); len(lines) > 0 {
		if err := s.History.Log(h.MAC, lines); err != nil {
			return err
		}
	}
	if q.Done {
		err := s.History.Record(host.Event{Time: now, MAC: h.MAC, Kind: host.KindProgress, Actor: "first boot", Cause: "first boot is done: the host is a member"})
		if err != nil {
			return err
		}
	}
	s.reply(w, http.StatusOK, struct{}{})
	return nil
}
