package ports

import (
	"strings"
	"testing"

	"provision.internal/host"
)

// Who has moved this very port is told, not who has moved another, nor ourselves.
func TestSuspect(t *testing.T) {
	g := newRig(t, "7.24.2", 2)
	g.do(t, "/interface/bridge/port/set", "=numbers="+id(t, g, "ether5"), "=pvid=99")
	if err := g.move(t.Context(), host.MAC{}, "ether4", host.StageInstall); err != nil {
		t.Fatal(err)
	}
	if who, err := g.Suspect(t.Context(), "ether4"); who != "" || err != nil {
		t.Errorf("before anybody touched it: %q, %v", who, err)
	}
	g.do(t, "/interface/bridge/port/set", "=numbers="+id(t, g, "ether4"), "=pvid=99")
	if err := g.move(t.Context(), host.MAC{}, "ether5", host.StageInstall); err != nil {
		t.Fatal(err)
	}
	who, err := g.Suspect(t.Context(), "ether4")
	if err != nil || !strings.HasPrefix(who, "console:admin at ") || strings.Contains(who, "action") {
		t.Errorf("%q, %v; want the administrator at the console", who, err)
	}
	if _, err := g.Suspect(t.Context(), "ether99"); err == nil {
		t.Error("no error for a port that is not there")
	}
}

// A look says what every port for hosts serves, and of no other.
func TestLookAtPorts(t *testing.T) {
	g := newRig(t, "", 3)
	for port, pvid := range map[string]string{"ether4": "10", "ether5": "99"} {
		g.do(t, "/interface/bridge/port/set", "=numbers="+id(t, g, port), "=pvid="+pvid)
	}
	s, err := g.Look(t.Context())
	if err != nil || len(s.Ports) != 3 {
		t.Fatalf("%+v, %v; want three ports", s.Ports, err)
	}
	for port, want := range map[string]host.PortServes{
		"ether4": {VLAN: "lan0", Stages: []host.Stage{host.StageProduction}}, "ether5": {VLAN: "VLAN 99"}, "ether6": {VLAN: "idle0", Stages: []host.Stage{host.StageIdle}},
	} {
		if got := s.Ports[port]; got.VLAN != want.VLAN || len(got.Stages) != len(want.Stages) || len(got.Stages) > 0 && got.Stages[0] != want.Stages[0] {
			t.Errorf("%s serves %+v, want %+v", port, got, want)
		}
	}
}
