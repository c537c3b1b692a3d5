package upkeep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"provision.internal/ansible"
	"provision.internal/host"
	"provision.internal/nomad"
)

// play has the playbooks run and keeps what became of them. An outcome that is
// not known is asked for again.
func (m *Manager) play(life, ctx context.Context, l *live, r *row, t Target) {
	order := m.order(l, r, t)
	// Each playbook has its deadline; this one is for a cluster that cannot be
	// asked.
	limit := time.Duration(max(1, len(order.Playbooks)))*m.Config.Within() + time.Minute
	late, stop := context.WithDeadlineCause(ctx, l.row(r).Began.Add(limit), errLate)
	defer stop()
	for {
		outcomes, err := m.Runner.Run(late, t.Target, order)
		if err == nil || errors.Is(err, nomad.ErrJob) {
			m.finish(life, l, r, t, outcomes, err)
			return
		}
		if late.Err() == nil {
			m.Log.Warn("a host does not get on, will try again", "host", r.Host, "run", order.Attempt, "err", err)
			l.update(r, func(r *host.Row) { r.Reason = cut(err.Error()) })
			sleep(late, m.Tick)
		}
		if late.Err() == nil {
			continue
		}
		if life.Err() != nil {
			return
		}
		reason := context.Cause(late)
		if reason == errLate {
			reason = fmt.Errorf("after %s it is not known how it ended: %w", limit, err)
		}
		m.give(life, l, r, m.abandon(life, r.Host, order, reason))
		return
	}
}

// order is what the runner is told. A host that is gone is taken to have run what
// the configuration has for all.
func (m *Manager) order(l *live, r *row, t Target) ansible.Run {
	order := ansible.Run{
		Attempt: l.run.ID, Commit: l.run.Commit, Playbooks: l.run.Playbooks, Check: l.run.Check,
		Progress: func(playbook, text string) {
			l.update(r, func(r *host.Row) { r.Playbook, r.Reason = playbook, text })
		},
		Done: func(o ansible.Outcome) {
			l.update(r, func(r *host.Row) { r.Playbook, r.Job = o.Playbook, o.Job })
		},
	}
	if len(order.Playbooks) == 0 {
		order.Playbooks = t.Playbooks
	}
	if len(order.Playbooks) == 0 {
		order.Playbooks = m.Config.Playbooks
	}
	return order
}

// abandon stops what nobody waits for any more: left alone it would go on changing
// the host. It returns why, and what came in the way.
func (m *Manager) abandon(life context.Context, name string, order ansible.Run, why error) error {
	if life.Err() != nil {
		return why
	}
	ctx, cancel := context.WithTimeout(life, 10*time.Second)
	defer cancel()
	if err := m.Runner.Stop(ctx, name, order); err != nil {
		return fmt.Errorf("%w; and it could not be stopped: %w", why, err)
	}
	return why
}

// give ends the row of a host on which nothing ran, or not to its end.
func (m *Manager) give(life context.Context, l *live, r *row, err error) {
	if life.Err() != nil {
		return
	}
	result := host.ResultFailed
	var left *skip
	var gone *away
	switch {
	case errors.Is(err, errCancelled):
		result, err = host.ResultCancelled, fmt.Errorf("taken back by %s", l.snapshot().Cancelled)
	case errors.As(err, &left):
		result = host.ResultCancelled
	case errors.As(err, &gone), errors.Is(err, errLeft):
		result = host.ResultUnreachable
	}
	ended := l.row(r)
	ended.Result, ended.Reason, ended.Ended = result, cut(err.Error()), m.now()
	var standing *host.Standing
	if t, ok := m.Target(r.Host); ok && result != host.ResultCancelled {
		s := m.standing(t)
		s.Missed, standing = &ended, &s
	}
	if !m.insist(life, "the row of "+r.Host, func() error { return m.Store.KeepRow(ended, standing) }) {
		return
	}
	if standing != nil {
		m.mu.Lock()
		m.standings[r.Host] = *standing
		m.mu.Unlock()
	}
	l.update(r, func(r *host.Row) { *r = ended })
}
