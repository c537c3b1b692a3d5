package commit

import (
	"testing"

	"provision.internal/router"
	"provision.internal/router/routertest"
)

// What is applied is on the router, a second plan is empty, and nothing of the
// procedure stays behind.
func TestApplyConfirms(t *testing.T) {
	r := newRig(t, routertest.Config{})
	r.holdSite()
	plan, err := r.c.Plan(t.Context(), Options{}.Options)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(plan.Text(false))
	t.Log(plan.Inverse())
	r.apply(Confirmed)
	for _, menu := range []string{schedulers, scripts} {
		if rows := r.router.Rows(menu); len(rows) > 0 {
			t.Errorf("%s stays behind: %v", menu, rows)
		}
	}
	r.apply(Unchanged)
}

// The procedure costs a fixed number of calls, and four a transaction, beside
// two readings of the router, the second of which is three calls shorter, and
// the plan's own operations. Logins are not counted.
func TestCallsOfACommit(t *testing.T) {
	r := newRig(t, routertest.Config{})
	r.holdSite()
	calls := r.router.Faults().Calls
	begin := calls()
	plan, err := r.c.Plan(t.Context(), router.Options{})
	if err != nil {
		t.Fatal(err)
	}
	reading := calls() - begin
	begin = calls()
	r.apply(Confirmed)
	const fixed, transaction = 13, 4
	beside := calls() - begin - (2*reading - 3) - len(plan.Operations)
	t.Logf("%d operations, %d calls a reading, %d calls beside them", len(plan.Operations), reading, beside)
	if beside > fixed+transaction {
		t.Errorf("%d calls, want at most %d and %d a transaction", beside, fixed, transaction)
	}
}
