package host

import (
	"fmt"
	"slices"
	"time"
)

// State is where a host stands on its way from a blank machine to a cluster
// member. Its text form is stable: it is stored, and printed to people.
type State string

// The states in the order of the journey. Failed and Retired stand outside it.
const (
	Seen       State = "Seen"       // answered on the network, nobody admitted it; boots its own disk
	Admitted   State = "Admitted"   // an operator gave it a name, a role and a grant to wipe one disk
	Installing State = "Installing" // the agent has taken the grant: the disk may be written
	Installed  State = "Installed"  // the agent has finished and is rebooting
	Booted     State = "Booted"     // the installed system has enrolled with its one-time token
	Joined     State = "Joined"     // Nomad calls the node ready
	Configured State = "Configured" // the configuration job has succeeded on it
	Ready      State = "Ready"      // takes work
	Failed     State = "Failed"     // stopped; Failure says where and why
	Retired    State = "Retired"    // taken out of service by an operator
)

// next is the whole of the transition table. An operator can admit a host again
// at any time but in the middle of an install, and retire it at any time. Back to
// Seen goes only an admitted host whose machine is not the known one. From Failed
// to Booted leads the first boot of a system that came later than its deadline.
var next = map[State][]State{
	"":         {Seen, Admitted},
	Seen:       {Admitted, Retired},
	Admitted:   {Installing, Seen, Admitted, Failed, Retired},
	Installing: {Installed, Failed, Retired},
	Installed:  {Booted, Failed, Admitted, Retired},
	Booted:     {Joined, Failed, Admitted, Retired},
	Joined:     {Configured, Failed, Admitted, Retired},
	Configured: {Ready, Failed, Admitted, Retired},
	Ready:      {Admitted, Failed, Retired},
	Failed:     {Admitted, Booted, Retired},
	Retired:    {Admitted},
}

// Journey lists the states of a host that arrives, in order.
func Journey() []State {
	return []State{Seen, Admitted, Installing, Installed, Booted, Joined, Configured, Ready}
}

// Valid reports whether s is one of the states above.
func (s State) Valid() bool {
	_, ok := next[s]
	return ok && s != ""
}

// Settled reports whether nothing is under way for a host in s, so that it has
// no deadline.
func (s State) Settled() bool {
	return s == Seen || s == Ready || s == Failed || s == Retired
}

// Reaches reports whether the transition table leads from s to to in one step.
func (s State) Reaches(to State) bool { return slices.Contains(next[s], to) }

// Advance returns h in the state to, entered at now. It is the only function
// that changes a state. ErrTransition is wrapped when the table has no such
// step.
func (h Host) Advance(to State, now time.Time) (Host, error) {
	if !h.State.Reaches(to) {
		return h, fmt.Errorf("%s: %w from %s to %s", h.Label(), ErrTransition, h.State, to)
	}
	h.State = to
	h.Since = now
	h.Deadline = time.Time{}
	h.Progress = Progress{}
	h.Failure = nil
	h.Lost = time.Time{}
	if to != Seen {
		h.Held, h.Strayed = "", false
	}
	if to == Admitted {
		h.ByHand = false
	}
	return h, nil
}

// Fail returns h in Failed, remembering the state that it failed in. The reason
// is for a person: it says what happened and what to do next.
func (h Host) Fail(reason string, now time.Time) (Host, error) {
	in, progress := h.State, h.Progress
	h, err := h.Advance(Failed, now)
	if err != nil {
		return h, err
	}
	h.Failure = &Failure{In: in, Reason: reason}
	h.Progress = progress
	return h, nil
}
