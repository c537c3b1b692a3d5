package commit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"provision.internal/router"
	"provision.internal/router/ros"
)

// attempt is one commit on its way.
type attempt struct {
	*Committer
	journal journal
	rec     *record
	conn    *ros.Conn // the session that holds safe mode
	tell    func(Step)

	foreignHolder bool // safe mode was refused before anything was changed
}

// phase makes durable how far the commit is.
func (a *attempt) phase(p Phase) error {
	a.rec.Phase = p
	return a.journal.write(a.rec)
}

func (a *attempt) say(format string, args ...any) {
	a.tell(Step{Text: fmt.Sprintf(format, args...)})
}

// deadline is when the dead-man runs, from now: after a safe mode that was cut
// at the last moment has been taken back by the router.
func (c *Committer) deadline(o Options) time.Duration {
	return c.within() + o.ConfirmWithin + cutAfter + margin
}

// commit runs the procedure on a session that has the router for itself. It
// calls waiting when the commit waits for a person, and returns when it is
// settled, or can't be for now.
func (c *Committer) commit(ctx context.Context, conn *ros.Conn, o Options, tell func(Step), waiting func(Commit)) (Commit, error) {
	a := &attempt{Committer: c, journal: journal{c.Dir}, conn: conn, tell: tell}
	switch left, err := c.settlePending(ctx, tell, c.now().Add(patience)); {
	case err != nil:
		return left, fmt.Errorf("%w: %s by %s was left %s, and the router does not let it be settled yet: %w", ErrPending, left.ID, left.By, left.Phase, err)
	case left.ID != "": // the session may be too old now
		if a.conn, err = c.Device.Dial(ctx); err != nil {
			return Commit{}, err
		}
		defer a.conn.Close()
	}
	limited, cancel := context.WithTimeoutCause(ctx, c.within(), fmt.Errorf("applying and checking took longer than %v", c.within()))
	defer cancel()
	state, err := a.prepare(limited, o)
	if err != nil {
		return Commit{}, err
	}
	if a.rec.Plan.Empty() {
		a.rec.Outcome, a.rec.Phase, a.rec.Ended = Unchanged, Settled, c.now()
		return a.rec.Commit, nil
	}
	if err := a.arm(limited, o); err != nil {
		return a.back(ctx, err)
	}
	if err := a.change(limited); err != nil {
		return a.back(ctx, err)
	}
	if err := a.verify(limited, o, state); err != nil {
		return a.back(ctx, err)
	}
	cancel()
	if o.ConfirmWithin > 0 {
		if err := a.wait(ctx, o, waiting); err != nil {
			return a.back(ctx, err)
		}
	}
	return a.confirm(ctx)
}

// prepared is what was read before the change and is compared with afterwards.
type prepared struct {
	state router.State
	want  []router.Row
	up    []string // BGP connections with an established session
}

// prepare reads the router, plans, and refuses what must not be done. Nothing
// is changed, and nothing is recorded.
func (a *attempt) prepare(ctx context.Context, o Options) (prepared, error) {
	a.say("reading the router")
	state, err := router.Read(ctx, a.conn)
	if err != nil {
		return prepared{}, err
	}
	if state.Version.Before(7, 18, 0) {
		return prepared{}, fmt.Errorf("%w: %s cannot be put in safe mode by a program; 7.18 or newer can: update it with /system/package/update", ErrVersion, state.Version)
	}
	if !state.Mode.Scheduler {
		return prepared{}, fmt.Errorf("%w: its device mode %q allows no scheduler; run `/system/device-mode/update scheduler=yes` there and confirm it with the button within five minutes", ErrScheduler, state.Mode.Name)
	}
	in := a.Inputs()
	plan := a.Config.Plan(in, state, o.Options)
	if err := plan.Err(); err != nil {
		return prepared{}, err
	}
	if o.Seen != "" && o.Seen != plan.Fingerprint() {
		return prepared{}, fmt.Errorf("%w: the router or the configuration has changed since the plan was shown: look at the new one, and agree to that", ErrRefused)
	}
	began := a.now()
	a.rec = &record{
		Commit: Commit{ID: newID(began), By: o.By, Host: hostname(), Began: began, Summary: summary(plan), Outcome: Pending, Notes: plan.Warnings},
		Plan:   plan, Inverse: inverse(plan), Before: snapshot(state), Desired: fingerprint(a.Config.Desired(in, state.Version)),
	}
	if plan.Empty() {
		return prepared{}, nil
	}
	t, err := findTimer(ctx, a.conn)
	if err != nil {
		return prepared{}, err
	}
	if t != nil {
		if err := a.leftover(ctx, t); err != nil {
			return prepared{}, err
		}
	}
	p := prepared{state: state, want: a.Config.Desired(in, state.Version)}
	if len(state.Rows[connections]) > 0 { // else none can be up
		p.up, err = established(ctx, a.conn)
	}
	return p, err
}

// leftover removes a dead-man of a commit of ours that is settled, and refuses
// anybody else's.
func (a *attempt) leftover(ctx context.Context, t *timer) error {
	old, err := a.journal.read(t.commit)
	if err != nil || old.Phase != Settled {
		return t.elsewhere()
	}
	if err := a.conn.Remove(ctx, schedulers, t.id); err != nil && !errors.Is(err, ros.ErrMissing) {
		return err
	}
	return nil
}

// arm makes everything ready for going back: backup, record, dead-man.
func (a *attempt) arm(ctx context.Context, o Options) error {
	a.say("saving a backup on the router")
	// Recorded first, because the dead-man may be there once its call is sent.
	if err := a.phase(Preparing); err != nil {
		return err
	}
	if err := a.backup(ctx, a.conn); err != nil {
		return err
	}
	if err := a.phase(Preparing); err != nil {
		return err
	}
	a.say("installing the dead-man timer")
	return install(ctx, a.conn, a.rec, a.deadline(o))
}

// change carries the plan out. It returns with the last transaction still in
// safe mode. It looks at ctx between the calls only, because ending one would
// end the session, and with it the way to go back at once.
func (a *attempt) change(until context.Context) error {
	ctx := context.WithoutCancel(until)
	operations := a.rec.Plan.Operations
	size := maxBatch
	if a.batch > 0 {
		size = a.batch
	}
	for begin := 0; begin < len(operations); begin += size {
		if begin > 0 {
			if err := release(ctx, a.conn); err != nil {
				return err
			}
		}
		if err := take(ctx, a.conn); err != nil {
			a.foreignHolder = begin == 0 && errors.Is(err, ErrSafeMode)
			return err
		}
		if begin == 0 {
			if err := a.phase(Applying); err != nil {
				return err
			}
		}
		end := min(begin+size, len(operations))
		for i := begin; i < end; {
			if err := context.Cause(until); err != nil {
				return err
			}
			o, n := router.Together(operations[i:end])
			a.tell(Step{Text: describe(o), Done: i, Total: len(operations)})
			if err := o.Apply(ctx, a.conn); err != nil {
				return fmt.Errorf("operation %d of %d, %s: %w", i+1, len(operations), describe(o), err)
			}
			i += n
		}
		if end == len(operations) {
			break // verify looks, before anything is kept
		}
		if err := holds(ctx, a.conn); err != nil {
			return err
		}
	}
	a.tell(Step{Text: "applied", Done: len(operations), Total: len(operations)})
	return nil
}

// verify reads back and looks whether the router does its work.
func (a *attempt) verify(ctx context.Context, o Options, p prepared) error {
	a.say("reading back")
	state, err := p.state.Again(ctx, a.conn)
	if err != nil {
		return err
	}
	again := o.Options
	again.Prune = nil // they are gone, and naming what is not there is a fault
	again.Adopt = nil
	if left := a.Config.Plan(a.Inputs(), state, again); !left.Empty() {
		return fmt.Errorf("%w: the router does not hold what was applied: %s is still to do; somebody changes it at the same time, or this RouterOS means something else by a value", ErrCheck, describe(left.Operations[0]))
	}
	a.rec.After = snapshot(state)
	a.say("checking from new connections")
	if err := a.checks(ctx, o, p.want, p.up); err != nil {
		return err
	}
	return holds(ctx, a.conn)
}

// confirm makes the change final. Removing the dead-man is the point of no
// return: before it everything goes back, after it nothing does.
func (a *attempt) confirm(ctx context.Context) (Commit, error) {
	a.say("confirming")
	ctx, cancel := lingering(ctx)
	defer cancel()
	if err := a.phase(Confirming); err != nil {
		return a.back(ctx, err)
	}
	err := release(ctx, a.conn)
	if err == nil {
		err = a.disarm(ctx)
	}
	if err != nil {
		// What became of it is for the router to say.
		return a.untangle(ctx, err)
	}
	return a.settled(Confirmed)
}

// disarm removes the dead-man and then its scripts. The timer missing means
// that it has run.
func (a *attempt) disarm(ctx context.Context) error {
	t, err := findTimer(ctx, a.conn)
	if err != nil {
		return err
	}
	if t == nil || t.commit != a.rec.ID || t.ran {
		return fmt.Errorf("%w: its dead-man timer has run", ErrRolledBack)
	}
	if err := a.conn.Remove(ctx, schedulers, t.id); err != nil {
		return err
	}
	var names []string
	for n := range a.rec.Inverse {
		names = append(names, scriptName(n+1))
	}
	err = a.conn.Remove(ctx, scripts, strings.Join(names, ","))
	if errors.Is(err, ros.ErrMissing) { // somebody has removed some of them
		return removeScripts(ctx, a.conn)
	}
	return err
}

// settled ends the commit with an outcome, durably.
func (a *attempt) settled(outcome Outcome) (Commit, error) {
	a.rec.Outcome, a.rec.Ended, a.rec.Deadline = outcome, a.now(), time.Time{}
	if outcome == Confirmed {
		a.rec.Reason = ""
	}
	if err := a.phase(Settled); err != nil {
		return a.rec.Commit, fmt.Errorf("the commit is %s, but that could not be recorded: %w", outcome, err)
	}
	if err := a.journal.prune(); err != nil {
		a.Log.Warn("old commits stay on disk", "err", err)
	}
	a.Log.Info("router commit", "commit", a.rec.ID, "outcome", outcome, "summary", a.rec.Summary, "reason", a.rec.Reason)
	return a.rec.Commit, nil
}

// summary is a plan in one line.
func summary(p router.Plan) string {
	count := map[router.Kind]int{}
	for _, o := range p.Operations {
		count[o.Kind]++
	}
	var parts []string
	for _, k := range []router.Kind{router.Add, router.Set, router.Move, router.Remove} {
		if count[k] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[k], k))
		}
	}
	if parts == nil {
		return "nothing to do"
	}
	return strings.Join(parts, ", ")
}

// describe is an operation in a few words, without its values.
func describe(o router.Operation) string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", o.Kind, o.Menu, o.Name))
}
