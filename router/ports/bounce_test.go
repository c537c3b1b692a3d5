package ports

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"provision.internal/host"
	"provision.internal/router"
	"provision.internal/router/ros"
	"provision.internal/router/routertest"
)

var bouncedMove = []string{"/interface/bridge/host/print", "/interface/bridge/port/print", "/execute", "/interface/bridge/port/print"}

// installed is a rig on a clock whose install and production VLANs have subnets of
// their own, with a machine on ether4 that is installed.
func installed(t *testing.T, config routertest.Config) (*rig, *routertest.Clock) {
	t.Helper()
	clock := routertest.NewClock(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))
	config.Clock = clock
	g := newRigOn(t, config, 2)
	for i, address := range []string{"192.0.2.1/26", "192.0.2.65/26", "192.0.2.129/26"} {
		g.Config.VLANs[i].Address = netip.MustParsePrefix(address)
	}
	g.router.LearnHost(mac1.String(), "ether4", 0)
	if err := g.move(t.Context(), mac1, "ether4", host.StageInstall); err != nil {
		t.Fatal(err)
	}
	g.took()
	return g, clock
}

// link is what the router shows of a port's link, and how many entries it has that
// would change it.
func (g *rig) link(t *testing.T, port string) (disabled bool, entries int) {
	t.Helper()
	for _, row := range g.router.Rows("/interface/ethernet") {
		if row["name"] == port {
			disabled = row["disabled"] == "true"
		}
	}
	return disabled, len(g.router.Rows("/system/scheduler"))
}

// down checks that the link is down, with the entry that ends that.
func (g *rig) down(t *testing.T, port string) {
	t.Helper()
	if disabled, entries := g.link(t, port); !disabled || entries != 1 {
		t.Errorf("%s disabled: %v with %d entries; want it down, and one to enable it", port, disabled, entries)
	}
}

// up checks that the link is up, and nothing is left of a bounce.
func (g *rig) up(t *testing.T, port string) {
	t.Helper()
	if disabled, entries := g.link(t, port); disabled || entries != 0 {
		t.Errorf("%s disabled: %v with %d entries; want it up and nothing left", port, disabled, entries)
	}
}

// In every version that is supported, within the calls of any other move.
func TestBounce(t *testing.T) {
	for _, version := range []string{"7.18.2", "7.21.3", "7.24.2"} {
		t.Run(version, func(t *testing.T) {
			g, clock := installed(t, routertest.Config{Version: version})
			moved, err := g.Move(t.Context(), mac1, "ether4", host.StageProduction)
			if err != nil || moved != (host.Moved{Port: "ether4", Was: "inst0", VLAN: "lan0", Changed: true}) {
				t.Errorf("%+v, %v", moved, err)
			}
			if calls := g.took(); interleaved(calls, bouncedMove) != "" || len(calls)+1 > 5 {
				t.Errorf("%d calls with the login, want at most 5: %q", len(calls)+1, calls)
			}
			g.wants(t, "ether4", "10 auto")
			g.down(t, "ether4")
			if disabled, _ := g.link(t, "ether5"); disabled {
				t.Error("the link of another port is down")
			}
			clock.Advance(2 * time.Second)
			g.up(t, "ether4")
			if err := g.move(t.Context(), mac1, "ether4", host.StageProduction); err != nil {
				t.Error(err)
			}
			g.up(t, "ether4")
		})
	}
}

// The link stays up where no other address is needed, and off the way to work.
func TestNoBounce(t *testing.T) {
	g, _ := installed(t, routertest.Config{})
	for _, stage := range []host.Stage{host.StageIdle, host.StageInstall} {
		if err := g.move(t.Context(), mac1, "ether4", stage); err != nil {
			t.Error(err)
		}
		g.up(t, "ether4")
	}
	g.Config.Stages.Production = g.Config.Stages.Install
	if err := g.move(t.Context(), mac1, "ether4", host.StageProduction); err != nil {
		t.Error(err)
	}
	g.wants(t, "ether4", "20 auto")
	g.up(t, "ether4")
	for _, tt := range []struct {
		pvid string
		vlan router.VLAN
		want bool
	}{
		{"20", g.Config.VLANs[0], true}, {"10", g.Config.VLANs[0], false}, {"99", g.Config.VLANs[0], false},
		{"20", router.VLAN{ID: 11}, false},
		{"20", router.VLAN{ID: 11, Address: netip.MustParsePrefix("192.0.2.66/26")}, false},
	} {
		if got := g.elsewhere(tt.pvid, tt.vlan); got != tt.want {
			t.Errorf("from pvid %s to %d (%s): another subnet %v, want %v", tt.pvid, tt.vlan.ID, tt.vlan.Address, got, tt.want)
		}
	}
}

// The connection dies at each call in turn, before and after it was carried out,
// and the router's power at the worst moment: the port never stays disabled.
func TestBounceAfterACut(t *testing.T) {
	for n := 1; n <= len(bouncedMove); n++ {
		for _, after := range []bool{false, true} {
			for _, reboot := range []bool{false, true} {
				g, clock := installed(t, routertest.Config{})
				if after {
					g.router.Faults().CutAfter(n)
				} else {
					g.router.Faults().CutBefore(n)
				}
				if err := g.move(t.Context(), mac1, "ether4", host.StageProduction); !errors.Is(err, ros.ErrLost) {
					t.Errorf("cut at call %d: %v, want ErrLost", n, err)
				}
				ran := n > 3 || n == 3 && after
				if ran {
					g.down(t, "ether4")
					g.wants(t, "ether4", "10 auto")
				} else {
					g.up(t, "ether4")
					g.wants(t, "ether4", "20 yes")
				}
				if reboot {
					g.router.Faults().Reboot()
				}
				clock.Advance(time.Minute)
				g.up(t, "ether4")
				if err := g.move(t.Context(), mac1, "ether4", host.StageProduction); err != nil {
					t.Errorf("after a cut at call %d: %v", n, err)
				}
				clock.Advance(time.Minute)
				g.up(t, "ether4")
				g.wants(t, "ether4", "10 auto")
			}
		}
	}
}

// A safe mode that somebody takes in between, and that is rolled back at last,
// takes the enabling back: the entry is there again, and runs again.
func TestBounceInASafeMode(t *testing.T) {
	g, clock := installed(t, routertest.Config{})
	if err := g.move(t.Context(), mac1, "ether4", host.StageProduction); err != nil {
		t.Fatal(err)
	}
	c, err := g.Device.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, verb := range []string{"take", "unroll"} {
		if _, err := c.Run(t.Context(), "/safe-mode/"+verb); err != nil {
			t.Fatal(err)
		}
		if verb == "unroll" {
			g.down(t, "ether4")
		}
		clock.Advance(time.Minute)
		g.up(t, "ether4")
	}
}

// A router that does not let timers be is told of, and its ports stay up.
func TestBounceWithoutTimers(t *testing.T) {
	g, _ := installed(t, routertest.Config{DeviceMode: "home"})
	err := g.move(t.Context(), mac1, "ether4", host.StageProduction)
	refused(t, err, "move port ether4 to lan0", "device-mode")
	if !errors.Is(err, ErrBounce) {
		t.Errorf("%v, want ErrBounce", err)
	}
	g.up(t, "ether4")
	g.wants(t, "ether4", "20 yes")
}

// An entry that runs before the port is disabled waits for that; one that finds
// nothing to do goes in the end.
func TestBounceEntryThatRunsEarly(t *testing.T) {
	g, clock := installed(t, routertest.Config{})
	early := func() {
		g.do(t, "/system/scheduler/add", "=name="+bounceEntry("ether4"), "=interval="+downFor, "=policy=read,write", "=on-event="+linkUpScript("ether4"))
		clock.Advance(2 * time.Second)
	}
	early()
	g.do(t, "/interface/ethernet/disable", "=numbers=ether4")
	g.down(t, "ether4")
	clock.Advance(2 * time.Second)
	g.up(t, "ether4")
	early()
	if _, entries := g.link(t, "ether4"); entries != 1 {
		t.Error("the entry has gone before its time")
	}
	clock.Advance(time.Minute)
	g.up(t, "ether4")
}

// Whoever has disabled a port wants it so.
func TestDisabledPortStaysDisabled(t *testing.T) {
	g, clock := installed(t, routertest.Config{})
	g.do(t, "/interface/ethernet/disable", "=numbers=ether4")
	if err := g.move(t.Context(), mac1, "ether4", host.StageProduction); err != nil {
		t.Error(err)
	}
	g.wants(t, "ether4", "10 auto")
	clock.Advance(time.Minute)
	if disabled, entries := g.link(t, "ether4"); !disabled || entries != 0 {
		t.Errorf("disabled: %v with %d entries; want it as it was", disabled, entries)
	}
}
