package routertest_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"provision.internal/router/routertest"
)

// vlans writes the rows of /interface/bridge/vlan: VLAN, tagged, untagged,
// with D for dynamic ones.
func vlans(r *routertest.Router) []string {
	var lines []string
	for _, row := range r.Rows("/interface/bridge/vlan") {
		line := row["vlan-ids"] + " " + row["current-tagged"] + "/" + row["current-untagged"]
		if row["dynamic"] == "true" {
			line += " D " + row["comment"]
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

func wantVLANs(t *testing.T, r *routertest.Router, when string, want ...string) {
	t.Helper()
	if got := vlans(r); !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", when, got, want)
	}
}

func TestDynamicVLANs(t *testing.T) {
	r := site(t, routertest.Config{})
	wantVLANs(t, r, "without filtering", "10 /")
	do(t, r, "/interface/bridge/set", "=.id=br0", "=vlan-filtering=yes")
	wantVLANs(t, r, "with filtering", "1 /br0,ether2 D added by pvid", "10 br0,ether2/", "30 /ether7 D added by pvid")
	before := one(t, r, "/interface/bridge/vlan", "?vlan-ids=30")[".id"]

	do(t, r, "/interface/bridge/port/set", "=.id=*2", "=pvid=10")
	wantVLANs(t, r, "pvid moved into a declared VLAN", "1 /br0,ether2 D added by pvid", "10 /ether7 D added by pvid", "10 br0,ether2/")
	do(t, r, "/interface/bridge/port/set", "=.id=*2", "=pvid=30")
	if after := one(t, r, "/interface/bridge/vlan", "?vlan-ids=30")[".id"]; after == before {
		t.Errorf("a dynamic row that came back has its old id %s", after)
	}

	do(t, r, "/interface/bridge/set", "=.id=br0", "=frame-types=admit-only-vlan-tagged")
	do(t, r, "/interface/bridge/port/set", "=.id=*1", "=frame-types=admit-only-vlan-tagged")
	wantVLANs(t, r, "tagged frames only", "10 br0,ether2/", "30 /ether7 D added by pvid")
	r.SetLink("ether7", false)
	wantVLANs(t, r, "cable out", "10 br0,ether2/")
	r.SetLink("ether7", true)
	do(t, r, "/interface/vlan/add", "=name=guest0", "=interface=br0", "=vlan-id=40")
	wantVLANs(t, r, "VLAN interface", "10 br0,ether2/", "30 /ether7 D added by pvid", "40 br0/ D added by vlan on bridge")

	for _, row := range r.Rows("/interface/bridge/vlan") {
		if row["dynamic"] != "true" {
			continue
		}
		if got := refusal(t, r, "/interface/bridge/vlan/set", "=.id="+row[".id"], "=comment=x"); got != "failure: can not change dynamic" {
			t.Errorf("set of a dynamic row: %q", got)
		}
		if got := refusal(t, r, "/interface/bridge/vlan/remove", "=.id="+row[".id"]); !strings.Contains(got, "dynamic") {
			t.Errorf("remove of a dynamic row: %q", got)
		}
	}
}

func TestHostsFollowTheirPort(t *testing.T) {
	r := site(t, routertest.Config{})
	do(t, r, "/interface/bridge/set", "=.id=br0", "=vlan-filtering=yes")
	const mac = "52:54:00:00:00:07"
	r.LearnHost(mac, "ether7", 0)
	row := one(t, r, "/interface/bridge/host", "?mac-address="+mac)
	if row["on-interface"] != "ether7" || row["vid"] != "30" || row["local"] != "false" || row["dynamic"] != "true" {
		t.Errorf("learned: %v", row)
	}
	do(t, r, "/interface/bridge/port/set", "=.id=*2", "=pvid=10")
	if got := one(t, r, "/interface/bridge/host", "?mac-address="+mac)["vid"]; got != "10" {
		t.Errorf("vid after the pvid moved: %q, want 10", got)
	}
	local, err := r.Do("/interface/bridge/host/print", "?local=true")
	if err != nil || len(local) != 2 {
		t.Errorf("the ports' own addresses: %v, %v, want two", local, err)
	}
	r.LearnHost(mac, "ether2", 0)
	if got := one(t, r, "/interface/bridge/host", "?mac-address="+mac)["on-interface"]; got != "ether2" {
		t.Errorf("after the machine moved: on %q, want ether2", got)
	}
	r.ForgetHost(mac)
	if rows, _ := r.Do("/interface/bridge/host/print", "?mac-address="+mac); len(rows) != 0 {
		t.Errorf("forgotten, but %v", rows)
	}
}

// Whether a new connection gets to the router's own address.
func TestReachable(t *testing.T) {
	for _, test := range []struct {
		name  string
		lines string
		want  bool
	}{
		{"VLAN on a bridge without filtering", "", true},
		{"with filtering, bridge and port members", "/interface/bridge/set =.id=br0 =vlan-filtering=yes", true},
		{"clients' port no member", "/interface/bridge/set =.id=br0 =vlan-filtering=yes; /interface/bridge/vlan/set =.id=*1 =tagged=br0", false},
		{"clients' port untagged member by pvid", "/interface/bridge/set =.id=br0 =vlan-filtering=yes; /interface/bridge/vlan/set =.id=*1 =tagged=br0; /interface/bridge/port/set =.id=*1 =pvid=10", true},
		{"port admits untagged frames only", "/interface/bridge/set =.id=br0 =vlan-filtering=yes; /interface/bridge/port/set =.id=*1 =frame-types=admit-only-untagged-and-priority-tagged", false},
		{"bridge disabled", "/interface/bridge/disable =.id=br0", false},
		{"port disabled", "/interface/disable =.id=ether2", false},
		{"port no longer in the bridge", "/interface/bridge/port/remove =.id=*1", false},
		{"VLAN interface disabled", "/interface/disable =.id=lan0", false},
		{"another VLAN id", "/interface/bridge/set =.id=br0 =vlan-filtering=yes; /interface/vlan/set =.id=lan0 =vlan-id=11", false},
		{"address disabled", "/ip/address/disable =.id=*1", false},
		{"address gone", "/ip/address/remove =.id=*1", false},
		{"dropped", "/ip/firewall/filter/add =chain=input =action=drop", false},
		{"accepted before the drop", "/ip/firewall/filter/add =chain=input =protocol=tcp =dst-port=8729 =src-address=192.0.2.2; /ip/firewall/filter/add =chain=input =action=drop", true},
		{"accepted for another client", "/ip/firewall/filter/add =chain=input =src-address=192.0.2.3; /ip/firewall/filter/add =chain=input =action=drop", false},
		{"accepted once established only", "/ip/firewall/filter/add =chain=input =connection-state=established; /ip/firewall/filter/add =chain=input =action=drop", false},
		{"accepted from a list of interfaces", "/ip/firewall/filter/add =chain=input =in-interface-list=LAN; /ip/firewall/filter/add =chain=input =action=drop", true},
		{"not from that list", "/ip/firewall/filter/add =chain=input =in-interface-list=!LAN =action=drop", true},
		{"accepted from an address list", "/ip/firewall/filter/add =chain=input =src-address-list=good; /ip/firewall/filter/add =chain=input =action=drop", true},
		{"in a chain of its own", "/ip/firewall/filter/add =chain=input =action=jump =jump-target=mine; /ip/firewall/filter/add =chain=mine =action=drop", false},
		{"the drop is disabled", "/ip/firewall/filter/add =chain=input =action=drop =disabled=yes", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := site(t, routertest.Config{Client: netip.MustParseAddr("192.0.2.2"), ManagementPort: "ether2"})
			addr, err := r.ListenFor("127.0.0.1:0", "192.0.2.1")
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.SplitSeq(test.lines, "; ") {
				if words := strings.Fields(line); len(words) > 0 {
					do(t, r, words[0], words[1:]...)
				}
			}
			if got := r.Reachable("192.0.2.1"); got != test.want {
				t.Errorf("reachable: got %v, want %v", got, test.want)
			}
			if !test.want {
				return // the connection would hang: that is what it is for
			}
			c, err := tlsDial(addr)
			if err != nil {
				t.Fatal(err)
			}
			_ = c.Close()
		})
	}
}

// The bootstrap session's end: its VLAN sits on a port, which becomes a port
// of a bridge.
func TestBridgePortTakesItsVLANsAway(t *testing.T) {
	r := listening(t, routertest.Config{})
	do(t, r, "/interface/vlan/add", "=name=boot0", "=interface=ether1", "=vlan-id=5")
	do(t, r, "/ip/address/add", "=address=198.51.100.1/24", "=interface=boot0")
	if !r.Reachable("198.51.100.1") {
		t.Fatal("not reachable to begin with")
	}
	do(t, r, "/interface/bridge/add", "=name=br0")
	port := do(t, r, "/interface/bridge/port/add", "=bridge=br0", "=interface=ether1")
	if r.Reachable("198.51.100.1") {
		t.Error("still reachable through a slave")
	}
	do(t, r, "/interface/bridge/port/disable", "=.id="+port)
	if !r.Reachable("198.51.100.1") {
		t.Error("a disabled bridge port leaves its interface alone")
	}
}
