package upkeep

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"provision.internal/host"
)

// Why the work on a host ends before its time.
var (
	errCancelled = errors.New("the run was taken back")
	errLeft      = errors.New("the host is not Ready any more")
	errLate      = errors.New("the deadline has passed")
	errAway      = errors.New("the node was waited for long enough")
)

// begin gives every host of the run that is not done a goroutine of its own. They
// wait for their turns without holding anything of another host.
func (m *Manager) begin(ctx context.Context, work *sync.WaitGroup, l *live) {
	runCtx, cancel := context.WithCancelCause(ctx)
	l.mu.Lock()
	l.cancel = cancel
	if l.run.Cancelled != "" {
		cancel(errCancelled)
	}
	var pending []*row
	for _, r := range l.rows {
		if !r.Result.Final() {
			pending = append(pending, r)
		}
	}
	l.mu.Unlock()
	var all sync.WaitGroup
	for _, r := range pending {
		all.Go(func() { m.course(ctx, runCtx, l, r) })
	}
	work.Go(func() {
		all.Wait()
		cancel(nil)
		m.end(ctx, l)
	})
}

// end makes the end of a run durable, unless the appliance ends first.
func (m *Manager) end(life context.Context, l *live) {
	l.mu.Lock()
	left := l.left
	l.mu.Unlock()
	if left > 0 {
		return // the next manager goes on
	}
	over := l.snapshot()
	over.Ended = m.now()
	if !m.insist(life, "run "+over.ID, func() error { return m.Store.KeepRun(over) }) {
		return
	}
	m.mu.Lock()
	delete(m.runs, over.ID)
	m.mu.Unlock()
	l.mu.Lock()
	l.run.Ended = over.Ended
	l.tell()
	l.mu.Unlock()
	m.Log.Info("run has ended", "run", over.ID, "cause", over.Cause, "commit", over.Commit, "took", over.Ended.Sub(over.Began),
		"ok", over.Tally[host.ResultOK], "changed", over.Tally[host.ResultChanged], "failed", over.Bad())
	m.nudge()
}

// insist repeats f until it succeeds or life ends: a full disk is waited for.
func (m *Manager) insist(life context.Context, what string, f func() error) bool {
	for {
		err := f()
		if err == nil {
			return true
		}
		m.Log.Error("not stored, will try again", "what", what, "err", err)
		if !sleep(life, m.Tick) {
			return false
		}
	}
}

func sleep(ctx context.Context, d time.Duration) (slept bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// course takes one host through the run. life ends with the appliance: the host's
// row is then left as it is. ctx ends with the run, too.
func (m *Manager) course(life, ctx context.Context, l *live, r *row) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l.mu.Lock()
	r.cancel = cancel
	resumed := r.Result == host.ResultRunning
	l.mu.Unlock()
	defer func() {
		if r.turn != nil {
			m.turns.leave(r.turn)
		}
	}()

	target, release, err := m.place(ctx, l, r, resumed)
	if err != nil {
		if resumed {
			err = m.abandon(life, r.Host, m.order(l, r, target), err)
		}
		m.give(life, l, r, err)
		return
	}
	defer release()
	if !resumed {
		l.update(r, func(r *host.Row) { r.Result, r.Reason, r.Began = host.ResultRunning, "", m.now() })
		if !m.insist(life, "the row of "+r.Host, func() error { return m.Store.KeepRow(l.row(r), nil) }) {
			return
		}
	}
	m.play(life, ctx, l, r, target)
}

// place returns when the host's turn has come, its node is ready and there is
// room for it. r.turn is set then.
func (m *Manager) place(ctx context.Context, l *live, r *row, resumed bool) (Target, func(), error) {
	waits := func(format string, args ...any) {
		l.update(r, func(r *host.Row) {
			if r.Result == host.ResultWaiting {
				r.Reason = fmt.Sprintf(format, args...)
			}
		})
	}
	scheduled := l.run.Cause == host.CauseSchedule && !resumed
	for {
		if scheduled {
			if err := m.gate(ctx, l.run.Began, l.run.ID, r.Host, waits); err != nil {
				return Target{}, nil, err
			}
			var has string
			if r.turn, has = m.turns.try(r.Host, "run "+l.run.ID); r.turn == nil {
				return Target{}, nil, skipf("%s is on it", has)
			}
		}
		if err := m.turns.wait(ctx, r.turn, func(has string) { waits("%s is on it", has) }); err != nil {
			return Target{}, nil, err
		}
		target, ok := m.Target(r.Host)
		if !ok {
			return Target{}, nil, errLeft
		}
		if !resumed {
			if err := m.ready(ctx, r.Host, func() { waits("waiting for its node") }); err != nil {
				return target, nil, err
			}
		}
		release, err := m.room(ctx, l, func() { waits("%d hosts are configured at a time", l.run.Parallel) })
		if err != nil {
			return target, nil, err
		}
		if !scheduled {
			return target, release, nil
		}
		// What was decided while it waited counts.
		m.mu.Lock()
		commit, paused := m.commit(), m.decided.Holds(m.Now())
		m.mu.Unlock()
		switch {
		case commit != l.run.Commit:
			release()
			return target, nil, skipf("commit %s is to be applied meanwhile", commit)
		case !paused:
			return target, release, nil
		}
		release()
		m.turns.leave(r.turn)
		r.turn = nil
	}
}

// ready waits for the node, but not for ever. tell is called when there is
// something to wait for.
func (m *Manager) ready(ctx context.Context, name string, tell func()) error {
	if m.Ready == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, m.Patience, errAway)
	defer cancel()
	slow := time.AfterFunc(time.Second, tell)
	defer slow.Stop()
	if err := m.Ready(ctx, name); err != nil {
		if context.Cause(ctx) == errAway {
			why := strings.TrimSuffix(err.Error(), ": "+errAway.Error())
			return &away{fmt.Errorf("%s; it was waited for %s", why, m.Patience)}
		}
		return context.Cause(ctx)
	}
	return nil
}

// away is why nothing could run on a host.
type away struct{ error }

// skip is why a host is left out.
type skip struct{ reason string }

func (s *skip) Error() string { return s.reason }

func skipf(format string, args ...any) error { return &skip{fmt.Sprintf(format, args...)} }

// room takes one of the run's places. It is given back by release, or by itself
// when the host takes very long.
func (m *Manager) room(ctx context.Context, l *live, tell func()) (release func(), err error) {
	select {
	case l.slots <- struct{}{}:
	default:
		tell()
		select {
		case l.slots <- struct{}{}:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	give := sync.OnceFunc(func() { <-l.slots })
	if ctx.Err() != nil { // both came: nothing begins any more
		give()
		return nil, context.Cause(ctx)
	}
	loan := time.AfterFunc(m.Loan, give)
	return func() {
		loan.Stop()
		give()
	}, nil
}
