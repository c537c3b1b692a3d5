package installer

import (
	"time"

	"provision.internal/host"
)

// The agent's protocol: JSON over TLS (pinned to the appliance's authority),
// POST only, below boot.AgentPath. Every request but hello carries the session
// in "Authorization: Bearer TOKEN". Refusals are {"error": "…"} with status
// 403 (final) or 409 (state changed); 5xx and network faults are worth a retry.
const (
	AgentPrefix  = "/agent/v1/" // boot.AgentPath, which this package may not import
	HelloPath    = "hello"
	GrantPath    = "grant"
	ReportPath   = "report"
	FinishedPath = "finished"
	FailedPath   = "failed"
)

// Hello opens a session. Secret is random, made at the agent's start and kept
// in its memory only: see host.Claim.
type Hello struct {
	MAC       host.MAC       `json:"mac"`
	Secret    string         `json:"secret"`
	Version   string         `json:"version"`
	Inventory host.Inventory `json:"inventory"`
}

// Action is what the agent does after hello.
type Action string

// The actions.
const (
	ActionWait    Action = "wait"    // ask again after RetryAfter seconds
	ActionInstall Action = "install" // take the grant for Disk
	ActionReboot  Action = "reboot"  // nothing to do here: boot from disk
)

// Welcome answers Hello.
type Welcome struct {
	Session    string `json:"session"`
	Action     Action `json:"action"`
	Host       string `json:"host"`
	Disk       string `json:"disk"`        // serial of the disk that the plan will name
	RetryAfter int    `json:"retry_after"` // seconds
	Reason     string `json:"reason"`
}

// TakeGrant asks for the plan. The appliance burns the grant before it answers;
// the same secret may ask again.
type TakeGrant struct {
	Secret string    `json:"secret"`
	UUID   host.UUID `json:"uuid"`
	Disk   string    `json:"disk"`
}

// Report carries progress and log lines. Sequence counts from 1 so that a
// repeated report is stored once.
type Report struct {
	Sequence uint64        `json:"sequence"`
	Progress host.Progress `json:"progress"`
	Lines    []string      `json:"lines"`
}

// Finished says that the disk is bootable; the agent reboots after the answer.
type Finished struct {
	Seconds float64 `json:"seconds"`
}

// Failed says that the install is given up.
type Failed struct {
	Step   string `json:"step"`
	Reason string `json:"reason"`
}

// The first boot's protocol, below boot.EnrolPath.
const (
	EnrolPrefix = "/enrol/v1/" // boot.EnrolPath
	EnrolPath   = "host"
	StatusPath  = "status"
)

// Stage is how far an installed host is on its way into the cluster. The
// appliance decides on it; the host has what belongs to it once it says so.
type Stage string

// The stages. A host has none until it is given its first files.
const (
	StageNone       Stage = ""
	StageFounding   Stage = "founding"   // a server of a cluster that has no leader yet; no client
	StageQuarantine Stage = "quarantine" // a client in the pool where only its configuration job runs
	StageMember     Stage = "member"     // a client in its own pool
)

// Enrol is sent by the installed system from its first boot on, until it is a
// member. Request is a PEM certificate request for the key that the machine made
// itself. An appliance that has nothing new for it holds it up for up to
// EnrolHold.
type Enrol struct {
	Token   string `json:"token"`
	Host    string `json:"host"`
	Request string `json:"request"`
	Stage   Stage  `json:"stage,omitempty"` // that the host has
}

// EnrolHold is the longest time for which an enrolment is held up. It is below the
// agent's own patience with a request.
const EnrolHold = 20 * time.Second

// Enrolled answers Enrol. When Stage is the one that the host has, there is
// nothing new: it asks again, and Waits says for a person what is waited for.
// Else Files are written by the first-boot service before it starts Nomad, or
// starts it again: configuration, certificate, introduction token.
type Enrolled struct {
	Stage       Stage  `json:"stage"`
	Certificate string `json:"certificate,omitempty"`
	CA          string `json:"ca,omitempty"`
	Files       []File `json:"files,omitempty"`
	Waits       string `json:"waits,omitempty"`
}

// Status is what the first boot tells of itself: lines for the host's log, and
// at the end that the host is a member. Like Enrol it is accepted from the key
// alone that used the token; the answer is empty.
type Status struct {
	Token   string   `json:"token"`
	Host    string   `json:"host"`
	Request string   `json:"request"`
	Lines   []string `json:"lines,omitempty"`
	Done    bool     `json:"done,omitempty"` // nothing more is wanted; the service removes itself
}
