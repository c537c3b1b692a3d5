package commit

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

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
		{"safe mode held", routertest.Config{}, func(_ *testing.T, r *rig) { r.router.Faults().HoldSafeMode() }, ErrSafeMode, "leave safe mode"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, test.config)
			before := r.router.Snapshot()
			if test.spoil != nil {
				test.spoil(t, r)
			}
			spoilt := r.router.Snapshot()
			commit, err := r.c.Apply(t.Context(), Options{By: "eva"}, nil)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("Apply = %v; want %v, saying %q", err, test.want, test.says)
			}
			if commit.Outcome == Confirmed || commit.Outcome == RolledBack {
				t.Errorf("outcome %s of what was never done", commit.Outcome)
			}
			if got := r.router.Snapshot(); got != spoilt || test.spoil == nil && got != before {
				t.Errorf("the router holds\n%s\nwant\n%s", got, spoilt)
			}
			if since := r.clock.Now().Sub(noon); since > time.Minute {
				t.Errorf("the refusal took %v", since)
			}
		})
	}
}

// do changes the router behind the appliance's back.
func do(t *testing.T, r *rig, command string, words ...string) {
	t.Helper()
	if _, err := r.router.Do(command, words...); err != nil {
		t.Fatalf("%s: %v", command, err)
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
