package web

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"provision.internal/host"
)

func (s *Server) enroll(w http.ResponseWriter, r *http.Request) error {
	var req Enroll
	if err := decode(r, &req); err != nil {
		return err
	}
	s.admission.Lock()
	defer s.admission.Unlock()
	cause := ""
	if req.Port != "" {
		if err := s.checkPort(req.Port); err != nil {
			return err
		}
		if req.Name == "" && req.MAC.IsZero() {
			req.Name = req.Port
		}
		if s.unnamed(req) {
			return s.stand(w, r, req)
		}
		cause = ", on port " + req.Port
	}
	mac, f, err := s.complete(req)
	if err != nil {
		return err
	}
	if err := s.freeName(r, f.name, mac, mac.String()); err != nil {
		return err
	}
	known, err := s.find(mac.String())
	if err != nil && !errors.Is(err, host.ErrUnknown) {
		return err
	}
	if slices.Contains([]host.State{"", host.Seen, host.Failed, host.Retired}, known.State) { // those that admit makes a grant for
		if err := s.spare(r, f.name); err != nil {
			return err
		}
	}
	changed := false
	h, err := s.change(r, mac, "admitted as "+f.name+" with role "+f.role+cause, func(h *host.Host) (bool, error) {
		next, did, err := admit(*h, f, s.terms(actor(r)))
		*h, changed = next, did
		return did, err
	})
	if err != nil {
		return err
	}
	return answer(w, Result{Host: s.public(h), Changed: changed})
}

// spare returns why the disk of the machine called name must not be wiped: the
// cluster cannot do without it.
func (s *Server) spare(r *http.Request, name string) error {
	if s.Cluster == nil {
		return nil
	}
	return s.Cluster.Spare(r.Context(), name)
}

func (s *Server) reinstall(w http.ResponseWriter, r *http.Request) error {
	var req Reinstall
	if err := decode(r, &req); err != nil {
		return err
	}
	h, err := s.find(r.PathValue("ref"))
	if err != nil {
		return err
	}
	if req.Confirm != h.Name && req.Confirm != h.MAC.String() {
		return fmt.Errorf("%w: reinstalling wipes the disk of %s; confirm with its name", ErrInvalid, h.Label())
	}
	if err := s.spare(r, h.Name); err != nil {
		return err
	}
	if req.Role != "" {
		if err := s.checkRole(req.Role); err != nil {
			return err
		}
	}
	cause := "to be reinstalled"
	if req.Snapshot != "" {
		if err := s.checkSnapshot(req.Snapshot); err != nil {
			return err
		}
		cause += " from the snapshot " + req.Snapshot
	}
	h, err = s.change(r, h.MAC, cause, func(h *host.Host) (bool, error) {
		next, err := again(*h, req.Role, req.Disk, s.terms(actor(r)))
		if err == nil {
			next.Grant.Snapshot = req.Snapshot
		}
		*h = next
		return true, err
	})
	if err != nil {
		return err
	}
	return answer(w, Result{Host: s.public(h), Changed: true})
}

func (s *Server) retire(w http.ResponseWriter, r *http.Request) error {
	switch a, err := s.cancel(r, r.PathValue("ref")); {
	case err != nil:
		return err
	case a != nil:
		return answer(w, Result{Admission: a, Changed: true})
	}
	h, err := s.find(r.PathValue("ref"))
	if err != nil {
		return err
	}
	changed := false
	h, err = s.change(r, h.MAC, "taken out of service", func(h *host.Host) (bool, error) {
		next, did, err := retire(*h, s.now())
		*h, changed = next, did
		return did, err
	})
	if err != nil {
		return err
	}
	return answer(w, Result{Host: s.public(h), Changed: changed})
}

// freeName makes sure that no host but mac, whom people call who, has the name. A
// retired one that still has it goes on under its MAC.
func (s *Server) freeName(r *http.Request, name string, mac host.MAC, who string) error {
	other, ok := named(s.Hosts.Hosts(), name)
	switch {
	case !ok || other.MAC == mac:
		return nil
	case other.State != host.Retired:
		return fmt.Errorf("the name %s: %w: it belongs to %s, which is %s since %s; retire that host or choose another name",
			name, host.ErrExists, other.MAC, other.State, other.Since.UTC().Format("2006-01-02 15:04 MST"))
	}
	_, err := s.Hosts.Change(other.MAC, actor(r), "gave up its name to "+who, func(h *host.Host) error {
		h.Name = ""
		return nil
	})
	return err
}

// change runs f in one transaction of the store, unless f finds nothing to do:
// an idempotent request costs no write and leaves no event.
func (s *Server) change(r *http.Request, mac host.MAC, cause string, f func(*host.Host) (bool, error)) (host.Host, error) {
	current, err := s.Hosts.Host(mac)
	if err == nil {
		probe := current
		if did, err := f(&probe); err != nil || !did {
			return current, err
		}
	}
	return s.Hosts.Change(mac, actor(r), cause, func(h *host.Host) error {
		_, err := f(h)
		return err
	})
}

// complete fills in what the operator left out from the configuration, and
// checks what can be checked without looking at the host.
func (s *Server) complete(req Enroll) (host.MAC, facts, error) {
	f := facts{name: req.Name, role: req.Role, port: req.Port, disk: req.Disk, foreign: req.Disk != "", newMachine: req.NewMachine}
	if err := checkName(f.name); err != nil {
		return host.MAC{}, f, err
	}
	mac := req.MAC
	for _, k := range s.Known {
		switch {
		case k.Name == f.name && !mac.IsZero() && k.MAC != mac:
			return mac, f, fmt.Errorf("the configuration gives the name %s to %s: %w; use that MAC or change the configuration",
				f.name, k.MAC, host.ErrExists)
		case k.MAC == mac && k.Name != "" && k.Name != f.name:
			return mac, f, fmt.Errorf("the configuration calls %s %s: %w; use that name or change the configuration",
				mac, k.Name, host.ErrExists)
		case k.Name == f.name || k.MAC == mac:
			mac = k.MAC
			if f.role == "" {
				f.role = k.Role
			}
			if f.disk == "" {
				f.disk = k.Disk
			}
		}
	}
	if h, ok := named(s.Hosts.Hosts(), f.name); ok && h.State != host.Retired {
		// Asking again for a host that is under way needs its name only.
		if mac.IsZero() {
			mac = h.MAC
		}
		if f.role == "" && h.MAC == mac {
			f.role = h.Role
		}
	}
	if mac.IsZero() {
		var err error
		if mac, err = s.onlySeen(); err != nil {
			return mac, f, err
		}
	}
	if f.role == "" && len(s.Roles) == 1 {
		f.role = s.Roles[0]
	}
	return mac, f, s.checkRole(f.role)
}

// onlySeen is the one machine that asks for admission, when there is no doubt
// which.
func (s *Server) onlySeen() (host.MAC, error) {
	var seen []host.Host
	for _, h := range s.Hosts.Hosts() {
		if h.State == host.Seen && h.Held == "" {
			seen = append(seen, h)
		}
	}
	switch len(seen) {
	case 0:
		return host.MAC{}, fmt.Errorf("%w: no MAC was given and no machine is Seen; give its MAC, or power it on with network boot first", ErrInvalid)
	case 1:
		return seen[0].MAC, nil
	}
	var list []string
	for _, h := range seen[:min(len(seen), 8)] {
		list = append(list, h.MAC.String())
	}
	if len(seen) > len(list) {
		list = append(list, "…")
	}
	return host.MAC{}, fmt.Errorf("%w: no MAC was given and %d machines are Seen (%s); say which with its MAC", ErrInvalid, len(seen), strings.Join(list, ", "))
}

func (s *Server) checkRole(role string) error {
	if slices.Contains(s.Roles, role) {
		return nil
	}
	list := strings.Join(s.Roles, ", ")
	if role == "" {
		return fmt.Errorf("%w: a role is needed; the configuration has: %s", ErrInvalid, list)
	}
	return fmt.Errorf("%w: there is no role %q; the configuration has: %s", ErrInvalid, role, list)
}

// label is one label of a DNS name (RFC 1123 §2.1), in lower case: the name
// becomes the hostname, the inventory name and the Nomad node's name.
var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// ValidName reports whether name can be a host's.
func ValidName(name string) bool {
	_, err := host.ParseMAC(name)
	return label.MatchString(name) && err != nil
}

func checkName(name string) error {
	if ValidName(name) {
		return nil
	}
	return fmt.Errorf("%w: %q cannot be a host's name: want lower-case letters, digits and hyphens, at most 63", ErrInvalid, name)
}
