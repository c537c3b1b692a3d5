package ansible

import (
	"errors"
	"slices"

	"provision.internal/host"
)

// ErrNoRecap: the output has no recap. Ansible ended before it ran anything, or
// something else wrote the output.
var ErrNoRecap = errors.New("it left no recap")

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

// maxEntries bounds each list of a recap.
const maxEntries = 200

// maxFailures bounds how many failed tasks are looked at, among them those that
// were rescued or ignored.
const maxFailures = 2000

// recap is what remains of a whole document. The document does not tell which
// failures were rescued or ignored. The totals say how many were not, and a host
// does nothing more after such a one, so that they are its last.
func (d *document) recap() Recap {
	r := Recap{Hosts: d.hosts, Changes: d.changes}
	left := map[string]int{}
	for name, t := range r.Hosts {
		left[name] = t.Failed + t.Unreachable
	}
	for _, f := range slices.Backward(d.failures) {
		if left[f.Host] > 0 && len(r.Failures) < maxEntries {
			left[f.Host]--
			r.Failures = append(r.Failures, f)
		}
	}
	slices.Reverse(r.Failures)
	return r
}
