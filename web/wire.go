package web

import (
	"time"

	"provision.internal/host"
)

// Enroll asks to admit a machine. Name is required. MAC and Role may be left
// out where the configuration's hosts section has them; MAC also when exactly
// one machine is Seen.
//
// With Port and without anything that says which machine is meant, the next one
// on that port is: see host.Admission. Name may then be left out, too, and is the
// port's. For a machine that is known, Port says that it belongs there.
type Enroll struct {
	Name string   `json:"name"`
	MAC  host.MAC `json:"mac,omitzero"`
	Port string   `json:"port,omitempty"`
	Role string   `json:"role,omitempty"`
	// Disk is the serial of the disk to install on, or both of a mirror with a
	// comma between. Naming it here, and only here, also allows a foreign RAID,
	// LUKS, LVM, ZFS or Ceph signature on it to be wiped.
	Disk string `json:"disk,omitempty"`
	// NewMachine accepts that another machine answers under a known MAC.
	NewMachine bool `json:"new_machine,omitempty"`
}

// Reinstall asks for a new grant for a host that has been installed before.
// Confirm must repeat the host's name or MAC: the disk will be wiped.
type Reinstall struct {
	Confirm string `json:"confirm"`
	Role    string `json:"role,omitempty"` // empty keeps the role
	Disk    string `json:"disk,omitempty"` // empty keeps the disk; see Enroll
	// Snapshot is the one that the packages are to be of; empty means the newest.
	Snapshot string `json:"snapshot,omitempty"`
}

// Result is the host after a request, and whether the request changed it.
// Instead of the host it is a standing admission, when that is what was made or
// cancelled.
type Result struct {
	Host      host.Host       `json:"host,omitzero"`
	Admission *host.Admission `json:"admission,omitempty"`
	Changed   bool            `json:"changed"`
}

// Query selects events. The zero value selects all of them.
type Query struct {
	Host  string    // name or MAC
	After uint64    // only events with a higher ID
	Since time.Time // only events at or after it
	Tail  int       // only the last so many
}

// Update is one line of the event stream. A line with neither field is a
// heartbeat: it says that the connection is alive.
type Update struct {
	Event *host.Event `json:"event,omitempty"`
	Host  *host.Host  `json:"host,omitempty"` // its state now, after all events sent before
}

// Image is one boot file that the appliance serves, or waits for.
type Image struct {
	Name   string    `json:"name"`
	Kind   string    `json:"kind"`           // "loader", "installer"
	Arch   string    `json:"arch,omitempty"` // as XBPS calls it
	Hash   string    `json:"sha256,omitempty"`
	Size   int64     `json:"size,omitempty"`
	Source string    `json:"source,omitempty"` // where it comes from, for a person
	State  string    `json:"state"`            // "ready", "assembling", "failed"
	Error  string    `json:"error,omitempty"`
	Since  time.Time `json:"since,omitzero"`
}

// Version says what runs.
type Version struct {
	Version string `json:"version"`
	Go      string `json:"go"`
}

// Status is the appliance at a glance.
type Status struct {
	Version  Version            `json:"version"`
	PID      int                `json:"pid"`
	Started  time.Time          `json:"started"`
	Address  string             `json:"address"` // that machines reach it at
	State    string             `json:"state"`   // folder
	Hosts    map[host.State]int `json:"hosts"`
	Parts    []Part             `json:"parts"`
	Counters map[string]uint64  `json:"counters,omitempty"`
}

// Part is one server inside the daemon.
type Part struct {
	Name   string `json:"name"`
	Listen string `json:"listen,omitempty"`
	Note   string `json:"note,omitempty"`
}

// The API's paths.
const (
	pathHosts   = "/v1/hosts"
	pathHost    = "/v1/hosts/{ref}"
	pathEnroll  = "/v1/enroll"
	pathAgain   = "/v1/hosts/{ref}/reinstall"
	pathRetire  = "/v1/hosts/{ref}/retire"
	pathEvents  = "/v1/events"
	pathStands  = "/v1/admissions"
	pathImages  = "/v1/images"
	pathStatus  = "/v1/status"
	pathVersion = "/v1/version"
)
