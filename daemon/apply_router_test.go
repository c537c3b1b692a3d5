package daemon

import (
	"log/slog"
	"net/netip"
	"testing"

	"provision.internal/router/commit"
	"provision.internal/router/ros"
	"provision.internal/router/routertest"
)

// The whole commit of the first user's site on an empty router, from its first
// login to its last call: beside two readings it costs a call a row and 20 more.
func TestCallsOfTheMatrix(t *testing.T) {
	cfg := matrix(t)
	cfg.Router.Services["api-ssl"] = append(cfg.Router.Services["api-ssl"], netip.MustParsePrefix("127.0.0.0/8")) // where the test calls from
	r := routertest.New(routertest.Config{})
	defer r.Close()
	if err := r.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	device := &ros.Device{Dialer: ros.Dialer{Address: r.Addr(), User: "admin", Pin: ros.Pin(r.Pin())}}
	c := commit.Committer{Device: device, Dir: t.TempDir(), Config: *cfg.Router, Inputs: cfg.routerInputs, Log: slog.New(slog.DiscardHandler)}
	calls := r.Faults().Calls
	plan, err := c.Plan(t.Context(), commit.Options{}.Options)
	if err != nil {
		t.Fatal(err)
	}
	reading, begin := calls(), calls()
	// The other side of BGP is not there.
	done, err := c.Apply(t.Context(), commit.Options{By: "eva", SkipBGP: true}, nil)
	if err != nil || done.Outcome != commit.Confirmed {
		t.Fatalf("Apply = %+v, %v", done, err)
	}
	const logins = 2 // which the router does not count
	whole, readings := calls()-begin+logins, 2*reading-3
	t.Logf("%d operations, %d calls, of them %d to read", len(plan.Operations), whole, readings)
	if rows := len(plan.Operations); whole-readings > rows+20 {
		t.Errorf("%d calls beside the readings for %d rows, want at most 20 more", whole-readings, rows)
	}
}
