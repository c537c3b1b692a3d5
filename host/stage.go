package host

import (
	"fmt"
	"time"
)

// Stage is what a switch port serves for the machine on it. The configuration
// of the router says which VLAN that is.
type Stage string

// The stages of a port.
const (
	StageIdle       Stage = "idle"       // quarantine: for machines that nobody admitted
	StageInstall    Stage = "install"    // from the admission until the configuration job has succeeded
	StageProduction Stage = "production" // where the host works
)

// Stage is what the port of h is to serve; empty where it is to stay as it is: a
// failed host keeps its port for whoever looks at it.
func (h Host) Stage() Stage {
	switch h.State {
	case Admitted, Installing, Installed, Booted, Joined:
		return StageInstall
	case Configured, Ready:
		return StageProduction
	case Failed:
		return ""
	}
	return StageIdle
}

// Placement is a port that was moved for a host, and read back.
type Placement struct {
	Port  string    `json:"port"`
	Stage Stage     `json:"stage"`
	Since time.Time `json:"since"`
}

// Place is where a machine hangs on the network.
type Place struct {
	Port string // as the router calls it; empty when the machine shows on several
	// Doubt says why the port cannot be called this machine's own, for a
	// person; empty when it can.
	Doubt string
	// Fixed says that the port is never moved: a trunk, an uplink, or one that
	// serves one VLAN only.
	Fixed bool
}

// Sight is what one look at the router shows.
type Sight struct {
	Places map[MAC]Place         // of the machines
	Ports  map[string]PortServes // those for hosts, by name
}

// PortServes is the VLAN that a port for hosts is in.
type PortServes struct {
	VLAN   string  // for a person
	Stages []Stage // that it is for; none when it is none of the configured ones
}

// Moved is what a port's move has done.
type Moved struct {
	Port    string
	VLAN    string // that it is in now
	Was     string // that it was in before; empty when that was not looked at
	Changed bool   // false when it was there already, or is never moved
}

// InPlace reports whether nothing about its port speaks against installing h: the
// port that its grant is for serves the installation since the grant was made, or
// the grant asks for none.
func (h Host) InPlace() bool {
	g, p := h.Grant, h.Placed
	return g == nil || !g.Place ||
		p != nil && p.Stage == StageInstall && p.Port == g.Port && !p.Since.Before(g.Made)
}

// FoundAt returns h as being found at place changes it, and what is worth telling
// in its history. The first port on which an admitted machine is found is the one
// that its grant is for. On any other it is held, since another machine may be
// using its address; so is one that was told by its port alone, once that is not
// its own any more. Of a host in any other state nothing but the port is noted.
func (h Host) FoundAt(place Place, now time.Time) (_ Host, notice string, err error) {
	g := h.Grant
	if h.State == Admitted && place.Doubt != "" && g != nil && g.ByPort {
		h, err = h.Hold(place.Doubt+": it was admitted by its port alone; admit it with provision enroll --mac "+h.MAC.String(), now)
		return h, "", err
	}
	if place.Port == "" {
		return h, "", nil
	}
	again := h.Port == place.Port
	h.Port = place.Port
	switch {
	case g == nil || g.Port == h.Port:
		return h, "", nil
	case g.Port == "":
		if h.State == Admitted {
			bound := *g
			bound.Port = h.Port
			h.Grant = &bound
		}
		return h, "", nil
	}
	notice = fmt.Sprintf("it was found on port %s, but admitted on port %s", h.Port, g.Port)
	switch {
	case h.State == Admitted:
		h, err = h.Hold(fmt.Sprintf("%s: if that is right, repeat provision enroll with --port %s", notice, h.Port), now)
		h.Strayed = true
		return h, "", err
	case again:
		return h, "", nil
	}
	return h, notice, nil
}

// Hold takes the grant from an admitted host, which goes back to Seen for the
// reason why.
func (h Host) Hold(why string, now time.Time) (Host, error) {
	h, err := h.Advance(Seen, now)
	if err != nil {
		return h, err
	}
	h.Grant, h.Session, h.Held = nil, nil, why
	return h, nil
}
