package bootstrap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"provision.internal/router"
	"provision.internal/router/commit"
	"provision.internal/router/ros"
)

// DefaultWithin is how long the production address may take to answer: somebody
// may have to move a cable.
const DefaultWithin = 10 * time.Minute

// lookWithin bounds a look whether the router is at an address where it may not
// be.
const lookWithin = 3 * time.Second

// Takeover leads one router from the state that Script leaves it in to the
// configuration. Config, Inputs, Dir, Password and Log must be set. Nothing else
// may commit with Dir meanwhile.
type Takeover struct {
	Config   router.Config // must be valid
	Inputs   func() router.Inputs
	Dir      string                 // of the pin and the commits' records
	Password func() (string, error) // of Config.User, for each session anew
	Log      *slog.Logger
	By       string // who wants it

	// Pin is the certificate that the operator has named; else Config.Certificate
	// counts, else what is kept in Dir, unless Anew. Where there is none, Trust is asked.
	Pin   ros.Pin
	Anew  bool // the router was reset: it has another certificate than the kept one
	Trust func(ros.Pin) error

	// SkipBGP does not wait for BGP sessions in the end.
	SkipBGP bool

	// Device is the router at its production address, for who else changes it
	// there to wait until it is taken over; one of its own when nil. It must know
	// the pin that is kept in Dir.
	Device *ros.Device

	Source netip.Addr    // optional: our address in sessions to the production address
	Within time.Duration // 0 means DefaultWithin

	Now   func() time.Time                     // time.Now when nil
	After func(time.Duration) <-chan time.Time // time.After when nil

	look time.Duration // lookWithin when 0
}

// ErrNotProven: the router holds the first plan, but does not answer at its
// production address. It still answers at the bootstrap address, and running
// again goes on from there.
var ErrNotProven = errors.New("the router does not answer at its production address")

// Run takes the router over, from whatever step an earlier run has come to. A
// router that is taken over already it brings to the configuration. Progress is
// told to tell, which may be nil.
func (t *Takeover) Run(ctx context.Context, tell func(commit.Step)) (commit.Commit, error) {
	if tell == nil {
		tell = func(commit.Step) {}
	}
	if t.Config.Bootstrap.IsZero() {
		return commit.Commit{}, ErrNoWayIn
	}
	pin, err := t.known()
	if err != nil {
		return commit.Commit{}, err
	}
	if pin, err = t.approach(ctx, pin, tell); err != nil {
		return commit.Commit{}, err
	}
	return t.finish(ctx, pin, tell)
}

// approach brings the router to answer at its production address, and returns
// its pin. Meanwhile nobody else changes it: whoever came by that address would
// take the commit that is under way for one that was left behind.
func (t *Takeover) approach(ctx context.Context, pin ros.Pin, tell func(commit.Step)) (ros.Pin, error) {
	if t.Device != nil {
		release, err := t.Device.Hold(ctx, "taking the router over")
		if err != nil {
			return pin, err
		}
		defer release()
	}
	known := !pin.IsZero()
	pin, err := t.enter(ctx, pin, tell)
	switch {
	case err == nil:
		if err := t.begin(ctx, pin, tell); err != nil {
			return pin, err
		}
		return pin, t.prove(ctx, pin, tell)
	case known && away(err): // an earlier run may have come to the end of the way in
		if other := t.try(ctx, t.production(pin)); other != nil {
			return pin, fmt.Errorf("%w; and at its production address: %w", err, other)
		}
		return pin, nil
	}
	return pin, err
}

// known is the pin that needs no question.
func (t *Takeover) known() (ros.Pin, error) {
	switch {
	case !t.Pin.IsZero():
		return t.Pin, nil
	case !t.Config.Certificate.IsZero():
		return t.Config.Certificate, nil
	case t.Anew:
		return ros.Pin{}, nil
	}
	return ReadPin(t.Dir)
}

// enter makes the first session over the bootstrap address and keeps the pin.
// A certificate that nobody knew is kept before the password is sent to it.
func (t *Takeover) enter(ctx context.Context, pin ros.Pin, tell func(commit.Step)) (ros.Pin, error) {
	d := t.bootstrap(pin)
	tell(commit.Step{Text: "looking for the router at " + d.Address})
	if !pin.IsZero() {
		d.Timeout = cmp.Or(t.look, lookWithin)
	}
	d.TrustFirst = func(shown ros.Pin) error {
		if t.Trust == nil {
			return errors.New("it is not known, and nobody can be asked: name it, as the router shows it in /certificate/print")
		}
		if err := t.Trust(shown); err != nil {
			return err
		}
		pin = shown
		return WritePin(t.Dir, shown)
	}
	if err := t.try(ctx, d); err != nil {
		return pin, err
	}
	return pin, nil
}

// away reports whether nobody answers at an address as a router does.
func away(err error) bool { return errors.Is(err, ros.ErrNoRoute) || errors.Is(err, ros.ErrTLS) }

// begin applies all that leaves the way in alone.
func (t *Takeover) begin(ctx context.Context, pin ros.Pin, tell func(commit.Step)) error {
	tell(commit.Step{Text: "first commit, from the bootstrap address"})
	c := t.committer(t.bootstrap(pin), t.admitting())
	if _, err := c.Apply(ctx, commit.Options{Options: router.Options{HoldBack: true}, By: t.By, SkipBGP: true}, tell); err != nil {
		return fmt.Errorf("first commit, from the bootstrap address: %w", err)
	}
	return nil
}

// admitting is the configuration with which new sessions over the bootstrap
// address are still served.
func (t *Takeover) admitting() router.Config {
	c := t.Config
	if c.Services != nil {
		c.Services = maps.Clone(c.Services)
		c.Services["api-ssl"] = append(slices.Clone(c.Services["api-ssl"]), hostRoute(c.Bootstrap.Appliance))
	}
	return c
}

// prove waits for a new session on the production address.
func (t *Takeover) prove(ctx context.Context, pin ros.Pin, tell func(commit.Step)) error {
	d := t.production(pin)
	d.Timeout = cmp.Or(t.look, lookWithin)
	within := cmp.Or(t.Within, DefaultWithin)
	for until := t.now().Add(within); ; {
		err := t.try(ctx, d)
		switch {
		case err == nil:
			return nil
		case !away(err), ctx.Err() != nil:
			return err
		case !t.now().Before(until):
			return fmt.Errorf("%w within %v: connect the appliance to a port with VLAN %s and run this again; nothing is lost, the router stays reachable at %s: %w",
				ErrNotProven, within, t.Config.Management, t.Config.Bootstrap.Address.Addr(), err)
		}
		tell(commit.Step{Text: fmt.Sprintf("waiting for the router at %s; where the appliance has one cable, move it to a port with VLAN %s now", d.Address, t.Config.Management)})
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-t.after(2 * time.Second):
		}
	}
}

// finish applies the whole configuration from the production address, which
// removes the way in.
func (t *Takeover) finish(ctx context.Context, pin ros.Pin, tell func(commit.Step)) (commit.Commit, error) {
	if err := WritePin(t.Dir, pin); err != nil { // the operator may have named another than the kept one
		return commit.Commit{}, err
	}
	tell(commit.Step{Text: "last commit, from the production address"})
	c := t.committer(t.production(pin), t.Config)
	if t.Device != nil {
		c.Device = t.Device
	}
	done, err := c.Apply(ctx, commit.Options{By: t.By, SkipBGP: t.SkipBGP}, tell)
	if err != nil {
		return done, fmt.Errorf("last commit, from the production address: %w", err)
	}
	return done, nil
}

// try makes a session and asks for one thing.
func (t *Takeover) try(ctx context.Context, d ros.Dialer) error {
	conn, err := d.Dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Print(ctx, "/system/identity", nil)
	return err
}

func (t *Takeover) bootstrap(pin ros.Pin) ros.Dialer {
	_, port, _ := net.SplitHostPort(t.Config.HostPort())
	return ros.Dialer{
		Address: net.JoinHostPort(t.Config.Bootstrap.Address.Addr().String(), port), Source: t.Config.Bootstrap.Appliance,
		User: t.Config.User, Refresh: t.password, Pin: pin,
	}
}

func (t *Takeover) production(pin ros.Pin) ros.Dialer {
	return ros.Dialer{Address: t.Config.HostPort(), Source: t.Source, User: t.Config.User, Refresh: t.password, Pin: pin}
}

func (t *Takeover) password(d *ros.Dialer) (err error) {
	d.Password, err = t.Password()
	return err
}

func (t *Takeover) committer(d ros.Dialer, c router.Config) *commit.Committer {
	return &commit.Committer{
		Device: &ros.Device{Dialer: d}, Dir: t.Dir, Config: c, Inputs: t.Inputs, Log: t.Log, Now: t.Now, After: t.After,
	}
}

func (t *Takeover) now() time.Time {
	if t.Now == nil {
		return time.Now()
	}
	return t.Now()
}

func (t *Takeover) after(d time.Duration) <-chan time.Time {
	if t.After == nil {
		return time.After(d)
	}
	return t.After(d)
}
