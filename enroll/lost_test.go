package enroll

import (
	"testing"
	"time"

	"provision.internal/host"
	"provision.internal/nomad/nomadtest"
)

// A Ready host whose node stays away is called lost, and nothing more; it is not
// when it is back.
func TestLost(t *testing.T) {
	s, m := cluster(t), newMemory()
	start(t, s, m, func(r *Reconciler) { r.LostAfter, r.Tick = 50*time.Millisecond, 10*time.Millisecond })
	client := func(name string) func() {
		return s.Join(&nomadtest.Client{Name: name, ID: "7a780c47-390f-e4db-6dd9-10096b4b2ac9", Secret: "s"})
	}
	leave := client("host1")
	m.put(t, booted(1))
	t.Cleanup(s.Join(&nomadtest.Client{Name: "host2"}))
	m.put(t, booted(2))
	m.await(t, mac(1), in(host.Ready))
	m.await(t, mac(2), in(host.Ready))
	leave()
	s.Lose("host1")
	lost := m.await(t, mac(1), func(h host.Host) bool { return !h.Lost.IsZero() })
	if lost.State != host.Ready {
		t.Errorf("the lost host is %s, want Ready", lost.State)
	}
	t.Cleanup(client("host1"))
	m.await(t, mac(1), func(h host.Host) bool { return h.Lost.IsZero() })
	if h := m.await(t, mac(2), in(host.Ready)); !h.Lost.IsZero() {
		t.Error("a host that is there is called lost")
	}
	// One notice tells of the loss and one of the return.
	m.await(t, mac(1), func(host.Host) bool { return m.noticed[mac(1)] == 2 })
}
