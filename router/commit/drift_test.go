package commit

import (
	"slices"
	"strings"
	"testing"
	"time"

	"provision.internal/router"
	"provision.internal/router/routertest"
)

// status is Status, which must work.
func (r *rig) status() Status {
	r.t.Helper()
	s, err := r.c.Status(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// What somebody changes by hand is told with when it was first seen and who may
// have done it, and is never repaired.
func TestDrift(t *testing.T) {
	r := newRig(t, routertest.Config{})
	r.apply(Confirmed)
	if s := r.status(); len(s.Drift.Operations) > 0 || s.Last == nil || s.Last.Outcome != Confirmed || s.Pending != nil {
		t.Fatalf("status %+v after a commit; want no drift and the commit", s)
	}
	r.clock.Advance(time.Hour)
	do(t, r, "/system/identity/set", "=name=mine")
	drifted := r.router.Snapshot()
	seen := r.clock.Now()
	s := r.status()
	if len(s.Drift.Operations) != 1 || s.Drift.Operations[0].Menu != "/system/identity" || s.Drift.Unapplied || !s.Drift.Seen.Equal(seen) {
		t.Errorf("drift %+v; want the identity, seen now", s.Drift)
	}
	if !slices.ContainsFunc(s.Drift.Suspects, func(tr router.Trace) bool {
		return strings.Contains(tr.By, "admin") && strings.Contains(tr.What, "identity")
	}) {
		t.Errorf("suspects %+v; want admin and the identity", s.Drift.Suspects)
	}
	r.clock.Advance(time.Hour)
	if s := r.status(); !s.Drift.Seen.Equal(seen) || !s.Read.Equal(r.clock.Now()) {
		t.Errorf("an hour later it is seen %v and read %v; want %v and now", s.Drift.Seen, s.Read, seen)
	}
	r.holds(drifted)
	do(t, r, "/system/identity/set", "=name=gate")
	if s := r.status(); len(s.Drift.Operations) > 0 || !s.Drift.Seen.IsZero() {
		t.Errorf("drift %+v after it was made good", s.Drift)
	}
}

// A difference that comes from an edited configuration is no drift of anybody's.
func TestUnappliedIsNotDrift(t *testing.T) {
	r := newRig(t, routertest.Config{})
	r.apply(Confirmed)
	r.c.Config = siteAfter()
	if s := r.status(); !s.Drift.Unapplied || len(s.Drift.Operations) == 0 {
		t.Errorf("drift %+v; want unapplied operations", s.Drift)
	}
}

// A router that does not answer is told of, and what was known stays known.
func TestStatusWithoutRouter(t *testing.T) {
	r := newRig(t, routertest.Config{})
	r.apply(Confirmed)
	read := r.status().Read
	r.clock.Advance(time.Minute)
	r.router.Close()
	if s := r.status(); s.Error == "" || !s.Read.Equal(read) || s.Last == nil {
		t.Errorf("status %+v; want the error, and the last reading", s)
	}
}

// While a commit waits, the status tells of it and does not call its changes
// drift.
func TestStatusWhilePending(t *testing.T) {
	r, _, _ := pendingRig(t)
	if s := r.status(); s.Pending == nil || s.Pending.Phase != Waiting || len(s.Drift.Operations) > 0 {
		t.Errorf("status %+v; want the commit that waits", s)
	}
}
