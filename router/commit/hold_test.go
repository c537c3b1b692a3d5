package commit

import (
	"errors"
	"strings"
	"testing"
	"time"

	"provision.internal/router/routertest"
)

// pendingRig has a commit that waits for a person for five minutes.
func pendingRig(t *testing.T) (r *rig, before string, stop func()) {
	t.Helper()
	r = newRig(t, routertest.Config{})
	r.holdSite()
	before = r.router.Snapshot()
	r.still.Store(true)
	stop = r.run()
	commit, err := r.c.Apply(t.Context(), Options{By: "eva", ConfirmWithin: 5 * time.Minute}, nil)
	if err != nil || commit.Outcome != Pending || commit.Phase != Waiting {
		t.Fatalf("Apply = %+v, %v; want one that waits", commit, err)
	}
	if want := noon.Add(5 * time.Minute); !commit.Deadline.Equal(want) {
		t.Errorf("deadline %v, want %v", commit.Deadline, want)
	}
	return r, before, stop
}

// last is the newest record.
func (r *rig) last() Commit {
	r.t.Helper()
	history, err := r.c.History()
	if err != nil || len(history) == 0 {
		r.t.Fatalf("History = %v, %v", history, err)
	}
	return history[0]
}

// holds checks that the router is as the text says.
func (r *rig) holds(want string) {
	r.t.Helper()
	if got := r.router.Snapshot(); got != want {
		r.t.Errorf("the router holds\n%s\nwant\n%s", got, want)
	}
}

func TestConfirm(t *testing.T) {
	r, before, _ := pendingRig(t)
	commit, err := r.c.Confirm(t.Context(), "adam")
	if err != nil || commit.Outcome != Confirmed {
		t.Fatalf("Confirm = %+v, %v", commit, err)
	}
	if !strings.Contains(strings.Join(commit.Notes, "\n"), "confirmed by adam") {
		t.Errorf("notes %q do not say who confirmed", commit.Notes)
	}
	if after := r.router.Snapshot(); after == before || strings.Contains(after, deadman) {
		t.Errorf("after Confirm the router holds\n%s", after)
	}
	if _, err := r.c.Confirm(t.Context(), "adam"); !errors.Is(err, ErrNothingPending) {
		t.Errorf("a second Confirm = %v, want ErrNothingPending", err)
	}
	if _, err := r.c.Rollback(t.Context(), "adam"); !errors.Is(err, ErrNothingPending) {
		t.Errorf("Rollback after Confirm = %v, want ErrNothingPending", err)
	}
}

func TestRollback(t *testing.T) {
	r, before, _ := pendingRig(t)
	commit, err := r.c.Rollback(t.Context(), "adam")
	if err != nil || commit.Outcome != RolledBack {
		t.Fatalf("Rollback = %+v, %v", commit, err)
	}
	if !strings.Contains(commit.Reason, "adam") {
		t.Errorf("reason %q does not say who", commit.Reason)
	}
	r.holds(before)
}

// Nobody confirms: the appliance goes back by itself, when the time is over.
func TestUnconfirmedIsRolledBack(t *testing.T) {
	r, before, _ := pendingRig(t)
	h := r.c.waits()
	r.clock.Advance(5 * time.Minute)
	<-h.over
	if last := r.last(); last.Outcome != RolledBack {
		t.Errorf("record %+v, want rolled-back", last)
	}
	r.holds(before)
}

// The same wish makes it wait longer; another is refused, and says what to do.
func TestApplyWhilePending(t *testing.T) {
	r, _, _ := pendingRig(t)
	r.clock.Advance(4 * time.Minute)
	if _, err := r.c.Apply(t.Context(), Options{By: "adam"}, nil); !errors.Is(err, ErrPending) || !strings.Contains(err.Error(), "provision router confirm") {
		t.Errorf("Apply without a time = %v, want ErrPending and what to do", err)
	}
	commit, err := r.c.Apply(t.Context(), Options{By: "adam", ConfirmWithin: 10 * time.Minute}, nil)
	if err != nil || !commit.Deadline.Equal(noon.Add(14*time.Minute)) {
		t.Fatalf("Apply with a time = %+v, %v; want the deadline moved to 12:14", commit, err)
	}
	r.c.Config.Identity = "other"
	if _, err := r.c.Apply(t.Context(), Options{By: "adam", ConfirmWithin: time.Minute}, nil); !errors.Is(err, ErrPending) {
		t.Errorf("Apply of something else = %v, want ErrPending", err)
	}
	r.clock.Advance(9 * time.Minute) // the first deadline, and the first dead-man's
	if commit, err := r.c.Confirm(t.Context(), "eva"); err != nil {
		t.Errorf("Confirm in the longer time = %+v, %v", commit, err)
	}
}

// An appliance that is stopped takes back what waits, before it ends.
func TestStoppedWhilePending(t *testing.T) {
	r, before, stop := pendingRig(t)
	stop()
	if last := r.last(); last.Outcome != RolledBack || last.Phase != Settled {
		t.Errorf("record %+v, want rolled-back", last)
	}
	r.holds(before)
}

// A connection that is lost while the commit waits is noticed, and the commit
// is not left half done.
func TestLostWhilePending(t *testing.T) {
	r, before, _ := pendingRig(t)
	h := r.c.waits()
	r.router.Faults().CutBefore(1)
	r.still.Store(false)
	r.clock.Advance(keepAlive)
	<-h.over
	if last := r.last(); last.Outcome != RolledBack {
		t.Errorf("record %+v, want rolled-back", last)
	}
	r.holds(before)
}

func TestWaitingNeedsRun(t *testing.T) {
	r := newRig(t, routertest.Config{})
	if _, err := r.c.Apply(t.Context(), Options{ConfirmWithin: time.Minute}, nil); !errors.Is(err, ErrStopped) {
		t.Errorf("Apply = %v, want ErrStopped", err)
	}
}
