package router

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"provision.internal/golden"
	"provision.internal/router/ros"
	"provision.internal/router/routertest"
)

// do is the console of another administrator.
func do(t testing.TB, r *routertest.Router, command string, args ...string) {
	t.Helper()
	if _, err := r.Do(command, args...); err != nil {
		t.Fatalf("%s %v: %v", command, args, err)
	}
}

// asConfigured is a router that has the whole site.
func asConfigured(t testing.TB, version string) (Config, Inputs, *routertest.Router, *ros.Conn) {
	t.Helper()
	c, in := matrix()
	r, conn := simulated(t, routertest.Config{Version: version})
	apply(t, conn, c.Plan(in, read(t, conn), Options{}))
	return c, in, r, conn
}

func TestMatrixOnEveryVersion(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			c, in := matrix()
			r, conn := simulated(t, routertest.Config{Version: version})
			state := read(t, conn)
			apply(t, conn, c.Plan(in, state, Options{}))
			if again := c.Plan(in, read(t, conn), Options{}); !again.Empty() || again.Err() != nil {
				t.Errorf("the second plan is not empty:\n%s", again.Text(false))
			}
			// Whatever is ours is under our marks: taken out of the configuration, all of it goes.
			bare := Config{Address: c.Address, Bridge: c.Bridge, Management: "lan0", VLANs: c.VLANs[:1], Ports: c.Ports[5:6]}
			bare.VLANs[0].DHCP, bare.Ports[0].Tagged = nil, []string{"lan0"}
			apply(t, conn, bare.Plan(Inputs{}, read(t, conn), Options{}))
			for _, m := range menus {
				for _, row := range static(r, &m) {
					if key, ours := m.keyOf(ros.Row(row)); ours && m.mark != single && m.mark != builtIn && !slices.ContainsFunc(bare.Desired(Inputs{}, state.Version), func(w Row) bool { return w.Menu == m.path && w.Key == key }) {
						t.Errorf("%s %s is still there", m.path, key)
					}
				}
			}
		})
	}
}

func TestTextOfAPlan(t *testing.T) {
	c, in := matrix()
	r, conn := simulated(t, routertest.Config{})
	golden.Check(t, "empty.golden", c.Plan(in, read(t, conn), Options{}).Text(false))
	apply(t, conn, c.Plan(in, read(t, conn), Options{}))
	golden.Check(t, "nothing.golden", c.Plan(in, read(t, conn), Options{}).Text(false))

	do(t, r, "/ip/pool/add", "=name=theirs", "=ranges=198.51.100.100-198.51.100.200")
	for i := range 9 {
		do(t, r, "/ip/dns/static/add", fmt.Sprintf("=name=host%d.example", i), "=address=203.0.113.9")
	}
	do(t, r, "/ip/firewall/filter/add", "=chain=input", "=action=accept", "=comment=theirs\x1b[31m")
	do(t, r, "/ip/firewall/filter/move", "=numbers="+r.Rows("/ip/firewall/filter")[4][".id"], "=destination="+r.Rows("/ip/firewall/filter")[0][".id"])
	do(t, r, "/ip/dhcp-server/set", "=numbers=lan0", "=lease-time=10m", "=disabled=yes")
	do(t, r, "/ip/dhcp-server/network/set", "=numbers=*1", "=dns-server=")
	do(t, r, "/interface/bridge/vlan/remove", "=numbers=*4")
	c.NTP = []string{"203.0.113.124"}
	c.Routes = nil
	c.BGP.Peers[0].Address = ip("203.0.113.1")
	plan := c.Plan(in, read(t, conn), Options{Prune: []string{"/ip/pool/theirs", "/ip/pool/nobodys"}})
	golden.Check(t, "changes.golden", plan.Text(false))
	golden.Check(t, "color.golden", plan.Text(true))
	text, err := json.MarshalIndent(plan, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "changes.json", string(text)+"\n")
	golden.Check(t, "inverse.golden", plan.Inverse())
	if stripped := strip(plan.Text(true)); stripped != plan.Text(false) {
		t.Errorf("colour changes more than colour:\n%s", stripped)
	}

	var again Plan
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if again.Inverse() != plan.Inverse() || again.Fingerprint() != plan.Fingerprint() {
		t.Error("a plan that was written down has another inverse or fingerprint")
	}
}

// strip takes the colours out.
func strip(s string) string {
	for _, code := range []string{red, green, yellow, blue, bold, faint, plain} {
		s = strings.ReplaceAll(s, code, "")
	}
	return s
}

// With nothing but the fields of others different, there is nothing to do.
func TestOnlyDeclaredFieldsCount(t *testing.T) {
	c, in, r, conn := asConfigured(t, "")
	do(t, r, "/interface/bridge/set", "=numbers=br0", "=priority=0x1000")
	do(t, r, "/interface/bridge/port/set", "=numbers="+port(r, "ether7"), "=pvid=10", "=edge=yes") // as its host's stage wants
	do(t, r, "/interface/bridge/port/set", "=numbers="+port(r, "ether2"), "=bpdu-guard=yes")
	do(t, r, "/ip/dns/set", "=cache-size=4096")
	do(t, r, "/ip/service/set", "=numbers=ssh", "=port=2222")
	if plan := c.Plan(in, read(t, conn), Options{}); !plan.Empty() {
		t.Error(plan.Text(false))
	}
}

func port(r *routertest.Router, name string) string {
	for _, row := range r.Rows("/interface/bridge/port") {
		if row["interface"] == name {
			return row[".id"]
		}
	}
	return ""
}

// A rule that goes into the middle is one operation; so is one that changes.
func TestRulesAreKnownByTheirNames(t *testing.T) {
	c, in, r, conn := asConfigured(t, "")
	c.Firewall.Input = slices.Insert(c.Firewall.Input, 1, Rule{Name: "invalid", Action: "drop", ConnectionState: []string{"invalid"}})
	c.Firewall.Input[3].SrcAddress, c.Firewall.Input[3].DstPort, c.Firewall.Input[3].Protocol = "169.254.255.2", "", ""
	plan := c.Plan(in, read(t, conn), Options{})
	if len(plan.Operations) != 2 || plan.Operations[0].Kind != Add || plan.Operations[1].Kind != Set {
		t.Fatalf("want one rule added and one set:\n%s", plan.Text(false))
	}
	apply(t, conn, plan)
	var got []string
	for _, row := range r.Rows("/ip/firewall/filter") {
		if row["chain"] == "input" {
			got = append(got, strings.TrimPrefix(row["comment"], "provision:filter/input/"))
		}
	}
	if want := []string{"established", "invalid", "lan", "bgp", "ping", "rest"}; !slices.Equal(got, want) {
		t.Errorf("the chain is %v, want %v", got, want)
	}
	if again := c.Plan(in, read(t, conn), Options{}); !again.Empty() {
		t.Error(again.Text(false))
	}
}

// What is renamed or renumbered in the configuration is changed, not made anew.
func TestRowsAreKnownByWhatIsUnique(t *testing.T) {
	c, in, _, conn := asConfigured(t, "")
	c.VLANs[2].Name, c.VLANs[1].ID = "peers", 21
	for i := range c.Ports {
		if c.Ports[i].VLAN == "peer0" {
			c.Ports[i].VLAN = "peers"
		}
	}
	c.Ports[5].Tagged[1] = "peers"
	c.Firewall.Input[2].InInterface = "peers"
	plan := c.Plan(in, read(t, conn), Options{})
	for _, op := range plan.Operations {
		if op.Kind != Set {
			t.Errorf("%s of %s %s; want sets only", op.Kind, op.Menu, op.Name)
		}
	}
	converges(t, conn, c, in, Options{}, nil)
}

// Two rows that exchange what must be unique cannot be changed one by one.
func TestExchange(t *testing.T) {
	c, in, _, conn := asConfigured(t, "")
	c.VLANs[1].ID, c.VLANs[3].ID = c.VLANs[3].ID, c.VLANs[1].ID
	if err := c.Plan(in, read(t, conn), Options{}).Err(); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "two steps") {
		t.Errorf("an exchange of VLAN ids: %v", err)
	}
	// In a row they follow each other.
	c.VLANs[1].ID, c.VLANs[3].ID = 30, 31
	converges(t, conn, c, in, Options{}, nil)
}

func TestForeignRows(t *testing.T) {
	c, in := matrix()
	r, conn := simulated(t, routertest.Config{})
	do(t, r, "/interface/bridge/add", "=name=br0", "=comment=defconf")
	do(t, r, "/interface/bridge/port/add", "=interface=ether2", "=bridge=br0")
	do(t, r, "/ip/pool/add", "=name=theirs", "=ranges=203.0.113.1-203.0.113.9")
	before := r.Snapshot()

	plan := c.Plan(in, read(t, conn), Options{})
	err := plan.Err()
	for _, part := range []string{"--adopt /interface/bridge/br0", "--prune /interface/bridge/port/ether2"} {
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), part) {
			t.Errorf("two rows of somebody else are in the way: %v; want %q", err, part)
		}
	}
	if !slices.ContainsFunc(plan.Foreign, func(f Foreign) bool { return f.Menu == "/ip/pool" && f.Name == "theirs" && f.Conflict == "" }) {
		t.Errorf("the foreign pool is not listed: %v", plan.Foreign)
	}

	plan = c.Plan(in, read(t, conn), Options{Adopt: []string{"/interface/bridge"}, Prune: []string{"/interface/bridge/port/ether2"}})
	apply(t, conn, plan)
	if again := c.Plan(in, read(t, conn), Options{}); !again.Empty() {
		t.Error(again.Text(false))
	}
	if pools := r.Rows("/ip/pool"); !slices.ContainsFunc(pools, func(row map[string]string) bool { return row["name"] == "theirs" && row["comment"] == "" }) {
		t.Errorf("the foreign pool was touched: %v", pools)
	}
	if err := r.RunScript(plan.Inverse()); err != nil {
		t.Fatal(err)
	}
	if after := r.Snapshot(); meaning(after) != meaning(before) {
		t.Errorf("the inverse does not give the foreign rows back:\n%s", differences(meaning(before), meaning(after)))
	}

	for names, want := range map[string]string{
		"/ip/pool/nobodys": "no foreign row", "/ip/pools": "names no menu", "ip/pool/theirs": "names no menu",
	} {
		plan := c.Plan(in, read(t, conn), Options{Prune: []string{names}, Adopt: []string{"/interface/bridge", "/interface/bridge/port"}})
		if text := plan.Text(false); !strings.Contains(text, want) {
			t.Errorf("--prune %s: want %q in\n%s", names, want, text)
		}
	}
}
