package commit

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"provision.internal/router"
)

// Outcome is what became of a commit.
type Outcome string

const (
	Pending    Outcome = "pending"     // under way, waiting for a person, or not resolved yet
	Confirmed  Outcome = "confirmed"   // the router is as planned, read and checked
	RolledBack Outcome = "rolled-back" // the router is as it was before, as was read
	Unknown    Outcome = "unknown"     // it reads as neither, or cannot be read
	Failed     Outcome = "failed"      // ended before anything was changed
	Unchanged  Outcome = "unchanged"   // there was nothing to change; not kept
)

// Phase is how far a pending commit came. A later start decides by it.
type Phase string

const (
	Preparing  Phase = "preparing"    // nothing is changed yet, but the dead-man may be there
	Applying   Phase = "applying"     // some of the plan may be on the router
	Waiting    Phase = "waiting"      // applied and checked, waits for a person
	Confirming Phase = "confirming"   // everything agrees; only the release is missing
	Rolling    Phase = "rolling-back" // to be the state before, whatever was before
	Settled    Phase = "settled"      // Outcome is final
)

// Commit is one change of the router, as it is kept.
type Commit struct {
	ID       string    `json:"id"` // sorts by time
	By       string    `json:"by"`
	Host     string    `json:"host"` // the appliance
	Began    time.Time `json:"began"`
	Ended    time.Time `json:"ended,omitzero"`
	Deadline time.Time `json:"deadline,omitzero"` // when it is rolled back unless confirmed
	Summary  string    `json:"summary"`           // of the plan, in one line
	Outcome  Outcome   `json:"outcome"`
	Phase    Phase     `json:"phase"`
	Reason   string    `json:"reason,omitempty"` // why it is not confirmed
	Notes    []string  `json:"notes,omitempty"`  // what else a person should know
	Checks   []Check   `json:"checks,omitempty"`
	Backup   string    `json:"backup,omitempty"` // file on the router
	Export   string    `json:"export,omitempty"` // file beside the record
}

// Check is one thing that was looked at after the change.
type Check struct {
	Name   string `json:"name"` // "management", "dhcp", "bgp", …
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// record is a Commit with everything that resolving it needs. The file may
// hold secrets of the plan; its mode is 0600.
type record struct {
	Commit
	Plan    router.Plan `json:"plan"`
	Inverse []string    `json:"inverse"` // scripts, in the order in which they run
	Before  Snapshot    `json:"before"`
	After   Snapshot    `json:"after,omitempty"` // once it was read back
	Desired string      `json:"desired"`         // fingerprint of the rows that were wanted
}

// newID is made of the time, to the millisecond, and of something that differs
// between appliances. A takeover makes two commits in one second, and they sort.
func newID(now time.Time) string {
	return fmt.Sprintf("%s-%s", strings.ReplaceAll(now.UTC().Format("20060102T150405.000Z"), ".", ""), rand.Text()[:6])
}

// note adds what a person should know, once.
func (c *Commit) note(format string, a ...any) {
	text := fmt.Sprintf(format, a...)
	for _, n := range c.Notes {
		if n == text {
			return
		}
	}
	c.Notes = append(c.Notes, text)
}
