package ansible

import (
	"provision.internal/host"
)

// Recap is what Ansible says at the end of one playbook.
type Recap struct {
	Hosts    map[string]host.Totals `json:"hosts"`
	Failures []Failure              `json:"failures,omitempty"` // for good: neither rescued nor ignored
	Changes  []Change               `json:"changes,omitempty"`  // what was changed, or would have been
}

// Failure is one task that has failed on one host, or did not reach it.
type Failure struct {
	Play        string `json:"play"`
	Task        string `json:"task"`
	Host        string `json:"host"`
	Message     string `json:"message"`
	Unreachable bool   `json:"unreachable,omitempty"`
}

// Change is one task that has changed something on one host.
type Change struct {
	Play string `json:"play"`
	Task string `json:"task"`
	Host string `json:"host"`
}

// Totals are the sums over all hosts. A job is for one host, whatever its
// inventory calls it.
func (r Recap) Totals() (sum host.Totals) {
	for _, t := range r.Hosts {
		sum = sum.Add(t)
	}
	return sum
}
