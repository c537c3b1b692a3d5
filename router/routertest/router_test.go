package routertest_test

import (
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/go-routeros/routeros/v3"

	"provision.internal/router/routertest"
)

// listening starts a router with a socket, and closes it after the test.
func listening(t *testing.T, c routertest.Config) *routertest.Router {
	t.Helper()
	r := routertest.New(c)
	if err := r.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// dial opens a TLS connection to the router.
func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatalf("dial %s: %v", addr, err)
	}
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// client is a logged-in client of the real library.
func client(t *testing.T, r *routertest.Router) *routeros.Client {
	t.Helper()
	c, err := routeros.NewClient(dial(t, r.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Login("admin", ""); err != nil {
		t.Fatalf("login: %v", err)
	}
	return c
}

func TestFirstWords(t *testing.T) {
	r := listening(t, routertest.Config{})
	c := client(t, r)
	reply, err := c.Run("/system/resource/print", "=.proplist=version,board-name")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"version": "7.24.2 (stable)", "board-name": "RB3011UiAS"}
	got := reply.Re[0].Map
	if len(got) != len(want) || got["version"] != want["version"] || got["board-name"] != want["board-name"] {
		t.Errorf("resource: got %v, want %v", got, want)
	}
	reply, err = c.Run("/interface/bridge/add", "=name=br0")
	if err != nil {
		t.Fatal(err)
	}
	if id := reply.Done.Map["ret"]; id != "*C" {
		t.Errorf("id of the first bridge: got %q, want *C (ten ports and lo before it)", id)
	}
}
