package routertest

import (
	"crypto/tls"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-routeros/routeros/v3"
)

// start makes a router whose clock stands at noon, listening.
func start(t *testing.T, c Config) (*Router, *Clock) {
	t.Helper()
	clock := NewClock(noon)
	c.Clock = clock
	r := New(c)
	if err := r.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r, clock
}

// dial opens a session over a real socket.
func dial(t *testing.T, r *Router) *routeros.Client {
	t.Helper()
	_, c := dialTo(t, r.Addr())
	return c
}

// dialTo is dial for one of several sockets; it gives the connection, too.
func dialTo(t *testing.T, addr string) (*tls.Conn, *routeros.Client) {
	t.Helper()
	raw, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}) // the pin is another package's matter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	if err := raw.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	c, err := routeros.NewClient(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Login("admin", ""); err != nil {
		t.Fatal(err)
	}
	return raw, c
}

// send sends a command and fails the test when the router refuses.
func send(t *testing.T, c *routeros.Client, words ...string) []map[string]string {
	t.Helper()
	answer, err := c.RunArgs(words)
	if err != nil {
		t.Fatalf("%q: %v", words, err)
	}
	var rows []map[string]string
	for _, re := range answer.Re {
		rows = append(rows, re.Map)
	}
	if answer.Done.Map["ret"] != "" {
		rows = append(rows, map[string]string{"ret": answer.Done.Map["ret"]})
	}
	return rows
}

// must is Do that fails the test when the router refuses.
func must(t *testing.T, r *Router, command string, args ...string) []map[string]string {
	t.Helper()
	rows, err := r.Do(command, args...)
	if err != nil {
		t.Fatalf("%s %q: %v", command, args, err)
	}
	return rows
}

// pools names the address pools, the rows that these tests add.
func pools(r *Router) string {
	var names []string
	for _, row := range r.Rows("/ip/pool") {
		names = append(names, row["name"])
	}
	return strings.Join(names, ",")
}

// awaitSessions waits until the router has noticed what its sockets tell it.
func awaitSessions(t *testing.T, r *Router, want int) {
	t.Helper()
	if !r.AwaitSessions(want, 10*time.Second) {
		t.Fatalf("there are not %d sessions after 10 s", want)
	}
}

func pool(name string) []string {
	return []string{"=name=" + name, "=ranges=192.0.2.10-192.0.2.20"}
}

func addPool(t *testing.T, c *routeros.Client, name string) {
	t.Helper()
	send(t, c, append([]string{"/ip/pool/add"}, pool(name)...)...)
}

func logged(r *Router, part string) bool {
	return slices.ContainsFunc(r.Rows("/log"), func(row map[string]string) bool { return strings.Contains(row["message"], part) })
}

// await waits for what happens on another goroutine.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 10 s for %s", what)
		}
	}
}
