package enroll

import (
	"context"
	"time"

	"provision.internal/host"
)

// Steps of a host's progress.
const (
	stepCluster = "cluster" // there is no cluster yet that it could join
	stepNode    = "node"
)

// join waits for the node, which is in quarantine.
func (r *Reconciler) join(ctx context.Context, h host.Host) error {
	if err := r.await(ctx, h); err != nil {
		return err
	}
	if err := r.progress(h, stepNode, "waiting for the Nomad node"); err != nil {
		return err
	}
	node, err := r.Nomad.WaitNode(ctx, h.Name)
	if err != nil {
		return err
	}
	return r.advance(h, host.Joined, "Nomad node "+node.ID+" is ready", func(h *host.Host) { h.Node = node.ID })
}

// await waits until there is a cluster for h. That is not up to the host, so its
// deadline counts from then on.
func (r *Reconciler) await(ctx context.Context, h host.Host) error {
	waited := h.Progress.Step == stepCluster // before a restart
	again := time.NewTicker(r.tick())
	defer again.Stop()
	for {
		changed := signal(r.WaitsChanged) // before the question: what changes after it counts
		why := r.waits(h)
		if why == "" {
			break
		}
		waited = true
		err := r.change(h, why, func(h *host.Host) error {
			h.Deadline, h.Progress = time.Time{}, host.Progress{Step: stepCluster, Text: why}
			return nil
		})
		if err != nil {
			return err
		}
		select {
		case <-changed:
		case <-again.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if !waited || r.Booting == 0 {
		return nil
	}
	return r.change(h, "", func(h *host.Host) error {
		h.Deadline = r.now().Add(r.Booting)
		return nil
	})
}

// waits is why h cannot have a node, for no fault of its own.
func (r *Reconciler) waits(h host.Host) string {
	if r.Waits == nil || h.State != host.Booted {
		return ""
	}
	return r.Waits(h)
}

// admit calls a configured host ready, once it is out of quarantine and its port is
// where it is to work.
func (r *Reconciler) admit(ctx context.Context, h host.Host) error {
	if e := h.Enrolment; e != nil && e.Stage != "" { // it was let in by stages
		if err := r.progress(h, stepNode, "waiting for the node in its own pool"); err != nil {
			return err
		}
		if _, err := r.Nomad.WaitMember(ctx, h.Name); err != nil {
			return err
		}
	}
	if g := h.Grant; r.Ports != nil && g != nil && g.Place {
		if err := r.progress(h, stepPort, "moving port "+g.Port+" to production"); err != nil {
			return err
		}
		if err := r.place(ctx, h, g.Port, host.StageProduction); err != nil {
			return err
		}
	}
	return r.advance(h, host.Ready, "configured", nil)
}
