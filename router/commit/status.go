package commit

import (
	"time"

	"provision.internal/router"
)

// Status is what there is to know about the router's configuration.
type Status struct {
	Router  string    `json:"router"` // address
	Read    time.Time `json:"read"`   // when the router was last read
	Error   string    `json:"error,omitempty"`
	Pending *Commit   `json:"pending,omitempty"`
	Last    *Commit   `json:"last,omitempty"` // the newest that is settled
	Drift   Drift     `json:"drift"`
}

// Drift is how the router differs from the configuration. It is never repaired
// without an operator.
type Drift struct {
	Seen       time.Time          `json:"seen,omitzero"`        // when a difference was first seen
	Operations []router.Operation `json:"operations,omitempty"` // that would make it good
	Foreign    []router.Foreign   `json:"foreign,omitempty"`
	// Unapplied: the configuration was changed since the last commit, so that
	// the difference need not be anybody's doing.
	Unapplied bool           `json:"unapplied,omitempty"`
	Suspects  []router.Trace `json:"suspects,omitempty"` // who changed the router since it was last as it should be
}
