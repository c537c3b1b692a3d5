package bootstrap

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"provision.internal/host"
	"provision.internal/router"
	"provision.internal/router/ros"
	"provision.internal/router/routertest"
)

const password = `a "quoted" $word\ and ümlaut?`

// begin is when the tests begin, by the router's clock.
var begin = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// rig is a router fresh from netinstall, and the appliance. Its networks are
// within 127.0.0.0/8, so that it has the addresses that it is configured with.
type rig struct {
	t      *testing.T
	clock  *routertest.Clock
	router *routertest.Router
	config router.Config
	dir    string
}

func newRig(t *testing.T, c routertest.Config) *rig {
	t.Helper()
	r := &rig{t: t, clock: routertest.NewClock(begin), dir: t.TempDir()}
	r.config = site()
	c.Clock, c.NoCertificate = r.clock, true
	r.router = routertest.New(c)
	t.Cleanup(r.router.Close)
	for _, a := range []netip.Addr{r.config.Bootstrap.Address.Addr(), r.config.VLANs[0].Address.Addr()} {
		if _, err := r.router.ListenFor(netip.AddrPortFrom(a, 8729).String(), a.String()); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// networks counts the networks that were given out. It begins anywhere, because the
// tests of another checkout may run beside these.
var (
	networks     atomic.Uint32
	firstNetwork = rand.Uint32()
)

// site is of two networks that no other test is in.
func site() router.Config {
	network := func() (gateway netip.Prefix, appliance netip.Addr) {
		n := firstNetwork + networks.Add(1)
		b := [4]byte{127, byte(64 + n>>8&127), byte(n), 1}
		gateway = netip.PrefixFrom(netip.AddrFrom4(b), 24)
		return gateway, gateway.Addr().Next()
	}
	lan, appliance := network()
	fresh, way := network()
	return router.Config{
		Address: lan.Addr().String(), User: "provision", Identity: "matrix-router", Bridge: "br0", Management: "lan0",
		VLANs: []router.VLAN{
			{Name: "lan0", ID: 10, Address: lan, Relay: appliance},
			{Name: "wan0", ID: 20, DHCPClient: true},
			{Name: "idle0", ID: 30},
		},
		Ports: []router.Port{
			{Name: "ether1", Role: router.Uplink, VLAN: "wan0"},
			{Name: "ether2", Role: router.Trunk, Tagged: []string{"lan0"}},
			{Name: "ether6", Role: router.Host},
			{Name: "ether10", Role: router.Access, VLAN: "lan0"},
		},
		Stages:   router.Stages{Idle: "idle0", Install: "lan0", Production: "lan0"},
		DNS:      router.DNS{Hosts: true, Domain: "matrix.example"},
		Services: map[string][]netip.Prefix{"api-ssl": {hostRoute(appliance)}},
		Firewall: router.Firewall{Input: []router.Rule{
			{Name: "established", Action: "accept", ConnectionState: []string{"established", "related"}},
			{Name: "appliance", Action: "accept", SrcAddress: appliance.String()},
			{Name: "dns", Action: "accept", Protocol: "udp", DstPort: "53"},
			{Name: "others", Action: "drop"},
		}},
		Bootstrap: router.Bootstrap{Interface: "ether1", VLAN: 99, Address: fresh, Appliance: way},
	}
}

func (r *rig) appliance() netip.Addr { return r.config.VLANs[0].Address.Addr().Next() }

func (r *rig) inputs() router.Inputs {
	return router.Inputs{Appliance: r.appliance(), Hosts: []router.Machine{
		{Name: "node1", MAC: host.MAC{2, 0, 0, 0, 0, 1}, Address: r.appliance().Next()},
	}}
}

// install gives the router its script, as netinstall does.
func (r *rig) install() {
	r.t.Helper()
	text, err := Script(r.config, r.inputs(), password)
	if err != nil {
		r.t.Fatal(err)
	}
	runScript(r.t, r.router, r.clock, text)
}

// runScript moves the clock while the script waits.
func runScript(t testing.TB, r *routertest.Router, clock *routertest.Clock, text string) {
	t.Helper()
	ended := make(chan error)
	go func() { ended <- r.RunScript(text) }()
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("the router refuses the script: %v", err)
			}
			return
		default:
			clock.Advance(time.Second)
		}
	}
}

// takeover is one appliance; what it waits for comes at once.
func (r *rig) takeover() *Takeover {
	return &Takeover{
		Config: r.config, Inputs: r.inputs, Dir: r.dir, By: "eva", Source: r.appliance(),
		Password: func() (string, error) { return password, nil },
		Trust:    func(p ros.Pin) error { return nil },
		look:     50 * time.Millisecond,
		Log:      slog.New(slog.NewTextHandler(r.t.Output(), nil)),
		Now:      r.clock.Now,
		After: func(d time.Duration) <-chan time.Time {
			r.clock.Advance(d)
			due := make(chan time.Time, 1)
			due <- r.clock.Now()
			return due
		},
	}
}

// rows are the rows of a menu that carry a mark, by it.
func (r *rig) rows(menu, mark string) map[string]map[string]string {
	found := map[string]map[string]string{}
	for _, row := range r.router.Rows(menu) {
		if c := row["comment"]; len(c) >= len(mark) && c[:len(mark)] == mark {
			found[c[len(mark):]] = row
		}
	}
	return found
}

// left tells what of the way in is on the router.
func (r *rig) left() (all []string) {
	for _, menu := range []string{"/interface/vlan", "/ip/address", "/ip/firewall/filter"} {
		for key := range r.rows(menu, "provision:bootstrap/") {
			all = append(all, fmt.Sprint(menu, " ", key))
		}
	}
	return all
}
