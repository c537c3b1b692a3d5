package routertest_test

import (
	"crypto/sha256"
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

func tlsDial(addr string) (*tls.Conn, error) {
	return tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", addr, &tls.Config{InsecureSkipVerify: true})
}

func pinOf(c *tls.Conn) [32]byte { return sha256.Sum256(c.ConnectionState().PeerCertificates[0].Raw) }

// dialRaw opens a TLS connection to the router.
func dialRaw(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := tlsDial(addr)
	if err != nil {
		t.Fatalf("dial %s: %v", addr, err)
	}
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// client is a logged-in client of the real library.
func client(t *testing.T, r *routertest.Router) *routeros.Client {
	t.Helper()
	c, err := routeros.NewClient(dialRaw(t, r.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Login("admin", ""); err != nil {
		t.Fatalf("login: %v", err)
	}
	return c
}

// do runs a command as the administrator on the console and returns what it
// gave, such as the id of an added row.
func do(t *testing.T, r *routertest.Router, command string, args ...string) string {
	t.Helper()
	rows, err := r.Do(command, args...)
	if err != nil {
		t.Fatalf("%s %q: %v", command, args, err)
	}
	if len(rows) == 0 {
		return ""
	}
	return rows[0]["ret"]
}

// one returns the only row that the queries select.
func one(t *testing.T, r *routertest.Router, menu string, queries ...string) map[string]string {
	t.Helper()
	rows, err := r.Do(menu+"/print", queries...)
	if err != nil || len(rows) != 1 {
		t.Fatalf("%s %q: got %v, %v, want one row", menu, queries, rows, err)
	}
	return rows[0]
}

func TestFirstWords(t *testing.T) {
	c := client(t, listening(t, routertest.Config{}))
	reply, err := c.Run("/system/resource/print", "=.proplist=version,board-name")
	if err != nil {
		t.Fatal(err)
	}
	got := reply.Re[0].Map
	if len(got) != 2 || got["version"] != "7.24.2 (stable)" || got["board-name"] != "RB3011UiAS" {
		t.Errorf("resource: got %v, want version and board-name alone", got)
	}
	reply, err = c.Run("/interface/bridge/add", "=name=br0")
	if err != nil {
		t.Fatal(err)
	}
	if id := reply.Done.Map["ret"]; id != "*C" {
		t.Errorf("id of the first bridge: got %q, want *C (ten ports and lo before it)", id)
	}
}
