package enroll

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"provision.internal/host"
)

// found stores where h is. That may take its grant.
func (m *mover) found(h host.Host, place host.Place) error {
	next, notice, err := h.Clone().FoundAt(place, m.now())
	if err != nil {
		return err
	}
	if next.Port == h.Port && next.State == h.State && portOf(next.Grant) == portOf(h.Grant) {
		return nil
	}
	_, err = m.Store.Change(h.MAC, actor, next.Held, func(current *host.Host) error {
		if current.State != h.State || !current.Since.Equal(h.Since) {
			return errMoved // the next look judges what it is now
		}
		found, _, err := current.FoundAt(place, m.now())
		*current = found
		return err
	})
	switch {
	case errors.Is(err, errMoved):
		return nil
	case err != nil || notice == "":
		return err
	}
	return m.Store.Record(host.Event{MAC: h.MAC, Kind: host.KindNotice, Actor: actor, Cause: notice})
}

func portOf(g *host.Grant) string {
	if g == nil {
		return ""
	}
	return g.Port
}

// admissions gives standing admissions to the strangers that are on their ports,
// and ends those that have expired.
func (m *mover) admissions(ctx context.Context, now time.Time) {
	standing := m.Store.Admissions()
	m.forget(standing)
	for _, a := range standing {
		var err error
		if !a.Open(now) {
			_, err = m.Store.Cancel(a.ID, actor, "no machine came before "+a.Expires.UTC().Format(time.RFC3339))
		} else {
			err = m.take(a, now)
		}
		if err != nil && !errors.Is(err, host.ErrUnknown) { // an operator was faster
			m.Log.WarnContext(ctx, "admission by port, will try again", "port", a.Port, "host", a.Name, "err", err)
		}
	}
}

// take looks for the machine that a is for.
func (m *mover) take(a host.Admission, now time.Time) error {
	hosts := m.Store.Hosts()
	for _, h := range hosts {
		place, ok := m.places[h.MAC]
		if !ok || place.Port != a.Port {
			continue
		}
		why := a.Unfit(h, place, hosts, now)
		if m.Known != nil && why == "" {
			if name := m.Known(h.MAC); name != "" && name != a.Name {
				why = fmt.Sprintf("the configuration calls it %s, not %s", name, a.Name)
			}
		}
		if why == "" {
			_, err := m.Store.Take(a.ID, h.MAC, actor, fmt.Sprintf("found on port %s: admitted as %s with role %s, as %s wants it", a.Port, a.Name, a.Role, a.By))
			return err
		}
		if m.news(refusal{a.ID, h.MAC}, why) {
			text := fmt.Sprintf("not admitted as %s, for whom port %s waits: %s", a.Name, a.Port, why)
			if err := m.Store.Record(host.Event{MAC: h.MAC, Kind: host.KindNotice, Actor: actor, Cause: text}); err != nil {
				return err
			}
		}
	}
	return nil
}

// refusal is a machine that an admission was not for.
type refusal struct {
	admission string
	mac       host.MAC
}

// mostTold bounds what is remembered of refusals, and with it the events of a
// flood of invented addresses on a port that an admission waits for.
const mostTold = 1024

// news reports whether nobody was told yet why a machine was not taken, and
// remembers it. Beyond mostTold nobody is told.
func (m *mover) news(key refusal, why string) bool {
	before, known := m.told[key]
	if known && before == why || !known && len(m.told) >= mostTold {
		return false
	}
	m.told[key] = why
	return true
}

// forget drops what was told of admissions that are no more.
func (m *mover) forget(standing []host.Admission) {
	maps.DeleteFunc(m.told, func(key refusal, _ string) bool {
		return !slices.ContainsFunc(standing, func(a host.Admission) bool { return a.ID == key.admission })
	})
}

// Confirm looks, right before the disk of h is written, whether h is still alone
// on the port that its grant is for. host.ErrGrant is wrapped when not. A router
// that does not answer is an error, too: nothing is wiped on a guess.
func (r *Reconciler) Confirm(ctx context.Context, h host.Host) error {
	if r.Ports == nil || h.State != host.Admitted || h.Grant == nil || !h.Grant.Place {
		return nil
	}
	sight, err := r.Ports.Look(ctx)
	if err != nil {
		return fmt.Errorf("%s: its port cannot be confirmed: %w", h.Label(), err)
	}
	place, ok := sight.Places[h.MAC]
	refuse := func(why string) error { return fmt.Errorf("%s: %w: %s", h.Label(), host.ErrGrant, why) }
	switch {
	case !ok:
		return refuse("it is on no port of the router")
	case place.Doubt != "":
		return refuse(place.Doubt)
	case place.Port != h.Grant.Port:
		return refuse(fmt.Sprintf("it is on port %s, and was admitted on port %s", place.Port, h.Grant.Port))
	}
	return nil
}
