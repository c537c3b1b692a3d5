package router

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"provision.internal/router/ros"
	"provision.internal/router/routertest"
)

func TestVersions(t *testing.T) {
	for version, want := range map[string]string{
		"7.16.2": "too old", "7.18": "exploited", "7.21.3": "exploited", "7.23.3": "exploited", "7.23.4": "", "7.24": "exploited", "7.24.1": "exploited", "7.24.2": "",
	} {
		c, in := matrix()
		v, err := ParseVersion(version)
		if err != nil {
			t.Fatal(err)
		}
		plan := c.Plan(in, State{
			Version: v, Mode: DeviceMode{Scheduler: true},
			Ethernets: strings.Fields("ether1 ether2 ether3 ether4 ether5 ether6 ether7 ether8 ether9 ether10"),
			Rows:      map[string][]ros.Row{"/ip/service": {{".id": "*1", "name": "api-ssl"}, {".id": "*2", "name": "ssh"}}},
		}, Options{})
		text := strings.Join(slices.Concat(plan.Warnings, plan.Refusals), "\n")
		if (want == "") != (text == "") || !strings.Contains(text, want) || (want == "too old") != (plan.Err() != nil) {
			t.Errorf("%s: %q; want %q", version, text, want)
		}
	}
}

func TestDeviceMode(t *testing.T) {
	c, in := matrix()
	_, conn := simulated(t, routertest.Config{DeviceMode: "home"})
	if err := c.Plan(in, read(t, conn), Options{}).Err(); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "/system/device-mode/update scheduler=yes") {
		t.Errorf("a router that allows no timers: %v", err)
	}
}

func TestPortsThatTheRouterDoesNotHave(t *testing.T) {
	c, in := matrix()
	_, conn := simulated(t, routertest.Config{Ethernets: 5})
	err := c.Plan(in, read(t, conn), Options{}).Err()
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "router.ports[9].name: the router has no port ether10; it has ether1, ether2") {
		t.Errorf("a router with five ports: %v", err)
	}
}

// fresh is a router as the first user's own script leaves it: reached on a VLAN
// directly on ether1.
func fresh(t *testing.T, comment string) (*routertest.Router, State) {
	t.Helper()
	r, conn := simulated(t, routertest.Config{Client: ip("192.0.2.2")})
	do(t, r, "/interface/vlan/add", "=interface=ether1", "=name=bootstrap0", "=vlan-id=2", "=comment="+comment)
	do(t, r, "/ip/address/add", "=address=203.0.113.1/24", "=interface=bootstrap0", "=comment="+comment)
	do(t, r, "/ip/firewall/filter/add", "=chain=input", "=in-interface=bootstrap0", "=action=accept", "=comment="+comment)
	s := read(t, conn)
	s.Via = ip("203.0.113.1")
	return r, s
}

// ether1 cannot become a port of the bridge while something stands on it.
func TestWhatStandsOnAPort(t *testing.T) {
	c, in := matrix()
	_, state := fresh(t, "Bootstrap Interface")
	err := c.Plan(in, state, Options{}).Err()
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "ether1 cannot become a port of br0 while there is /interface/vlan bootstrap0") {
		t.Errorf("a VLAN on ether1: %v", err)
	}
	for _, thing := range [][]string{
		{"/ip/address/add", "=address=203.0.113.1/24", "=interface=ether1"},
		{"/ip/dhcp-client/add", "=interface=ether1"},
		{"/ip/firewall/filter/add", "=chain=input", "=in-interface=!ether1", "=action=drop"},
		{"/ip/firewall/nat/add", "=chain=srcnat", "=out-interface=ether1", "=action=masquerade"},
	} {
		r, conn := simulated(t, routertest.Config{})
		do(t, r, thing[0], thing[1:]...)
		menu := strings.TrimSuffix(thing[0], "/add")
		if err := c.Plan(in, read(t, conn), Options{}).Err(); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "while there is "+menu) {
			t.Errorf("%v: %v", thing, err)
		}
		apply(t, conn, c.Plan(in, read(t, conn), Options{Prune: []string{menu}}))
	}
}

// What management runs over does not go, pruned or not wanted any more.
func TestTheSessionStays(t *testing.T) {
	c, in := matrix()
	_, state := fresh(t, "Bootstrap Interface")
	for _, name := range []string{"/ip/address/203.0.113.1/24", "/interface/vlan/bootstrap0"} {
		err := c.Plan(in, state, Options{Prune: []string{name}}).Err()
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "is what the connection to 203.0.113.1 runs over") {
			t.Errorf("--prune %s: %v", name, err)
		}
	}

	c, in, _, conn := asConfigured(t, "")
	over := func() State {
		s := read(t, conn)
		s.Via = ip("192.0.2.1")
		return s
	}
	if plan := c.Plan(in, over(), Options{}); !plan.Empty() || plan.Err() != nil {
		t.Errorf("nothing is to be done: %v", plan.Err())
	}
	c.VLANs[0].ID = 11
	if err := c.Plan(in, over(), Options{}).Err(); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "changes its vlan-id") {
		t.Errorf("another id for the VLAN of the session: %v", err)
	}
	c.VLANs[0].ID, c.VLANs[0].Address = 10, network("192.0.2.9/24")
	if err := c.Plan(in, over(), Options{}).Err(); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "changes its address") {
		t.Errorf("another address for the session: %v", err)
	}

	c, in = matrix()
	r, conn := simulated(t, routertest.Config{}) // with the default configuration of small routers
	do(t, r, "/interface/bridge/add", "=name=bridge")
	do(t, r, "/interface/bridge/port/add", "=bridge=bridge", "=interface=ether2")
	do(t, r, "/ip/address/add", "=address=203.0.113.1/24", "=interface=bridge")
	s := read(t, conn)
	s.Via = ip("203.0.113.1")
	if err := c.Plan(in, s, Options{Adopt: []string{"/interface/bridge/port"}}).Err(); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "ether2 is taken from bridge") {
		t.Errorf("the port of the session moves to another bridge: %v", err)
	}

	c, in = matrix()
	r, conn = simulated(t, routertest.Config{})
	do(t, r, "/interface/bridge/add", "=name=br0")
	do(t, r, "/ip/address/add", "=address=203.0.113.1/24", "=interface=br0")
	s = read(t, conn)
	s.Via = ip("203.0.113.1")
	if err := c.Plan(in, s, Options{Adopt: []string{"/interface/bridge"}}).Err(); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "untagged over br0") {
		t.Errorf("a session untagged over the bridge: %v", err)
	}
}

// A router that was reset is taken over in two plans: what the way in needs is
// held back from the first.
func TestHoldBack(t *testing.T) {
	for _, comment := range []string{"provision:bootstrap/way-in", "Bootstrap Interface"} {
		c, in := matrix()
		r, state := fresh(t, comment)
		var prune []string
		if !strings.HasPrefix(comment, commentMark) {
			prune = []string{"/interface/vlan/bootstrap0", "/ip/address/203.0.113.1/24", "/ip/firewall/filter/" + comment}
		}
		first := c.Plan(in, state, Options{HoldBack: true})
		if err := first.Err(); err != nil {
			t.Fatal(err)
		}
		if held := strings.Join(first.Held, "\n"); !strings.Contains(held, "ether1 becomes no port of br0 yet") {
			t.Errorf("held back: %q", held)
		}
		for _, op := range first.Operations {
			if op.Kind == Remove || op.Menu == "/interface/bridge/port" && op.Name == "ether1" {
				t.Errorf("the first plan has %s %s %s", op.Kind, op.Menu, op.Name)
			}
		}
		apply(t, dial(t, r), first)
		now := read(t, dial(t, r))
		now.Via = ip("192.0.2.1")
		second := c.Plan(in, now, Options{Prune: prune})
		if err := second.Err(); err != nil {
			t.Fatal(err)
		}
		var order []string
		for _, op := range second.Operations {
			order = append(order, string(op.Kind)+" "+op.Menu)
		}
		want := []string{"remove /ip/firewall/filter", "remove /ip/address", "remove /interface/vlan", "add /interface/bridge/port"}
		if !slices.Equal(order, want) {
			t.Errorf("the second plan is %v, want %v", order, want)
		}
		apply(t, dial(t, r), second)
		now = read(t, dial(t, r))
		if again := c.Plan(in, now, Options{}); !again.Empty() {
			t.Error(again.Text(false))
		}
	}
}
