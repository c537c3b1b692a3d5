package ansible

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"provision.internal/host"
	"provision.internal/nomad"
)

// ErrNoCommit: nothing has been published yet. It passes once a commit is.
var ErrNoCommit = errors.New("no commit of the playbooks has been published yet: run provision config publish, or set config.commit")

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
	if err := r.Possible(run); err != nil {
		return nil, err
	}
	playbooks := run.Playbooks
	if len(playbooks) == 0 {
		playbooks = []string{""}
	}
	var all []Outcome
	for i, playbook := range playbooks {
		o, err := r.one(ctx, t, run, i, playbook)
		if err != nil && !errors.Is(err, nomad.ErrJob) {
			return all, err
		}
		all = append(all, o)
		if run.Done != nil {
			run.Done(o)
		}
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// Possible reports why run cannot begin yet: an image without a commit has no
// name.
func (r *Runner) Possible(run Run) error {
	if run.Commit == "" && len(run.Playbooks) > 0 && r.Config.DriverName() == Docker {
		return ErrNoCommit
	}
	return nil
}

// one runs the i-th playbook.
func (r *Runner) one(ctx context.Context, t Target, run Run, i int, playbook string) (Outcome, error) {
	var seen reading
	job := nomad.Job{
		Host: t.Host, Role: t.Role, Meta: t.Meta, Attempt: run.attempt(i), Play: r.Config.play(run.Commit, playbook, run.Check),
		Template: t.Template, Deadline: r.Config.Within(), Output: seen.read,
	}
	if t.Template == "" && !r.Own && playbook != "" {
		job.Text = r.Config.Template()
	}
	if run.Progress != nil {
		job.Progress = func(text string) { run.Progress(playbook, text) }
	}
	result, err := r.Nomad.RunJob(ctx, job)
	if err != nil && !errors.Is(err, nomad.ErrJob) {
		return Outcome{}, err
	}
	o := Outcome{
		Playbook: playbook, Job: result.JobID, Began: result.Began, Ended: result.Ended, Recap: seen.recap, Page: r.Config.page(result.JobID),
	}
	logs := result.Logs
	if playbook != "" && seen.err != ErrNoRecap {
		logs = withoutStdout(logs)
	}
	o.Log = logOf(o.Recap, logs)
	why := ""
	switch {
	case o.Recap != nil && o.Recap.Totals().Bad():
		// Of a job that left one to itself, whatever its exit code says.
		why = o.Recap.failure()
	case err != nil:
		why = unexplained(err, playbook, seen.err, logs)
	case playbook != "" && o.Recap == nil:
		o.Log = append(o.Log, "its exit code says that it has succeeded; what it changed is not known: "+seen.why(result.Unread))
	}
	if why == "" {
		return o, nil
	}
	if playbook != "" {
		why = "playbook " + playbook + ": " + why
	}
	o.Failure = why
	return o, fmt.Errorf("%w: %s", nomad.ErrJob, why)
}

// attempt names the i-th job of the run.
func (run Run) attempt(i int) string {
	if len(run.Playbooks) == 0 {
		return run.Attempt
	}
	return fmt.Sprintf("%s-%d", run.Attempt, i+1)
}

// Stop stops what a Run has started and nobody waits for any more. What never
// started or has ended is left as it is.
func (r *Runner) Stop(ctx context.Context, name string, run Run) error {
	var faults []error
	for i := range max(1, len(run.Playbooks)) {
		faults = append(faults, r.Nomad.StopJob(ctx, nomad.Job{Host: name, Attempt: run.attempt(i)}.ID()))
	}
	return errors.Join(faults...)
}

// Record is what is kept of a run that was to change the host.
func Record(commit string, outcomes []Outcome, ended time.Time) host.Configuration {
	c := host.Configuration{Commit: commit, Ended: ended}
	for _, o := range outcomes {
		p := host.Played{Playbook: o.Playbook, Job: o.Job, Ended: o.Ended, Page: o.Page, Recap: o.Recap != nil}
		if o.Recap != nil {
			p.Totals = o.Recap.Totals()
		}
		c.Playbooks = append(c.Playbooks, p)
		c.Failure = o.Failure
	}
	return c
}

// reading is what the tasks of one job have written: the recap of the last one
// that left one.
type reading struct {
	recap *Recap
	err   error // of a task that left none
}

func (s *reading) read(_ string, stdout io.Reader) {
	recap, err := Parse(stdout)
	if err != nil {
		s.err = err
		return
	}
	s.recap = &recap
}

// why says why there is no recap; unread is what kept the output from being read.
func (s *reading) why(unread error) string {
	for _, err := range []error{unread, s.err} {
		if err != nil {
			return err.Error()
		}
	}
	return ErrNoRecap.Error()
}
