package upkeep

import (
	"context"
	"errors"
	"maps"
	"strings"

	"provision.internal/ansible"
	"provision.internal/host"
)

// What is kept of one host in one run.
const (
	tasksKept = 20
	textKept  = 300 // characters
)

func cut(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > textKept {
		return string(r[:textKept-1]) + "…"
	}
	return s
}

// finish makes what became of a host durable: its row, where it stands, and with
// the host its last configuration.
func (m *Manager) finish(life context.Context, l *live, r *row, t Target, outcomes []ansible.Outcome, failure error) {
	run := l.snapshot()
	ended := l.row(r)
	ended.Ended = m.now()
	before := m.standing(t)
	after := judge(run, &ended, before, outcomes, failure)
	stored := m.insist(life, "the row of "+r.Host, func() error {
		if !run.Check && !t.MAC.IsZero() {
			conf := ansible.Record(run.Commit, outcomes, ended.Ended)
			_, err := m.Store.Change(t.MAC, "upkeep", "run "+run.ID, func(h *host.Host) error {
				if h.Name == t.Host && h.State == host.Ready {
					h.Configuration = &conf
				}
				return nil
			})
			if err != nil && !errors.Is(err, host.ErrUnknown) {
				return err
			}
		}
		return m.Store.KeepRow(ended, &after)
	})
	if !stored {
		return
	}
	m.mu.Lock()
	m.standings[t.Host] = after
	m.mu.Unlock()
	l.update(r, func(r *host.Row) { *r = ended })
	if ended.Result != host.ResultOK && ended.Result != host.ResultChanged {
		m.Log.Warn("configuration of a host has failed", "host", t.Host, "run", run.ID, "playbook", ended.Playbook, "job", ended.Job, "err", ended.Reason)
	}
	if len(ended.Drift) > 0 {
		m.Log.Info("host had drifted", "host", t.Host, "run", run.ID, "corrected", !run.Check, "changes", len(ended.Drift))
	}
}

// judge fills the row in and returns where the host stands then.
func judge(run host.Run, row *host.Row, before host.Standing, outcomes []ansible.Outcome, failure error) host.Standing {
	after := before
	after.Missed = nil
	after.Applied = maps.Clone(before.Applied)
	if after.Applied == nil {
		after.Applied = map[string]string{}
	}
	row.Reason, row.Totals, row.Changes, row.Failures, row.Drift = "", host.Totals{}, nil, nil, nil
	for _, o := range outcomes {
		row.Playbook, row.Job, row.Page = o.Playbook, o.Job, o.Page
		had, known := before.Applied[o.Playbook]
		if o.Recap != nil {
			row.Totals = row.Totals.Add(o.Recap.Totals())
			for _, c := range o.Recap.Changes {
				text := cut(c.Play + ": " + c.Task)
				row.Changes = append(row.Changes, text)
				if known && had == run.Commit {
					row.Drift = append(row.Drift, text)
				}
			}
			for _, f := range o.Recap.Failures {
				row.Failures = append(row.Failures, cut(f.Play+": "+f.Task+": "+f.Message))
			}
		}
		if run.Check {
			continue
		}
		if o.Failure == "" {
			after.Applied[o.Playbook] = run.Commit
		} else {
			delete(after.Applied, o.Playbook)
		}
	}
	switch {
	case failure != nil && row.Totals.Unreachable > 0:
		row.Result = host.ResultUnreachable
	case failure != nil:
		row.Result = host.ResultFailed
	case row.Totals.Changed > 0:
		row.Result = host.ResultChanged
	default:
		row.Result = host.ResultOK
	}
	if failure != nil {
		row.Reason = cut(failure.Error())
		if n := len(outcomes); n > 0 && outcomes[n-1].Failure != "" {
			row.Reason = cut(outcomes[n-1].Failure)
		}
	}
	row.Changes, row.Failures, row.Drift = first(row.Changes), first(row.Failures), first(row.Drift)
	kept := *row
	if run.Check {
		after.Check, after.Checked = &kept, run.Commit
	} else {
		after.Last, after.Commit = &kept, run.Commit
	}
	return after
}

func first(all []string) []string { return all[:min(len(all), tasksKept)] }

// standing is where a host stands. Its enrolment, when it is newer than what we
// know, begins a new life: the disk was new.
func (m *Manager) standing(t Target) host.Standing {
	m.mu.Lock()
	s := m.standings[t.Host]
	m.mu.Unlock()
	return merge(s, t)
}

func merge(s host.Standing, t Target) host.Standing {
	s.Host = t.Host
	c := t.Configuration
	if c == nil || s.Last != nil && !c.Ended.After(s.Last.Ended) {
		return s
	}
	row := host.Row{Host: t.Host, Result: host.ResultOK, Totals: c.Totals(), Reason: cut(c.Failure), Ended: c.Ended}
	s = host.Standing{Host: t.Host, Applied: map[string]string{}, Last: &row, Commit: c.Commit}
	for i, p := range c.Playbooks {
		row.Playbook, row.Job, row.Page = p.Playbook, p.Job, p.Page
		if c.Failure == "" || i < len(c.Playbooks)-1 {
			s.Applied[p.Playbook] = c.Commit
		}
	}
	switch {
	case c.Failure != "":
		row.Result = host.ResultFailed
	case row.Totals.Changed > 0:
		row.Result = host.ResultChanged
	}
	return s
}
