package commit

import (
	"testing"

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
