package routertest_test

import (
	"maps"
	"strings"
	"testing"

	"provision.internal/router/routertest"
)

// refusal runs a command that must be refused, and returns the words.
func refusal(t *testing.T, r *routertest.Router, command string, args ...string) string {
	t.Helper()
	_, err := r.Do(command, args...)
	if err == nil {
		t.Errorf("%s %q: got no error", command, args)
		return ""
	}
	return err.Error()
}

// site is a router with some of everything that rows refer to.
func site(t *testing.T, c routertest.Config) *routertest.Router {
	t.Helper()
	r := listening(t, c)
	for _, line := range [][]string{
		{"/interface/bridge/add", "=name=br0"},
		{"/interface/bridge/port/add", "=bridge=br0", "=interface=ether2"},
		{"/interface/bridge/port/add", "=bridge=br0", "=interface=ether7", "=pvid=30"},
		{"/interface/bridge/vlan/add", "=bridge=br0", "=vlan-ids=10", "=tagged=br0,ether2"},
		{"/interface/vlan/add", "=name=lan0", "=interface=br0", "=vlan-id=10"},
		{"/interface/list/add", "=name=LAN"},
		{"/interface/list/member/add", "=list=LAN", "=interface=lan0"},
		{"/ip/address/add", "=address=192.0.2.1/24", "=interface=lan0"},
		{"/ip/pool/add", "=name=lan0", "=ranges=192.0.2.10-192.0.2.19"},
		{"/ip/dhcp-server/add", "=name=lan0", "=interface=lan0", "=address-pool=lan0", "=lease-time=1h"},
		{"/ip/dhcp-server/network/add", "=address=192.0.2.0/24", "=gateway=192.0.2.1"},
		{"/ip/dhcp-server/lease/add", "=address=192.0.2.50", "=mac-address=52:54:00:00:00:01", "=server=lan0"},
		{"/ip/dns/static/add", "=name=core", "=address=192.0.2.2"},
		{"/ip/firewall/address-list/add", "=list=good", "=address=192.0.2.2/32"},
		{"/user/group/add", "=name=robots", "=policy=read,api"},
		{"/user/add", "=name=robot", "=group=robots", "=password=x"},
	} {
		do(t, r, line[0], line[1:]...)
	}
	return r
}

func TestRefusals(t *testing.T) {
	r := site(t, routertest.Config{})
	for _, test := range []struct{ command, want string }{
		{"/nowhere/print", "no such command prefix"},
		{"/ip/print", "no such command"},
		{"/ip/pool/frobnicate", "no such command"},
		{"/ip/pool/enable =.id=lan0", "no such command"},
		{"/ip/pool/move =.id=lan0", "no such command"},
		{"/ip/dhcp-relay/comment =.id=x", "no such command"},
		{"/system/resource/set", "no such command"},
		{"/ip/service/add =name=x", "no such command"},
		{"/ip/service/set =.id=ftp =comment=x", "unknown parameter comment"},
		{"/ip/dhcp-relay/add =name=x =comment=y", "unknown parameter comment"},
		{"/ip/address/add =address=192.0.2.9/24 =interface=lan0 =colour=red", "unknown parameter colour"},
		{"/ip/address/set =.id=*1 =dynamic=yes", "unknown parameter dynamic"},
		{"/ip/firewall/filter/set =.id=*1 =place-before=*1", "unknown parameter place-before"},
		{"/ip/address/add =address=192.0.2.9/24 =interface=nowhere", "input does not match any value of interface"},
		{"/ip/address/add =interface=lan0", "missing value(s) of argument(s) address"},
		{"/ip/address/add =address=192.0.2.1/24 =interface=lan0", "failure: already have such address"},
		{"/ip/address/add =address=nonsense =interface=lan0", "invalid value for argument address"},
		{"/ip/address/remove =.id=*99", "no such item"},
		{"/ip/address/remove", "missing =.id="},
		{"/interface/vlan/add =name=lan0 =interface=br0 =vlan-id=11", "failure: already have interface with such name"},
		{"/interface/bridge/add =name=ether1", "failure: already have interface with such name"},
		{"/interface/set =.id=ether1 =name=lan0", "failure: already have interface with such name"},
		{"/interface/bridge/port/add =bridge=br0 =interface=ether2", "failure: device already added as bridge port"},
		{"/interface/bridge/port/add =bridge=lan0 =interface=ether3", "input does not match any value of bridge"},
		{"/interface/bridge/port/set =.id=*1 =pvid=4095", "value of pvid out of range (1..4094)"},
		{"/interface/bridge/port/set =.id=*1 =frame-types=some", "input does not match any value of frame-types"},
		{"/interface/bridge/vlan/add =bridge=br0 =vlan-ids=5000", "value of vlan-range out of range (1..4094)"},
		{"/interface/bridge/vlan/add =bridge=br0 =vlan-ids=5-10", "failure: vlan already added"},
		{"/interface/bridge/vlan/add =bridge=br0 =vlan-ids=20 =tagged=ether2 =untagged=ether2", "failure: interface cannot be in tagged and untagged at the same time"},
		{"/interface/bridge/vlan/add =bridge=br0 =vlan-ids=20 =tagged=ether2,ether2", "failure: each interface can appear only once"},
		{"/ip/pool/add =name=lan0 =ranges=192.0.2.1-192.0.2.2", "failure: pool with such name exists"},
		{"/ip/dhcp-server/add =name=lan0 =interface=ether3", "failure: server with such name already exists"},
		{"/ip/dhcp-server/add =name=x =interface=ether3 =address-pool=none-such", "input does not match any value of address-pool"},
		{"/ip/dhcp-server/network/add =address=192.0.2.0/24", "failure: such network already exists"},
		{"/ip/dhcp-server/network/add =address=192.0.2.1/25", "failure: invalid network"},
		{"/ip/dhcp-server/lease/add =address=192.0.2.51 =mac-address=52:54:00:00:00:01", "failure: already have static lease for this client"},
		{"/ip/dhcp-server/lease/add =address=192.0.2.50 =mac-address=52:54:00:00:00:02", "failure: already have static lease with this IP address"},
		{"/ip/dns/static/add =name=core =address=192.0.2.2 =ttl=5m", "failure: entry already exists"},
		{"/ip/dns/static/add =name=x =regexp=y =address=192.0.2.2", "failure: only name or regexp allowed"},
		{"/ip/dns/static/add =name=x =type=MX =address=192.0.2.2", "failure: bad MX data"},
		{"/ip/firewall/address-list/add =list=good =address=192.0.2.2", "failure: already have such entry"},
		{"/ip/firewall/filter/add =chain=input =in-interface=nowhere", "input does not match any value of interface"},
		{"/ip/firewall/filter/add =chain=input =in-interface-list=nowhere", "input does not match any value of interface-list"},
		{"/user/group/remove =.id=robots", "failure: group has some users"},
		{"/user/group/remove =.id=full", "failure: can not remove builtin"},
		{"/user/add =name=robot =group=read", "failure: user with the same name already exists"},
		{"/ip/route/print ?#x", "unknown query operation #x"},
		{"/ip/pool/unset =.id=lan0 =value-name=name", "no such command"},
		{"/ip/dhcp-client/unset =.id=*1 =value-name=interface", "input does not match any value of value-name"},
		{"/ip/firewall/filter/move =numbers=*99", "no such item"},
	} {
		words := strings.Fields(test.command)
		if got := refusal(t, r, words[0], words[1:]...); got != test.want {
			t.Errorf("%s: got %q, want %q", test.command, got, test.want)
		}
	}
}

func TestPolicies(t *testing.T) {
	r := site(t, routertest.Config{})
	c := raw{t, dialRaw(t, r.Addr())}
	c.send("/login =name=robot =password=x")
	c.want("!done")
	c.send("/system/identity/print")
	c.want("!re =name=MikroTik", "!done")
	for _, command := range []string{"/system/identity/set =name=x", "/ip/address/remove =.id=*1", "/user/add =name=y =group=full"} {
		c.send(command)
		c.want("!trap =message=not enough permissions (9)", "!done")
	}
}

// What print shows: names for references, defaults and computed values, truth
// as true and false, nothing for what is unset.
func TestShown(t *testing.T) {
	r := site(t, routertest.Config{})
	for _, test := range []struct {
		menu, query string
		want        map[string]string // "-": absent
	}{
		{"/ip/address", "", map[string]string{
			".id": "*1", "address": "192.0.2.1/24", "network": "192.0.2.0", "interface": "lan0", "actual-interface": "lan0",
			"disabled": "false", "dynamic": "false", "invalid": "false", "slave": "false", "comment": "-",
		}},
		{"/interface/vlan", "", map[string]string{"interface": "br0", "vlan-id": "10", "running": "true", "mtu": "1500", "mac-address": "02:00:5E:10:00:02"}},
		{"/interface", "?name=ether2", map[string]string{"type": "ether", "slave": "true", "running": "true", "default-name": "ether2", "switch": "-"}},
		{"/interface", "?name=ether3", map[string]string{"slave": "-"}},
		{"/interface/bridge/port", "?interface=ether7", map[string]string{"bridge": "br0", "pvid": "30", "edge": "auto", "priority": "0x80", "inactive": "false"}},
		{"/interface/list/member", "", map[string]string{"list": "LAN", "interface": "lan0"}},
		{"/ip/pool", "", map[string]string{"ranges": "192.0.2.10-192.0.2.19", "total": "10", "next-pool": "-"}},
		{"/ip/dhcp-server", "", map[string]string{"address-pool": "lan0", "lease-time": "1h", "use-radius": "no", "relay": "-", "invalid": "false"}},
		{"/ip/dhcp-server/network", "", map[string]string{"gateway": "192.0.2.1", "dns-server": "", "disabled": "-", "domain": "-"}},
		{"/ip/dhcp-server/lease", "", map[string]string{"server": "lan0", "mac-address": "52:54:00:00:00:01", "status": "waiting", "last-seen": "never"}},
		{"/ip/dns/static", "", map[string]string{"type": "A", "ttl": "1d", "cname": "-", "disabled": "false"}},
		{"/ip/route", "?dst-address=192.0.2.0/24", map[string]string{"connect": "true", "dynamic": "true", "gateway": "lan0", "local-address": "192.0.2.1%lan0"}},
		{"/user", "?name=robot", map[string]string{"group": "robots", "password": "-"}},
		{"/ip/service", "?name=api-ssl", map[string]string{"certificate": "api", "port": "8729", "dynamic": "false", "comment": "-"}},
	} {
		var queries []string
		if test.query != "" {
			queries = []string{test.query}
		}
		row := one(t, r, test.menu, queries...)
		for name, want := range test.want {
			got, ok := row[name]
			if want == "-" && ok || want != "-" && got != want {
				t.Errorf("%s %s: %s is %q (there: %v), want %q", test.menu, test.query, name, got, ok, want)
			}
		}
	}
}

// Firewall rules show disabled, log and log-prefix only when they were
// written, whatever their value.
func TestFirewallShowsWhatWasWritten(t *testing.T) {
	r := listening(t, routertest.Config{})
	plain := do(t, r, "/ip/firewall/filter/add", "=chain=input")
	written := do(t, r, "/ip/firewall/filter/add", "=chain=input", "=disabled=no", "=log=no", "=log-prefix=")
	toggled := do(t, r, "/ip/firewall/filter/add", "=chain=input", "=connection-state=established,related")
	do(t, r, "/ip/firewall/filter/disable", "=.id="+toggled)
	do(t, r, "/ip/firewall/filter/enable", "=.id="+toggled)
	for id, want := range map[string]map[string]string{
		plain:   {},
		written: {"disabled": "false", "log": "false", "log-prefix": ""},
		toggled: {"disabled": "false", "connection-state": "established,related"},
	} {
		row := one(t, r, "/ip/firewall/filter", "?.id="+id)
		for _, name := range []string{".id", "chain", "action", "bytes", "packets", "dynamic", "invalid"} {
			if _, ok := row[name]; !ok {
				t.Errorf("rule %s has no %s", id, name)
			}
			delete(row, name)
		}
		if !maps.Equal(row, want) {
			t.Errorf("rule %s: got %v beside what all have, want %v", id, row, want)
		}
	}
}

func TestReferencesFollowAndDangle(t *testing.T) {
	r := site(t, routertest.Config{})
	do(t, r, "/interface/set", "=.id=lan0", "=name=office")
	if got := one(t, r, "/ip/address")["interface"]; got != "office" {
		t.Errorf("interface of the address after a rename: %q, want office", got)
	}
	pool := one(t, r, "/ip/pool")[".id"]
	do(t, r, "/ip/pool/remove", "=.id="+pool)
	if got := one(t, r, "/ip/dhcp-server")["address-pool"]; got != pool {
		t.Errorf("pool of the server after its removal: %q, want %q", got, pool)
	}
	if id := do(t, r, "/ip/pool/add", "=name=lan0", "=ranges=192.0.2.10-192.0.2.19"); id == pool {
		t.Errorf("id %s was used again", id)
	}
	if got := one(t, r, "/ip/dhcp-server")["address-pool"]; got != pool {
		t.Errorf("pool of the server after another took the name: %q, want %q", got, pool)
	}
	bridge := one(t, r, "/interface/bridge")[".id"]
	do(t, r, "/interface/bridge/remove", "=numbers=br0")
	port := one(t, r, "/interface/bridge/port", "?interface=ether2")
	if port["bridge"] != bridge || port["inactive"] != "true" {
		t.Errorf("port of a bridge that is gone: bridge %q, inactive %q; want %q, true", port["bridge"], port["inactive"], bridge)
	}
}

func TestSetIsAllOrNothing(t *testing.T) {
	r := listening(t, routertest.Config{})
	do(t, r, "/ip/pool/add", "=name=a", "=ranges=192.0.2.1")
	do(t, r, "/ip/pool/add", "=name=b", "=ranges=192.0.2.2")
	if got := refusal(t, r, "/ip/pool/set", "=numbers=a,missing", "=comment=x"); got != "no such item" {
		t.Errorf("got %q, want no such item", got)
	}
	for _, row := range r.Rows("/ip/pool") {
		if _, ok := row["comment"]; ok {
			t.Errorf("pool %s was altered by a refused command", row["name"])
		}
	}
	do(t, r, "/ip/pool/set", "=numbers=a,b", "=comment=x")
	do(t, r, "/ip/pool/remove", "=numbers=a,*2")
	if rows := r.Rows("/ip/pool"); len(rows) != 0 {
		t.Errorf("left: %v", rows)
	}
}

func TestUnset(t *testing.T) {
	r := site(t, routertest.Config{})
	lease := one(t, r, "/ip/dhcp-server/lease")[".id"]
	do(t, r, "/ip/dhcp-server/lease/unset", "=.id="+lease, "=value-name=server")
	if got, ok := one(t, r, "/ip/dhcp-server/lease")["server"]; ok {
		t.Errorf("server after unset: %q", got)
	}
	do(t, r, "/ip/dhcp-server/lease/set", "=.id="+lease, "=comment=x")
	do(t, r, "/ip/dhcp-server/lease/set", "=.id="+lease, "=comment=")
	if _, ok := one(t, r, "/ip/dhcp-server/lease")["comment"]; ok {
		t.Error("the empty comment is still there")
	}
}

func TestVersionsDiffer(t *testing.T) {
	old, current := listening(t, routertest.Config{Version: "7.18"}), listening(t, routertest.Config{})
	if got := refusal(t, old, "/routing/bgp/instance/print"); got != "no such command prefix" {
		t.Errorf("instances on 7.18: %q", got)
	}
	if got := refusal(t, current, "/routing/bgp/connection/add", "=name=core", "=local.role=ibgp"); got != "missing value(s) of argument(s) instance" {
		t.Errorf("connection without an instance: %q", got)
	}
	if got := refusal(t, current, "/routing/bgp/connection/add", "=name=core", "=router-id=192.0.2.1"); got != "unknown parameter router-id" {
		t.Errorf("router-id of a connection: %q", got)
	}
	do(t, old, "/routing/bgp/connection/add", "=name=core", "=local.role=ibgp", "=router-id=192.0.2.1", "=as=64579")
	do(t, current, "/routing/bgp/instance/add", "=name=main", "=as=64579", "=router-id=192.0.2.1")
	do(t, current, "/routing/bgp/connection/add", "=name=core", "=instance=main", "=local.role=ibgp", "=remote.address=192.0.2.9")
	if got := one(t, current, "/routing/bgp/connection")["remote.address"]; got != "192.0.2.9/32" {
		t.Errorf("remote.address: %q, want a prefix", got)
	}
	for _, test := range []struct {
		router *routertest.Router
		want   int
	}{{old, 0}, {current, 1}} {
		loggedIn(t, test.router)
		rows, err := test.router.Do("/ip/service/print", "?connection=true")
		if err != nil || len(rows) != test.want {
			t.Errorf("rows of connections: %v, %v, want %d", rows, err, test.want)
		}
	}
}
