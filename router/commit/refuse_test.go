package commit

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"provision.internal/router"
	"provision.internal/router/ros"
	"provision.internal/router/routertest"
)

// Each obstacle has its own error that says what to do, and leaves the router
// as it was.
func TestRefusals(t *testing.T) {
	tests := []struct {
		name   string
		config routertest.Config
		spoil  func(t *testing.T, r *rig)
		want   error
		says   string
	}{
		{"wrong password", routertest.Config{}, func(_ *testing.T, r *rig) { r.c.Device.Dialer.Password = "guess" }, ros.ErrLogin, "password_file"},
		{"changed certificate", routertest.Config{}, func(_ *testing.T, r *rig) { r.c.Device.Dialer.Pin[0]++ }, ros.ErrPin, "pin"},
		{"no route", routertest.Config{}, func(_ *testing.T, r *rig) { r.router.Close() }, ros.ErrNoRoute, "check the cable"},
		{"old version", routertest.Config{Version: "7.16"}, nil, ErrVersion, "update"},
		{"device mode", routertest.Config{DeviceMode: "home"}, nil, ErrScheduler, "/system/device-mode/update"},
		{"bad plan", routertest.Config{Ethernets: 2}, nil, ErrRefused, "ether3"},
		{"another appliance", routertest.Config{}, func(t *testing.T, r *rig) {
			do(t, r, schedulers+"/add", "=name="+deadman, "=comment="+mark+"20261123T115500Z-AAAAAA by adam on core2", "=start-date=2027-01-01", "=start-time=00:00:00")
		}, ErrElsewhere, "adam on core2"},
		{"another appliance at the same moment", routertest.Config{}, func(t *testing.T, r *rig) {
			r.during(schedulers+"/add", 1, func() {
				do(t, r, schedulers+"/add", "=name="+deadman, "=comment="+mark+"20261123T115500Z-AAAAAA by adam on core2", "=start-date=2027-01-01", "=start-time=00:00:00")
			})
		}, ErrElsewhere, "adam on core2"},
		{"safe mode held", routertest.Config{}, func(_ *testing.T, r *rig) { r.router.Faults().HoldSafeMode() }, ErrSafeMode, "leave safe mode"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, test.config)
			before := r.router.Snapshot()
			if test.spoil != nil {
				test.spoil(t, r)
			}
			commit, err := r.c.Apply(t.Context(), Options{By: "eva"}, nil)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("Apply = %v; want %v, saying %q", err, test.want, test.says)
			}
			if commit.Outcome == Confirmed || commit.Outcome == RolledBack {
				t.Errorf("outcome %s of what was never done", commit.Outcome)
			}
			if got := withoutTimer(r.router.Snapshot()); got != before {
				t.Errorf("the router holds\n%s\nwant\n%s", got, before)
			}
			if since := r.clock.Now().Sub(noon); since > time.Minute {
				t.Errorf("the refusal took %v", since)
			}
		})
	}
}

// withoutTimer leaves out the lines of a snapshot that are of timers.
func withoutTimer(snapshot string) string { return without(snapshot, schedulers) }

// do changes the router behind the appliance's back.
func do(t *testing.T, r *rig, command string, words ...string) {
	t.Helper()
	if _, err := r.router.Do(command, words...); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
}

// Two appliances at work: the second is told who is first, and disturbs nothing.
func TestSecondAppliance(t *testing.T) {
	r, _, _ := pendingRig(t)
	second := r.committer(t.TempDir())
	second.Config.Identity = "other"
	if _, err := second.Apply(t.Context(), Options{By: "adam"}, nil); !errors.Is(err, ErrElsewhere) || !strings.Contains(err.Error(), "by eva on "+hostname()) {
		t.Errorf("Apply = %v, want ErrElsewhere and who", err)
	}
	if commit, err := r.c.Confirm(t.Context(), "eva"); err != nil || commit.Outcome != Confirmed {
		t.Errorf("Confirm of the first = %+v, %v", commit, err)
	}
	if commit, err := second.Apply(t.Context(), Options{By: "adam"}, nil); err != nil || commit.Outcome != Confirmed {
		t.Errorf("Apply of the second afterwards = %+v, %v", commit, err)
	}
}

// An appliance that comes back after its timer has run, and after another one
// has applied something newer, takes nothing of that back.
func TestYoungerCommitIsLeftAlone(t *testing.T) {
	r := newCutRig(t)
	r.late = true
	r.killAt(70) // in the middle of the plan
	answer := make(chan struct{})
	go func() {
		defer close(answer)
		r.c.Apply(t.Context(), Options{By: "eva"}, nil) // it dies
	}()
	<-answer
	r.clock.Advance(time.Hour)
	second := r.committer(t.TempDir())
	second.Config.DNS.Records[1].Address = netip.MustParseAddr("192.0.2.99")
	if commit, err := second.Apply(t.Context(), Options{By: "adam"}, nil); err != nil || commit.Outcome != Confirmed {
		t.Fatalf("Apply of the second = %+v, %v", commit, err)
	}
	younger := r.router.Snapshot()
	first := r.committer(r.relict)
	first.runUntilSettled(t)
	r.holds(younger)
	if history, err := first.History(); err != nil || history[0].Outcome != Unknown {
		t.Errorf("the first one's record %+v, %v; want unknown", history[0], err)
	}
}

// A plan that was agreed to is the one that is applied, or none.
func TestAnotherPlanThanSeen(t *testing.T) {
	r := newRig(t, routertest.Config{})
	r.holdSite()
	plan, err := r.c.Plan(t.Context(), router.Options{})
	if err != nil {
		t.Fatal(err)
	}
	do(t, r, "/system/identity/set", "=name=mine")
	if _, err := r.c.Apply(t.Context(), Options{By: "eva", Seen: plan.Fingerprint()}, nil); !errors.Is(err, ErrRefused) {
		t.Errorf("Apply of another plan = %v, want ErrRefused", err)
	}
	do(t, r, "/system/identity/set", "=name=gate")
	if _, err := r.c.Apply(t.Context(), Options{By: "eva", Seen: plan.Fingerprint()}, nil); err != nil {
		t.Errorf("Apply of the plan that was seen = %v", err)
	}
}

// Once a stale holder of safe mode is given up by the router, the next attempt
// goes through.
func TestStaleHolderGoesAway(t *testing.T) {
	r := newRig(t, routertest.Config{})
	r.router.Faults().HoldSafeMode()
	r.apply(Failed)
	r.clock.Advance(cutAfter)
	r.apply(Confirmed)
}

// A dead-man that a settled commit of ours has left behind is in nobody's way.
func TestLeftoverTimer(t *testing.T) {
	r := newRig(t, routertest.Config{})
	done := r.apply(Confirmed)
	do(t, r, schedulers+"/add", "=name="+deadman, "=comment="+mark+done.ID+" by eva", "=start-date=2027-01-01", "=start-time=00:00:00")
	r.c.Config = siteAfter()
	r.apply(Confirmed)
	if rows := r.router.Rows(schedulers); len(rows) > 0 {
		t.Errorf("%s stays behind: %v", schedulers, rows)
	}
}

// A connection from elsewhere must be able to reach the changed router, too.
func TestReachIsChecked(t *testing.T) {
	r := newRig(t, routertest.Config{})
	before := r.router.Snapshot()
	nowhere := r.c.Device.Dialer
	nowhere.Address = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 1).String()
	r.c.Reach = []ros.Dialer{nowhere}
	if commit := r.apply(RolledBack); !strings.Contains(commit.Reason, "management") {
		t.Errorf("reason %q does not name the check", commit.Reason)
	}
	r.holds(before)
}
