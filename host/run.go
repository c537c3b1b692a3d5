package host

import (
	"maps"
	"slices"
	"time"
)

// Cause is why hosts are configured again.
type Cause string

// The causes of a run.
const (
	CauseDispatch Cause = "dispatch" // an operator asked for it
	CauseHook     Cause = "hook"     // a commit was published
	CauseSchedule Cause = "schedule" // against drift
)

// Run is playbooks that are applied to many hosts.
type Run struct {
	ID        string         `json:"id"` // sorts by time
	By        string         `json:"by"`
	Cause     Cause          `json:"cause"`
	Commit    string         `json:"commit,omitempty"`
	Playbooks []string       `json:"playbooks,omitempty"` // empty: each host's own
	Check     bool           `json:"check,omitempty"`     // tell what would change, and change nothing
	Parallel  int            `json:"parallel"`            // hosts at a time
	Began     time.Time      `json:"began"`
	Ended     time.Time      `json:"ended,omitzero"`
	Cancelled string         `json:"cancelled,omitempty"` // by whom
	Hosts     []string       `json:"hosts,omitempty"`     // names, sorted
	Of        int            `json:"of"`                  // how many they are
	Tally     map[Result]int `json:"tally,omitempty"`     // hosts by result
}

// Over reports whether nothing more will happen in r.
func (r Run) Over() bool { return !r.Ended.IsZero() }

// Bad reports how many hosts are not as the run was to make them.
func (r Run) Bad() int { return r.Tally[ResultFailed] + r.Tally[ResultUnreachable] }

// Clone returns a copy of r that shares nothing with it.
func (r Run) Clone() Run {
	r.Playbooks, r.Hosts, r.Tally = slices.Clone(r.Playbooks), slices.Clone(r.Hosts), maps.Clone(r.Tally)
	return r
}

// Result is how a host fares in a run.
type Result string

// The results. The first two are not final.
const (
	ResultWaiting     Result = "waiting"
	ResultRunning     Result = "running"
	ResultOK          Result = "ok" // nothing had to be changed
	ResultChanged     Result = "changed"
	ResultFailed      Result = "failed"
	ResultUnreachable Result = "unreachable" // nothing ran on it
	ResultCancelled   Result = "cancelled"
)

// Final reports whether r is a host's last result in its run.
func (r Result) Final() bool { return r != ResultWaiting && r != ResultRunning }

// Row is one host in a run.
type Row struct {
	Run      string    `json:"run"`
	Host     string    `json:"host"`
	Result   Result    `json:"result"`
	Playbook string    `json:"playbook,omitempty"` // that runs, or ran last
	Reason   string    `json:"reason,omitempty"`   // for a person: what it waits for, or why it failed
	Job      string    `json:"job,omitempty"`      // of Playbook, in Nomad
	Totals   Totals    `json:"totals,omitzero"`
	Changes  []string  `json:"changes,omitempty"`  // tasks that changed something, or would
	Failures []string  `json:"failures,omitempty"` // tasks and what they said
	Drift    []string  `json:"drift,omitempty"`    // changes in playbooks that the same commit had been applied by before
	Page     string    `json:"page,omitempty"`     // in ARA
	Began    time.Time `json:"began,omitzero"`     // of its first playbook
	Ended    time.Time `json:"ended,omitzero"`
}

// Took is how long r took, or takes until now; zero before its beginning.
func (r Row) Took(now time.Time) time.Duration {
	switch {
	case r.Began.IsZero():
		return 0
	case r.Ended.IsZero():
		return now.Sub(r.Began)
	}
	return r.Ended.Sub(r.Began)
}

// Standing is what is remembered of a host's runs.
type Standing struct {
	Host    string            `json:"host"`
	Applied map[string]string `json:"applied,omitempty"` // by playbook, the commit that was applied last, in success
	Last    *Row              `json:"last,omitempty"`    // that was to change it
	Commit  string            `json:"commit,omitempty"`  // of Last
	Check   *Row              `json:"check,omitempty"`   // the last that was not
	Checked string            `json:"checked,omitempty"` // its commit
	Missed  *Row              `json:"missed,omitempty"`  // of a run since Last that did not come to the host, or not to an end
}

// Upkeep is what operators decided on the configuration of all hosts.
type Upkeep struct {
	Commit      string    `json:"commit,omitempty"` // that hosts are to have
	CommitBy    string    `json:"commit_by,omitempty"`
	CommitAt    time.Time `json:"commit_at,omitzero"`
	Paused      bool      `json:"paused"`
	PausedUntil time.Time `json:"paused_until,omitzero"` // zero: until somebody resumes
	PausedBy    string    `json:"paused_by,omitempty"`
	Next        time.Time `json:"next,omitzero"` // when the schedule's next run begins
}

// Holds reports whether the schedule is paused at now.
func (u Upkeep) Holds(now time.Time) bool {
	return u.Paused && (u.PausedUntil.IsZero() || now.Before(u.PausedUntil))
}
