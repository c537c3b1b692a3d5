package host

import "time"

// Event is one thing that happened to a host (or, with a zero MAC, to the
// appliance). Events are kept for ever and never changed.
type Event struct {
	ID    uint64    `json:"id"` // ascending, from 1, without gaps
	Time  time.Time `json:"time"`
	MAC   MAC       `json:"mac,omitzero"`
	Host  string    `json:"host,omitempty"`
	Kind  Kind      `json:"kind"`
	From  State     `json:"from,omitempty"` // with KindState
	To    State     `json:"to,omitempty"`
	Actor string    `json:"actor"`           // "operator:root", "agent", "firmware", "reconciler"
	Cause string    `json:"cause,omitempty"` // for a person
	Line  string    `json:"line,omitempty"`  // with KindLog
}

// Kind sorts events.
type Kind string

// The kinds of events.
const (
	KindState    Kind = "state"    // the host changed its state
	KindProgress Kind = "progress" // a step began inside a state
	KindPort     Kind = "port"     // its port was moved
	KindNotice   Kind = "notice"   // worth knowing: an unknown architecture, a refused claim
	KindLog      Kind = "log"      // a line from the installer or the first boot
)
