package httpboot

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"provision.internal/boot"
	"provision.internal/host"
	"provision.internal/installer"
)

// Autoinstall is what a NETBOOT image's autoinstaller shall do on one host.
type Autoinstall struct {
	Script string // its configuration; public
	// Shell: upstream's installer does the work, not our agent. It speaks plain HTTP
	// only, so that nothing secret can reach it: the host ends as Installed.
	Shell    bool
	Snapshot string // with Shell: of the packages; empty where there are none
}

// autoinstall serves the configuration of a machine's autoinstaller. There is
// always one: where nothing may be installed, it restarts the machine, because
// upstream's defaults would wipe a disk.
func (s *Server) autoinstall(w http.ResponseWriter, r *http.Request) error {
	mac, err := host.ParseMAC(r.PathValue("mac"))
	if err != nil {
		return badRequest("%v", err)
	}
	script, why := s.chooseAutoinstall(mac)
	s.tell(mac, "autoinstall", why)
	return plainText(w, script)
}

func (s *Server) chooseAutoinstall(mac host.MAC) (script, why string) {
	h, err := s.Hosts.Host(mac)
	nothing := func(why string) (string, string) {
		return installer.AutoinstallNothing(h.Name, boot.AutoinstallURL(s.HTTP, mac), why), why
	}
	if err != nil && !errors.Is(err, host.ErrUnknown) {
		return nothing(s.unreadable(mac, err))
	}
	// The machine's platform was looked at when it got its boot script.
	step, why := boot.Next(boot.Client{MAC: mac, Platform: boot.BIOS}, h, s.Now())
	if step != boot.Install {
		return nothing(why)
	}
	a, err := s.configured(h)
	if err != nil {
		return nothing(s.cannot(mac, err))
	}
	return a.Script, why
}

func (s *Server) configured(h host.Host) (Autoinstall, error) {
	if s.Autoinstall == nil {
		return Autoinstall{}, errors.New("no NETBOOT image is configured")
	}
	return s.Autoinstall(h)
}

// autoinstaller answers what a configuration's script asks and tells, below the
// host's autoinstall URL. Whoever is on the network can read along and, from the
// machine's address, speak for it: that can fail an install, and cannot begin one.
func (s *Server) autoinstaller(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return &refusal{status: http.StatusMethodNotAllowed, text: "want GET"}
	}
	mac, err := host.ParseMAC(r.PathValue("mac"))
	if err != nil {
		return badRequest("%v", err)
	}
	query := r.URL.Query()
	if err := s.checkAddress(r, mac); err != nil {
		return err
	}
	h, err := s.Hosts.Host(mac)
	if err != nil {
		return err
	}
	answer := "noted\n"
	switch r.PathValue("word") {
	case installer.AutoinstallTake:
		answer, err = "granted\n", s.takeByShell(r, h, query)
	case installer.AutoinstallStep:
		err = s.shellStep(h, query)
	case installer.AutoinstallDone:
		err = s.shellDone(h, query)
	case installer.AutoinstallFailed:
		err = s.shellFailed(h, query)
	default:
		err = &refusal{status: http.StatusNotFound, text: "not found"}
	}
	if err != nil {
		return err
	}
	return plainText(w, answer)
}

// takeByShell burns the grant of h for upstream's installer. The script makes the
// nonce at its start: the same boot may repeat a request whose answer got lost, and
// no other can.
func (s *Server) takeByShell(r *http.Request, h host.Host, q url.Values) error {
	nonce, disk := q.Get("nonce"), q.Get("disk")
	switch {
	case len(nonce) < minSecret || len(nonce) > maxText:
		return badRequest("the nonce must have %d to %d characters", minSecret, maxText)
	case disk == "" || disk != printable(disk, maxText):
		return badRequest("the disk has no name that can be printed")
	}
	a, err := s.configured(h)
	if err != nil || !a.Shell {
		return s.refuseGrant(h, errors.Join(fmt.Errorf("%s: %w: it is for the agent", h.Label(), host.ErrGrant), err))
	}
	uuid, err := host.ParseUUID(q.Get("uuid"))
	if err != nil {
		uuid = host.UUID{} // not told
	}
	if err := s.confirm(r, h); errors.Is(err, host.ErrGrant) {
		return s.refuseGrant(h, err)
	} else if err != nil {
		return err
	}
	_, err = s.Hosts.Change(h.MAC, "autoinstaller", "took the grant for disk "+disk, func(h *host.Host) (err error) {
		if *h, _, err = h.Burn(host.Claim{UUID: uuid, Disk: disk, Secret: nonce}, s.Now()); err != nil {
			return err
		}
		if h.UUID.IsZero() {
			h.UUID = uuid
		}
		h.ByHand, h.Session, h.Enrolment, h.Snapshot = true, nil, nil, a.Snapshot
		return nil
	})
	if errors.Is(err, host.ErrGrant) {
		return s.refuseGrant(h, err)
	}
	return err
}

// byShell reports whether the script with the nonce has h's grant.
func byShell(h host.Host, q url.Values) error {
	if !h.ByHand || h.Grant == nil || !h.Grant.Claim.Matches(q.Get("nonce")) {
		return fmt.Errorf("%s: not its autoinstaller: %w", h.Label(), host.ErrDenied)
	}
	return nil
}

func (s *Server) shellStep(h host.Host, q url.Values) error {
	if err := byShell(h, q); err != nil {
		return err
	}
	now, step := s.Now(), printable(q.Get("step"), maxText)
	if h.State != host.Installing || step == "" || step == h.Progress.Step || !s.agents.worthStoring(h.MAC, true, now) {
		return nil
	}
	_, err := s.Hosts.Change(h.MAC, "autoinstaller", "", func(h *host.Host) error {
		if h.State == host.Installing {
			h.Progress = host.Progress{Step: step}
		}
		return byShell(*h, q)
	})
	if err != nil {
		return err
	}
	return s.History.Record(host.Event{Time: now, MAC: h.MAC, Kind: host.KindProgress, Actor: "autoinstaller", Cause: step})
}

func (s *Server) shellDone(h host.Host, q url.Values) error {
	_, err := s.Hosts.Change(h.MAC, "autoinstaller", "installed by upstream's installer; it joins nothing by itself", func(h *host.Host) (err error) {
		if err := byShell(*h, q); err != nil || h.State == host.Installed { // a repeat
			return err
		}
		*h, err = h.Advance(host.Installed, s.Now())
		return err
	})
	return err
}

// shellFailed: before the grant was taken nothing has happened to the machine, and
// who says so need not prove anything: the words are noted.
func (s *Server) shellFailed(h host.Host, q url.Values) error {
	reason := printable(strings.ReplaceAll(strings.TrimSpace(q.Get("reason")), "\n", " | "), maxLine)
	text := "step " + printable(q.Get("step"), maxText) + ": " + reason
	if h.State == host.Admitted {
		s.notice(h.MAC, "autoinstaller", "its installer stopped before anything was written: "+text)
		return nil
	}
	_, err := s.Hosts.Change(h.MAC, "autoinstaller", "", func(h *host.Host) (err error) {
		if err := byShell(*h, q); err != nil || h.State != host.Installing {
			return err
		}
		*h, err = h.Fail(fmt.Sprintf("%s; look at the machine's console, then run provision reinstall %s", text, h.Label()), s.Now())
		return err
	})
	return err
}

// plainText sends what must not be kept by anybody on the way.
func plainText(w http.ResponseWriter, text string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, err := w.Write([]byte(text))
	return err
}
