package nomad

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/nomad/api"
)

// Job is one run of the configuration job on one host. Host and Attempt
// together name it for ever: the same pair is never run twice while the cluster
// remembers it.
type Job struct {
	Host    string // node name
	Role    string
	Meta    map[string]string
	Attempt string
	Play    Play // what it runs, as templates see it

	// Template is the file to render. Text is rendered in its place when set, and
	// the configuration's nomad.job when both are empty.
	Template string
	Text     string

	// Deadline bounds the run, its wait for the node and its drivers included;
	// there is none when zero. What has not ended by then is stopped.
	Deadline time.Duration

	// Progress, when set, hears what is going on, in words for a person.
	Progress func(text string)
	// Output, when set, reads what a task has written to its standard output, from
	// the start, once the run has succeeded or failed by itself. It is called for each task, and
	// again when the connection broke. ErrOutput is what it reads when that is too
	// large.
	Output func(task string, stdout io.Reader)
}

// ID is the job's ID in the cluster.
func (j Job) ID() string { return "provision-" + j.Host + "-" + j.Attempt }

// Result is what is left of a run.
type Result struct {
	JobID        string
	Began, Ended time.Time // of its tasks; zero when none has
	Logs         []Log     // the ends of the tasks' output, as far as they could be had
	Unread       error     // why Job.Output has not heard everything
}

// lookTime is what it takes to find the outcome of a run whose time is over.
const lookTime = 30 * time.Second

// errOverdue ends the context of a run whose deadline has passed.
var errOverdue = errors.New("its deadline has passed")

// RunJob runs j on the host's node and waits for its end: nil means that every
// task has succeeded. ErrJob is wrapped when the run failed or can never
// happen; any other error means that the outcome is unknown, and RunJob may be
// called again, also by another process: it finds the job that is under way, or
// its outcome, and does not start a second one. When ctx ends the job goes on:
// see StopJob.
func (c *Cluster) RunJob(ctx context.Context, j Job) (Result, error) {
	id := j.ID()
	result := Result{JobID: id}
	progress := j.Progress
	if progress == nil {
		progress = func(string) {}
	}
	// Register interest first: what happens from here on is not missed.
	w, stop := c.view.wait(j.Host, id)
	defer stop()

	job, err := c.jobInfo(ctx, id)
	if err != nil {
		return result, err
	}
	bounded, done := deadline(ctx, j.Deadline, job)
	defer done()
	if job == nil {
		job, err = c.start(bounded, j, progress)
	}
	var v verdict
	if err == nil {
		progress("the configuration job runs")
		v, err = c.await(bounded, j.Host, job, w)
	}
	switch {
	case err != nil && ctx.Err() == nil && errors.Is(err, errOverdue):
		v.failure = fmt.Sprintf("it did not end within %s (%s) and was stopped: raise config.deadline if it needs longer", j.Deadline, cmp.Or(v.waiting, "it was not started"))
	case err != nil:
		return result, err
	}
	result.Began, result.Ended = span(v.allocs)
	result.Logs = c.logs(ctx, v.allocs)
	if v.done && j.Output != nil {
		result.Unread = c.output(ctx, v.allocs, j.Output)
	}
	if v.failure == "" {
		return result, nil
	}
	if !v.ended {
		// What did not end by itself must not start behind our back later.
		if err := c.StopJob(ctx, id); err != nil {
			return result, err
		}
	}
	return result, fmt.Errorf("%w: %s", ErrJob, v.failure)
}

// deadline bounds ctx. The time that a job has had already counts, also when
// another process has started it.
func deadline(ctx context.Context, within time.Duration, job *api.Job) (context.Context, context.CancelFunc) {
	if within <= 0 {
		return context.WithCancel(ctx)
	}
	left := within
	if job != nil && job.SubmitTime != nil {
		// The servers' clock may be wrong: a run is never given more than its time. And
		// it may have ended long ago, which takes a moment to find out.
		left = min(within, max(lookTime, within-time.Since(time.Unix(0, *job.SubmitTime))))
	}
	return context.WithTimeoutCause(ctx, left, errOverdue)
}

// StopJob stops a job that nobody waits for any more. One that is unknown or
// has ended is left as it is.
func (c *Cluster) StopJob(ctx context.Context, id string) error {
	return c.call(ctx, "stop job "+id, func(ctx context.Context) error {
		_, _, err := c.api.Jobs().Deregister(id, false, write(ctx))
		if notFound(err) {
			return nil
		}
		return err
	})
}

// jobInfo returns nil for a job that the cluster does not know.
func (c *Cluster) jobInfo(ctx context.Context, id string) (job *api.Job, err error) {
	err = c.call(ctx, "look up job "+id, func(ctx context.Context) error {
		var err error
		job, _, err = c.api.Jobs().Info(id, query(ctx))
		if notFound(err) {
			job = nil
			return nil
		}
		return err
	})
	return job, err
}

// start renders, checks and registers j.
func (c *Cluster) start(ctx context.Context, j Job, progress func(string)) (*api.Job, error) {
	progress("waiting for the node")
	node, err := c.WaitNode(ctx, j.Host)
	if err != nil {
		return nil, err
	}
	text, err := c.text(j, node)
	if err != nil {
		return nil, err
	}
	var job *api.Job
	err = c.call(ctx, "parse the job", func(ctx context.Context) error {
		// The library's own call takes no context.
		job = new(api.Job)
		_, err := c.api.Raw().Write("/v1/jobs/parse", &api.JobsParseRequest{JobHCL: text, Canonicalize: true}, job, write(ctx))
		if code, body := answer(err); code == 400 {
			return fmt.Errorf("%w: %s: correct the template in nomad.job", ErrJob, body)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := pin(job, j.ID(), node.ID); err != nil {
		return nil, err
	}
	// A job that cannot be placed is not tried again by the cluster, so the
	// drivers come first.
	progress("waiting for the node's task drivers")
	if _, err := c.WaitNode(ctx, j.Host, drivers(job)...); err != nil {
		return nil, err
	}
	err = c.call(ctx, "register job "+j.ID(), func(ctx context.Context) error {
		_, _, err := c.api.Jobs().EnforceRegister(job, 0, write(ctx))
		code, body := answer(err)
		switch {
		case strings.Contains(body, "job already exists"): // our own, when an answer was lost
			return nil
		case code == 400, strings.Contains(body, "occurred:\n"):
			return fmt.Errorf("%w: the cluster refuses it: %s", ErrJob, body)
		}
		return err
	})
	return job, err
}

// pin makes sure that the job is ours, ends by itself, and can run on exactly
// one node, whatever the template says.
func pin(job *api.Job, id, node string) error {
	kind := ""
	if job.Type != nil {
		kind = *job.Type
	}
	switch {
	case kind != api.JobTypeSysbatch && kind != api.JobTypeBatch:
		return fmt.Errorf("%w: its type is %q, which never ends: use sysbatch or batch in nomad.job", ErrJob, kind)
	case job.IsParameterized() || job.IsPeriodic():
		return fmt.Errorf("%w: it is parameterized or periodic, and would not run: remove that block in nomad.job", ErrJob)
	case len(job.TaskGroups) == 0:
		return fmt.Errorf("%w: it has no group: add one in nomad.job", ErrJob)
	}
	job.ID = &id
	// The constraint names the node, in whichever pool it is: while a host is in
	// quarantine that is not the one which its template may name.
	all := api.NodePoolAll
	job.NodePool = &all
	constraint := api.NewConstraint("${node.unique.id}", "=", node)
	if !slices.ContainsFunc(job.Constraints, func(c *api.Constraint) bool { return *c == *constraint }) {
		job.Constraints = append(job.Constraints, constraint)
	}
	return nil
}

func drivers(job *api.Job) (names []string) {
	for _, g := range job.TaskGroups {
		for _, t := range g.Tasks {
			if !slices.Contains(names, t.Driver) {
				names = append(names, t.Driver)
			}
		}
	}
	return names
}

// await waits for the end of a registered job.
func (c *Cluster) await(ctx context.Context, host string, job *api.Job, w *waiter) (verdict, error) {
	for {
		if err := c.refresh(ctx, *job.ID); err != nil {
			return verdict{}, err
		}
		c.view.mu.Lock()
		node, known := c.view.named(host)
		listed := c.view.listed && c.view.trouble == nil
		v := judge(job, c.view.jobs[*job.ID])
		c.view.mu.Unlock()

		switch {
		case v.done:
			return v, nil
		case listed && !known:
			v.failure = "the node was purged while the job ran: reboot the host so that it registers again, and enrol it again"
			return v, nil
		case listed && node.Status == api.NodeStatusDown:
			v.failure = "the node went down while the job ran: look at its console and power, then enrol it again"
			return v, nil
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return v, fmt.Errorf("wait for job %s: %s: %w", *job.ID, v.waiting, context.Cause(ctx))
		}
	}
}

// refresh lists the job when the stream was newly connected: what happened
// before is not in it.
func (c *Cluster) refresh(ctx context.Context, id string) error {
	c.view.mu.Lock()
	stale := c.view.jobs[id].stale
	c.view.jobs[id].stale = false
	c.view.mu.Unlock()
	if !stale {
		return nil
	}
	var evals []*api.Evaluation
	var allocs []*api.AllocationListStub
	err := c.call(ctx, "look up job "+id, func(ctx context.Context) error {
		var err1, err2 error
		evals, _, err1 = c.api.Jobs().Evaluations(id, query(ctx))
		allocs, _, err2 = c.api.Jobs().Allocations(id, true, query(ctx))
		return errors.Join(err1, err2)
	})
	c.view.mu.Lock()
	defer c.view.mu.Unlock()
	if err != nil {
		c.view.jobs[id].stale = true
		return err
	}
	c.view.merge(id, evals, allocs)
	return nil
}
