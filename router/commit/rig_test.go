package commit

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"provision.internal/router"
	"provision.internal/router/ros"
	"provision.internal/router/routertest"
)

// noon is when the tests begin, by the router's clock and by ours.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// rig is a simulated router and an appliance that changes it, on one clock:
// whoever waits moves it, so that nine minutes take no time.
type rig struct {
	t      *testing.T
	clock  *routertest.Clock
	router *routertest.Router
	c      *Committer

	still atomic.Bool // who waits waits until the test moves the clock
}

func newRig(t *testing.T, config routertest.Config) *rig {
	t.Helper()
	r := &rig{t: t, clock: routertest.NewClock(noon)}
	config.Clock = r.clock
	r.router = routertest.New(config)
	if err := r.router.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.router.Close)
	r.c = r.committer(t.TempDir())
	return r
}

// committer makes an appliance of its own, as after a restart when dir is
// another one's.
func (r *rig) committer(dir string) *Committer {
	return &Committer{
		Device: &ros.Device{Dialer: ros.Dialer{Address: r.router.Addr(), User: "admin", Pin: ros.Pin(r.router.Pin())}},
		Dir:    dir,
		Config: siteBefore(),
		Inputs: func() router.Inputs { return router.Inputs{Appliance: netip.MustParseAddr("192.0.2.2")} },
		Log:    slog.New(slog.NewTextHandler(r.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now:    r.clock.Now,
		After: func(d time.Duration) <-chan time.Time {
			if r.still.Load() {
				return r.clock.After(d)
			}
			r.clock.Advance(d)
			due := make(chan time.Time, 1)
			due <- r.clock.Now()
			return due
		},
	}
}

// siteBefore is what the router holds before the commit that a test is about.
func siteBefore() router.Config {
	return router.Config{
		Address: "192.0.2.1", User: "admin", Identity: "gate", Bridge: "br0", Management: "lan0",
		VLANs: []router.VLAN{{Name: "lan0", ID: 10, Address: netip.MustParsePrefix("192.0.2.1/24")}},
		Ports: []router.Port{{Name: "ether2", Role: router.Trunk, Tagged: []string{"lan0"}}, {Name: "ether3", Role: router.Access, VLAN: "lan0"}},
		DNS: router.DNS{Records: []router.Record{
			{Name: "old.example", Address: netip.MustParseAddr("192.0.2.70")},
			{Name: "core.example", Address: netip.MustParseAddr("192.0.2.10")},
			{Name: "gone.example", Address: netip.MustParseAddr("192.0.2.71")},
		}},
		Firewall: router.Firewall{Input: []router.Rule{
			{Name: "established", Action: "accept", ConnectionState: []string{"established", "related"}},
			{Name: "ping", Action: "accept", Protocol: "icmp"},
			{Name: "api", Action: "accept", Protocol: "tcp", DstPort: "8729"},
			{Name: "other", Action: "passthrough"},
		}},
	}
}

// siteAfter differs from siteBefore by additions, changes, removals and moves.
func siteAfter() router.Config {
	c := siteBefore()
	c.Identity = "matrix"
	c.VLANs = append(c.VLANs, router.VLAN{Name: "peer0", ID: 101, Address: netip.MustParsePrefix("169.254.255.1/24")})
	c.Ports[1].VLAN = "peer0"
	c.DNS.Records = []router.Record{
		{Name: "core.example", Address: netip.MustParseAddr("192.0.2.11")},
		{Name: "node1.example", Address: netip.MustParseAddr("192.0.2.21")},
		{Name: "node2.example", Address: netip.MustParseAddr("192.0.2.22")},
		{Name: "www.example", CNAME: "node1.example"},
	}
	rules := c.Firewall.Input
	c.Firewall.Input = []router.Rule{
		rules[2], rules[0],
		{Name: "dns", Action: "accept", Protocol: "udp", DstPort: "53"},
		rules[1], rules[3],
	}
	return c
}

// apply commits and checks the outcome.
func (r *rig) apply(want Outcome) Commit {
	r.t.Helper()
	commit, err := r.c.Apply(r.t.Context(), Options{By: "eva"}, nil)
	if commit.Outcome != want {
		r.t.Fatalf("Apply = %+v, %v; want outcome %s", commit, err, want)
	}
	return commit
}

// holdSite makes the router hold the site before, without a commit.
func (r *rig) holdSite() {
	r.t.Helper()
	ctx := r.t.Context()
	conn, err := r.c.Device.Dial(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	state, err := router.Read(ctx, conn)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, o := range siteBefore().Plan(r.c.Inputs(), state, router.Options{}).Operations {
		if err := o.Apply(ctx, conn); err != nil {
			r.t.Fatal(err)
		}
	}
	r.c.Config = siteAfter()
}

// run runs the appliance until the test ends, or stop is called.
func (r *rig) run() (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := r.c.Run(ctx); err != nil {
			r.t.Errorf("Run: %v", err)
		}
	})
	stop = func() { cancel(); running.Wait() }
	r.t.Cleanup(stop)
	for r.c.waitsForNobody() {
		time.Sleep(time.Millisecond)
	}
	return stop
}

// waitsForNobody tells whether Run has not begun yet.
func (c *Committer) waitsForNobody() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hold == nil
}
