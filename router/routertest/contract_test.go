package routertest_test

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"provision.internal/router"
	"provision.internal/router/ros"
)

func TestContractLogin(t *testing.T) {
	contracts(t, func(c *contract) {
		d := c.dialer
		d.Password += "x"
		if _, err := d.Dial(c.Context()); !errors.Is(err, ros.ErrLogin) {
			c.Errorf("a wrong password: %v, want ErrLogin", err)
		}
		d = c.dialer
		d.Pin = ros.Pin{1}
		if _, err := d.Dial(c.Context()); !errors.Is(err, ros.ErrPin) {
			c.Errorf("another certificate: %v, want ErrPin", err)
		}
	})
}

func TestContractRows(t *testing.T) {
	contracts(t, func(c *contract) {
		const menu = "/ip/pool"
		if rows := c.print(menu, nil, "?name="+c.tag); len(rows) != 0 {
			c.Fatalf("rows nobody made: %v", rows)
		}
		id := c.add(menu, ros.Row{"name": c.tag, "ranges": "203.0.113.10-203.0.113.20"})
		if !regexp.MustCompile(`^\*[0-9A-F]+$`).MatchString(id) {
			c.Errorf("add gives the id %q, want * and hexadecimal digits", id)
		}
		rows := c.print(menu, []string{"name", "comment", "next-pool"}, "?name="+c.tag)
		if len(rows) != 1 || !maps.Equal(rows[0], ros.Row{".id": id, "name": c.tag}) {
			c.Errorf("the row is %v, want its id and name: what is not set is left out", rows)
		}
		if err := c.conn.Set(c.Context(), menu, id, ros.Row{"comment": "provision:x", "ranges": "203.0.113.10-203.0.113.30"}); err != nil {
			c.Fatal(err)
		}
		if row := c.row(menu, id); row["comment"] != "provision:x" || row["ranges"] != "203.0.113.10-203.0.113.30" {
			c.Errorf("after set the row is %v", row)
		}
		c.refuses(ros.ErrExists, "", menu+"/add", "=name="+c.tag, "=ranges=203.0.113.40-203.0.113.50")
		if err := c.conn.Remove(c.Context(), menu, id); err != nil {
			c.Fatal(err)
		}
		c.refuses(ros.ErrMissing, "no such item", menu+"/remove", "=.id="+id)
		c.refuses(ros.ErrMissing, "no such item", menu+"/set", "=.id="+id, "=comment=x")
		if again := c.add(menu, ros.Row{"name": c.tag, "ranges": "203.0.113.10-203.0.113.20"}); again == id {
			c.Errorf("the id %s is used again", id)
		}
	})
}

func TestContractQueries(t *testing.T) {
	contracts(t, func(c *contract) {
		const menu = "/ip/firewall/address-list"
		c.add(menu, ros.Row{"list": c.tag, "address": "203.0.113.1", "comment": "a"})
		c.add(menu, ros.Row{"list": c.tag, "address": "203.0.113.2", "comment": "b", "disabled": "yes"})
		c.add(menu, ros.Row{"list": c.tag, "address": "203.0.113.3"})
		for query, want := range map[string]string{
			"":                               "203.0.113.1 203.0.113.2 203.0.113.3",
			"?comment=b":                     "203.0.113.2",
			"?comment=b ?#!":                 "203.0.113.1 203.0.113.3",
			"?comment=a ?comment=b ?#|":      "203.0.113.1 203.0.113.2",
			"?disabled=true":                 "203.0.113.2",
			"?disabled=true ?#!":             "203.0.113.1 203.0.113.3",
			"?-comment":                      "203.0.113.3",
			"?address=203.0.113.1":           "203.0.113.1",
			"?disabled=false ?comment=a ?#&": "203.0.113.1",
		} {
			words := append([]string{"?list=" + c.tag}, strings.Fields(query)...)
			if got := strings.Join(property(c.print(menu, []string{"address"}, words...), "address"), " "); got != want {
				c.Errorf("%q gives %q, want %q", words, got, want)
			}
		}
	})
}

func TestContractRefusals(t *testing.T) {
	contracts(t, func(c *contract) {
		bridge := c.bridge()
		c.refuses(ros.ErrCommand, "no such command", "/no/such/menu/print")
		c.refuses(ros.ErrCommand, "no such command", "/ip/address/frobnicate")
		c.refuses(ros.ErrParameter, "unknown parameter", "/ip/pool/add", "=name="+c.tag, "=frobnicate=1")
		c.refuses(ros.ErrExists, "already have", "/interface/bridge/add", "=name="+bridge)
		c.refuses(nil, "out of range", "/interface/bridge/set", "=numbers="+bridge, "=pvid=4095")
		c.refuses(nil, "does not match any value of interface", "/ip/address/add", "=address=203.0.113.1/24", "=interface="+c.tag+"none")
		vlan := c.add("/interface/vlan", ros.Row{"name": c.tag, "interface": bridge, "vlan-id": "77"})
		c.refuses(ros.ErrExists, "already have", "/interface/vlan/add", "=name="+c.tag, "=interface="+bridge, "=vlan-id=78")
		if row := c.row("/interface/vlan", vlan); row["vlan-id"] != "77" || row["interface"] != bridge {
			c.Errorf("the refused call has changed %v", row)
		}
	})
}

// Truth values and durations are accepted in several forms and shown in one.
func TestContractValues(t *testing.T) {
	contracts(t, func(c *contract) {
		id := c.add("/ip/dns/static", ros.Row{"name": c.tag + ".invalid", "type": "A", "address": "203.0.113.1", "ttl": "01:30:00", "disabled": "yes"})
		if row := c.row("/ip/dns/static", id); row["ttl"] != "1h30m" || row["disabled"] != "true" {
			c.Errorf("the record is %v, want ttl 1h30m and disabled true", row)
		}
		id = c.add("/interface/bridge", ros.Row{"name": c.tag, "protocol-mode": "none", "igmp-snooping": "true"})
		if row := c.row("/interface/bridge", id); !yes(row["igmp-snooping"]) || row["vlan-filtering"] != "false" || row["pvid"] != "1" {
			c.Errorf("the bridge is %v, want what was set, and defaults", row)
		}
	})
}

// Whatever a comment holds comes back, set over the API or by a script.
func TestContractTexts(t *testing.T) {
	contracts(t, func(c *contract) {
		pool := c.add("/ip/pool", ros.Row{"name": c.tag, "ranges": "203.0.113.10-203.0.113.20"})
		script := c.add("/system/script", ros.Row{"name": c.tag, "source": "", "policy": "read,write,policy,test"})
		for _, text := range []string{
			"provision:vlan/lan0", `a "quoted" text`, `$dollars and \backslashes\n`, "?;[]{}()=#!|&<>", "tab\tand é", strings.Repeat("x", 200),
		} {
			if err := c.conn.Set(c.Context(), "/ip/pool", pool, ros.Row{"comment": text}); err != nil {
				c.Fatal(err)
			}
			if got := c.row("/ip/pool", pool)["comment"]; got != text {
				c.Errorf("the comment %q is shown as %q", text, got)
			}
			source := "/ip/pool/set " + pool + ` comment=""` + "\n/ip/pool/set [find where name=" + router.Quote(c.tag) + "] comment=" + router.Quote(text)
			if err := c.conn.Set(c.Context(), "/system/script", script, ros.Row{"source": source}); err != nil {
				c.Fatal(err)
			}
			if _, err := c.conn.Call(c.Context(), "/system/script/run", "=number="+c.tag); err != nil {
				c.Errorf("the script\n%s\nfails: %v", source, err)
			}
			if got := c.row("/ip/pool", pool)["comment"]; got != text {
				c.Errorf("a script makes %q of the comment %q", got, text)
			}
		}
	})
}

func TestContractOrder(t *testing.T) {
	contracts(t, func(c *contract) {
		const menu = "/ip/firewall/filter" // in a chain that nothing jumps to
		rule := func(name, before string) string {
			fields := ros.Row{"chain": c.tag, "action": "passthrough", "comment": name}
			if before != "" {
				fields["place-before"] = before
			}
			return c.add(menu, fields)
		}
		a := rule("a", "")
		d := rule("d", "")
		b := rule("b", d)
		rule("c", d)
		order := func(want string) {
			c.Helper()
			if got := strings.Join(property(c.print(menu, []string{"comment"}, "?chain="+c.tag), "comment"), ""); got != want {
				c.Errorf("the order is %s, want %s", got, want)
			}
		}
		order("abcd")
		if err := c.conn.Move(c.Context(), menu, d, a); err != nil {
			c.Fatal(err)
		}
		order("dabc")
		if err := c.conn.Move(c.Context(), menu, b, ""); err != nil {
			c.Fatal(err)
		}
		order("dacb")
	})
}

// The router makes rows of its own, which are told by "dynamic".
func TestContractDynamicRows(t *testing.T) {
	contracts(t, func(c *contract) {
		bridge := c.bridge()
		c.add("/interface/bridge/vlan", ros.Row{"bridge": bridge, "vlan-ids": "77", "tagged": bridge})
		c.add("/interface/vlan", ros.Row{"name": c.tag, "interface": bridge, "vlan-id": "77"})
		c.add("/interface/vlan", ros.Row{"name": c.tag + "x", "interface": bridge, "vlan-id": "78"})
		ours := c.print("/interface/bridge/vlan", []string{"vlan-ids"}, "?bridge="+bridge, "?dynamic=true", "?#!")
		if got := property(ours, "vlan-ids"); !slices.Equal(got, []string{"77"}) {
			c.Errorf("rows that are not dynamic have the VLANs %v, want 77", got)
		}
		own := c.print("/interface/bridge/vlan", []string{"vlan-ids"}, "?bridge="+bridge, "?dynamic=true")
		at := slices.IndexFunc(own, func(r ros.Row) bool { return r["vlan-ids"] == "78" })
		if at < 0 {
			c.Fatalf("dynamic rows have the VLANs %v, want 78 among them, by its interface", property(own, "vlan-ids"))
		}
		if err := c.conn.Remove(c.Context(), "/interface/bridge/vlan", own[at][".id"]); err == nil {
			c.Error("a dynamic row can be removed")
		}
	})
}

func TestContractSafeMode(t *testing.T) {
	contracts(t, func(c *contract) {
		there := func() bool { return len(c.print("/ip/pool", nil, "?name="+c.tag)) > 0 }
		add := func(conn *ros.Conn) {
			c.Helper()
			id, err := conn.Add(c.Context(), "/ip/pool", ros.Row{"name": c.tag, "ranges": "203.0.113.10-203.0.113.20"})
			if err != nil {
				c.Fatal(err)
			}
			c.remove("/ip/pool", id)
		}
		safe := func(conn *ros.Conn, command string) {
			c.Helper()
			if _, err := conn.Call(c.Context(), "/safe-mode/"+command); err != nil {
				c.Fatal(err)
			}
		}
		holds := func(conn *ros.Conn) bool {
			c.Helper()
			rows, err := conn.Run(c.Context(), "/safe-mode/print")
			if err != nil {
				c.Fatal(err)
			}
			return len(rows) == 1 && yes(rows[0]["current"])
		}

		holder := c.dial()
		safe(holder, "take")
		if !holds(holder) || holds(c.conn) {
			c.Error("safe mode is not that session's which took it, and only that one's")
		}
		add(holder)
		safe(holder, "unroll")
		if there() || holds(holder) {
			c.Error("unroll keeps the change, or safe mode")
		}

		safe(holder, "take")
		add(holder)
		safe(holder, "release")
		if !there() || holds(holder) {
			c.Error("release takes the change back, or keeps safe mode")
		}
		for _, row := range c.print("/ip/pool", nil, "?name="+c.tag) {
			if err := c.conn.Remove(c.Context(), "/ip/pool", row[".id"]); err != nil {
				c.Fatal(err)
			}
		}

		safe(holder, "take")
		add(holder)
		holder.Close()
		c.eventually("the end of the session takes its changes back", func() bool { return !there() })
	})
}

// A timer runs a script, and counts.
func TestContractScheduler(t *testing.T) {
	contracts(t, func(c *contract) {
		if mode := c.print("/system/device-mode", []string{"scheduler"}); len(mode) == 1 && mode[0]["scheduler"] != "" && !yes(mode[0]["scheduler"]) {
			c.Skip("the router's device mode forbids the scheduler")
		}
		pool := c.add("/ip/pool", ros.Row{"name": c.tag, "ranges": "203.0.113.10-203.0.113.20"})
		c.add("/system/script", ros.Row{"name": c.tag, "policy": "read,write", "source": ":do { /ip/pool/remove nothing } on-error={}\n/ip/pool/set [find where name=" + router.Quote(c.tag) + "] comment=\"ran\""})
		timer := c.add("/system/scheduler", ros.Row{"name": c.tag, "interval": "1s", "policy": "read,write", "on-event": "/system/script/run " + c.tag})
		if got := c.row("/system/scheduler", timer)["run-count"]; got == "" {
			c.Error("the timer does not count its runs")
		}
		c.eventually("the timer runs", func() bool {
			return c.row("/ip/pool", pool)["comment"] == "ran" && c.row("/system/scheduler", timer)["run-count"] != "0"
		})
	})
}

// A script is run in one call, which tells what it has printed, or what is wrong
// with it, and is no error.
func TestContractExecute(t *testing.T) {
	contracts(t, func(c *contract) {
		run := func(script string) string {
			done, err := c.conn.Call(c.Context(), "/execute", "=as-string=", "=script="+script)
			if err != nil {
				c.Fatal(err)
			}
			return strings.TrimSpace(done["ret"])
		}
		if got := run(":put \"" + c.tag + "\""); got != c.tag {
			c.Errorf("the output is %q", got)
		}
		if got := run(":local quiet 1\n/ip/pool/set [find where name=" + router.Quote(c.tag) + "] comment=\"x\""); got != "" {
			c.Errorf("a script that prints nothing says %q", got)
		}
		for _, wrong := range []string{"/no/such/command", "/ip/pool/set *FFFFFF comment=x"} {
			if got := run(wrong); got == "" {
				c.Errorf("%q is wrong, and nothing is said", wrong)
			}
		}
	})
}

// What plans are made of can be read, whatever the version.
func TestContractRead(t *testing.T) {
	contracts(t, func(c *contract) {
		state, err := router.Read(c.Context(), c.conn)
		if err != nil {
			c.Fatal(err)
		}
		if state.Version.Before(7, 18, 0) || len(state.Ethernets) == 0 || len(state.Rows) < 10 {
			c.Errorf("read version %v, %d ports, %d menus", state.Version, len(state.Ethernets), len(state.Rows))
		}
		for menu, props := range map[string][]string{"/system/history": {"action", "by", "time"}, "/log": {"time", "topics", "message"}, "/routing/bgp/session": {"name", "established"}} {
			c.print(menu, props)
		}
	})
}

// What a plan makes the router takes as it is, and the plan's inverse takes it
// back, also when it runs twice.
func TestContractPlan(t *testing.T) {
	contracts(t, func(c *contract) {
		bridge, lan := c.bridge(), netip.MustParsePrefix("203.0.113.1/24")
		cfg := router.Config{
			Bridge: bridge, Management: c.tag,
			VLANs: []router.VLAN{{Name: c.tag, ID: 77, Address: lan, DHCP: &router.DHCP{
				Pool: router.Pool{From: netip.MustParseAddr("203.0.113.10"), To: netip.MustParseAddr("203.0.113.20")}, Domain: "invalid",
			}}},
			DNS: router.DNS{Records: []router.Record{
				{Name: c.tag + ".invalid", Address: lan.Addr()}, {Name: c.tag + "-alias.invalid", CNAME: c.tag + ".invalid"},
			}},
		}
		state, err := router.Read(c.Context(), c.conn)
		if err != nil {
			c.Fatal(err)
		}
		// As if the router had nothing but the bridge: what else is there is none of ours.
		state.Rows = map[string][]ros.Row{"/interface/bridge": {{".id": "*1", "name": bridge, "comment": "provision:bridge",
			"frame-types": "admit-only-vlan-tagged", "ingress-filtering": "true", "vlan-filtering": "true"}}}
		plan := cfg.Plan(router.Inputs{}, state, router.Options{})
		for _, op := range plan.Operations {
			if op.Kind != router.Add || !strings.Contains(op.Key, c.tag) {
				c.Fatalf("the plan would %s %s %s, which is not this test's", op.Kind, op.Menu, op.Key)
			}
		}
		script := c.add("/system/script", ros.Row{"name": c.tag, "policy": "read,write,policy,test,sensitive", "source": plan.Inverse()})
		c.Cleanup(func() { c.inverse(script) })
		for _, op := range plan.Operations {
			if err := op.Apply(c.Context(), c.conn); err != nil {
				c.Errorf("%s %s: %v", op.Menu, op.Key, err)
			}
		}
		made := func() (n int) {
			for _, menu := range []string{"/interface/vlan", "/interface/bridge/vlan", "/ip/address", "/ip/pool", "/ip/dhcp-server", "/ip/dhcp-server/network", "/ip/dns/static"} {
				for _, row := range c.print(menu, []string{"comment"}) {
					if strings.Contains(row["comment"], c.tag) {
						n++
					}
				}
			}
			return n
		}
		if got := made(); got != len(plan.Operations) || got < 8 {
			c.Errorf("%d rows were made by %d operations", got, len(plan.Operations))
		}
		for range 2 {
			c.inverse(script)
			if got := made(); got != 0 {
				c.Errorf("the inverse leaves %d rows", got)
			}
		}
	})
}

// inverse runs a script, also at the test's end.
func (c *contract) inverse(script string) {
	c.Helper()
	ctx := context.WithoutCancel(c.Context())
	conn, err := c.dialer.Dial(ctx)
	if err == nil {
		defer conn.Close()
		_, err = conn.Call(ctx, "/system/script/run", "=number="+script)
	}
	if err != nil {
		c.Errorf("the inverse: %v", err)
	}
}

// eventually waits for what a router does in its own time, at most for a
// minute.
func (c *contract) eventually(what string, happened func() bool) {
	c.Helper()
	for range 120 {
		if happened() {
			return
		}
		time.Sleep(500 * time.Millisecond)
	}
	c.Errorf("not within a minute: %s", what)
}
