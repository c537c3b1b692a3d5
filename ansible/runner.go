package ansible

import (
	"context"
	"errors"
	"time"

	"provision.internal/host"
	"provision.internal/nomad"
)

// Runner runs playbooks on hosts. Nomad must be set.
type Runner struct {
	Nomad  *nomad.Cluster
	Config Config
	// Own says that the cluster's own template, nomad.job, is used in place of the
	// embedded ones.
	Own bool
}

// Target is the host that playbooks run on.
type Target struct {
	Host     string // node name and inventory name
	Role     string
	Meta     map[string]string
	Template string // the file of the role's own job; empty for none
}

// Run is one configuration of one host.
type Run struct {
	Attempt   string   // with the host it names the run for ever: nomad.Job
	Commit    string   // of the playbooks
	Playbooks []string // in order; none means one run of the job, which need not leave a recap
	Check     bool     // change nothing, tell what would be changed

	// Progress, when set, hears what is going on, in words for a person.
	Progress func(playbook, text string)
	// Done, when set, hears of each playbook as it has ended.
	Done func(Outcome)
}

// Outcome is what is left of one playbook on one host.
type Outcome struct {
	Playbook     string
	Job          string // its ID in Nomad
	Began, Ended time.Time
	Recap        *Recap   // nil when it left none
	Log          []string // for a person; without what tasks said in success
	Page         string   // URL of its records in ARA; empty without
	Failure      string   // for a person; empty when it succeeded
}

// Run runs the playbooks on the target's node one after the other until one
// fails, and returns what became of each. nomad.ErrJob is wrapped when one has
// failed; any other error means that the outcome is unknown, and that Run may be
// called again, also by another process: what is under way is found, what has
// ended is not run again. When ctx ends the job that is under way goes on: see
// Stop.
func (r *Runner) Run(ctx context.Context, t Target, run Run) ([]Outcome, error) {
	return nil, errors.New("not built yet")
}

// Stop stops what a Run has started and nobody waits for any more.
func (r *Runner) Stop(ctx context.Context, host string, run Run) error { return nil }

// Record is what is kept of a run that was to change the host.
func Record(commit string, outcomes []Outcome, ended time.Time) host.Configuration {
	return host.Configuration{Commit: commit, Ended: ended}
}
