package ports

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"provision.internal/host"
	"provision.internal/router/ros"
)

func TestFind(t *testing.T) {
	for _, tt := range []struct {
		name  string
		do    func(*rig)
		port  string
		fixed bool
		is    error
		words []string
	}{
		{"alone", func(g *rig) { g.router.LearnHost(mac1.String(), "ether4", 0) }, "ether4", false, nil, nil},
		{"nowhere", func(*rig) {}, "", false, ErrNotFound, []string{mac1.String(), "switch it on"}},
		{"forgotten", func(g *rig) {
			g.router.LearnHost(mac1.String(), "ether4", 0)
			g.router.ForgetHost(mac1.String())
		}, "", false, ErrNotFound, nil},
		{"behind a switch with others", func(g *rig) {
			for i := range 6 {
				g.router.LearnHost(host.MAC{2, 0, 0, 0, 0, byte(i)}.String(), "ether4", 0)
			}
			g.router.LearnHost(mac1.String(), "ether4", 0)
		}, "ether4", false, ErrAmbiguous, []string{"ether4", "02:00:00:00:00:00", "2 more", "a port of its own"}},
		{"behind a switch that announces itself", func(g *rig) {
			g.router.LearnHost(mac1.String(), "ether4", 0)
			g.router.AddNeighbor("ether4", mac2.String(), "closet-switch")
		}, "ether4", false, ErrAmbiguous, []string{"closet-switch", mac2.String()}},
		{"a machine that announces itself", func(g *rig) {
			g.router.LearnHost(mac1.String(), "ether4", 0)
			g.router.AddNeighbor("ether4", mac1.String(), "node1")
		}, "ether4", false, nil, nil},
		{"another machine on another port", func(g *rig) {
			g.router.LearnHost(mac1.String(), "ether4", 0)
			g.router.LearnHost(mac2.String(), "ether5", 0)
		}, "ether4", false, nil, nil},
		{"on a trunk, among others", func(g *rig) {
			g.router.LearnHost(mac1.String(), "ether2", 10)
			g.router.LearnHost(mac2.String(), "ether2", 10)
		}, "ether2", true, nil, nil},
		{"on the way out", func(g *rig) { g.router.LearnHost(mac1.String(), "ether1", 0) }, "ether1", true, nil, nil},
		{"on a port of one VLAN", func(g *rig) { g.router.LearnHost(mac1.String(), "ether3", 0) }, "ether3", true, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, "", 2)
			tt.do(g)
			place, err := g.Find(t.Context(), mac1)
			if place.Port != tt.port || place.Fixed != tt.fixed || !errors.Is(err, tt.is) {
				t.Errorf("Find = %+v, %v; want %s, fixed %v, %v", place, err, tt.port, tt.fixed, tt.is)
			}
			if tt.is != nil {
				refused(t, err, tt.words...)
			}
			if calls := g.took(); len(calls) != 3 {
				t.Errorf("calls %q, want 3", calls)
			}
		})
	}
}

// The router's own addresses are nobody's, in particular no second machine.
func TestRoutersOwnAddresses(t *testing.T) {
	g := newRig(t, "", 1)
	own := map[string]bool{}
	for _, row := range g.router.Rows("/interface/bridge/host") {
		own[strings.ToLower(row["mac-address"])] = true
	}
	g.router.LearnHost(mac1.String(), "ether4", 0)
	sight, err := g.Look(t.Context())
	if err != nil || len(own) == 0 || len(sight.Places) != 1 || sight.Places[mac1].Doubt != "" {
		t.Errorf("Look = %+v, %v with %d addresses of the router's own; want one machine", sight, err, len(own))
	}
}

// A look at the whole rack costs what one machine costs.
func TestLookAtManyIsThreeCalls(t *testing.T) {
	g := newRig(t, "", 50)
	for i := range 50 {
		g.router.LearnHost(host.MAC{2, 0, 0, 0, 0, byte(i)}.String(), fmt.Sprintf("ether%d", i+4), 0)
	}
	g.took()
	sight, err := g.Look(t.Context())
	if err != nil || len(sight.Places) != 50 {
		t.Errorf("%d places, %v; want 50", len(sight.Places), err)
	}
	if calls := g.took(); len(calls) != 3 {
		t.Errorf("calls %q, want 3", calls)
	}
}

// A rack that is switched on at once: whoever asks while a look is under way
// shares the next one, and a caller that gives up takes nobody with it.
func TestLooksAreShared(t *testing.T) {
	g := newRig(t, "", 1)
	g.router.LearnHost(mac1.String(), "ether4", 0)
	entered, goOn := make(chan struct{}), make(chan struct{})
	var calls atomic.Int32
	g.router.Faults().OnCall(func(int, string) {
		if calls.Add(1) == 1 {
			close(entered)
			<-goOn
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	first := g.join(ctx)
	<-entered
	next := g.join(ctx)
	for range 50 {
		if l := g.join(t.Context()); l != next || l == first {
			t.Fatal("a look of its own for everybody")
		}
	}
	cancel()
	if _, err := g.Look(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("who has given up: %v", err)
	}
	close(goOn)
	for _, l := range []*look{first, next} {
		<-l.done
		if l.err != nil || l.sight.Places[mac1].Port != "ether4" {
			t.Errorf("the look of those who wait: %+v, %v", l.sight.Places, l.err)
		}
	}
	if n := calls.Load(); n != 6 {
		t.Errorf("%d calls for two looks, want 6", n)
	}
	if again := g.join(t.Context()); again == next {
		t.Error("a look that has ended is shared")
	} else {
		<-again.done
	}
}

// Rows that the simulator does not make: a machine in two VLANs of one port is
// one machine, on two ports it is a riddle; what cannot be read is nobody.
func TestLearn(t *testing.T) {
	g := newRig(t, "", 2)
	row := func(mac, port, bridge string) ros.Row {
		return ros.Row{"mac-address": mac, "on-interface": port, "bridge": bridge}
	}
	var got table
	g.learn(&got, []ros.Row{
		row("52:54:00:00:00:01", "ether4", "br0"), row("52:54:00:00:00:01", "ether4", "br0"),
		row("52:54:00:00:00:02", "ether5", "br0"), row("52:54:00:00:00:02", "ether4", "br0"),
		row("52:54:00:00:00:03", "ether5", "other"), row("", "ether4", "br0"), row("x", "ether4", "br0"), row("52:54:00:00:00:04", "", "br0"), {},
	})
	if len(got.ports) != 2 || len(got.behind["ether4"]) != 2 || len(got.behind["ether5"]) != 1 {
		t.Errorf("learned %+v", got)
	}
	if p := g.place(got, mac2); p.Port != "" || !strings.Contains(p.Doubt, "ether4, ether5") {
		t.Errorf("place of a machine on two ports: %+v", p)
	}
}

// RouterOS names the bridge beside the port that a neighbour was heard on.
func TestNeighbourOfPortAndBridge(t *testing.T) {
	tab := table{behind: map[string][]host.MAC{}, neighbours: map[string][]neighbour{}}
	tab.meet([]ros.Row{{"interface": "ether4,br0", "mac-address": "52:54:00:00:00:02", "identity": "sw"}, {"interface": "ether5"}})
	if tab.doubt("ether4", mac1) == "" || tab.doubt("ether5", mac1) != "" {
		t.Errorf("neighbours %+v", tab.neighbours)
	}
}
