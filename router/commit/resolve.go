package commit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"provision.internal/router"
	"provision.internal/router/ros"
)

// Bounds of making certain what became of a commit.
const (
	// patience is how long Apply itself stays at it: longer than RouterOS holds
	// on to a connection that was cut. Run goes on without a bound.
	patience = cutAfter + 3*time.Minute

	// grace is what going back may take when nobody waits for it any more. In
	// real time, because a process is about to end.
	grace = 30 * time.Second

	firstRetry, lastRetry = time.Second, 30 * time.Second

	// perOperation is added to the time that a call may take while the router
	// runs the inverse.
	perOperation = 50 * time.Millisecond
)

// back takes the commit back, because of cause, and makes sure of it.
func (a *attempt) back(ctx context.Context, cause error) (Commit, error) {
	a.say("going back: %v", cause)
	a.rec.Reason = cause.Error()
	if a.rec.Phase != Preparing {
		if err := a.phase(Rolling); err != nil {
			a.rec.note("going back was not recorded: %v", err)
		}
	}
	ctx, cancel := lingering(ctx)
	defer cancel()
	if a.rec.Phase == Rolling {
		// On a dead connection this fails, and the router does it by itself.
		if err := unroll(ctx, a.conn); err != nil {
			a.Log.Debug("safe mode was not unrolled", "err", err)
		}
	}
	return a.untangle(ctx, cause)
}

// lingering lets a router be put right after its caller has gone, for a while.
func lingering(ctx context.Context) (context.Context, context.CancelFunc) {
	linger, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(grace, func() { cancel(context.Cause(ctx)) })
	})
	return linger, func() { stop(); cancel(nil) }
}

// untangle finds out what became of the commit, puts the router right, and
// turns the outcome into an error that tells what came first.
func (a *attempt) untangle(ctx context.Context, cause error) (Commit, error) {
	a.conn.Close()
	a.rec.Reason = cause.Error()
	c, err := a.resolve(ctx, a.now().Add(patience))
	switch {
	case err != nil:
		c.Outcome = Unknown
		return c, fmt.Errorf("%w: %w; then, making sure: %w; the router goes back by itself, and the daemon looks again: `provision router status` tells", ErrUnknown, cause, err)
	case c.Outcome == Confirmed:
		return c, nil
	case c.Outcome == RolledBack:
		return c, fmt.Errorf("%w: %w", ErrRolledBack, cause)
	case c.Outcome == Unknown:
		return c, fmt.Errorf("%w: %s", ErrUnknown, c.Reason)
	}
	return c, cause // failed: nothing was changed
}

// resolve settles the commit as soon as the router lets it, and gives up at
// the limit; a zero limit is none.
func (a *attempt) resolve(ctx context.Context, limit time.Time) (Commit, error) {
	last := ""
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		outcome, err := a.settle(ctx)
		if err == nil {
			return a.settled(outcome)
		}
		if text := err.Error(); text != last {
			last = text
			a.say("waiting for the router: %v", err)
			a.Log.Warn("router commit is not settled yet", "commit", a.rec.ID, "err", err)
		}
		if !limit.IsZero() && a.now().Add(wait).After(limit) {
			return a.rec.Commit, err
		}
		if stop := a.sleep(ctx, wait); stop != nil {
			return a.rec.Commit, fmt.Errorf("%w: %w", stop, err)
		}
	}
}

// settle reads the router and decides: confirmed when only the end of
// confirming was missing and the router is as planned; otherwise it runs the
// inverse and proves by reading that the router is as it was. An error means
// that it has to be tried again; nothing is decided by a guess.
func (a *attempt) settle(ctx context.Context) (Outcome, error) {
	dialer := a.Device.Dialer
	if dialer.Timeout == 0 {
		dialer.Timeout = ros.DefaultTimeout
	}
	dialer.Timeout += time.Duration(len(a.rec.Plan.Operations)) * perOperation
	conn, err := dialer.Dial(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if a.rec.Phase == Preparing {
		// The timer comes before everything else.
		if t, err := findTimer(ctx, conn); err != nil || t == nil || t.commit != a.rec.ID {
			return Failed, err
		}
	}
	if !a.foreignHolder {
		if err := unheld(ctx, conn); err != nil {
			return "", err
		}
	}
	t, err := findTimer(ctx, conn) // only now: a safe mode that was taken back may bring it back
	switch {
	case err != nil:
		return "", err
	case t != nil && t.commit != a.rec.ID:
		return "", t.elsewhere()
	case t != nil:
		// It must not run while the router is read and put right.
		if err := postpone(ctx, conn, t, cutAfter+margin); err != nil {
			return "", err
		}
	}
	outcome, err := a.decide(ctx, conn, t)
	if err != nil {
		return "", err
	}
	if t != nil {
		if err := conn.Remove(ctx, schedulers, t.id); err != nil && !(errors.Is(err, ros.ErrMissing) && outcome != Confirmed) {
			return "", err
		}
	}
	return outcome, removeScripts(ctx, conn)
}

// unheld makes sure that no safe mode is held: while one is, what was read
// may still be taken back.
func unheld(ctx context.Context, conn *ros.Conn) error {
	if err := take(ctx, conn); err != nil {
		return err
	}
	return release(ctx, conn)
}

// decide tells what the router is, after having made it so where it had to.
func (a *attempt) decide(ctx context.Context, conn *ros.Conn, t *timer) (Outcome, error) {
	if a.rec.Phase == Preparing {
		return Failed, nil // the plan's first operation comes in a later phase
	}
	state, err := router.Read(ctx, conn)
	if err != nil {
		return "", err
	}
	if a.rec.Reason == "" {
		a.rec.Reason = "the appliance was stopped in the middle"
	}
	now := snapshot(state)
	if a.rec.Phase == Confirming {
		d := compare(a.rec.After, now, a.rec.Plan)
		if len(d.ours) == 0 && (t == nil || !t.ran) {
			a.foreign(d)
			return Confirmed, nil
		}
		if err := a.phase(Rolling); err != nil {
			return "", err
		}
	}
	d := compare(a.rec.Before, now, a.rec.Plan)
	// Without the timer the inverse has been run, or the commit was confirmed;
	// what differs then is younger, and not for us to take back.
	if len(d.ours) > 0 && t != nil {
		a.say("running the inverse of the plan")
		if err := runInverse(ctx, conn, a.rec); err != nil {
			return "", err
		}
		if state, err = router.Read(ctx, conn); err != nil {
			return "", err
		}
		d = compare(a.rec.Before, snapshot(state), a.rec.Plan)
	}
	a.foreign(d)
	if len(d.ours) > 0 {
		a.rec.Reason = fmt.Sprintf("%s; the router is neither as planned nor as it was before: %s; compare it with `provision router plan`; the last resort is /system/backup/load name=%s on the router, which reboots it",
			a.rec.Reason, brief(d.ours), a.rec.Backup)
		return Unknown, nil
	}
	return RolledBack, nil
}

// foreign notes what somebody else has changed meanwhile.
func (a *attempt) foreign(d difference) {
	if len(d.foreign) > 0 {
		a.rec.note("somebody changed the router meanwhile: %s", brief(d.foreign))
	}
}

// brief bounds a list for people.
func brief(list []string) string {
	const most = 5
	text := ""
	for i, s := range list[:min(len(list), most)] {
		if i > 0 {
			text += "; "
		}
		text += s
	}
	if len(list) > most {
		text += fmt.Sprintf("; and %d more", len(list)-most)
	}
	return text
}
