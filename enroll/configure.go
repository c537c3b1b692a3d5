package enroll

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"provision.internal/ansible"
	"provision.internal/host"
	"provision.internal/nomad"
)

// stepJob is the progress of a host that is being configured.
const stepJob = "job"

// configure runs the host's playbooks and keeps what became of them: the recaps
// on the host, the words in its log.
func (r *Reconciler) configure(ctx context.Context, h host.Host) error {
	if r.Turn != nil {
		done, err := r.Turn(ctx, h.Name)
		if err != nil {
			return err
		}
		defer done()
	}
	target, run, err := r.awaitOrder(ctx, h)
	if err != nil {
		return err
	}
	run.Progress = func(playbook, text string) {
		r.tell(ctx, h, strings.TrimPrefix(playbook+": "+text, ": "))
	}
	outcomes, err := r.runner().Run(ctx, target, run)
	if err != nil && !errors.Is(err, nomad.ErrJob) {
		return err
	}
	var lines []string
	for _, o := range outcomes {
		for _, line := range o.Log {
			lines = append(lines, strings.TrimPrefix(o.Playbook+": "+line, ": "))
		}
	}
	if len(lines) > 0 {
		if err := r.Store.Log(h.MAC, lines); err != nil {
			return fmt.Errorf("store the job's log: %w", err)
		}
	}
	record := ansible.Record(run.Commit, outcomes, r.now())
	if err == nil {
		last := outcomes[len(outcomes)-1].Job
		return r.advance(h, host.Configured, "job "+last+" has succeeded", func(h *host.Host) { h.Configuration = &record })
	}
	if len(lines) > 0 {
		err = fmt.Errorf("%w (provision logs %s has more)", err, h.Name)
	}
	return errors.Join(err, r.change(h, "", func(h *host.Host) error {
		h.Configuration = &record
		return nil
	}))
}

// awaitOrder returns what is to run on h, once that is known: the first commit
// may not be published yet.
func (r *Reconciler) awaitOrder(ctx context.Context, h host.Host) (ansible.Target, ansible.Run, error) {
	for waited := false; ; waited = true {
		changed := signal(r.OrderChanged) // before the question: what changes after it counts
		target, run := r.order(h)
		err := r.runner().Possible(run)
		if err == nil {
			return target, run, nil
		}
		if !waited {
			r.tell(ctx, h, err.Error())
		}
		t := time.NewTimer(r.tick())
		select {
		case <-changed:
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return target, run, fmt.Errorf("%w: %w", err, context.Cause(ctx))
		}
		t.Stop()
	}
}

// order is what runs on h. The attempt is named by the grant that installed the
// host and the moment at which it joined. Both are in the store: an appliance
// that was killed in the middle finds the jobs that it started, and an operator's
// retry, which joins anew, makes new ones.
func (r *Reconciler) order(h host.Host) (ansible.Target, ansible.Run) {
	target, run := ansible.Target{Host: h.Name, Role: h.Role}, ansible.Run{}
	if r.Order != nil {
		target, run = r.Order(h)
	}
	run.Attempt = fmt.Sprint(h.Since.UnixMilli())
	if h.Grant != nil && h.Grant.ID != "" {
		run.Attempt = h.Grant.ID[:min(8, len(h.Grant.ID))] + "-" + run.Attempt
	}
	return target, run
}

func (r *Reconciler) runner() *ansible.Runner {
	if r.Runner != nil {
		return r.Runner
	}
	return &ansible.Runner{Nomad: r.Nomad}
}

// tell shows what goes on. It is for display only: a store that cannot be written
// shows soon enough.
func (r *Reconciler) tell(ctx context.Context, h host.Host, text string) {
	if err := r.progress(h, stepJob, text); err != nil && !errors.Is(err, errMoved) {
		r.Log.WarnContext(ctx, "progress not stored", "host", h.Label(), "mac", h.MAC, "err", err)
	}
}
