package enroll

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"provision.internal/host"
)

// One host from the admission to production, back, and out.
func TestPortFollowsItsHost(t *testing.T) {
	r := newRack(t)
	r.edge.plug(mac(1), "ether7")
	r.admit(mac(1), "n1", "")
	h := r.awaitPlaced(mac(1), "ether7", host.StageInstall)
	if h.Grant.Port != "ether7" || !h.InPlace() {
		t.Errorf("%+v is in place: %v; want it bound to the port on which it was found", h.Grant, h.InPlace())
	}
	r.advance(mac(1), host.Installing, host.Installed, host.Booted, host.Joined)
	if got := r.edge.moved(); !slices.Equal(got, []string{"ether7 install"}) {
		t.Errorf("moves while it is installed: %q", got)
	}
	r.advance(mac(1), host.Configured)
	r.await(mac(1), "Ready", in(host.Ready))
	r.admit(mac(1), "n1", "ether7") // a reinstall
	r.await(mac(1), "in place", func(h host.Host) bool { return h.InPlace() })
	r.advance(mac(1), host.Retired)
	r.await(mac(1), "given back", func(h host.Host) bool { return h.Placed == nil })
	want := []string{"ether7 install", "ether7 production", "ether7 install", "ether7 idle"}
	if got := r.edge.moved(); !slices.Equal(got, want) {
		t.Errorf("moves %q, want %q", got, want)
	}
	events := r.causes(mac(1), host.KindPort)
	if len(events) != 4 || events[0] != "port ether7 is in install0 now (install): the host is Admitted" {
		t.Errorf("events %q, want one for each move, with its cause", events)
	}
}

// Ready is only who is where it is to work, and says what keeps it from there.
func TestReadyWaitsForItsPort(t *testing.T) {
	r := newRack(t)
	r.edge.plug(mac(1), "ether7")
	r.admit(mac(1), "n1", "ether7")
	r.awaitPlaced(mac(1), "ether7", host.StageInstall)
	r.edge.fail(errors.New("no route to the router"))
	r.advance(mac(1), host.Installing, host.Installed, host.Booted, host.Joined, host.Configured)
	r.edge.lookTwice(t)
	if h, _ := r.Host(mac(1)); h.State != host.Configured {
		t.Fatalf("%s without its port, want it to wait", h.State)
	}
	r.change(mac(1), func(h *host.Host) error { h.Deadline = time.Now(); return nil })
	h := r.await(mac(1), "Failed", in(host.Failed))
	if h.Failure.In != host.Configured || !strings.Contains(h.Failure.Reason, "no route to the router") {
		t.Errorf("failure %+v, want the reason in it", h.Failure)
	}
}

func TestAdmittedFailsWithItsTrouble(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(*rack)
		want string
	}{
		{"on no port", func(r *rack) { r.admit(mac(1), "n1", "") }, "it was not found on any port of the router"},
		{"not alone", func(r *rack) {
			r.edge.put(mac(1), host.Place{Port: "ether7", Doubt: "others are there"})
			r.admit(mac(1), "n1", "ether7")
		}, "not alone on port ether7"},
		{"on several", func(r *rack) {
			r.edge.put(mac(1), host.Place{Doubt: "it shows on two ports"})
			r.admit(mac(1), "n1", "")
		}, "it shows on two ports"},
		{"an unreachable router", func(r *rack) {
			r.edge.fail(errors.New("no route to the router"))
			r.admit(mac(1), "n1", "")
		}, "no route to the router"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRack(t)
			tt.do(r)
			r.await(mac(1), "explained", func(h host.Host) bool { return strings.Contains(h.Progress.Text, tt.want) })
			r.change(mac(1), func(h *host.Host) error { h.Deadline = time.Now(); return nil })
			h := r.await(mac(1), "Failed", in(host.Failed))
			if !strings.Contains(h.Failure.Reason, tt.want) || !strings.Contains(h.Failure.Reason, "provision enroll n1") {
				t.Errorf("reason %q, want %q and what to do", h.Failure.Reason, tt.want)
			}
			if len(r.edge.moved()) != 0 {
				t.Errorf("moved %q", r.edge.moved())
			}
		})
	}
}

// A move that hangs keeps nobody else waiting.
func TestSlowMoveDelaysNobody(t *testing.T) {
	r := newRack(t)
	r.edge.wait["ether1"] = make(chan struct{})
	for i := range 50 {
		r.edge.plug(mac(i+1), fmt.Sprintf("ether%d", i+1))
		r.admit(mac(i+1), fmt.Sprintf("n%d", i+1), "")
	}
	for i := range 49 {
		r.awaitPlaced(mac(i+2), fmt.Sprintf("ether%d", i+2), host.StageInstall)
	}
	if h, _ := r.Host(mac(1)); h.InPlace() {
		t.Error("the slow one is in place")
	}
	close(r.edge.wait["ether1"])
	r.awaitPlaced(mac(1), "ether1", host.StageInstall)
}

// All that is known is in the store: an appliance that is killed goes on.
func TestMoveAfterRestart(t *testing.T) {
	r := newRack(t)
	r.edge.wait["ether7"] = make(chan struct{})
	r.edge.plug(mac(1), "ether7")
	r.admit(mac(1), "n1", "")
	r.await(mac(1), "being moved", func(h host.Host) bool { return h.Placed != nil })
	r.halt()
	close(r.edge.wait["ether7"])
	r.start()
	r.awaitPlaced(mac(1), "ether7", host.StageInstall)
	r.halt()
	r.start()
	r.edge.lookTwice(t)
	if got := r.edge.moved(); !slices.Equal(got, []string{"ether7 install"}) {
		t.Errorf("moves %q, want it once", got)
	}
}

// What was moved for a host that is gone by then is given back.
func TestRetiredInTheMiddleOfAMove(t *testing.T) {
	r := newRack(t)
	r.edge.wait["ether7"] = make(chan struct{})
	r.edge.plug(mac(1), "ether7")
	r.admit(mac(1), "n1", "")
	r.await(mac(1), "being moved", func(h host.Host) bool { return h.Placed != nil })
	r.advance(mac(1), host.Retired)
	close(r.edge.wait["ether7"])
	r.await(mac(1), "given back", func(h host.Host) bool { return h.Placed == nil })
	if got := r.edge.moved(); got[len(got)-1] != "ether7 idle" {
		t.Errorf("moves %q, want the port idle at the end", got)
	}
}

// The port of a retired host may be another's by now.
func TestRetiredHostLeavesTheNextAlone(t *testing.T) {
	r := newRack(t)
	r.edge.plug(mac(1), "ether7")
	r.admit(mac(1), "n1", "")
	r.awaitPlaced(mac(1), "ether7", host.StageInstall)
	r.halt()
	r.start()
	r.edge.fail(errors.New("no route"))
	r.advance(mac(1), host.Retired)
	r.admit(mac(2), "n2", "ether7")
	r.edge.mu.Lock()
	delete(r.edge.places, mac(1))
	r.edge.places[mac(2)] = host.Place{Port: "ether7"}
	r.edge.broken = nil
	r.edge.mu.Unlock()
	r.await(mac(1), "without a port", func(h host.Host) bool { return h.Placed == nil })
	r.await(mac(2), "in place", func(h host.Host) bool { return h.InPlace() })
	if got := r.edge.moved(); slices.Contains(got, "ether7 idle") {
		t.Errorf("moves %q: the next host was put into quarantine", got)
	}
}

// A known MAC on another port: rule 5.
func TestStray(t *testing.T) {
	t.Run("admitted", func(t *testing.T) {
		r := newRack(t)
		r.edge.plug(mac(1), "ether7")
		r.admit(mac(1), "n1", "")
		r.awaitPlaced(mac(1), "ether7", host.StageInstall)
		r.edge.plug(mac(1), "ether9")
		r.boots(mac(1))
		h := r.await(mac(1), "held", func(h host.Host) bool { return h.Held != "" })
		if h.State != host.Seen || h.Grant != nil || !h.Strayed || h.Port != "ether9" || !strings.Contains(h.Held, "found on port ether9, but admitted on port ether7") {
			t.Errorf("%+v; want it held without a grant, with both ports", h)
		}
		r.await(mac(1), "given back", func(h host.Host) bool { return h.Placed == nil })
		if got := r.edge.moved(); !slices.Equal(got, []string{"ether7 install", "ether7 idle"}) {
			t.Errorf("moves %q, want its old port back in quarantine and the other one untouched", got)
		}
		// Accepted there by hand.
		r.admit(mac(1), "n1", "ether9")
		r.awaitPlaced(mac(1), "ether9", host.StageInstall)
	})
	t.Run("ready", func(t *testing.T) {
		r := newRack(t)
		r.edge.plug(mac(1), "ether7")
		r.admit(mac(1), "n1", "")
		r.awaitPlaced(mac(1), "ether7", host.StageInstall)
		r.advance(mac(1), host.Installing, host.Installed, host.Booted, host.Joined, host.Configured)
		r.await(mac(1), "Ready", in(host.Ready))
		r.edge.plug(mac(1), "ether9")
		h := r.await(mac(1), "found", func(h host.Host) bool { return h.Port == "ether9" })
		if h.State != host.Ready || h.Held != "" || h.Grant == nil {
			t.Errorf("%+v; want it Ready", h)
		}
		r.edge.lookTwice(t)
		r.edge.lookTwice(t)
		if got := r.causes(mac(1), host.KindNotice); len(got) != 1 || !strings.Contains(got[0], "ether9, but admitted on port ether7") {
			t.Errorf("notices %q, want one", got)
		}
		if got := r.edge.moved(); len(got) != 2 {
			t.Errorf("moves %q, want none for a host that strayed", got)
		}
		// Accepted there by hand, without being installed again.
		r.change(mac(1), func(h *host.Host) error { h.Grant.Port = "ether9"; return nil })
		r.awaitPlaced(mac(1), "ether9", host.StageProduction)
		if got := r.edge.moved(); !slices.Equal(got[2:], []string{"ether7 idle", "ether9 production"}) {
			t.Errorf("moves %q, want the old port idle", got)
		}
	})
}

// A boot file that is being loaded is not cut off.
func TestLoadingMachineIsNotMoved(t *testing.T) {
	loading := make(chan bool, 1)
	loading <- true
	r := newRack(t, func(r *Reconciler) {
		r.Loading = func(host.MAC) bool {
			now := <-loading
			loading <- now
			return now
		}
	})
	r.edge.plug(mac(1), "ether7")
	r.admit(mac(1), "n1", "")
	r.await(mac(1), "found", func(h host.Host) bool { return h.Port == "ether7" })
	r.edge.lookTwice(t)
	if got := r.edge.moved(); len(got) != 0 {
		t.Errorf("moved %q while it was loading", got)
	}
	<-loading
	loading <- false
	r.awaitPlaced(mac(1), "ether7", host.StageInstall)
}

func TestWithoutPorts(t *testing.T) {
	r := newRack(t, func(r *Reconciler) { r.Ports = nil })
	r.admit(mac(1), "n1", "")
	r.change(mac(1), func(h *host.Host) error { h.Grant.Place = false; return nil })
	r.advance(mac(1), host.Installing, host.Installed, host.Booted, host.Joined, host.Configured)
	h := r.await(mac(1), "Ready", in(host.Ready))
	if h.Port != "" || h.Placed != nil || r.edge.looks != 0 {
		t.Errorf("%+v after %d looks: want nothing of ports", h, r.edge.looks)
	}
}
