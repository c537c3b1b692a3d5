package routertest_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"provision.internal/router/ros"
	"provision.internal/router/routertest"
)

// contract is one router that the contract tests run against: the simulator,
// or a real one named by the environment:
//
//	ROS_ADDR      HOST or HOST:PORT of the service api-ssl
//	ROS_USER      of the group full
//	ROS_PASSWORD
//	ROS_PIN       optional: its certificate, "sha256:…"; else whichever it shows
//
// On a real router the tests make rows that carry tag in their name or comment
// in menus where they touch nobody's traffic, and remove them again. They take safe
// mode: nobody else may change the router meanwhile, or it would be taken back.
type contract struct {
	*testing.T
	dialer ros.Dialer
	conn   *ros.Conn
	tag    string // in the name of everything that a test makes
}

// contracts runs a test against the router of the environment, or against the
// simulator in each version that has a schema of its own.
func contracts(t *testing.T, test func(*contract)) {
	t.Helper()
	if addr := os.Getenv("ROS_ADDR"); addr != "" {
		var shown ros.Pin
		d := ros.Dialer{Address: addr, User: os.Getenv("ROS_USER"), Password: os.Getenv("ROS_PASSWORD"), TrustFirst: func(p ros.Pin) error {
			t.Logf("the router's certificate was not checked; ROS_PIN=%s does that", p)
			shown = p
			return nil
		}}
		d.Refresh = func(d *ros.Dialer) error {
			if d.Pin.IsZero() {
				d.Pin = shown
			}
			return nil
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			d.Address = net.JoinHostPort(addr, "8729")
		}
		if err := d.Pin.UnmarshalText([]byte(os.Getenv("ROS_PIN"))); err != nil {
			t.Fatalf("ROS_PIN: %v", err)
		}
		run(t, d, test)
		return
	}
	for _, version := range []string{"7.18", "7.21", "7.24.2"} {
		t.Run(version, func(t *testing.T) {
			r := routertest.New(routertest.Config{Version: version, Users: map[string]string{"admin": "secret"}})
			t.Cleanup(r.Close)
			if err := r.Listen("127.0.0.1:0"); err != nil {
				t.Fatal(err)
			}
			before := r.Snapshot()
			t.Cleanup(func() {
				if after := r.Snapshot(); after != before {
					t.Errorf("the test has left something: the router was\n%s\nand is\n%s", before, after)
				}
			})
			run(t, ros.Dialer{Address: r.Addr(), User: "admin", Password: "secret", Pin: r.Pin()}, test)
		})
	}
}

func run(t *testing.T, d ros.Dialer, test func(*contract)) {
	t.Helper()
	c := &contract{T: t, dialer: d, tag: "ct" + strings.ToLower(rand.Text()[:8])}
	c.conn = c.dial()
	test(c)
}

// dial makes a session more, until the test ends.
func (c *contract) dial() *ros.Conn {
	c.Helper()
	conn, err := c.dialer.Dial(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { conn.Close() })
	return conn
}

// add makes a row that is removed when the test ends. What is made first is
// removed last.
func (c *contract) add(menu string, fields ros.Row) string {
	c.Helper()
	id, err := c.conn.Add(c.Context(), menu, fields)
	if err != nil {
		c.Fatal(err)
	}
	c.remove(menu, id)
	return id
}

// remove removes a row when the test ends, unless that has done so.
func (c *contract) remove(menu, id string) {
	c.Cleanup(func() {
		ctx := context.WithoutCancel(c.Context())
		conn, err := c.dialer.Dial(ctx) // the test's own may be dead
		if err != nil {
			c.Errorf("%s %s stays on the router: %v", menu, id, err)
			return
		}
		defer conn.Close()
		if err := conn.Remove(ctx, menu, id); err != nil && !errors.Is(err, ros.ErrMissing) {
			c.Errorf("%s %s stays on the router: %v", menu, id, err)
		}
	})
}

// bridge makes one that no port and no traffic is on.
func (c *contract) bridge() string {
	name := c.tag + "b"
	c.add("/interface/bridge", ros.Row{"name": name, "protocol-mode": "none", "vlan-filtering": "yes", "comment": c.tag})
	return name
}

// print returns the rows that the query leaves, in the router's order.
func (c *contract) print(menu string, props []string, query ...string) []ros.Row {
	c.Helper()
	rows, err := c.conn.Print(c.Context(), menu, props, query...)
	if err != nil {
		c.Fatal(err)
	}
	return rows
}

// row returns the one row with an id.
func (c *contract) row(menu, id string) ros.Row {
	c.Helper()
	rows := c.print(menu, nil, "?.id="+id)
	if len(rows) != 1 {
		c.Fatalf("%s has %d rows with the id %s", menu, len(rows), id)
	}
	return rows[0]
}

// refuses wants a call to be refused, for a reason of that kind and with these
// words.
func (c *contract) refuses(kind error, words, command string, args ...string) {
	c.Helper()
	_, err := c.conn.Call(c.Context(), command, args...)
	var trap *ros.Trap
	if !errors.As(err, &trap) || kind != nil && !errors.Is(err, kind) || !strings.Contains(trap.Message, words) {
		c.Errorf("%s %q: %v, want it refused as %v with %q", command, args, err, kind, words)
	}
}

// property returns one property of all rows.
func property(rows []ros.Row, name string) []string {
	var all []string
	for _, row := range rows {
		all = append(all, row[name])
	}
	return all
}

func yes(value string) bool { return slices.Contains([]string{"yes", "true"}, value) }
