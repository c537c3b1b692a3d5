package ports

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"provision.internal/host"
	"provision.internal/router"
	"provision.internal/router/ros"
	"provision.internal/router/routertest"
)

// rig is a simulated router with an uplink, a trunk, an access port and host
// ports, all of them in quarantine.
type rig struct {
	*Ports
	router *routertest.Router

	mu    sync.Mutex
	calls []string // commands, in the order in which the router got them
}

func newRig(t *testing.T, version string, hostPorts int) *rig {
	t.Helper()
	return newRigOn(t, routertest.Config{Version: version}, hostPorts)
}

func newRigOn(t *testing.T, config routertest.Config, hostPorts int) *rig {
	t.Helper()
	config.Ethernets = hostPorts + 3
	r := routertest.New(config)
	t.Cleanup(r.Close)
	if err := r.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	g := &rig{router: r, Ports: &Ports{
		Device: &ros.Device{Dialer: ros.Dialer{Address: r.Addr(), User: "admin", Pin: r.Pin()}},
		Config: router.Config{
			Bridge: "br0",
			VLANs:  []router.VLAN{{Name: "lan0", ID: 10}, {Name: "inst0", ID: 20}, {Name: "idle0", ID: 30}},
			Ports: []router.Port{
				{Name: "ether1", Role: router.Uplink, VLAN: "lan0"}, {Name: "ether2", Role: router.Trunk}, {Name: "ether3", Role: router.Access, VLAN: "lan0"},
			},
			Stages: router.Stages{Idle: "idle0", Install: "inst0", Production: "lan0"},
		},
	}}
	g.do(t, "/interface/bridge/add", "=name=br0", "=vlan-filtering=yes")
	for i := range hostPorts + 3 {
		port, pvid := fmt.Sprintf("ether%d", i+1), "10"
		if i >= 3 {
			pvid = "30"
			g.Config.Ports = append(g.Config.Ports, router.Port{Name: port, Role: router.Host})
		}
		g.do(t, "/interface/bridge/port/add", "=bridge=br0", "=interface="+port, "=pvid="+pvid)
	}
	r.Faults().OnCall(func(_ int, command string) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.calls = append(g.calls, command)
	})
	return g
}

func (g *rig) do(t *testing.T, command string, words ...string) {
	t.Helper()
	if _, err := g.router.Do(command, words...); err != nil {
		t.Fatalf("%s %q: %v", command, words, err)
	}
}

// took returns the calls since the last time that it was asked.
func (g *rig) took() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	calls := g.calls
	g.calls = nil
	return calls
}

// port is a port as the router shows it.
func (g *rig) port(t *testing.T, name string) string {
	t.Helper()
	for _, row := range g.router.Rows("/interface/bridge/port") {
		if row["interface"] == name {
			return row["pvid"] + " " + row["edge"]
		}
	}
	t.Fatalf("the router has no port %s", name)
	return ""
}

func (g *rig) wants(t *testing.T, port, want string) {
	t.Helper()
	if got := g.port(t, port); got != want {
		t.Errorf("%s has pvid and edge %s, want %s", port, got, want)
	}
}

var (
	mac1 = host.MAC{0x52, 0x54, 0, 0, 0, 1}
	mac2 = host.MAC{0x52, 0x54, 0, 0, 0, 2}
)

// refused checks that err says all of the words.
func refused(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want one that says %q", words)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

// interleaved returns a call of another connection that came between the calls of
// one move, or empty when every move was whole.
func interleaved(calls, move []string) string {
	for chunk := range slices.Chunk(calls, len(move)) {
		if !slices.Equal(chunk, move) {
			return strings.Join(chunk, " ")
		}
	}
	return ""
}

func (g *rig) move(ctx context.Context, mac host.MAC, port string, stage host.Stage) error {
	_, err := g.Move(ctx, mac, port, stage)
	return err
}
