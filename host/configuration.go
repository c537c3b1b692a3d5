package host

import "time"

// Totals are the sums of Ansible's play recap: how many tasks ended how.
type Totals struct {
	OK          int `json:"ok"`
	Changed     int `json:"changed"`
	Unreachable int `json:"unreachable"`
	Failed      int `json:"failed"`
	Skipped     int `json:"skipped"`
	Rescued     int `json:"rescued"`
	Ignored     int `json:"ignored"`
}

// Add returns the sums of both.
func (t Totals) Add(o Totals) Totals {
	return Totals{
		OK: t.OK + o.OK, Changed: t.Changed + o.Changed, Unreachable: t.Unreachable + o.Unreachable, Failed: t.Failed + o.Failed,
		Skipped: t.Skipped + o.Skipped, Rescued: t.Rescued + o.Rescued, Ignored: t.Ignored + o.Ignored,
	}
}

// Bad reports whether a task has failed for good, or the host was not reached.
func (t Totals) Bad() bool { return t.Failed > 0 || t.Unreachable > 0 }

// Configuration is what is left of the last configuration of a host: one that
// was to change it, and not a check.
type Configuration struct {
	Commit    string    `json:"commit,omitempty"` // of the playbooks; empty when the job has none
	Ended     time.Time `json:"ended"`
	Playbooks []Played  `json:"playbooks,omitempty"` // in the order in which they ran, until the first that failed
	Failure   string    `json:"failure,omitempty"`   // for a person; empty when it succeeded
}

// Totals are those of all playbooks.
func (c Configuration) Totals() (sum Totals) {
	for _, p := range c.Playbooks {
		sum = sum.Add(p.Totals)
	}
	return sum
}

// Played is one playbook that ran.
type Played struct {
	Playbook string    `json:"playbook,omitempty"` // empty when the job has none
	Job      string    `json:"job"`                // its ID in Nomad
	Ended    time.Time `json:"ended,omitzero"`
	Recap    bool      `json:"recap"` // whether it left one: Totals are Ansible's
	Totals   Totals    `json:"totals"`
	Page     string    `json:"page,omitempty"` // URL of its records in ARA
}
