package web_test

import (
	"fmt"
	"testing"
	"time"

	"provision.internal/host"
	"provision.internal/web"
)

// portsOf is a router with host ports of these names.
type portsOf []string

func (p portsOf) ForHosts(port string) error {
	for _, name := range p {
		if name == port {
			return nil
		}
	}
	return fmt.Errorf("port %s is no port for hosts: its role is uplink", port)
}

func withPorts(s *web.Server) { s.Ports = portsOf{"ether7", "ether8", "ether9"} }

func TestStandingAdmission(t *testing.T) {
	a := start(t, t.TempDir(), withPorts)
	req := web.Enroll{Port: "ether7", Name: "n7", Role: "worker"}
	r, err := a.Enroll(t.Context(), req)
	if err != nil || !r.Changed || r.Admission == nil || r.Admission.Name != "n7" || !r.Admission.Open(time.Now()) || !r.Host.MAC.IsZero() {
		t.Fatalf("Enroll = %+v, %v; want a standing admission", r, err)
	}
	if again, err := a.Enroll(t.Context(), req); err != nil || again.Changed || again.Admission.ID != r.Admission.ID {
		t.Errorf("the same again = %+v, %v; want no change", again, err)
	}
	if r, err := a.Enroll(t.Context(), web.Enroll{Port: "ether8", Role: "worker"}); err != nil || r.Admission.Name != "ether8" {
		t.Errorf("without a name = %+v, %v; want the port's", r.Admission, err)
	}
	all, err := a.Admissions(t.Context())
	if err != nil || len(all) != 2 || all[0].Port != "ether7" {
		t.Errorf("Admissions = %+v, %v; want both", all, err)
	}
	for _, ref := range []string{"n7", "ether8"} {
		if r, err := a.Retire(t.Context(), ref); err != nil || !r.Changed || r.Admission == nil {
			t.Errorf("Retire(%s) = %+v, %v; want it cancelled", ref, r, err)
		}
		_, err := a.Retire(t.Context(), ref)
		wantCode(t, err, web.CodeUnknown)
	}
	if all, err := a.Admissions(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("Admissions = %+v, %v; want none", all, err)
	}
}

func TestStandingAdmissionRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		req  web.Enroll
		code web.Code
		why  string
	}{
		{"a port of the way out", web.Enroll{Port: "ether1", Name: "n7", Role: "worker"}, web.CodeInvalid, "uplink"},
		{"no role", web.Enroll{Port: "ether7", Name: "n7"}, web.CodeInvalid, "a role is needed"},
		{"a role that is not there", web.Enroll{Port: "ether7", Name: "n7", Role: "x"}, web.CodeInvalid, "no role"},
		{"no name", web.Enroll{Port: "ether7", Name: "N 7", Role: "worker"}, web.CodeInvalid, "cannot be a host's name"},
		{"a port that awaits somebody", web.Enroll{Port: "ether9", Name: "n7", Role: "worker"}, web.CodeConflict, "awaits n9"},
		{"a name that is awaited elsewhere", web.Enroll{Port: "ether7", Name: "n9", Role: "worker"}, web.CodeConflict, "awaited on port ether9"},
		{"a port that a host has", web.Enroll{Port: "ether8", Name: "n7", Role: "worker"}, web.CodeConflict, "belongs to n8, which is Admitted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := start(t, t.TempDir(), withPorts)
			for _, req := range []web.Enroll{{Port: "ether9", Name: "n9", Role: "worker"}, {Port: "ether8", Name: "n8", MAC: mac1, Role: "worker"}} {
				if _, err := a.Enroll(t.Context(), req); err != nil {
					t.Fatal(err)
				}
			}
			_, err := a.Enroll(t.Context(), tt.req)
			wantCode(t, err, tt.code, tt.why)
		})
	}
	a := start(t, t.TempDir(), nil)
	_, err := a.Enroll(t.Context(), web.Enroll{Port: "ether7", Role: "worker"})
	wantCode(t, err, web.CodeInvalid, "no router")
}

// A machine that is known is not awaited on the port, but admitted there.
func TestAdmissionOfAKnownMachineOnAPort(t *testing.T) {
	a := start(t, t.TempDir(), withPorts)
	a.seen(t, mac1)
	a.move(t, mac1, func(h *host.Host) error { h.Port = "ether7"; return nil })
	r, err := a.Enroll(t.Context(), web.Enroll{Name: "n1", MAC: mac1, Role: "worker"})
	if err != nil || !r.Host.Grant.Place || r.Host.Grant.Port != "ether7" {
		t.Fatalf("Enroll = %+v %+v, %v; want it bound to the port on which it is", r.Host, r.Host.Grant, err)
	}
	r, err = a.Enroll(t.Context(), web.Enroll{Name: "n1", Port: "ether8"})
	if err != nil || !r.Changed || r.Host.MAC != mac1 || r.Host.Grant.Port != "ether8" {
		t.Errorf("Enroll = %+v %+v, %v; want the same machine, on the other port", r.Host, r.Host.Grant, err)
	}
	if all, err := a.Admissions(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("Admissions = %+v, %v; want none", all, err)
	}
}

// Whoever enrols a machine that is held for its port must say the port that it is
// on; nothing else about it is forgotten by that.
func TestStrayIsAcceptedByItsPort(t *testing.T) {
	a := start(t, t.TempDir(), withPorts)
	a.seen(t, mac1)
	uuid := host.UUID{1}
	a.move(t, mac1, func(h *host.Host) error { h.Port, h.UUID = "ether7", uuid; return nil })
	req := web.Enroll{Name: "n1", MAC: mac1, Role: "worker"}
	if _, err := a.Enroll(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	a.move(t, mac1, func(h *host.Host) (err error) {
		*h, _, err = h.FoundAt(host.Place{Port: "ether9"}, time.Now())
		return err
	})
	for _, port := range []string{"", "ether7"} {
		req.Port = port
		_, err := a.Enroll(t.Context(), req)
		wantCode(t, err, web.CodeConflict, "found on port ether9, but admitted on port ether7", "--port ether9")
	}
	req.Port = "ether9"
	r, err := a.Enroll(t.Context(), req)
	if err != nil || r.Host.Grant.Port != "ether9" || r.Host.UUID != uuid || r.Host.Held != "" || r.Host.Strayed {
		t.Errorf("Enroll = %+v %+v, %v; want it admitted on ether9, with the UUID that it had", r.Host, r.Host.Grant, err)
	}
	// One that is held for anything else is not let in by its port.
	a.move(t, mac1, func(h *host.Host) (err error) { *h, err = h.Hold("another UUID", time.Now()); return err })
	_, err = a.Enroll(t.Context(), req)
	wantCode(t, err, web.CodeConflict, "--new-machine")
}

// A host at work that was plugged in elsewhere stays as it is.
func TestReadyHostIsAcceptedOnAnotherPort(t *testing.T) {
	a := start(t, t.TempDir(), withPorts)
	req := web.Enroll{Name: "n1", MAC: mac1, Role: "worker", Port: "ether7"}
	if _, err := a.Enroll(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	a.move(t, mac1, func(h *host.Host) error {
		h.Port, h.Placed = "ether7", &host.Placement{Port: "ether7", Stage: host.StageInstall, Since: time.Now()}
		return nil
	})
	a.to(t, mac1, host.Installing, host.Installed, host.Booted, host.Joined, host.Configured, host.Ready)
	a.move(t, mac1, func(h *host.Host) error { h.Port = "ether9"; return nil })
	req.Port = "ether8"
	_, err := a.Enroll(t.Context(), req)
	wantCode(t, err, web.CodeConflict, "was found on port ether9, not on ether8")
	req.Port = "ether9"
	for _, changed := range []bool{true, false} {
		r, err := a.Enroll(t.Context(), req)
		if err != nil || r.Changed != changed || r.Host.State != host.Ready || r.Host.Grant.Port != "ether9" || r.Host.Grant.Burned.IsZero() {
			t.Errorf("Enroll = %+v %+v, %v; want it Ready on ether9, changed %v", r.Host, r.Host.Grant, err, changed)
		}
	}
	if r, err := a.Reinstall(t.Context(), "n1", web.Reinstall{Confirm: "n1"}); err != nil || !r.Host.Grant.Place || r.Host.Grant.Port != "ether9" || r.Host.InPlace() {
		t.Errorf("Reinstall = %+v %+v, %v; want it to wait for its port", r.Host, r.Host.Grant, err)
	}
}

// An admission of before there was a router does not wait for a port for ever,
// and the other way round.
func TestAdmittedAgainWhenTheRouterComesOrGoes(t *testing.T) {
	dir := t.TempDir()
	req := web.Enroll{Name: "n1", MAC: mac1, Role: "worker"}
	for i, tt := range []struct {
		ports web.Ports
		place bool
	}{{nil, false}, {portsOf{"ether7"}, true}, {nil, false}} {
		a := start(t, dir, func(s *web.Server) { s.Ports = tt.ports })
		r, err := a.Enroll(t.Context(), req)
		if err != nil || !r.Changed || r.Host.Grant.Place != tt.place {
			t.Errorf("%d: Enroll = %+v %+v, %v; want a new grant", i, r, r.Host.Grant, err)
		}
		if r, err := a.Enroll(t.Context(), req); err != nil || r.Changed {
			t.Errorf("%d: the same again = %+v, %v; want no change", i, r, err)
		}
		a.stop()
	}
}
