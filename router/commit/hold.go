package commit

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// keepAlive is how often safe mode is looked at while a commit waits, so that
// a lost connection is noticed.
const keepAlive = 10 * time.Second

// held is a commit that waits for a person.
type held struct {
	orders chan order
	over   chan struct{} // closed when it is settled
	result Commit        // readable then
	err    error
}

// order is what a person wants of a commit that waits.
type order struct {
	verb  verb
	by    string
	more  time.Duration // of extend
	reply chan reply    // of extend; buffered
}

type reply struct {
	commit Commit
	err    error
}

type verb int

const (
	confirm verb = iota
	rollback
	extend
)

// wait keeps the commit in safe mode until a person decides. Its error is why
// the commit must be taken back; nil means confirmed.
func (a *attempt) wait(ctx context.Context, o Options, waiting func(Commit)) error {
	a.rec.Deadline = a.now().Add(o.ConfirmWithin)
	if err := a.phase(Waiting); err != nil {
		return err
	}
	h := &held{orders: make(chan order), over: make(chan struct{})}
	a.mu.Lock()
	a.held = h
	a.mu.Unlock()
	waiting(a.rec.Commit)
	a.tell = func(Step) {} // who was told has gone
	for {
		left := a.rec.Deadline.Sub(a.now())
		if left <= 0 {
			return fmt.Errorf("nobody confirmed it by %s", a.rec.Deadline.Format(time.DateTime))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the appliance was stopped while the commit waited: %w", context.Cause(ctx))
		case order := <-h.orders:
			switch order.verb {
			case confirm:
				a.rec.note("confirmed by %s", order.by)
				return nil
			case rollback:
				return fmt.Errorf("%s wished it", order.by)
			case extend:
				err := a.extend(ctx, order)
				order.reply <- reply{a.rec.Commit, err}
			}
		case <-a.after(min(left, keepAlive)):
			if err := holds(ctx, a.conn); err != nil {
				return err
			}
		}
	}
}

// extend makes the commit wait for longer. The dead-man first: on a failure
// everything stays as it was.
func (a *attempt) extend(ctx context.Context, o order) error {
	t, err := findTimer(ctx, a.conn)
	if err != nil {
		return err
	}
	if t == nil || t.commit != a.rec.ID {
		return fmt.Errorf("%w: its dead-man timer is not on the router any more", ErrRolledBack)
	}
	if err := postpone(ctx, a.conn, t, a.deadline(Options{ConfirmWithin: o.more})); err != nil {
		return err
	}
	a.rec.Deadline = a.now().Add(o.more)
	a.rec.note("%s made it wait until %s", o.by, a.rec.Deadline.Format(time.DateTime))
	return a.phase(Waiting)
}

// letGo tells those who decided what came of it.
func (c *Committer) letGo(result Commit, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		return
	}
	c.held.result, c.held.err = result, err
	close(c.held.over)
	c.held = nil
}

func (c *Committer) waits() *held {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held
}

// Confirm makes the commit that waits final. The error is as Apply's.
func (c *Committer) Confirm(ctx context.Context, by string) (Commit, error) {
	h := c.waits()
	if h == nil {
		return c.nothing()
	}
	return h.decide(ctx, order{verb: confirm, by: by})
}

// Rollback takes the commit that waits back. Its error is nil when the router
// is proved to be as it was.
func (c *Committer) Rollback(ctx context.Context, by string) (Commit, error) {
	h := c.waits()
	if h == nil {
		return c.nothing()
	}
	commit, err := h.decide(ctx, order{verb: rollback, by: by})
	if commit.Outcome == RolledBack {
		err = nil
	}
	return commit, err
}

// nothing says why there is no commit to decide about.
func (c *Committer) nothing() (Commit, error) {
	r, err := journal{c.Dir}.pending()
	switch {
	case err != nil:
		return Commit{}, err
	case r == nil:
		return Commit{}, ErrNothingPending
	}
	return r.Commit, fmt.Errorf("%w: %s by %s does not wait for a person, it is %s; `provision router status` tells what becomes of it", ErrPending, r.ID, r.By, r.Phase)
}

// decide gives the order and waits for what comes of it.
func (h *held) decide(ctx context.Context, o order) (Commit, error) {
	select {
	case h.orders <- o:
	case <-h.over: // somebody was faster
	case <-ctx.Done():
		return Commit{}, context.Cause(ctx)
	}
	select {
	case <-h.over:
	case <-ctx.Done():
		return Commit{}, context.Cause(ctx)
	}
	if o.verb == confirm && h.result.Outcome == RolledBack && h.err == nil {
		return h.result, ErrRolledBack
	}
	return h.result, h.err
}

// again is Apply while a commit waits: the same wish makes it wait longer.
func (c *Committer) again(ctx context.Context, h *held, o Options) (Commit, error) {
	r, err := journal{c.Dir}.pending()
	if err != nil {
		return Commit{}, err
	}
	if r == nil {
		return Commit{}, ErrNothingPending
	}
	busy := fmt.Errorf("%w: %s by %s waits until %s: `provision router confirm` keeps it, `provision router rollback` takes it back, and applying the same configuration with a time to confirm makes it wait longer",
		ErrPending, r.ID, r.By, r.Deadline.Format(time.DateTime))
	if o.ConfirmWithin == 0 {
		return r.Commit, busy
	}
	plan, err := c.Plan(ctx, o.Options)
	if err != nil {
		return r.Commit, errors.Join(busy, err)
	}
	if !plan.Empty() {
		return r.Commit, busy
	}
	answer := order{verb: extend, by: o.By, more: o.ConfirmWithin, reply: make(chan reply, 1)}
	select {
	case h.orders <- answer:
	case <-h.over:
		return h.result, h.err
	case <-ctx.Done():
		return Commit{}, context.Cause(ctx)
	}
	said := <-answer.reply
	return said.commit, said.err
}
