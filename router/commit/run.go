package commit

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"provision.internal/router/ros"
)

// Apply changes the router to what the configuration says, and returns when the
// commit is settled or waits for Confirm. The error is nil when the outcome is
// Confirmed, Unchanged, or Pending for a person; it wraps ErrRolledBack or
// ErrUnknown when the router was touched, and tells why in any case. When ctx
// ends before the commit is settled, it is taken back. Until it is settled
// nobody else changes the router through Device.
//
// While a commit waits, applying the same again with ConfirmWithin makes it
// wait for that long from now; everything else is refused with ErrPending.
// Progress is told to tell, which may be nil.
func (c *Committer) Apply(ctx context.Context, o Options, tell func(Step)) (Commit, error) {
	if tell == nil {
		tell = func(Step) {}
	}
	if h := c.waits(); h != nil {
		return c.again(ctx, h, o)
	}
	if o.ConfirmWithin == 0 {
		return c.turn(ctx, o, tell, nil)
	}
	answer := make(chan reply, 1)
	c.mu.Lock()
	if c.hold == nil {
		c.mu.Unlock()
		return Commit{}, fmt.Errorf("%w: waiting for a person needs the running daemon, `provision serve`", ErrStopped)
	}
	c.hold(func(run context.Context) {
		// Until it waits, the commit ends with its caller, too.
		both, cancel := context.WithCancelCause(run)
		defer cancel(nil)
		stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
		defer stop()
		commit, err := c.turn(both, o, tell, func(waiting Commit) {
			stop()
			answer <- reply{commit: waiting}
		})
		select {
		case answer <- reply{commit, err}:
		default: // was answered when it began to wait
		}
	})
	c.mu.Unlock()
	said := <-answer
	return said.commit, said.err
}

// turn runs a commit with the router for itself. waiting is called when it
// waits for a person.
func (c *Committer) turn(ctx context.Context, o Options, tell func(Step), waiting func(Commit)) (commit Commit, err error) {
	c.busy.Add(1)
	defer c.busy.Add(-1)
	err = c.Device.Exclusive(ctx, "commit by "+o.By, func(conn *ros.Conn) (err error) {
		commit, err = c.commit(ctx, conn, o, tell, waiting)
		c.letGo(commit, err)
		return err
	})
	return commit, explain(err)
}

// Run resolves what an earlier process has left pending, holds commits open
// that wait for a person, and looks for drift. It returns nil when ctx ends;
// a commit that waits is then rolled back.
func (c *Committer) Run(ctx context.Context) error {
	var holding sync.WaitGroup
	c.mu.Lock()
	c.hold = func(f func(context.Context)) { holding.Go(func() { f(ctx) }) }
	c.mu.Unlock()
	defer holding.Wait()
	defer func() {
		c.mu.Lock()
		c.hold = nil
		c.mu.Unlock()
	}()
	for {
		pause := cmp.Or(c.Every, DefaultEvery)
		if c.busy.Load() == 0 {
			if err := c.tick(ctx); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				c.Log.Warn("router", "err", err)
				pause = min(pause, lastRetry)
			}
		}
		if c.sleep(ctx, pause) != nil {
			return nil
		}
	}
}

// tick resolves, or else looks for drift.
func (c *Committer) tick(ctx context.Context) error {
	r, err := journal{c.Dir}.pending()
	if err != nil {
		return err
	}
	if r != nil {
		if err := c.leftPending(ctx); err != nil {
			return err
		}
	}
	return c.look(ctx)
}

// leftPending settles the commit that an earlier process has left pending. The
// router is nobody else's until then.
func (c *Committer) leftPending(ctx context.Context) error {
	err := c.Device.Exclusive(ctx, "settling a commit that was left pending", func(*ros.Conn) error {
		_, err := c.settlePending(ctx, func(Step) {}, time.Time{})
		return err
	})
	return explain(err)
}

// settlePending settles the commit that was left pending, by the limit as in
// resolve, and returns it; the zero Commit when there is none. The caller has
// the router for itself.
func (c *Committer) settlePending(ctx context.Context, tell func(Step), limit time.Time) (Commit, error) {
	j := journal{c.Dir}
	r, err := j.pending()
	if err != nil || r == nil {
		return Commit{}, err
	}
	a := &attempt{Committer: c, journal: j, rec: r, tell: tell}
	a.say("settling commit %s by %s, which was left %s", r.ID, r.By, r.Phase)
	return a.resolve(ctx, limit)
}
