package httpboot

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"provision.internal/boot"
	"provision.internal/host"
	"provision.internal/installer"
)

// stepWaits is the progress of an admitted host that cannot be installed as it is.
const stepWaits = "waits"

// Seconds after which a waiting agent says hello again.
const (
	retryDisk   = 10 // until an operator names a disk
	retryLinger = 2  // until an operator admits the host
	retryPort   = 2  // until the host's port is moved
)

// enrolWithin is how long the token on an installed disk is good for.
const enrolWithin = 24 * time.Hour

// newToken returns 256 random bits as text.
func newToken() string {
	var b [32]byte
	rand.Read(b[:]) // never fails, says its documentation
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// A session token names its host, so that no index of digests is needed:
// MAC without colons, a dot, the secret.
func newSession(mac host.MAC) string { return hex.EncodeToString(mac[:]) + "." + newToken() }

// session returns the host whose session the request carries.
func (s *Server) session(r *http.Request) (host.Host, string, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	text, _, dot := strings.Cut(token, ".")
	mac, err := host.ParseMAC(text)
	if !ok || !dot || err != nil {
		return host.Host{}, "", fmt.Errorf("no session: %w", host.ErrDenied)
	}
	h, err := s.Hosts.Host(mac)
	if errors.Is(err, host.ErrUnknown) {
		return host.Host{}, "", fmt.Errorf("session of the unknown host %s: %w", mac, host.ErrDenied)
	}
	if err != nil {
		return host.Host{}, "", err
	}
	return h, token, holds(h, token)
}

// holds reports whether token is h's session.
func holds(h host.Host, token string) error {
	if h.Session == nil || !h.Session.Token.Matches(token) {
		return fmt.Errorf("%s: not its session: %w", h.Label(), host.ErrDenied)
	}
	return nil
}

// hello answers an agent that has just started, or that waits.
func (s *Server) hello(w http.ResponseWriter, r *http.Request) error {
	var q installer.Hello
	if err := decode(r, &q); err != nil {
		return err
	}
	if err := checkHello(q); err != nil {
		return err
	}
	if err := s.checkAddress(r, q.MAC); err != nil {
		return err
	}
	answer := installer.Welcome{}
	identity := error(nil)
	h, err := s.Hosts.Change(q.MAC, "agent", "said hello", func(h *host.Host) (err error) {
		answer, identity, err = s.welcome(h, q)
		return err
	})
	switch {
	case err != nil:
		return err
	case identity != nil:
		s.notice(q.MAC, "agent", identity.Error())
		return &refusal{http.StatusForbidden, "another machine is known by this MAC address; run provision host " + h.Label(), identity}
	case answer.Reason != "" && s.greeted.changed(q.MAC, answer.Reason):
		s.notice(q.MAC, "agent", "its installer was told to "+string(answer.Action)+": "+answer.Reason)
	}
	answer.Host = h.Name
	s.reply(w, http.StatusOK, answer)
	return nil
}

// welcome decides what the agent does, and changes h accordingly. It runs inside
// of the store's change.
func (s *Server) welcome(h *host.Host, q installer.Hello) (answer installer.Welcome, identity, err error) {
	now := s.Now()
	if h.State == "" {
		if *h, err = h.Advance(host.Seen, now); err != nil {
			return answer, nil, err
		}
		h.FirstSeen = now
	}
	if !h.UUID.Fits(q.Inventory.UUID) {
		identity = fmt.Errorf("%w: the installer on %s has the UUID %s, known is %s", host.ErrIdentity, h.Label(), q.Inventory.UUID, h.UUID)
		return answer, identity, hold(h, identity.Error(), now)
	}
	if h.UUID.IsZero() {
		h.UUID = q.Inventory.UUID
	}
	h.Inventory, h.LastSeen = &q.Inventory, now
	install := func(disk string) installer.Welcome {
		token := s.agents.session(*h, q.Secret, now)
		if holds(*h, token) != nil {
			h.Session = &host.Session{Token: host.DigestOf(token), Since: now}
		}
		return installer.Welcome{Session: token, Action: installer.ActionInstall, Disk: disk}
	}
	switch {
	case h.State == host.Installing && h.Grant != nil && h.Grant.Claim.Matches(q.Secret):
		// The same boot of the agent, which lost its connection or an answer.
		return install(h.Grant.Disk), nil, nil
	case h.State == host.Installing:
		err = s.interrupted(h)
		return installer.Welcome{Action: installer.ActionReboot, Reason: "the install was interrupted"}, nil, err
	case h.State == host.Admitted && h.Grant.Open(now) && !h.InPlace():
		return installer.Welcome{Action: installer.ActionWait, RetryAfter: retryPort, Reason: "its port does not serve the installation yet"}, nil, nil
	case h.State == host.Admitted && h.Grant.Open(now):
		disks, err := s.targets(*h)
		if err != nil {
			h.Progress = host.Progress{Step: stepWaits, Text: err.Error()}
			return installer.Welcome{Action: installer.ActionWait, RetryAfter: retryDisk, Reason: err.Error()}, nil, nil
		}
		h.Progress = host.Progress{}
		return install(host.DiskIDs(disks)), nil, nil
	case h.State == host.Seen && s.agents.lingers(q.MAC, now, s.Linger):
		return installer.Welcome{Action: installer.ActionWait, RetryAfter: retryLinger, Reason: "waits to be admitted"}, nil, nil
	}
	_, why := boot.Next(boot.Client{MAC: h.MAC}, *h, now)
	return installer.Welcome{Action: installer.ActionReboot, Reason: why}, nil, nil
}

// hold takes the grant of an admitted host whose identity does not fit. In any
// other state nothing is at stake.
func hold(h *host.Host, why string, now time.Time) (err error) {
	if h.State != host.Admitted {
		return nil
	}
	*h, err = h.Hold(why+"; if that is right, admit it again with provision enroll", now)
	return err
}

// checkAddress refuses an agent that speaks for a MAC from an address that was
// leased to another one. The store learns addresses a moment after the lease, so
// a difference is looked at again before it counts.
func (s *Server) checkAddress(r *http.Request, mac host.MAC) error {
	const looks, pause = 6, 100 * time.Millisecond
	var h host.Host
	for range looks {
		var err error
		if h, err = s.Hosts.Host(mac); err != nil && !errors.Is(err, host.ErrUnknown) {
			return err
		}
		if mayBe(h, r) {
			return nil
		}
		select {
		case <-r.Context().Done():
			return r.Context().Err()
		case <-time.After(pause):
		}
	}
	s.notice(mac, "agent", fmt.Sprintf("%s spoke as this host, whose address is %s: refused", remote(r), h.Address))
	return &refusal{http.StatusForbidden, "this address belongs to another machine",
		fmt.Errorf("%s speaks as %s, whose address is %s: %w", remote(r), mac, h.Address, host.ErrDenied)}
}

// grant burns the host's grant and, once that is durable, hands out the plan.
func (s *Server) grant(w http.ResponseWriter, r *http.Request) error {
	var q installer.TakeGrant
	if err := decode(r, &q); err != nil {
		return err
	}
	h, session, err := s.session(r)
	if err != nil {
		return err
	}
	disks, err := claimedDisks(h, q.Disk)
	if err == nil && h.State == host.Admitted {
		err = s.checkTargets(h, disks)
	}
	if err == nil {
		if err = s.confirm(r, h); err != nil && !errors.Is(err, host.ErrGrant) {
			return err // the agent asks again
		}
	}
	if err != nil {
		return s.refuseGrant(h, err)
	}
	// The plan is made first: a role that cannot be planned costs no grant.
	plan, err := s.Plan(h, disks)
	if err != nil {
		return fmt.Errorf("plan for %s: %w", h.Label(), err)
	}
	token := newToken()
	claim := host.Claim{UUID: q.UUID, Disk: q.Disk, Secret: q.Secret}
	cause := "took the grant for disk " + q.Disk
	if plan.Snapshot != "" {
		cause += ", to install from the snapshot " + plan.Snapshot
	}
	h, err = s.Hosts.Change(h.MAC, "agent", cause, func(h *host.Host) (err error) {
		if err := holds(*h, session); err != nil {
			return err
		}
		now := s.Now()
		first := false
		if *h, first, err = h.Burn(claim, now); err != nil {
			return err
		}
		if !first && h.Snapshot != plan.Snapshot {
			// Two requests at once: the other one's plan is what counts, and the agent
			// gets that when it asks again.
			return fmt.Errorf("%s is being installed from the snapshot %q, not %q", h.Label(), h.Snapshot, plan.Snapshot)
		}
		h.Enrolment = &host.Enrolment{Token: host.DigestOf(token), Expires: now.Add(enrolWithin)}
		h.Snapshot = plan.Snapshot
		return nil
	})
	if errors.Is(err, host.ErrGrant) {
		return s.refuseGrant(h, err)
	}
	if err != nil {
		return err
	}
	plan.Host, plan.MAC = h.Name, h.MAC
	plan.Disks = nil
	for _, d := range disks {
		plan.Disks = append(plan.Disks, installer.PlanDisk(d, h.Grant, disks))
	}
	plan.FirstBoot = installer.FirstBoot{URL: s.HTTPS, HTTP: s.HTTP, CA: string(s.Authority.PEM()), Token: token}
	s.reply(w, http.StatusOK, plan)
	return nil
}

// confirm looks a last time whether h is where its grant wants it.
func (s *Server) confirm(r *http.Request, h host.Host) error {
	if s.Confirm == nil || h.State != host.Admitted {
		return nil
	}
	return s.Confirm(r.Context(), h)
}

// checkTargets refuses disks other than those that an install would write: a
// grant that names none is not one for any.
func (s *Server) checkTargets(h host.Host, disks []host.Disk) error {
	want, err := s.targets(h)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", h.Label(), host.ErrGrant, err)
	}
	if host.DiskIDs(want) != host.DiskIDs(disks) {
		return fmt.Errorf("%s: %w: it is for the disk %q, not %q", h.Label(), host.ErrGrant, host.DiskIDs(want), host.DiskIDs(disks))
	}
	return nil
}

// refuseGrant tells the agent, which has shown its session, why.
func (s *Server) refuseGrant(h host.Host, err error) error {
	s.notice(h.MAC, "agent", err.Error())
	return &refusal{http.StatusForbidden, err.Error(), nil}
}

// finished: the disk is bootable.
func (s *Server) finished(w http.ResponseWriter, r *http.Request) error {
	var q installer.Finished
	if err := decode(r, &q); err != nil {
		return err
	}
	return s.end(w, r, fmt.Sprintf("installed in %.0f s", q.Seconds), func(h *host.Host) (err error) {
		if h.State != host.Installed { // a repeat
			*h, err = h.Advance(host.Installed, s.Now())
		}
		return err
	})
}

// failed: the agent gives up.
func (s *Server) failed(w http.ResponseWriter, r *http.Request) error {
	var q installer.Failed
	if err := decode(r, &q); err != nil {
		return err
	}
	step, reason := printable(q.Step, maxText), printable(q.Reason, maxLine)
	return s.end(w, r, "", func(h *host.Host) (err error) {
		if h.State == host.Admitted || h.State == host.Installing {
			*h, err = h.Fail(fmt.Sprintf("step %s: %s; look at provision logs %s, then run provision reinstall %s",
				step, reason, h.Label(), h.Label()), s.Now())
			return err
		}
		if h.State != host.Failed {
			return fmt.Errorf("%s: %w from %s", h.Label(), host.ErrTransition, h.State)
		}
		return nil
	})
}

// end applies the agent's last word. It may be repeated.
func (s *Server) end(w http.ResponseWriter, r *http.Request, cause string, f func(*host.Host) error) error {
	h, session, err := s.session(r)
	if err != nil {
		return err
	}
	_, err = s.Hosts.Change(h.MAC, "agent", cause, func(h *host.Host) error {
		if err := holds(*h, session); err != nil {
			return err
		}
		return f(h)
	})
	if err != nil {
		return err
	}
	s.reply(w, http.StatusOK, struct{}{})
	return nil
}
