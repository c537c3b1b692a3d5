package commit

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"provision.internal/router"
	"provision.internal/router/routertest"
)

// during calls f once, right before the nth call with the given command.
func (r *rig) during(command string, n int, f func()) {
	r.router.Faults().OnCall(func(_ int, called string) {
		if called != command {
			return
		}
		if n--; n == 0 {
			f()
		}
	})
}

// foreignRows makes n changes as another administrator.
func (r *rig) foreignRows(n int) {
	for i := range n {
		do(r.t, r, "/ip/dns/static/add", fmt.Sprintf("=name=foreign%d.example", i), fmt.Sprintf("=address=198.51.100.%d", i))
	}
}

// More changes than the history holds end safe mode without a word. That is
// noticed, and the inverse does what safe mode no longer does.
func TestOverflowOfTheHistory(t *testing.T) {
	r := newRig(t, routertest.Config{})
	r.holdSite()
	r.during("/ip/dns/static/add", 1, func() { r.foreignRows(101) })
	commit, err := r.c.Apply(t.Context(), Options{By: "eva"}, nil)
	if commit.Outcome != RolledBack || !errors.Is(err, ErrSafeMode) {
		t.Fatalf("Apply = %+v, %v; want rolled-back because of safe mode", commit, err)
	}
	r.planEqualsSite()
	if notes := strings.Join(commit.Notes, "\n"); !strings.Contains(notes, "foreign0.example") {
		t.Errorf("notes %q do not tell what somebody else has done", notes)
	}
}

// planEqualsSite checks that the router holds the site before, whatever
// foreign rows it has.
func (r *rig) planEqualsSite() {
	r.t.Helper()
	c := r.committer(r.t.TempDir())
	plan, err := c.Plan(r.t.Context(), router.Options{})
	if err != nil || !plan.Empty() {
		r.t.Errorf("the router is not as before: %s%v", plan.Text(false), err)
	}
}

// What others change meanwhile is theirs, unless it is what we change.
func TestForeignChangeMeanwhile(t *testing.T) {
	t.Run("elsewhere", func(t *testing.T) {
		r := newRig(t, routertest.Config{})
		r.holdSite()
		r.during("/safe-mode/release", 1, func() { r.foreignRows(1) })
		r.apply(Confirmed)
	})
	t.Run("in a row of ours", func(t *testing.T) {
		r := newRig(t, routertest.Config{})
		r.holdSite()
		before := r.router.Snapshot()
		r.during("/ip/dns/static/add", 1, func() { do(t, r, "/system/identity/set", "=name=mine") })
		commit := r.apply(RolledBack)
		if !strings.Contains(commit.Reason, "/system/identity") {
			t.Errorf("reason %q does not name the row", commit.Reason)
		}
		r.holds(before)
	})
}

// Somebody makes a row of ours his own between two transactions, so that the
// inverse does not find it: then the router is neither as before nor as planned.
func TestUnknownIsSaid(t *testing.T) {
	r := newRig(t, routertest.Config{})
	r.holdSite()
	r.c.batch = 3
	r.during("/safe-mode/take", 4, func() {
		for _, row := range r.router.Rows("/ip/dns/static") {
			if row["name"] == "node1.example" {
				do(t, r, "/ip/dns/static/set", "=.id="+row[".id"], "=comment=mine")
			}
		}
	})
	commit, err := r.c.Apply(t.Context(), Options{By: "eva"}, nil)
	if commit.Outcome != Unknown || !errors.Is(err, ErrUnknown) {
		t.Fatalf("Apply = %+v, %v; want unknown", commit, err)
	}
	for _, part := range []string{"node1.example", "/system/backup/load name=" + commit.Backup} {
		if !strings.Contains(commit.Reason, part) {
			t.Errorf("reason %q does not name %s", commit.Reason, part)
		}
	}
	// A person decides, and nothing is in the way.
	o := Options{By: "eva", Options: router.Options{Adopt: []string{"/ip/dns/static/node1.example"}}}
	if commit, err := r.c.Apply(t.Context(), o, nil); err != nil || commit.Outcome != Confirmed {
		t.Errorf("Apply = %+v, %v; want confirmed", commit, err)
	}
}

// Ends of a call that the router causes.
func TestFaultsOfTheRouter(t *testing.T) {
	tests := map[string]func(r *rig){
		"fatal":   func(r *rig) { r.router.Faults().FatalAt(1, "too many commands") },
		"garbage": func(r *rig) { r.router.Faults().GarbageAt(1) },
		"reboot":  func(r *rig) { r.router.Faults().Reboot() },
		"silence": func(r *rig) { r.router.Faults().Blackhole() },
	}
	for name, fault := range tests {
		for _, at := range []string{"/system/scheduler/add", "/ip/address/add", "/ip/dns/static/remove", "/safe-mode/release"} {
			t.Run(name+" at "+at, func(t *testing.T) {
				r := newRig(t, routertest.Config{})
				r.holdSite()
				r.c.batch = 4
				r.c.Device.Dialer.Timeout = 200 * time.Millisecond
				before := r.router.Snapshot()
				r.during(at, 1, func() { go fault(r) })
				commit, err := r.c.Apply(t.Context(), Options{By: "eva"}, nil)
				if err == nil && commit.Outcome == Confirmed {
					return // the fault came after the end
				}
				if commit.Outcome != RolledBack && commit.Outcome != Failed {
					t.Fatalf("Apply = %+v, %v", commit, err)
				}
				r.holds(before)
			})
		}
	}
}

// A router that takes its time is no fault.
func TestSlowReplies(t *testing.T) {
	r := newRig(t, routertest.Config{})
	r.router.Faults().Delay(3 * time.Millisecond)
	r.apply(Confirmed)
}

// What takes longer than it may is taken back before the dead-man runs.
func TestApplyIsBounded(t *testing.T) {
	r := newRig(t, routertest.Config{})
	r.holdSite()
	before := r.router.Snapshot()
	r.c.Within = 400 * time.Millisecond
	r.router.Faults().Delay(10 * time.Millisecond)
	commit, err := r.c.Apply(t.Context(), Options{By: "eva"}, nil)
	if err == nil || commit.Outcome == Confirmed {
		t.Fatalf("Apply = %+v, %v; want it ended", commit, err)
	}
	if !strings.Contains(err.Error(), "took longer") {
		t.Errorf("error %v does not tell why", err)
	}
	r.holds(before)
}

// A caller who goes away leaves the router as it was.
func TestCancelled(t *testing.T) {
	r := newRig(t, routertest.Config{})
	r.holdSite()
	before := r.router.Snapshot()
	ctx, cancel := context.WithCancelCause(t.Context())
	r.during("/ip/dns/static/add", 2, func() { cancel(errors.New("interrupted by a person")) })
	commit, err := r.c.Apply(ctx, Options{By: "eva"}, nil)
	if commit.Outcome != RolledBack || !strings.Contains(commit.Reason, "interrupted by a person") {
		t.Fatalf("Apply = %+v, %v; want rolled-back with the reason", commit, err)
	}
	r.holds(before)
}

// BGP sessions that the plan brings, or that were up before, must be up.
func TestBGP(t *testing.T) {
	peering := func() router.Config {
		c := siteBefore()
		c.VLANs = append(c.VLANs, router.VLAN{Name: "peer0", ID: 101, Address: netip.MustParsePrefix("169.254.255.1/24")})
		c.BGP = &router.BGP{AS: 64579, RouterID: netip.MustParseAddr("192.0.2.1"), Peers: []router.Peer{{Name: "core", Address: netip.MustParseAddr("169.254.255.2")}}}
		return c
	}
	t.Run("comes up", func(t *testing.T) {
		r := newRig(t, routertest.Config{})
		r.router.SetBGP("core", true)
		r.c.Config = peering()
		commit := r.apply(Confirmed)
		if at := slices.IndexFunc(commit.Checks, func(c Check) bool { return c.Name == "bgp" && c.OK }); at < 0 || !strings.Contains(commit.Checks[at].Detail, "core") {
			t.Errorf("checks %+v do not tell of core", commit.Checks)
		}
	})
	t.Run("stays down", func(t *testing.T) {
		r := newRig(t, routertest.Config{})
		r.c.Config = peering()
		before := r.router.Snapshot()
		commit := r.apply(RolledBack)
		if !strings.Contains(commit.Reason, "core: not established within 1m0s") {
			t.Errorf("reason %q", commit.Reason)
		}
		r.holds(before)
	})
	t.Run("is not waited for", func(t *testing.T) {
		r := newRig(t, routertest.Config{})
		r.c.Config = peering()
		if commit, err := r.c.Apply(t.Context(), Options{By: "eva", SkipBGP: true}, nil); err != nil {
			t.Errorf("Apply = %+v, %v", commit, err)
		}
	})
	t.Run("goes down", func(t *testing.T) {
		r := newRig(t, routertest.Config{})
		r.router.SetBGP("core", true)
		r.c.Config = peering()
		r.apply(Confirmed)
		r.c.Config.Identity = "other"
		r.during("/system/identity/set", 1, func() { r.router.SetBGP("core", false) })
		r.apply(RolledBack)
	})
	t.Run("is removed", func(t *testing.T) {
		r := newRig(t, routertest.Config{})
		r.router.SetBGP("core", true)
		r.c.Config = peering()
		r.apply(Confirmed)
		r.c.Config.BGP.Peers = nil
		r.apply(Confirmed)
	})
}

// A DHCP server that cannot run where it is put is a failed check.
func TestDHCPIsChecked(t *testing.T) {
	r := newRig(t, routertest.Config{})
	r.c.Config.VLANs[0].DHCP = &router.DHCP{Pool: router.Pool{From: netip.MustParseAddr("192.0.2.100"), To: netip.MustParseAddr("192.0.2.200")}}
	commit := r.apply(Confirmed)
	if at := slices.IndexFunc(commit.Checks, func(c Check) bool { return c.Name == "dhcp" }); at < 0 || !strings.Contains(commit.Checks[at].Detail, "/ip/dhcp-server") {
		t.Errorf("checks %+v do not tell of the server", commit.Checks)
	}
	before := r.router.Snapshot()
	r.c.Config.Identity = "other"
	r.during("/ip/dhcp-server/print", 3, func() { // the check's, after two readings
		for _, row := range r.router.Rows("/ip/dhcp-server") {
			do(t, r, "/ip/dhcp-server/disable", "=.id="+row[".id"])
		}
	})
	commit = r.apply(RolledBack)
	if !strings.Contains(commit.Reason, "is disabled") {
		t.Errorf("reason %q", commit.Reason)
	}
	r.holds(before)
}

// More than one transaction of full size, and an inverse of several scripts.
func TestLargePlan(t *testing.T) {
	r := newRig(t, routertest.Config{})
	r.holdSite()
	before := r.router.Snapshot()
	for i := range 400 {
		r.c.Config.DNS.Records = append(r.c.Config.DNS.Records, router.Record{
			Name: fmt.Sprintf("a-rather-long-name-of-a-machine-%d.example", i), Address: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}),
		})
	}
	config := r.c.Config
	takes := 0
	r.router.Faults().OnCall(func(_ int, command string) {
		if command == "/safe-mode/take" {
			takes++
		}
	})
	r.apply(Confirmed)
	if takes < 7 {
		t.Errorf("%d transactions for more than 400 operations of at most %d", takes, maxBatch)
	}
	// Back again by the scripts alone, without safe mode.
	plan, err := r.c.Plan(t.Context(), router.Options{})
	if err != nil || !plan.Empty() {
		t.Fatalf("second plan %s, %v", plan.Text(false), err)
	}
	fresh := newRig(t, routertest.Config{})
	fresh.holdSite()
	fresh.c.Config = config
	fresh.c.Device.Dialer.Timeout = time.Second
	fresh.during("/ip/dns/static/remove", 1, fresh.router.Faults().Reboot)
	commit := fresh.apply(RolledBack)
	fresh.holds(before)
	if r, err := (journal{fresh.c.Dir}).read(commit.ID); err != nil || len(r.Inverse) < 2 {
		t.Errorf("the inverse is in %d scripts, want several (%v)", len(r.Inverse), err)
	}
}
