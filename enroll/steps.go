package enroll

import (
	"context"
	"errors"
	"fmt"

	"provision.internal/host"
	"provision.internal/nomad"
)

// step returns what leads out of a state; nil where that is not the
// reconciler's to do.
func step(s host.State) func(*Reconciler, context.Context, host.Host) error {
	switch s {
	case host.Booted:
		return (*Reconciler).join
	case host.Joined:
		return (*Reconciler).configure
	case host.Configured:
		return (*Reconciler).admit
	}
	return nil
}

// configure runs the configuration job and keeps what it wrote.
func (r *Reconciler) configure(ctx context.Context, h host.Host) error {
	job := r.job(h)
	job.Progress = func(text string) {
		// For display only: a store that cannot be written shows soon enough.
		if err := r.progress(h, "job", text); err != nil && !errors.Is(err, errMoved) {
			r.Log.WarnContext(ctx, "progress not stored", "host", h.Label(), "mac", h.MAC, "err", err)
		}
	}
	result, err := r.Nomad.RunJob(ctx, job)
	var lines []string
	for _, l := range result.Logs {
		for _, line := range l.Lines {
			lines = append(lines, l.Task+" "+l.Stream+": "+line)
		}
	}
	if len(lines) > 0 {
		if err := r.Store.Log(h.MAC, lines); err != nil {
			return fmt.Errorf("store the job's log: %w", err)
		}
	}
	if err != nil {
		if last := nomad.Last(result.Logs); last != "" && errors.Is(err, nomad.ErrJob) {
			err = fmt.Errorf("%w; its last line: %s (provision logs %s has more)", err, last, h.Name)
		}
		return err
	}
	return r.advance(h, host.Configured, "job "+result.JobID+" has succeeded", nil)
}

// job names the attempt by the grant that installed the host and the moment at
// which it joined. Both are in the store: an appliance that was killed in the
// middle finds the job that it started, and an operator's retry, which joins
// anew, makes a new one.
func (r *Reconciler) job(h host.Host) nomad.Job {
	attempt := fmt.Sprint(h.Since.UnixMilli())
	if h.Grant != nil && h.Grant.ID != "" {
		attempt = h.Grant.ID[:min(8, len(h.Grant.ID))] + "-" + attempt
	}
	j := nomad.Job{Host: h.Name, Role: h.Role, Attempt: attempt}
	if r.Meta != nil {
		j.Meta = r.Meta(h)
	}
	if r.Template != nil {
		j.Template = r.Template(h)
	}
	return j
}

// change applies f to h, unless h has left its state since it was read.
func (r *Reconciler) change(h host.Host, cause string, f func(*host.Host) error) error {
	_, err := r.Store.Change(h.MAC, actor, cause, func(current *host.Host) error {
		if current.State != h.State || !current.Since.Equal(h.Since) {
			return errMoved
		}
		return f(current)
	})
	return err
}

func (r *Reconciler) advance(h host.Host, to host.State, cause string, more func(*host.Host)) error {
	return r.change(h, cause, func(h *host.Host) (err error) {
		if more != nil {
			more(h)
		}
		*h, err = h.Advance(to, r.now())
		return err
	})
}

func (r *Reconciler) progress(h host.Host, step, text string) error {
	return r.change(h, text, func(h *host.Host) error {
		h.Progress = host.Progress{Step: step, Text: text}
		return nil
	})
}

// fail ends h's journey. A store that cannot be written now is tried again with
// the next look.
func (r *Reconciler) fail(h host.Host, reason string) {
	err := r.change(h, reason, func(h *host.Host) (err error) {
		*h, err = h.Fail(reason, r.now())
		return err
	})
	if err != nil && !errors.Is(err, errMoved) {
		r.Log.Error("failure not stored, will try again", "host", h.Label(), "mac", h.MAC, "state", h.State, "err", err)
	}
}
