package ros

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Device is a router that several parts of the appliance change: they take
// turns. The Dialer must be set and not changed afterwards.
type Device struct {
	Dialer Dialer

	mu      sync.Mutex
	held    bool
	holder  string
	since   time.Time
	waiting []chan struct{} // closed when the turn has come, in this order
}

// Dial makes a session beside the turns, for reading and for checks.
func (d *Device) Dial(ctx context.Context) (*Conn, error) { return d.Dialer.Dial(ctx) }

// Exclusive waits for its turn, in the order of the calls, and gives f a
// session of its own. What says what for, to those who wait. It must not be
// called within f.
func (d *Device) Exclusive(ctx context.Context, what string, f func(*Conn) error) error {
	release, err := d.Hold(ctx, what)
	if err != nil {
		return err
	}
	defer release()
	c, err := d.Dialer.Dial(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer c.Close()
	return f(c)
}

// Hold waits for its turn as Exclusive does, and keeps it until release is
// called: for who has sessions of another kind with the same router.
func (d *Device) Hold(ctx context.Context, what string) (release func(), err error) {
	if err := d.take(ctx, what); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return d.pass, nil
}

func (d *Device) take(ctx context.Context, what string) error {
	d.mu.Lock()
	if !d.held {
		d.hold(what)
		d.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	d.waiting = append(d.waiting, turn)
	d.mu.Unlock()
	select {
	case <-turn:
		d.mu.Lock()
		d.hold(what)
		d.mu.Unlock()
		return nil
	case <-ctx.Done():
	}
	d.mu.Lock()
	holder, since := d.holder, d.since
	at := slices.Index(d.waiting, turn)
	if at >= 0 {
		d.waiting = slices.Delete(d.waiting, at, at+1)
	}
	d.mu.Unlock()
	if at < 0 { // the turn came at the same moment: it is the next one's
		d.pass()
	}
	return fmt.Errorf("waited for the router, which %q has held for %v: %w", holder, time.Since(since).Round(time.Second), context.Cause(ctx))
}

func (d *Device) hold(what string) { d.held, d.holder, d.since = true, what, time.Now() }

func (d *Device) pass() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.waiting) == 0 {
		d.held = false
		return
	}
	d.hold("the next in turn")
	close(d.waiting[0])
	d.waiting = d.waiting[1:]
}
