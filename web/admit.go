package web

import (
	"crypto/rand"
	"fmt"
	"time"

	"provision.internal/host"
)

// facts are what an operator says about a host, completed from the
// configuration.
type facts struct {
	name, role string
	port       string // that it belongs on; empty leaves that open
	disk       string
	foreign    bool // the disk was named in the request
	newMachine bool
}

// terms are what every grant made now has in common.
type terms struct {
	by  string
	now time.Time
	ttl time.Duration
	// place: the machine's port must serve the installation first.
	place bool
}

func (t terms) grant(disk string, foreign bool) *host.Grant {
	return &host.Grant{
		ID: rand.Text(), By: t.by, Made: t.now, Expires: t.now.Add(t.ttl),
		Disk: disk, Foreign: foreign && disk != "",
	}
}

// admit gives h the facts and a grant. A host that already has the same facts
// and is on its way or Ready stays as it is: changed is then false. Other facts
// for such a host are a conflict, because its disk is in use under the old
// ones; only its port may be another one, where it was found.
func admit(h host.Host, f facts, t terms) (_ host.Host, changed bool, err error) {
	switch h.State {
	case "", host.Seen, host.Failed, host.Retired:
	case host.Admitted:
		if err := sameFacts(h, f); err != nil {
			return h, false, err
		}
		g := h.Grant
		if g.Open(t.now) && g.Place == t.place && (f.port == "" || f.port == g.Port) && (!f.foreign || g.Foreign && g.Disk == f.disk) {
			return h, false, nil
		}
	default:
		if err := sameFacts(h, f); err != nil {
			return h, false, err
		}
		return acceptPort(h, f.port)
	}
	if h.Held != "" && !f.newMachine && (!h.Strayed || f.port == "" || f.port != h.Port) {
		repeat := "when the machine was exchanged, repeat with --new-machine"
		if h.Strayed {
			repeat = "when it belongs there, repeat with --port " + h.Port
		}
		return h, false, fmt.Errorf("%s is held: %s: %w; %s", h.Label(), h.Held, host.ErrIdentity, repeat)
	}
	if f.newMachine {
		h.UUID, h.Inventory, h.Held = host.UUID{}, nil, ""
	}
	h, err = readmit(h, t, f.disk, f.foreign)
	if err != nil {
		return h, false, err
	}
	if f.port != "" {
		h.Grant.Port = f.port
	}
	h.Name, h.Role = f.name, f.role
	return h, true, nil
}

// acceptPort says that h, which is under way or Ready, belongs on port from now
// on. It is not installed again; its port follows it.
func acceptPort(h host.Host, port string) (_ host.Host, changed bool, err error) {
	g := h.Grant
	switch {
	case port == "" || g == nil || g.Place && g.Port == port:
		return h, false, nil
	case h.Port != port:
		where := "on port " + h.Port
		if h.Port == "" {
			where = "on no port yet"
		}
		return h, false, fmt.Errorf("%s was found %s, not on %s: %w; plug it in there first", h.Label(), where, port, host.ErrIdentity)
	}
	there := *g
	there.Place, there.Port = true, port
	h.Grant = &there
	return h, true, nil
}

// again gives h, installed before, a new grant for the disk that it has.
func again(h host.Host, role, disk string, t terms) (host.Host, error) {
	switch h.State {
	case host.Seen, "":
		return h, fmt.Errorf("%s: %w: it was never admitted; use provision enroll", h.Label(), host.ErrTransition)
	case host.Retired:
		return h, fmt.Errorf("%s: %w: it is retired; admit it again with provision enroll", h.Label(), host.ErrTransition)
	case host.Installing:
		return h, fmt.Errorf("%s: %w: it is being installed; wait until that ends, or retire it and enroll it again", h.Label(), host.ErrTransition)
	}
	foreign := disk != ""
	if !foreign && h.Grant != nil {
		disk = h.Grant.Disk
	}
	h, err := readmit(h, t, disk, foreign)
	if err == nil && role != "" {
		h.Role = role
	}
	return h, err
}

// readmit moves h to Admitted with a new grant. Whatever an earlier agent or
// an earlier installed system holds is void from then on.
func readmit(h host.Host, t terms, disk string, foreign bool) (host.Host, error) {
	h, err := h.Advance(host.Admitted, t.now)
	if err != nil {
		return h, err
	}
	h.Grant, h.Session, h.Enrolment = t.grant(disk, foreign), nil, nil
	if t.place {
		h.Grant.Place, h.Grant.Port = true, h.Port
	}
	return h, nil
}

// retire takes h out of service.
func retire(h host.Host, now time.Time) (_ host.Host, changed bool, err error) {
	if h.State == host.Retired {
		return h, false, nil
	}
	h, err = h.Advance(host.Retired, now)
	if err != nil {
		return h, false, err
	}
	h.Grant, h.Session, h.Enrolment, h.Held = nil, nil, nil, ""
	return h, true, nil
}

// sameFacts reports, as ErrExists, where f differs from what h has.
func sameFacts(h host.Host, f facts) error {
	is := fmt.Sprintf("%s is %s as %s with role %s", h.MAC, h.State, h.Name, h.Role)
	switch {
	case f.name != h.Name:
		return fmt.Errorf("%s, not as %s: %w; retire it first to give it another name", is, f.name, host.ErrExists)
	case f.role != h.Role:
		return fmt.Errorf("%s, not %s: %w; run provision reinstall %s --role %s to change it", is, f.role, host.ErrExists, h.Name, f.role)
	// Nothing has been written yet while it is Admitted: then naming the disk is
	// how an operator answers an installer that found several.
	case h.State != host.Admitted && f.foreign && h.Grant != nil && f.disk != h.Grant.Disk:
		return fmt.Errorf("%s, for %s and not for disk %s: %w; run provision reinstall %s --disk %s to change it",
			is, diskText(h.Grant.Disk), f.disk, host.ErrExists, h.Name, f.disk)
	}
	return nil
}

func diskText(serial string) string {
	if serial == "" {
		return "any blank disk"
	}
	return "disk " + serial
}
