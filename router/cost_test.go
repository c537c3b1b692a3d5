package router

import (
	"context"
	"fmt"
	"testing"
	"time"

	"provision.internal/router/ros"
	"provision.internal/router/routertest"
)

// A plan costs a call for each menu and three more, however many rows there are;
// an apply one call a row.
func TestCalls(t *testing.T) {
	c, in := matrix()
	r, conn := simulated(t, routertest.Config{})
	crowd(t, r)
	calls := conn.Calls()
	state := read(t, conn)
	if n := conn.Calls() - calls; n > len(menus)+3 || n > 27 {
		t.Errorf("%d calls to read the router, want at most 27", n)
	}
	calls = conn.Calls()
	apply(t, conn, c.Plan(in, state, Options{}))
	if n, rows := conn.Calls()-calls, len(c.Desired(in, state.Version)); n > rows+20 {
		t.Errorf("%d calls for %d rows, want at most 20 more", n, rows)
	}
	// What changes a row takes one call, and one for each field that is unset.
	c.BGP.Peers[0].Hold, c.BGP.Peers[0].Keepalive, c.BGP.Peers[0].Originate = 0, 0, "never"
	plan := c.Plan(in, read(t, conn), Options{})
	calls = conn.Calls()
	apply(t, conn, plan)
	if n := conn.Calls() - calls; n != 3 {
		t.Errorf("%d calls for one row with two fields to unset, want 3", n)
	}
	if again := c.Plan(in, read(t, conn), Options{}); !again.Empty() {
		t.Error(again.Text(false))
	}
}

// Rows that get the same values share a call; what differs or is unset has its
// own.
func TestTogether(t *testing.T) {
	set := func(menu, id string, after ros.Row) Operation {
		return Operation{Kind: Set, Menu: menu, ID: id, Name: "n" + id, After: after}
	}
	off, on := ros.Row{"disabled": "yes"}, ros.Row{"disabled": "no"}
	for _, tt := range []struct {
		name string
		ops  []Operation
		id   string
		n    int
	}{
		{"alone", []Operation{set("/ip/service", "*1", off)}, "*1", 1},
		{"the same", []Operation{set("/ip/service", "*1", off), set("/ip/service", "*2", off), set("/ip/service", "*3", on)}, "*1,*2", 2},
		{"another menu", []Operation{set("/ip/service", "*1", off), set("/ip/address", "*2", off)}, "*1", 1},
		{"unset", []Operation{set("/ip/dns/static", "*1", ros.Row{"cname": ""}), set("/ip/dns/static", "*2", ros.Row{"cname": ""})}, "*1", 1},
		{"a menu of one row", []Operation{set("/ip/dns", "", off), set("/ip/dns", "", off)}, "", 1},
		{"added", []Operation{{Kind: Add, Menu: "/ip/pool", After: off}, {Kind: Add, Menu: "/ip/pool", After: off}}, "", 1},
	} {
		if o, n := Together(tt.ops); o.ID != tt.id || n != tt.n {
			t.Errorf("%s: %q of %d, want %q of %d", tt.name, o.ID, n, tt.id, tt.n)
		}
	}
}

// crowd fills a router with 2,000 rows of others.
func crowd(t testing.TB, r *routertest.Router) {
	t.Helper()
	for i := range 1000 {
		do(t, r, "/ip/dns/static/add", fmt.Sprintf("=name=host%d.example", i), "=address=203.0.113.9")
		do(t, r, "/ip/firewall/filter/add", "=chain=theirs", "=action=accept", fmt.Sprintf("=dst-port=%d", 1000+i), "=protocol=tcp")
	}
}

// BenchmarkPlan is of a site of 13 hosts from a router with 2,000 rows that
// answers each call in 2 ms. It should stay far below a second.
func BenchmarkPlan(b *testing.B) {
	c, in := matrix()
	r, conn := simulated(b, routertest.Config{})
	crowd(b, r)
	r.Faults().Delay(2 * time.Millisecond)
	for b.Loop() {
		state, err := Read(context.Background(), conn)
		if err != nil {
			b.Fatal(err)
		}
		if plan := c.Plan(in, state, Options{}); plan.Empty() || plan.Inverse() == "" {
			b.Fatal("nothing to do")
		}
	}
}
