package ports

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"provision.internal/host"
	"provision.internal/router/ros"
)

var wholeMove = []string{"/interface/bridge/host/print", "/interface/bridge/port/print", "/interface/bridge/port/set", "/interface/bridge/port/print"}

// Through all stages and back, in every version that is supported.
func TestMove(t *testing.T) {
	for _, version := range []string{"7.18.2", "7.21.3", "7.24.2"} {
		t.Run(version, func(t *testing.T) {
			g := newRig(t, version, 4)
			g.router.LearnHost(mac1.String(), "ether4", 0)
			for _, tt := range []struct {
				stage           host.Stage
				was, vlan, want string
			}{
				{host.StageInstall, "idle0", "inst0", "20 yes"}, {host.StageProduction, "inst0", "lan0", "10 auto"},
				{host.StageInstall, "lan0", "inst0", "20 yes"}, {host.StageIdle, "inst0", "idle0", "30 auto"},
			} {
				g.took()
				moved, err := g.Move(t.Context(), mac1, "ether4", tt.stage)
				if err != nil || moved != (host.Moved{Port: "ether4", Was: tt.was, VLAN: tt.vlan, Changed: true}) {
					t.Errorf("Move to %s = %+v, %v", tt.stage, moved, err)
				}
				g.wants(t, "ether4", tt.want)
				if calls := g.took(); len(calls)+1 > 5 {
					t.Errorf("%d calls with the login, want at most 5: %q", len(calls)+1, calls)
				}
				moved, err = g.Move(t.Context(), mac1, "ether4", tt.stage)
				if err != nil || moved.Changed || len(g.took()) != 2 {
					t.Errorf("the same again = %+v, %v; want nothing changed", moved, err)
				}
			}
			for _, port := range []string{"ether5", "ether6"} {
				g.wants(t, port, "30 auto")
			}
		})
	}
}

// Whatever is asked, and whoever seems to be there.
func TestOtherPortsAreNeverMoved(t *testing.T) {
	g := newRig(t, "", 1)
	g.do(t, "/interface/bridge/add", "=name=other")
	before := g.router.Rows("/interface/bridge/port")
	for _, port := range []string{"ether1", "ether2", "ether3", "ether99", "br0", "*4", ""} {
		for _, stage := range []host.Stage{host.StageIdle, host.StageInstall, host.StageProduction} {
			for _, mac := range []host.MAC{{}, mac1} {
				if moved, err := g.Move(t.Context(), mac, port, stage); err != nil || moved.Changed {
					t.Errorf("Move of %q = %+v, %v; want nothing done", port, moved, err)
				}
			}
		}
		if err := g.ForHosts(port); err == nil {
			t.Errorf("%q is for hosts", port)
		}
	}
	if calls := g.took(); len(calls) != 0 {
		t.Errorf("the router was asked: %q", calls)
	}
	if after := g.router.Rows("/interface/bridge/port"); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("ports are %v, were %v", after, before)
	}
}

func TestMoveRefused(t *testing.T) {
	for _, tt := range []struct {
		name  string
		do    func(*testing.T, *rig)
		is    error
		words []string
	}{
		{"another machine behind the port", func(t *testing.T, g *rig) {
			g.router.LearnHost(mac1.String(), "ether4", 0)
			g.router.LearnHost(mac2.String(), "ether4", 0)
		}, ErrAmbiguous, []string{"ether4", mac2.String()}},
		{"somebody else is there", func(t *testing.T, g *rig) { g.router.LearnHost(mac2.String(), "ether4", 0) }, ErrAmbiguous, []string{mac2.String()}},
		{"the machine is elsewhere", func(t *testing.T, g *rig) { g.router.LearnHost(mac1.String(), "ether5", 0) }, ErrNotFound, []string{"but on port ether5"}},
		{"the port is in no bridge", func(t *testing.T, g *rig) {
			g.do(t, "/interface/bridge/port/remove", "=numbers="+id(t, g, "ether4"))
		}, nil, []string{"no such port in the bridge br0", "provision router apply"}},
		{"the wrong password", func(t *testing.T, g *rig) {
			g.Device = &ros.Device{Dialer: g.Device.Dialer}
			g.Device.Dialer.Password = "x"
		}, ros.ErrLogin, nil},
		{"another certificate", func(t *testing.T, g *rig) { g.Device = &ros.Device{Dialer: g.Device.Dialer}; g.Device.Dialer.Pin[0]++ }, ros.ErrPin, nil},
		{"the router is gone", func(t *testing.T, g *rig) { g.router.Close() }, ros.ErrNoRoute, nil},
		{"no VLAN for the stage", func(t *testing.T, g *rig) { g.Config.Stages.Install = "" }, nil, []string{"no VLAN"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, "", 2)
			tt.do(t, g)
			err := g.move(t.Context(), mac1, "ether4", host.StageInstall)
			refused(t, err, tt.words...)
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("error %v, want %v", err, tt.is)
			}
			if tt.name != "the port is in no bridge" {
				g.wants(t, "ether4", "30 auto")
			}
		})
	}
}

func id(t *testing.T, g *rig, port string) string {
	t.Helper()
	for _, row := range g.router.Rows("/interface/bridge/port") {
		if row["interface"] == port {
			return row[".id"]
		}
	}
	t.Fatalf("no port %s", port)
	return ""
}

// A machine that is switched off is moved for in advance; whoever is on a port
// that nobody has any more does not keep it from quarantine.
func TestMoveWithoutTheMachine(t *testing.T) {
	g := newRig(t, "", 2)
	if err := g.move(t.Context(), mac1, "ether4", host.StageInstall); err != nil {
		t.Error(err)
	}
	g.wants(t, "ether4", "20 yes")
	g.router.LearnHost(mac2.String(), "ether4", 0)
	if err := g.move(t.Context(), host.MAC{}, "ether4", host.StageIdle); err != nil {
		t.Error(err)
	}
	g.wants(t, "ether4", "30 auto")
}

// The connection dies at each call in turn, before and after it was carried out:
// the move is an error then, and the next one makes it whole.
func TestMoveAfterACut(t *testing.T) {
	for n := 1; n <= len(wholeMove); n++ {
		for _, after := range []bool{false, true} {
			g := newRig(t, "", 1)
			g.router.LearnHost(mac1.String(), "ether4", 0)
			if after {
				g.router.Faults().CutAfter(n)
			} else {
				g.router.Faults().CutBefore(n)
			}
			if err := g.move(t.Context(), mac1, "ether4", host.StageInstall); !errors.Is(err, ros.ErrLost) {
				t.Errorf("cut at call %d: %v, want ErrLost", n, err)
			}
			if err := g.move(t.Context(), mac1, "ether4", host.StageInstall); err != nil {
				t.Errorf("after a cut at call %d: %v", n, err)
			}
			g.wants(t, "ether4", "20 yes")
		}
	}
}

// The router takes the change, and something takes it back at once.
func TestMoveIsReadBack(t *testing.T) {
	g := newRig(t, "", 1)
	g.router.LearnHost(mac1.String(), "ether4", 0)
	back := sync.OnceFunc(func() {
		g.do(t, "/interface/bridge/port/set", "=numbers="+id(t, g, "ether4"), "=pvid=10")
	})
	prints := 0
	g.router.Faults().OnCall(func(_ int, command string) {
		if command == "/interface/bridge/port/print" {
			if prints++; prints == 2 {
				back()
			}
		}
	})
	err := g.move(t.Context(), mac1, "ether4", host.StageInstall)
	refused(t, err, "pvid 10", "not 20")
	if !errors.Is(err, ErrNotMoved) {
		t.Errorf("error %v, want ErrNotMoved", err)
	}
}

// Fifty at once take turns: the router sees one whole move after another.
func TestMovesDoNotInterleave(t *testing.T) {
	const n = 50
	g := newRig(t, "", n)
	for i := range n {
		g.router.LearnHost(host.MAC{2, 0, 0, 0, 0, byte(i)}.String(), fmt.Sprintf("ether%d", i+4), 0)
	}
	g.took()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if err := g.move(t.Context(), host.MAC{2, 0, 0, 0, 0, byte(i)}, fmt.Sprintf("ether%d", i+4), host.StageInstall); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	calls := g.took()
	if len(calls) != n*len(wholeMove) {
		t.Errorf("%d calls, want %d", len(calls), n*len(wholeMove))
	}
	if mixed := interleaved(calls, wholeMove); mixed != "" {
		t.Errorf("two moves interleave: %s", mixed)
	}
	for i := range n {
		g.wants(t, fmt.Sprintf("ether%d", i+4), "20 yes")
	}
}
