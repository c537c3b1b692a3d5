package enroll

import (
	"errors"
	"strings"
	"testing"
	"time"

	"provision.internal/host"
	"provision.internal/store"
)

func TestAdmissionByPort(t *testing.T) {
	r := newRack(t)
	a := r.stand("ether7", "n7")
	r.edge.plug(strange, "ether7")
	r.boots(strange)
	h := r.awaitPlaced(strange, "ether7", host.StageInstall)
	if h.Name != "n7" || h.Role != "worker" || h.State != host.Admitted || !h.Grant.Open(time.Now()) || h.Grant.Port != "ether7" || !h.Grant.Expires.Equal(a.Expires) {
		t.Errorf("%+v %+v; want it admitted as n7", h, h.Grant)
	}
	// The next one on the port is nobody.
	r.edge.mu.Lock()
	delete(r.edge.places, strange)
	r.edge.mu.Unlock()
	r.edge.plug(another, "ether7")
	r.boots(another)
	r.await(another, "found", func(h host.Host) bool { return h.Port == "ether7" })
	r.edge.lookTwice(t)
	if h, _ := r.Host(another); h.State != host.Seen || h.Grant != nil {
		t.Errorf("a second machine on the port: %+v", h)
	}
}

// Every way in which the machine on the port may be the wrong one.
func TestWrongMachineOnThePort(t *testing.T) {
	seen := func(r *rack) { r.edge.plug(strange, "ether7"); r.boots(strange) }
	for _, tt := range []struct {
		name string
		do   func(r *rack)
		why  string // in a notice; empty when nothing connects the machine with the admission
	}{
		{"a switch with two machines behind the port", func(r *rack) {
			for _, m := range []host.MAC{strange, another} {
				r.edge.put(m, host.Place{Port: "ether7", Doubt: "port ether7 has other machines behind it"})
				r.boots(m)
			}
		}, "other machines behind it"},
		{"it shows on two ports", func(r *rack) { r.edge.put(strange, host.Place{Doubt: "it shows on two"}); r.boots(strange) }, ""},
		{"another port", func(r *rack) { r.edge.plug(strange, "ether8"); r.boots(strange) }, ""},
		{"no port at all", func(r *rack) { r.boots(strange) }, ""},
		{"a port that is never moved", func(r *rack) { r.edge.put(strange, host.Place{Port: "ether7", Fixed: true}); r.boots(strange) }, "not one for hosts"},
		{"a known host that is switched off has the port", func(r *rack) {
			r.admit(another, "n1", "ether7")
			seen(r)
		}, "belongs to n1"},
		{"a retired machine", func(r *rack) {
			seen(r)
			r.await(strange, "Seen", in(host.Seen))
			r.advance(strange, host.Retired)
		}, ""},
		{"a machine that is held", func(r *rack) {
			r.admit(strange, "", "")
			r.change(strange, func(h *host.Host) (err error) { *h, err = h.Hold("another UUID", time.Now()); return err })
			seen(r)
		}, "no stranger"},
		{"a failed machine", func(r *rack) {
			r.admit(strange, "old", "ether3")
			r.change(strange, func(h *host.Host) (err error) { *h, err = h.Fail("x", time.Now()); return err })
			seen(r)
		}, "no stranger: it is Failed"},
		{"a machine that runs since before the admission", func(r *rack) {
			r.edge.plug(strange, "ether7")
			r.Saw(store.Sighting{MAC: strange, Platform: "bios", Time: time.Now().Add(-24 * time.Hour)})
			r.await(strange, "Seen", in(host.Seen))
			r.Saw(store.Sighting{MAC: strange}) // its system renews its lease
		}, "switch it on anew"},
		{"a machine that the configuration names", func(r *rack) {
			r.edge.plug(mac(1), "ether7")
			r.boots(mac(1))
		}, "the configuration calls it other"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRack(t, func(r *Reconciler) {
				r.Known = func(m host.MAC) string {
					if m == mac(1) {
						return "other"
					}
					return ""
				}
			})
			tt.do(r)
			r.stand("ether7", "n7")
			if tt.why != "" {
				r.awaitEvent(tt.why)
			}
			for range 3 {
				r.edge.lookTwice(t)
			}
			if len(r.Admissions()) != 1 {
				t.Error("the admission was taken")
			}
			if _, err := r.Named("n7"); !errors.Is(err, host.ErrUnknown) {
				t.Errorf("there is an n7: %v", err)
			}
			for _, m := range []host.MAC{strange, another, mac(1)} {
				if n := strings.Count(strings.Join(r.causes(m, host.KindNotice), "\n"), "not admitted as n7"); n > 1 {
					t.Errorf("%d notices about one refusal", n)
				}
			}
		})
	}
}

// Somebody joins behind the port after the machine was taken, and before its
// disk is written: it may be the one that was meant.
func TestCrowdAfterTheAdmission(t *testing.T) {
	r := newRack(t)
	r.stand("ether7", "n7")
	r.edge.plug(strange, "ether7")
	r.boots(strange)
	r.awaitPlaced(strange, "ether7", host.StageInstall)
	r.edge.put(strange, host.Place{Port: "ether7", Doubt: "port ether7 has other machines behind it"})
	h := r.await(strange, "held", func(h host.Host) bool { return h.Held != "" })
	if h.State != host.Seen || h.Grant != nil || !strings.Contains(h.Held, "other machines") {
		t.Errorf("%+v; want it held without a grant", h)
	}
	// A machine that was named by its MAC is still that machine.
	r.admit(another, "n8", "ether8")
	r.edge.plug(another, "ether8")
	r.awaitPlaced(another, "ether8", host.StageInstall)
	r.edge.put(another, host.Place{Port: "ether8", Doubt: "port ether8 has other machines behind it"})
	r.edge.lookTwice(t)
	if h, _ := r.Host(another); h.State != host.Admitted {
		t.Errorf("%+v; want it admitted", h)
	}
}

// Re-cabled between the admission and the boot.
func TestRecabledAfterTheAdmission(t *testing.T) {
	r := newRack(t)
	r.stand("ether7", "n7")
	r.edge.plug(strange, "ether7")
	r.boots(strange)
	r.awaitPlaced(strange, "ether7", host.StageInstall)
	r.edge.plug(strange, "ether8")
	r.edge.plug(another, "ether7")
	r.boots(another)
	h := r.await(strange, "held", func(h host.Host) bool { return h.Held != "" })
	if h.Grant != nil || !h.Strayed {
		t.Errorf("%+v; want it held", h)
	}
	if h, _ := r.Host(another); h.Grant != nil {
		t.Errorf("the machine that came in its place: %+v", h)
	}
}

// A restarted appliance does not admit a second machine.
func TestAdmissionAfterRestart(t *testing.T) {
	r := newRack(t)
	r.stand("ether7", "n7")
	r.halt()
	r.start()
	r.edge.plug(strange, "ether7")
	r.boots(strange)
	r.await(strange, "admitted", in(host.Admitted))
	r.halt()
	r.edge.mu.Lock()
	delete(r.edge.places, strange)
	r.edge.mu.Unlock()
	r.edge.plug(another, "ether7")
	r.start()
	r.boots(another)
	r.await(another, "found", func(h host.Host) bool { return h.Port == "ether7" })
	r.edge.lookTwice(t)
	if h, _ := r.Host(another); h.State != host.Seen {
		t.Errorf("%+v; want it Seen", h)
	}
}

func TestAdmissionExpires(t *testing.T) {
	r := newRack(t)
	now := time.Now()
	a := host.Admission{ID: "a1", Port: "ether7", Name: "n7", Role: "worker", By: "operator:root", Made: now, Expires: now}
	if err := r.Stand(a, a.By); err != nil {
		t.Fatal(err)
	}
	r.edge.plug(strange, "ether7")
	r.boots(strange)
	r.await(strange, "found", func(h host.Host) bool { return h.Port == "ether7" })
	r.edge.lookTwice(t)
	if h, _ := r.Host(strange); h.State != host.Seen || len(r.Admissions()) != 0 {
		t.Errorf("%+v with %v; want it Seen, and no admission", h, r.Admissions())
	}
	if got := r.causes(host.MAC{}, host.KindNotice); !strings.Contains(strings.Join(got, "\n"), "no machine came") {
		t.Errorf("events %q, want one that tells of it", got)
	}
}

// Right before the disk is written.
func TestConfirm(t *testing.T) {
	h := host.Host{MAC: mac(1), Name: "n1", State: host.Admitted, Grant: &host.Grant{Place: true, Port: "ether7"}}
	for _, tt := range []struct {
		name string
		do   func(*edge, *host.Host)
		want string
	}{
		{"in place", func(e *edge, h *host.Host) { e.plug(h.MAC, "ether7") }, ""},
		{"a grant that asks for no port", func(e *edge, h *host.Host) { h.Grant = &host.Grant{} }, ""},
		{"already being installed", func(e *edge, h *host.Host) { h.State = host.Installing }, ""},
		{"nowhere", func(*edge, *host.Host) {}, "on no port"},
		{"elsewhere", func(e *edge, h *host.Host) { e.plug(h.MAC, "ether9") }, "it is on port ether9, and was admitted on port ether7"},
		{"not alone", func(e *edge, h *host.Host) { e.put(h.MAC, host.Place{Port: "ether7", Doubt: "a crowd"}) }, "a crowd"},
		{"an unreachable router", func(e *edge, _ *host.Host) { e.fail(errors.New("no route")) }, "cannot be confirmed: no route"},
	} {
		e, h := newEdge(), h.Clone()
		tt.do(e, &h)
		err := (&Reconciler{Ports: e}).Confirm(t.Context(), h)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if err := (&Reconciler{}).Confirm(t.Context(), h); err != nil {
		t.Errorf("without ports: %v", err)
	}
}
