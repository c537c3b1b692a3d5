package upkeep

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"time"

	"provision.internal/ansible"
	"provision.internal/host"
)

// schedule begins the next turn of all hosts when it is due, and returns when to
// look again; never when zero. There is one such run at a time.
func (m *Manager) schedule(ctx context.Context) time.Time {
	every := m.Config.Schedule.Every
	if every <= 0 {
		return time.Time{}
	}
	targets := m.Targets()
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	for _, l := range m.runs {
		if l.snapshot().Cause == host.CauseSchedule {
			return time.Time{} // its end wakes us
		}
	}
	u := m.decided
	if u.Next.IsZero() || u.Next.After(now.Add(every)) { // new, or the configuration was changed
		u.Next = now.Add(every)
	}
	switch {
	case u.Holds(now):
		return u.PausedUntil
	case u.Paused: // its time is over
		u.Paused, u.PausedUntil, u.PausedBy = false, time.Time{}, ""
	}
	if !now.Before(u.Next) {
		// What is missing now may be there at the next turn, and is told meanwhile.
		if err := m.beginTurn(targets); err != nil {
			m.Log.WarnContext(ctx, "hosts are not configured at their time", "err", err)
		}
		u.Next = now.Add(every)
	}
	if u != m.decided {
		if err := m.decide(u); err != nil {
			m.Log.ErrorContext(ctx, "the schedule is not stored, will try again", "err", err)
			return now.Add(m.Tick)
		}
	}
	return u.Next
}

// beginTurn is called with the lock held.
func (m *Manager) beginTurn(targets []Target) error {
	if len(targets) == 0 {
		return nil
	}
	commit := m.commit()
	if err := m.checkCommit(commit); err != nil {
		return err
	}
	run := host.Run{By: "schedule", Cause: host.CauseSchedule, Commit: commit, Parallel: m.Config.Schedule.Width()}
	for _, t := range targets {
		run.Hosts = append(run.Hosts, t.Host)
	}
	_, err := m.start(run)
	return err
}

// gate returns when a host's time in a scheduled run has come and the schedule is
// not paused.
func (m *Manager) gate(ctx context.Context, began time.Time, run, name string, waits func(string, ...any)) error {
	at := began.Add(spread(run, name, m.Config.Schedule.Jitter))
	for {
		m.mu.Lock()
		u, news := m.decided, m.news
		m.mu.Unlock()
		now := m.Now()
		var again time.Time
		switch {
		case now.Before(at):
			again = at
			waits("its time is %s", at.Local().Format("15:04:05"))
		case u.Holds(now):
			again = u.PausedUntil
			waits("the schedule is paused by %s", u.PausedBy)
		default:
			return nil
		}
		var due <-chan time.Time
		if !again.IsZero() {
			t := time.NewTimer(again.Sub(now))
			defer t.Stop() // a few, at most one for each decision of an operator
			due = t.C
		}
		select {
		case <-due:
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// spread is when in a run a host's time comes. It is the same after a restart,
// and another one in the next run.
func spread(run, name string, jitter time.Duration) time.Duration {
	if jitter <= 0 {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(run + "/" + name)) // cannot fail
	// FNV's upper bits hardly differ between short names: mix them.
	sum := h.Sum64()
	sum = (sum ^ sum>>33) * 0xff51afd7ed558ccd
	return time.Duration((sum ^ sum>>33) % uint64(jitter))
}

// Pause holds the schedule: hosts whose time comes are not configured, those that
// are under way go on, and dispatches go on. It ends after d, or with Resume when
// d is zero.
func (m *Manager) Pause(d time.Duration, by string) (host.Upkeep, error) {
	if d < 0 {
		return host.Upkeep{}, fmt.Errorf("%w: to pause for %s: want a time from now on", ErrInvalid, d)
	}
	return m.change(func(u *host.Upkeep) {
		u.Paused, u.PausedBy, u.PausedUntil = true, by, time.Time{}
		if d > 0 {
			u.PausedUntil = m.now().Add(d)
		}
	})
}

// Resume ends a pause. A turn that would have begun meanwhile begins now.
func (m *Manager) Resume() (host.Upkeep, error) {
	return m.change(func(u *host.Upkeep) { u.Paused, u.PausedBy, u.PausedUntil = false, "", time.Time{} })
}

// SetCommit decides which commit hosts are to have. It applies nothing: a
// dispatch does, and the schedule from its next turn on.
func (m *Manager) SetCommit(commit, by string) (host.Upkeep, error) {
	if err := ansible.CheckCommit(commit); err != nil {
		return host.Upkeep{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return m.change(func(u *host.Upkeep) { u.Commit, u.CommitBy, u.CommitAt = commit, by, m.now() })
}

func (m *Manager) change(f func(*host.Upkeep)) (host.Upkeep, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.decided
	f(&u)
	if err := m.decide(u); err != nil {
		return host.Upkeep{}, err
	}
	m.nudge()
	u.Commit = m.commit()
	return u, nil
}

// decide is called with the lock held.
func (m *Manager) decide(u host.Upkeep) error {
	if err := m.Store.KeepUpkeep(u); err != nil {
		return err
	}
	m.decided = u
	close(m.news)
	m.news = make(chan struct{})
	return nil
}

// Commit is the one that hosts are to have: that was published last, or else the
// configuration's. It is empty when there is none.
func (m *Manager) Commit() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.commit()
}

// Changed returns a channel that is closed when Commit may answer otherwise.
func (m *Manager) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.news
}

// commit is called with the lock held.
func (m *Manager) commit() string { return cmp.Or(m.decided.Commit, m.Config.Commit) }
