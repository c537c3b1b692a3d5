package enroll

import (
	"fmt"
	"testing"

	"provision.internal/host"
	"provision.internal/router"
	"provision.internal/router/ports"
	"provision.internal/router/ros"
	"provision.internal/router/routertest"
	"provision.internal/store"
)

// The whole way on a router that speaks the real wire: a stranger in quarantine is
// admitted by its port, installed, works, is plugged in elsewhere, and leaves.
func TestTheWholeWayOnARouter(t *testing.T) {
	r := routertest.New(routertest.Config{})
	t.Cleanup(r.Close)
	if err := r.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	c := router.Config{
		Bridge: "br0",
		VLANs:  []router.VLAN{{Name: "lan0", ID: 10}, {Name: "inst0", ID: 20}, {Name: "idle0", ID: 30}},
		Stages: router.Stages{Idle: "idle0", Install: "inst0", Production: "lan0"},
	}
	do := func(command string, words ...string) {
		t.Helper()
		if _, err := r.Do(command, words...); err != nil {
			t.Fatal(err)
		}
	}
	do("/interface/bridge/add", "=name=br0", "=vlan-filtering=yes")
	for i := 2; i <= 9; i++ {
		name := fmt.Sprintf("ether%d", i)
		c.Ports = append(c.Ports, router.Port{Name: name, Role: router.Host})
		do("/interface/bridge/port/add", "=bridge=br0", "=interface="+name, "=pvid=30")
	}
	pvid := func(port string) string {
		for _, row := range r.Rows("/interface/bridge/port") {
			if row["interface"] == port {
				return row["pvid"] + " " + row["edge"]
			}
		}
		return ""
	}
	wants := func(when, port, want string) {
		t.Helper()
		if got := pvid(port); got != want {
			t.Errorf("%s: %s has pvid and edge %s, want %s", when, port, got, want)
		}
	}
	device := &ros.Device{Dialer: ros.Dialer{Address: r.Addr(), User: "admin", Pin: r.Pin()}}
	a := newRack(t, func(rec *Reconciler) { rec.Ports = &ports.Ports{Device: device, Config: c} })

	a.stand("ether7", "n7")
	r.LearnHost(strange.String(), "ether7", 0)
	wants("unknown", "ether7", "30 auto")
	a.boots(strange)
	a.awaitPlaced(strange, "ether7", host.StageInstall)
	wants("admitted", "ether7", "20 yes")
	a.advance(strange, host.Installing, host.Installed, host.Booted, host.Joined, host.Configured)
	a.await(strange, "Ready", in(host.Ready))
	wants("Ready", "ether7", "10 auto")
	for _, row := range r.Rows("/interface/bridge/port") {
		if row["interface"] == "ether7" {
			do("/interface/bridge/port/set", "=numbers="+row[".id"], "=pvid=30")
		}
	}
	a.awaitEvent("port ether7 was found in idle0 and is back in lan0 (production): the host is Ready; it may have been console:admin at ")
	wants("moved by hand", "ether7", "10 auto")
	r.LearnHost(strange.String(), "ether9", 0)
	a.await(strange, "found elsewhere", func(h host.Host) bool { return h.Port == "ether9" })
	wants("strayed", "ether9", "30 auto")
	a.advance(strange, host.Retired)
	a.await(strange, "without a port", func(h host.Host) bool { return h.Placed == nil })
	wants("retired", "ether7", "30 auto")

	// A MAC address that is known, on the port of another machine.
	a.admit(another, "n8", "ether8")
	r.LearnHost(another.String(), "ether8", 0)
	a.awaitPlaced(another, "ether8", host.StageInstall)
	r.LearnHost(another.String(), "ether2", 0)
	a.Saw(store.Sighting{MAC: another, Platform: "bios"})
	a.await(another, "held", func(h host.Host) bool { return h.State == host.Seen && h.Strayed && h.Placed == nil })
	wants("held", "ether8", "30 auto")
	wants("held", "ether2", "30 auto")
}
