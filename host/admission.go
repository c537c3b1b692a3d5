package host

import (
	"fmt"
	"time"
)

// Admission is the permission to admit one machine whose MAC address nobody
// knows yet: the first stranger that boots from the network on Port. It wipes
// nothing by itself: the machine that takes it gets a grant of its own, once.
type Admission struct {
	ID      string    `json:"id"`
	Port    string    `json:"port"`
	Name    string    `json:"name"`
	Role    string    `json:"role"`
	Disk    string    `json:"disk,omitempty"` // see Grant
	Foreign bool      `json:"foreign,omitempty"`
	By      string    `json:"by"`
	Made    time.Time `json:"made"`
	Expires time.Time `json:"expires"` // as its grant does, too
}

// fresh is how long before a standing admission was made a machine may have
// asked for a boot file to take it. One that asked earlier has booted its disk
// since: it is not what the operator is about to switch on.
const fresh = 10 * time.Minute

// Open reports whether a can still be taken at now.
func (a Admission) Open(now time.Time) bool { return now.Before(a.Expires) }

// Unfit says why h, which is at place, may not take a at now; empty when it may.
// hosts are all that are known.
//
// Only a stranger may: the disk of a machine that was ever admitted, or that is
// held, is one that somebody has a say in. The machine must be the only one on
// exactly this port, and no other host may count on the port, not even one that
// is switched off.
func (a Admission) Unfit(h Host, place Place, hosts []Host, now time.Time) string {
	switch {
	case !a.Open(now):
		return "the admission has expired"
	case place.Port != a.Port:
		return "it is on port " + place.Port
	case place.Doubt != "":
		return place.Doubt
	case place.Fixed:
		return "port " + place.Port + " is not one for hosts"
	case !h.Stranger():
		return fmt.Sprintf("%s is no stranger: it is %s", h.Label(), h.State)
	case h.Asked.Before(a.Made.Add(-fresh)):
		return "it has not asked to boot from the network since: switch it on anew"
	}
	for _, other := range hosts {
		if other.MAC != h.MAC && other.Owns(a.Port) {
			return fmt.Sprintf("port %s belongs to %s, which is %s: retire that host first", a.Port, other.Label(), other.State)
		}
	}
	return ""
}

// Take returns h admitted by a, with the grant id.
func (a Admission) Take(h Host, id string, now time.Time) (Host, error) {
	if !h.Stranger() {
		return h, fmt.Errorf("%s: %w: it is %s, and only a stranger takes the admission on port %s", h.Label(), ErrGrant, h.State, a.Port)
	}
	h, err := h.Advance(Admitted, now)
	if err != nil {
		return h, err
	}
	h.Name, h.Role = a.Name, a.Role
	h.Grant = &Grant{
		ID: id, By: a.By, Made: now, Expires: a.Expires,
		Disk: a.Disk, Foreign: a.Foreign && a.Disk != "", Place: true, Port: a.Port, ByPort: true,
	}
	h.Session, h.Enrolment = nil, nil
	return h, nil
}

// Stranger reports whether h is a machine that nobody has ever admitted, or held.
func (h Host) Stranger() bool {
	return h.State == Seen && h.Name == "" && h.Held == "" && h.Grant == nil &&
		h.Enrolment == nil && h.Placed == nil && h.Snapshot == "" && h.Node == ""
}

// Owns reports whether h counts on port: it was admitted there, or works there.
func (h Host) Owns(port string) bool {
	switch h.State {
	case "", Seen, Retired:
		return false
	}
	return h.Port == port || h.Grant != nil && h.Grant.Port == port || h.Placed != nil && h.Placed.Port == port
}
