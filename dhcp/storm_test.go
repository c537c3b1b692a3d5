package dhcp

import (
	"context"
	"testing"
	"time"

	"provision.internal/dhcp/dhcptest"
	"provision.internal/host"
)

// A thousand machines get power in the same instant: all of them hold a lease
// that is stored, and nobody had to ask twice.
func TestStorm(t *testing.T) {
	c := newCable(t)
	leases := &memory{}
	s, _, _ := start(t, c, Config{Networks: []Network{rack()}}, leases)
	load := dhcptest.Load{Interface: "cli", InFlight: 1000, Count: 1000}
	var got dhcptest.Result
	inside(t, c.Client, func() (err error) {
		got, err = load.Run(context.Background())
		return err
	})
	t.Logf("p50 %v, p99 %v, last %v, %d commits", got.P50, got.P99, got.Max, s.Counters()["lease_commits"])
	if got.Done != 1000 || got.Retransmissions != 0 || got.Duplicates != 0 || got.Refused != 0 {
		t.Errorf("%d of 1000 machines served, %d retransmissions, %d addresses given twice, %d refusals; want 1000, 0, 0, 0",
			got.Done, got.Retransmissions, got.Duplicates, got.Refused)
	}
	for addr, n := range got.Given {
		l, ok := leases.lease(addr)
		if !ok || l.MAC != host.MAC(dhcptest.MAC(n)) || !l.Expires.After(time.Now()) {
			t.Fatalf("machine %d was told that it has %s; stored is %+v", n, addr, l)
		}
	}
}
