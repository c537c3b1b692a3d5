package enroll

import (
	"sync/atomic"
	"testing"
	"time"

	"provision.internal/host"
	"provision.internal/nomad/nomadtest"
)

// Hosts may come before there is a cluster. They have no deadline meanwhile, and
// go on when it is founded, without a tick.
func TestWaitsForTheCluster(t *testing.T) {
	s, m := cluster(t), newMemory()
	const why = "run provision cluster init"
	var isFounded atomic.Bool
	founded := make(chan struct{})
	start(t, s, m, func(r *Reconciler) {
		r.Tick, r.Booting = time.Hour, 30*time.Minute
		r.WaitsChanged = func() <-chan struct{} { return founded }
		r.Waits = func(host.Host) string {
			if isFounded.Load() {
				return ""
			}
			return why
		}
	})
	h := booted(1)
	h.Deadline = time.Now().Add(-time.Minute)
	m.put(t, h)
	h = m.await(t, mac(1), func(h host.Host) bool { return h.Progress.Text == why })
	if h.State != host.Booted || h.Progress.Step != stepCluster || !h.Deadline.IsZero() {
		t.Errorf("%s with the progress %+v and the deadline %s, want it to wait in Booted for as long as it takes", h.State, h.Progress, h.Deadline)
	}
	before := time.Now()
	isFounded.Store(true)
	close(founded)
	m.await(t, mac(1), func(h host.Host) bool { return h.Deadline.After(before) })
	t.Cleanup(s.Join(&nomadtest.Client{Name: "host1"}))
	m.await(t, mac(1), in(host.Ready))
}
