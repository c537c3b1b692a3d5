package enroll

import (
	"context"
	"fmt"
	"slices"
	"time"

	"provision.internal/host"
)

// due returns the port that is to be moved for h, and to what; ok is false when
// everything is where it should be, or that is not known yet. What leads out of
// Configured is admit's.
func due(h host.Host) (port string, stage host.Stage, ok bool) {
	stage = h.Stage()
	p, g := h.Placed, h.Grant
	switch {
	case stage == host.StageIdle:
		if p == nil {
			return "", "", false
		}
		return p.Port, stage, true
	case stage == "", h.State == host.Configured, g == nil, !g.Place, g.Port == "":
		return "", "", false
	case h.State == host.Admitted && !h.InPlace(), p == nil, p.Port != g.Port, p.Stage != stage:
		return g.Port, stage, true
	}
	return "", "", false
}

// begin starts every move that is due. A port is moved for one host at a time. It
// reports whether a move waits for a machine that is loading.
func (m *mover) begin(ctx context.Context, hosts []host.Host) (soon bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range hosts {
		port, stage, ok := due(h)
		move := func(ctx context.Context) error { return m.place(ctx, h, port, stage) }
		back := !ok && m.shifts[h.MAC].still(h)
		if back {
			port, ok = h.Placed.Port, true
			move = func(ctx context.Context) error { return m.putBack(ctx, h) }
		}
		if !ok {
			continue
		}
		if (h.State == host.Admitted || back) && m.Loading != nil && m.Loading(h.MAC) {
			soon = true
			continue
		}
		touched := []string{port}
		if h.Placed != nil && h.Placed.Port != port {
			touched = append(touched, h.Placed.Port)
		}
		if slices.ContainsFunc(touched, func(p string) bool { return m.busy[p] }) {
			continue
		}
		for _, p := range touched {
			m.busy[p] = true
		}
		if back {
			m.shifts[h.MAC] = shift{tried: true} // once a look
		}
		m.all.Go(func() { m.follow(ctx, h, touched, move) })
	}
	return soon
}

// moveWithin bounds one attempt, with its wait for others that change the router:
// the next one may say who they are.
const moveWithin = 30 * time.Second

// follow makes the port of h follow it, and notes what kept it from that. It is
// tried again after a tick.
func (m *mover) follow(ctx context.Context, h host.Host, touched []string, move func(context.Context) error) {
	bounded, cancel := context.WithTimeout(ctx, moveWithin)
	err := move(bounded)
	cancel()
	if err != nil && ctx.Err() == nil {
		if m.troubleOf(h.MAC) != err.Error() {
			m.Log.WarnContext(ctx, "port does not follow its host, will try again", "host", h.Label(), "mac", h.MAC, "port", touched[0], "state", h.State, "err", err)
		}
		m.setTrouble(h.MAC, err.Error())
		sleep(ctx, m.tick())
	} else {
		m.setTrouble(h.MAC, "")
	}
	m.mu.Lock()
	for _, p := range touched {
		delete(m.busy, p)
	}
	m.mu.Unlock()
	select {
	case m.ended <- struct{}{}:
	default:
	}
}

// place moves port for h, and gives back the port that it had before. A port that
// another host counts on is not given back.
func (r *Reconciler) place(ctx context.Context, h host.Host, port string, stage host.Stage) error {
	if old := h.Placed; old != nil && (old.Port != port || stage == host.StageIdle) {
		free := !slices.ContainsFunc(r.Store.Hosts(), func(other host.Host) bool {
			return other.MAC != h.MAC && other.Owns(old.Port)
		})
		if free {
			if err := r.move(ctx, h, host.MAC{}, old.Port, host.StageIdle); err != nil {
				return err
			}
		}
		if err := r.placed(h, nil); err != nil || stage == host.StageIdle {
			return err
		}
	}
	// Whatever becomes of the host, or of the appliance, in the middle of the move:
	// the port is known, and is given back once the host has no use for it.
	if err := r.placed(h, &host.Placement{Port: port}); err != nil {
		return err
	}
	if err := r.move(ctx, h, h.MAC, port, stage); err != nil {
		return err
	}
	return r.placed(h, &host.Placement{Port: port, Stage: stage, Since: r.now()})
}

// move has the port moved, which is an event when it changes anything.
func (r *Reconciler) move(ctx context.Context, h host.Host, mac host.MAC, port string, stage host.Stage) error {
	moved, err := r.Ports.Move(ctx, mac, port, stage)
	if err != nil || !moved.Changed {
		return err
	}
	return r.Store.Record(host.Event{
		MAC: h.MAC, Kind: host.KindPort, Actor: actor,
		Cause: fmt.Sprintf("port %s is in %s now (%s): the host is %s", moved.Port, moved.VLAN, stage, h.State),
	})
}

// placed stores what port serves h, in whatever state h is by now.
func (r *Reconciler) placed(h host.Host, p *host.Placement) error {
	_, err := r.Store.Change(h.MAC, actor, "", func(h *host.Host) error {
		h.Placed = p
		return nil
	})
	return err
}
