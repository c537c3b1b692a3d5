package enroll

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"provision.internal/host"
)

// shifted is a rack with a Ready host whose port somebody has moved by hand.
func shifted(t *testing.T, more ...func(*Reconciler)) *rack {
	r := newRack(t, more...)
	r.edge.plug(mac(1), "ether7")
	r.admit(mac(1), "n1", "")
	r.awaitPlaced(mac(1), "ether7", host.StageInstall)
	r.advance(mac(1), host.Installing, host.Installed, host.Booted, host.Joined, host.Configured)
	r.await(mac(1), "Ready", in(host.Ready))
	return r
}

const backAgain = "port ether7 was found in idle0 and is back in production0 (production): the host is Ready; it may have been winbox:bob"

func TestPortMovedByHandIsPutBack(t *testing.T) {
	r := shifted(t)
	before := r.edge.moved()
	placed := r.await(mac(1), "placed", func(h host.Host) bool { return h.Placed != nil }).Placed
	r.edge.shift("ether7", host.StageIdle)
	r.awaitEvent(backAgain)
	r.edge.lookTwice(t)
	r.edge.lookTwice(t)
	if got := r.edge.moved()[len(before):]; !slices.Equal(got, []string{"ether7 production"}) {
		t.Errorf("moves %q, want one back", got)
	}
	if got := r.causes(mac(1), host.KindPort); len(got) != 3 {
		t.Errorf("events %q, want one for the move back", got)
	}
	if h, _ := r.Host(mac(1)); h.State != host.Ready || h.Placed == nil || *h.Placed != *placed {
		t.Errorf("%s with %+v, want it Ready with %+v", h.State, h.Placed, placed)
	}
}

// A failed host keeps its port, too; ports that no host was moved to are nobody's.
func TestOtherShiftedPorts(t *testing.T) {
	r := newRack(t)
	r.edge.plug(mac(1), "ether7")
	r.admit(mac(1), "n1", "")
	r.awaitPlaced(mac(1), "ether7", host.StageInstall)
	r.change(mac(1), func(h *host.Host) (err error) { *h, err = h.Fail("a test", h.Since); return err })
	r.edge.plug(mac(2), "ether8")
	r.boots(mac(2))
	r.edge.shift("ether8", host.StageProduction)
	r.edge.shift("ether7", host.StageProduction)
	r.awaitEvent("port ether7 was found in production0 and is back in install0 (install): the host is Failed")
	r.edge.lookTwice(t)
	if got := r.edge.moved(); !slices.Equal(got, []string{"ether7 install", "ether7 install"}) {
		t.Errorf("moves %q, want none of the port that nobody was moved to", got)
	}
}

// What keeps a port from being put back is tried again with the next look, and a
// machine that loads a boot file is not cut off.
func TestShiftWaits(t *testing.T) {
	for name, hinder := range map[string]func(*rack, *atomic.Bool) (release func()){
		"for the router": func(r *rack, _ *atomic.Bool) func() {
			r.edge.put(mac(1), host.Place{Port: "ether7", Doubt: "another machine"})
			return func() { r.edge.plug(mac(1), "ether7") }
		},
		"for the machine": func(_ *rack, loading *atomic.Bool) func() {
			loading.Store(true)
			return func() { loading.Store(false) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			var loading atomic.Bool
			r := shifted(t, func(r *Reconciler) { r.Loading = func(host.MAC) bool { return loading.Load() } })
			release := hinder(r, &loading)
			before := len(r.edge.moved())
			r.edge.shift("ether7", host.StageIdle)
			r.edge.lookTwice(t)
			r.edge.lookTwice(t)
			if got := r.edge.moved()[before:]; len(got) != 0 {
				t.Errorf("moves %q, want none yet", got)
			}
			release()
			r.awaitEvent(backAgain)
		})
	}
}

// Without a look nothing is known, and nothing is moved.
func TestNoShiftWithoutSight(t *testing.T) {
	r := shifted(t)
	before := len(r.edge.moved())
	r.edge.fail(errors.New("no route"))
	r.edge.shift("ether7", host.StageIdle)
	r.edge.lookTwice(t)
	if h, _ := r.Host(mac(1)); len(r.edge.moved()) != before || h.State != host.Ready {
		t.Errorf("%s, moves %q", h.State, r.edge.moved())
	}
	r.edge.fail(nil)
	r.awaitEvent(backAgain)
}
