package host

import (
	"net/netip"
	"time"
)

// Host is one machine. Its MAC is the key under which it is stored.
type Host struct {
	MAC      MAC        `json:"mac"`
	UUID     UUID       `json:"uuid,omitzero"`      // SMBIOS; zero until the machine has told it
	Name     string     `json:"name,omitempty"`     // hostname, inventory name and Nomad node name; given at admission
	Role     string     `json:"role,omitempty"`     // key of the configuration's roles
	Address  netip.Addr `json:"address,omitzero"`   // last lease
	Platform string     `json:"platform,omitempty"` // what the firmware said it is: see boot.Platform
	Port     string     `json:"port,omitempty"`     // of the router, on which it was found last
	Placed   *Placement `json:"placed,omitempty"`   // the port that serves it; nil when none was moved for it

	State    State     `json:"state"`
	Since    time.Time `json:"since"`             // when State was entered
	Deadline time.Time `json:"deadline,omitzero"` // when State must be left; zero means never
	Failure  *Failure  `json:"failure,omitempty"` // set in Failed only
	Held     string    `json:"held,omitempty"`    // why a Seen host cannot go on
	Strayed  bool      `json:"strayed,omitempty"` // it is held for its port alone
	Progress Progress  `json:"progress,omitzero"` // what goes on inside State

	Grant     *Grant     `json:"grant,omitempty"`     // the last one made
	Session   *Session   `json:"session,omitempty"`   // of the agent that runs on it
	Enrolment *Enrolment `json:"enrolment,omitempty"` // of the system installed last
	Inventory *Inventory `json:"inventory,omitempty"` // as the agent last reported
	Node      string     `json:"node,omitempty"`      // Nomad node ID
	Lost      time.Time  `json:"lost,omitzero"`       // since when the node of a Ready host is away, when that is too long
	Snapshot  string     `json:"snapshot,omitempty"`  // of the packages that it was installed from, or is being
	ByHand    bool       `json:"by_hand,omitempty"`   // installed without the agent: only its operator can enrol it

	Configuration *Configuration `json:"configuration,omitempty"` // the last one; nil before the first

	FirstSeen time.Time `json:"first_seen,omitzero"`
	LastSeen  time.Time `json:"last_seen,omitzero"`
	Asked     time.Time `json:"asked,omitzero"` // when it last asked for a boot file, give or take a minute
}

// Label is how messages call the host: its name, or its MAC before it has one.
func (h Host) Label() string {
	if h.Name != "" {
		return h.Name
	}
	return h.MAC.String()
}

// Arrived reports whether h is where its journey leads: Ready, or Installed when
// nothing of ours goes on from there.
func (h Host) Arrived() bool { return h.State == Ready || h.State == Installed && h.ByHand }

// Failure says in which state a host failed and why.
type Failure struct {
	In     State  `json:"in"`
	Reason string `json:"reason"`
}

// StepEnrol is the step of a host's progress while the appliance cannot give it
// what it needs to enrol.
const StepEnrol = "enrol"

// Progress is the part of a state that is under way, for display only.
type Progress struct {
	Step string `json:"step,omitempty"` // "packages", "grub": constant words
	Text string `json:"text,omitempty"` // what a person reads: "linux6.1-6.1.140_1"
	Done int64  `json:"done,omitempty"`
	Of   int64  `json:"of,omitempty"` // zero when unknown
}
