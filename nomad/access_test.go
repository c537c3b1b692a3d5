package nomad

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"provision.internal/nomad/nomadtest"
)

// away is the URL of a server without power: nobody listens.
func away(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// A server that is away or has no leader is passed over, for reads and for
// writes, and what was sent to it arrives at the next.
func TestAccessGoesOn(t *testing.T) {
	for name, first := range map[string]func(*testing.T) string{
		"away": away,
		"leaderless": func(t *testing.T) string {
			s := serve(t, &nomadtest.Server{LeaderWait: time.Millisecond})
			s.Depose()
			return s.URL
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, &nomadtest.Server{})
			cfg := testConfig(s)
			c, err := Connect(cfg, Access{Addresses: []string{first(t), s.URL}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			c.pace = quick
			if _, err := c.listNodes(within(t)); err != nil {
				t.Errorf("a read: %v", err)
			}
			c, err = Connect(cfg, Access{Addresses: []string{first(t), s.URL}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			var job struct{ ID string }
			_, err = c.api.Raw().Write("/v1/jobs/parse", map[string]string{"JobHCL": jobspec("batch", "", "")}, &job, write(within(t)))
			if err != nil || job.ID != "x" {
				t.Errorf("a write: %v, job %q", err, job.ID)
			}
		})
	}
}

// A request whose fate is unknown is not sent to another server behind its
// caller's back.
func TestAccessRepeatsNothingUnknown(t *testing.T) {
	broken := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(broken.Close)
	calls := 0
	second := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { calls++; w.Write([]byte("{}")) }))
	t.Cleanup(second.Close)
	api, err := Access{Addresses: []string{broken.URL, second.URL}}.Client("", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api.Raw().Write("/v1/acl/token", map[string]string{}, nil, nil); err == nil || calls != 0 {
		t.Errorf("a write that broke off: %v, %d calls to the next server", err, calls)
	}
	if _, err := api.Raw().Write("/v1/acl/token", map[string]string{}, nil, nil); err != nil || calls != 1 {
		t.Errorf("the caller's own repeat: %v, %d calls to the next server", err, calls)
	}
}

func TestAccessWithoutAnAnswer(t *testing.T) {
	if _, err := (Access{}).Client("", ""); err == nil {
		t.Error("an access without addresses was taken")
	}
	c, err := Connect(Config{}, Access{Addresses: []string{away(t), away(t)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.pace = quick
	if _, err := c.listNodes(within(t)); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("with all servers away: %v", err)
	}
	wrong := errors.New("no token yet")
	s := serve(t, &nomadtest.Server{})
	c, err = Connect(testConfig(s), Access{Addresses: []string{s.URL}, Token: func() (string, error) { return "", wrong }}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.pace = quick
	if _, err := c.listNodes(within(t)); !errors.Is(err, wrong) {
		t.Errorf("without its token: %v", err)
	}
}
