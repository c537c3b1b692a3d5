package enroll

import (
	"context"
	"errors"

	"provision.internal/host"
)

// step returns what leads out of a state; nil where that is not the
// reconciler's to do.
func step(s host.State) func(*Reconciler, context.Context, host.Host) error {
	switch s {
	case host.Booted:
		return (*Reconciler).join
	case host.Joined:
		return (*Reconciler).configure
	case host.Configured:
		return (*Reconciler).admit
	}
	return nil
}

// change applies f to h, unless h has left its state since it was read.
func (r *Reconciler) change(h host.Host, cause string, f func(*host.Host) error) error {
	_, err := r.Store.Change(h.MAC, actor, cause, func(current *host.Host) error {
		if current.State != h.State || !current.Since.Equal(h.Since) {
			return errMoved
		}
		return f(current)
	})
	return err
}

func (r *Reconciler) advance(h host.Host, to host.State, cause string, more func(*host.Host)) error {
	return r.change(h, cause, func(h *host.Host) (err error) {
		if more != nil {
			more(h)
		}
		*h, err = h.Advance(to, r.now())
		return err
	})
}

func (r *Reconciler) progress(h host.Host, step, text string) error {
	return r.change(h, text, func(h *host.Host) error {
		h.Progress = host.Progress{Step: step, Text: text}
		return nil
	})
}

// fail ends h's journey. A store that cannot be written now is tried again with
// the next look.
func (r *Reconciler) fail(h host.Host, reason string) {
	err := r.change(h, reason, func(h *host.Host) (err error) {
		*h, err = h.Fail(reason, r.now())
		return err
	})
	if err != nil && !errors.Is(err, errMoved) {
		r.Log.Error("failure not stored, will try again", "host", h.Label(), "mac", h.MAC, "state", h.State, "err", err)
	}
}
