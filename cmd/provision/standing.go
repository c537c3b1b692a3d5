package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"provision.internal/host"
	"provision.internal/web"
)

// awaited is how a standing admission stands in the list of hosts, in the place
// of a state.
const awaited = "Awaited"

// listedAdmission is a standing admission among the hosts of `provision hosts
// --json`.
type listedAdmission struct {
	State string `json:"state"` // awaited
	host.Admission
}

func (a *app) sayAwaited(r web.Result) {
	s := r.Admission
	already := ""
	if !r.Changed {
		already = " already"
	}
	fmt.Fprintf(a.err, "the next machine that boots from the network on port %s is admitted%s, as %s with role %s, until %s; provision retire %s cancels that\n",
		s.Port, already, s.Name, s.Role, s.Expires.Local().Format("2006-01-02 15:04"), s.Name)
}

// seeAwaited follows a standing admission, and then the machine that took it.
func (a *app) seeAwaited(ctx context.Context, r web.Result, noWait bool, timeout time.Duration, asJSON bool) error {
	if noWait {
		if asJSON {
			return a.printJSON(r)
		}
		return nil
	}
	began := time.Now()
	h, err := a.comes(ctx, *r.Admission, timeout)
	if err != nil {
		return err
	}
	if timeout > 0 {
		timeout = max(timeout-time.Since(began), time.Millisecond)
	}
	return a.see(ctx, web.Result{Host: h, Changed: r.Changed}, false, timeout, asJSON)
}

// comes waits for the machine that takes s.
func (a *app) comes(ctx context.Context, s host.Admission, timeout time.Duration) (h host.Host, err error) {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, errTimeout)
		defer cancel()
	}
	c := a.client()
	err = c.Follow(ctx, web.Query{Since: s.Made}, func(u web.Update) error {
		e := u.Event
		switch {
		case e == nil || e.Host != s.Name:
			return nil
		case e.Kind == host.KindState && e.To == host.Admitted:
			if h, err = c.Host(ctx, e.MAC.String()); err != nil {
				return err
			}
			return errOver
		case !e.MAC.IsZero():
			return nil
		}
		all, err := c.Admissions(ctx)
		if err != nil || slices.ContainsFunc(all, func(a host.Admission) bool { return a.ID == s.ID }) {
			return err
		}
		return fmt.Errorf("%s %w: %s", s.Name, errHostFailed, e.Cause)
	}, func(err error) { fmt.Fprintln(a.err, err) })
	goesOn := fmt.Sprintf("port %s still waits for %s; provision retire %s cancels that", s.Port, s.Name, s.Name)
	switch {
	case h.State != "":
		return h, nil
	case errors.Is(context.Cause(ctx), errTimeout):
		return h, fmt.Errorf("%w after %s: no machine has come; %s", errTimeout, timeout, goesOn)
	case ctx.Err() != nil:
		fmt.Fprintln(a.err, goesOn)
		return h, &silent{ctx.Err()}
	}
	return h, err
}

// portText is where a host hangs, and what the port serves.
func portText(h host.Host) string {
	p := h.Placed
	switch {
	case p == nil || p.Stage == "":
		return h.Port
	case p.Port != h.Port && h.Port != "":
		return fmt.Sprintf("%s; %s serves it for %s", h.Port, p.Port, p.Stage)
	}
	return p.Port + " for " + string(p.Stage)
}
