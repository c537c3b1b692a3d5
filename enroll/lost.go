package enroll

import (
	"context"
	"errors"
	"fmt"
	"time"

	"provision.internal/host"
)

// watchLost tells of Ready hosts whose node has been away for longer than
// LostAfter, and of their return. Nothing is done about them: power, cables and the
// decision to install anew are people's.
func (r *Reconciler) watchLost(ctx context.Context) {
	away := map[host.MAC]time.Time{} // since when; begins anew with the appliance
	tick := time.NewTicker(r.tick())
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.lookForLost(away)
		case <-ctx.Done():
			return
		}
	}
}

func (r *Reconciler) lookForLost(away map[host.MAC]time.Time) {
	for _, h := range r.Store.Hosts() {
		there, known := r.Nomad.Alive(h.Name)
		if h.State != host.Ready || there || !known {
			// A cluster that does not answer says nothing about its nodes.
			delete(away, h.MAC)
			if there && !h.Lost.IsZero() {
				r.lost(h, time.Time{}, fmt.Sprintf("its Nomad node is back after %s", r.now().Sub(h.Lost).Round(time.Second)))
			}
			continue
		}
		if _, ok := away[h.MAC]; !ok {
			away[h.MAC] = r.now()
		}
		if since := away[h.MAC]; h.Lost.IsZero() && r.now().Sub(since) >= r.LostAfter {
			r.lost(h, since, fmt.Sprintf("lost: its Nomad node is away since %s: look at its power, its cable and its console; nothing is done by itself", since.UTC().Format(time.RFC3339)))
		}
	}
}

// lost stores since when h is lost, and tells of it once.
func (r *Reconciler) lost(h host.Host, since time.Time, text string) {
	err := r.change(h, "", func(h *host.Host) error {
		h.Lost = since
		return nil
	})
	if err == nil {
		err = r.Store.Record(host.Event{MAC: h.MAC, Kind: host.KindNotice, Actor: actor, Cause: text})
	}
	if err != nil && !errors.Is(err, errMoved) {
		r.Log.Error("loss of a host not stored, will try again", "host", h.Label(), "mac", h.MAC, "err", err)
	}
}
