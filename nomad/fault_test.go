package nomad

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"provision.internal/nomad/nomadtest"
)

// A host that joins during any of these is found afterwards.
func TestWaitNodeThroughFaults(t *testing.T) {
	for _, test := range []struct {
		name   string
		server *nomadtest.Server
		fault  func(*nomadtest.Server)
		mend   bool // nothing gets through before it is taken back
	}{
		{name: "none", fault: func(*nomadtest.Server) {}},
		{name: "restart", fault: (*nomadtest.Server).Restart},
		{name: "silent stream", fault: (*nomadtest.Server).Silence, mend: true},
		{name: "silent stream, tokens on", server: &nomadtest.Server{Token: "secret"}, fault: (*nomadtest.Server).Silence, mend: true},
		{name: "burst", fault: func(s *nomadtest.Server) { s.Inject(nomadtest.Burst); s.Break() }},
		{name: "empty replies", fault: func(s *nomadtest.Server) { s.Inject(nomadtest.Fault{Times: 4}); s.Break() }},
		{name: "no leader", server: &nomadtest.Server{LeaderWait: 10 * time.Millisecond}, fault: func(s *nomadtest.Server) { s.Depose(); s.Break() }, mend: true},
		{name: "not JSON", fault: func(s *nomadtest.Server) {
			s.Inject(nomadtest.Fault{Path: "/v1/nodes", Code: http.StatusOK, Text: "<html>", Times: 3})
			s.Break()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.server == nil {
				test.server = &nomadtest.Server{}
			}
			test.server.Beat = 100 * time.Millisecond
			s := serve(t, test.server)
			cfg := testConfig(s)
			if s.Token != "" {
				cfg.TokenFile = filepath.Join(t.TempDir(), "token")
				if err := os.WriteFile(cfg.TokenFile, []byte(s.Token+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c := connect(t, cfg)
			t.Cleanup(s.Join(&nomadtest.Client{Name: "before"}))
			if _, err := c.WaitNode(within(t), "before"); err != nil {
				t.Fatal(err)
			}
			test.fault(s)
			t.Cleanup(s.Join(&nomadtest.Client{Name: "host1"}))
			if test.mend {
				time.AfterFunc(2*quick.silence, s.Mend)
			}
			if _, err := c.WaitNode(within(t), "host1"); err != nil {
				t.Fatal(err)
			}
			if _, err := c.RunJob(within(t), Job{Host: "host1", Attempt: "g1"}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A stream that is denied answers 200 and stays open. The client notices, and
// says that it is the token.
func TestDeniedStream(t *testing.T) {
	s := serve(t, &nomadtest.Server{Token: "right"})
	cfg := testConfig(s)
	cfg.TokenFile = filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(cfg.TokenFile, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := connect(t, cfg)
	err := c.stream(within(t), 0, func(context.Context, events) error { return nil })
	if !errors.Is(err, errSilent) {
		t.Errorf("a denied stream ended with %v, want errSilent", err)
	}
	if err := c.checkToken(within(t)); !errors.Is(err, ErrDenied) {
		t.Errorf("checkToken: %v, want ErrDenied", err)
	}

	// It is said to whoever waits, and over when the file holds a right one.
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := c.WaitNode(short, "host1"); err == nil || !strings.Contains(err.Error(), "nomad.token_file") {
		t.Errorf("WaitNode with a wrong token: %v, want a hint at nomad.token_file", err)
	}
	if err := os.WriteFile(cfg.TokenFile, []byte("right"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Join(&nomadtest.Client{Name: "host1"}))
	if _, err := c.WaitNode(within(t), "host1"); err != nil {
		t.Errorf("WaitNode with the token corrected: %v", err)
	}
}

// The wait tells what is missing.
func TestWaitNodeSays(t *testing.T) {
	s := serve(t, &nomadtest.Server{})
	c := connect(t, testConfig(s))
	t.Cleanup(s.Join(&nomadtest.Client{Name: "host1", ID: "7a780c47-390f-e4db-6dd9-10096b4b2ac9"}))
	if _, err := c.WaitNode(within(t), "host1"); err != nil {
		t.Fatal(err)
	}
	says := func(name, want string, drivers ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := c.WaitNode(ctx, name, drivers...)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), want) {
			t.Errorf("WaitNode(%q, %q): %v, want a deadline and %q", name, drivers, err, want)
		}
	}
	says("host2", "it has not registered")
	says("host1", "no task driver docker", "raw_exec", "docker")
	if _, err := c.api.Nodes().ToggleEligibility("7a780c47-390f-e4db-6dd9-10096b4b2ac9", false, nil); err != nil {
		t.Fatal(err)
	}
	shows := func(what string, f func(Node) bool) {
		t.Helper()
		for ctx := within(t); ; time.Sleep(5 * time.Millisecond) {
			c.view.mu.Lock()
			n, _ := c.view.named("host1")
			c.view.mu.Unlock()
			if f(n) {
				return
			}
			if ctx.Err() != nil {
				t.Fatalf("the view never shows that the node is %s", what)
			}
		}
	}
	shows("ineligible", func(n Node) bool { return !n.Eligible })
	says("host1", "nomad node eligibility -enable 7a780c47")
	s.Lose("host1")
	shows("down", func(n Node) bool { return n.Status == "down" })
	says("host1", "the node is down")
}

// A purge makes no event: the view learns of it from the next listing, which
// does not wait for a reconnection.
func TestPurgeShows(t *testing.T) {
	s := serve(t, &nomadtest.Server{Beat: 50 * time.Millisecond})
	c, other := connect(t, testConfig(s)), connect(t, testConfig(s))
	leave := s.Join(&nomadtest.Client{Name: "host2"})
	if _, err := c.WaitNode(within(t), "host2"); err != nil {
		t.Fatal(err)
	}
	leave()
	s.Lose("host2")
	if err := other.PurgeStale(within(t), "host2", ""); err != nil {
		t.Fatal(err)
	}
	for known := true; known; time.Sleep(10 * time.Millisecond) {
		if within(t).Err() != nil {
			t.Fatal("the purged node is still known")
		}
		c.view.mu.Lock()
		_, known = c.view.named("host2")
		c.view.mu.Unlock()
	}
}

// Events from before a purge that come after it bring no node back; the node
// itself does, when it lives.
func TestLateEventsOfAPurgedNode(t *testing.T) {
	var v view
	event := func(index uint64) (e events) {
		e.Events = append(e.Events, struct{ Payload payload }{payload{Node: &api.NodeListStub{ID: "old", Name: "host1", ModifyIndex: index}}})
		return e
	}
	v.list([]*api.NodeListStub{{ID: "old", Name: "host1", ModifyIndex: 10}})
	v.forget("old", 12)
	v.apply(event(11))
	if n, ok := v.named("host1"); ok {
		t.Errorf("named(host1) = %q after its purge, want none", n.ID)
	}
	v.apply(event(13))
	if _, ok := v.named("host1"); !ok {
		t.Error("named(host1) = none, want the node that registered after its purge")
	}
}

func TestPurgeStale(t *testing.T) {
	s := serve(t, &nomadtest.Server{})
	c := connect(t, testConfig(s))
	leave := s.Join(&nomadtest.Client{Name: "host1"})
	old, err := c.WaitNode(within(t), "host1")
	if err != nil {
		t.Fatal(err)
	}
	leave()
	if err := c.PurgeStale(within(t), "host1", "another"); !errors.Is(err, ErrNameTaken) {
		t.Errorf("PurgeStale of a living node of somebody else's: %v, want ErrNameTaken", err)
	}
	if err := c.PurgeStale(within(t), "host1", old.ID); err != nil {
		t.Errorf("PurgeStale of the host's own node: %v", err)
	}
	if err := c.PurgeStale(within(t), "host1", old.ID); err != nil {
		t.Errorf("PurgeStale of nothing: %v", err)
	}
	t.Cleanup(s.Join(&nomadtest.Client{Name: "host1"}))
	again, err := c.WaitNode(within(t), "host1")
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := c.api.Nodes().List(nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].ID != again.ID || again.ID == old.ID {
		t.Errorf("after the reinstallation %d nodes are listed, want the new one alone", len(list))
	}
}

// An older record that is still called ready does not stand in for the newer
// one, which is down.
func TestNewestNodeCounts(t *testing.T) {
	var v view
	v.list([]*api.NodeListStub{
		{ID: "new", Name: "host1", CreateIndex: 20, Status: "down"},
		{ID: "old", Name: "host1", CreateIndex: 10, Status: "ready"},
		{ID: "other", Name: "host2", CreateIndex: 30, Status: "ready"},
	})
	if n, ok := v.named("host1"); !ok || n.ID != "new" {
		t.Errorf("named(host1) = %q, %v, want the newest", n.ID, ok)
	}
	if n, ok := v.named("host3"); ok {
		t.Errorf("named(host3) = %q, want none", n.ID)
	}
	// Who waits for it learns which of the two is in the way.
	c := &Cluster{}
	c.view.list([]*api.NodeListStub{
		{ID: "new", Name: "host1", CreateIndex: 20, Status: "down"},
		{ID: "old", Name: "host1", CreateIndex: 10, Status: "ready"},
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.WaitNode(ctx, "host1"); err == nil || !strings.Contains(err.Error(), "newest node new is down, while the older old lives") {
		t.Errorf("waiting for host1: %v, want both nodes", err)
	}
}

// The stream repeats events after a listing. What is older than what is known
// changes nothing.
func TestViewMovesForward(t *testing.T) {
	var v view
	_, stop := v.wait("host1", "job")
	defer stop()
	v.list([]*api.NodeListStub{{ID: "n", Name: "host1", Status: "ready", ModifyIndex: 20}})
	for _, line := range []string{
		`{"Index":15,"Events":[{"Payload":{"Node":{"ID":"n","Name":"host1","Status":"initializing","ModifyIndex":15}}}]}`,
		`{"Index":22,"Events":[{"Payload":{"Allocation":{"ID":"a","JobID":"job","ClientStatus":"complete","ModifyIndex":22}}}]}`,
		`{"Index":21,"Events":[{"Payload":{"Allocation":{"ID":"a","JobID":"job","ClientStatus":"running","ModifyIndex":21}}}]}`,
		`{"Index":23,"Events":[{"Payload":{"Allocation":{"ID":"b","JobID":"another","ModifyIndex":23}}},{"Payload":{"Job":{}}}]}`,
	} {
		var e events
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		v.apply(e)
	}
	if n, _ := v.named("host1"); n.Status != "ready" {
		t.Errorf("the node went back to %s", n.Status)
	}
	if got := v.jobs["job"].allocs["a"].ClientStatus; got != "complete" {
		t.Errorf("the allocation went back to %s", got)
	}
	if _, ok := v.jobs["another"]; ok {
		t.Error("a job that nobody follows is kept")
	}
}

// Enrolment clears the way for a new installation, once: a host that asks again,
// because it missed the answer, keeps the node that it has by then.
func TestEnrol(t *testing.T) {
	s := serve(t, &nomadtest.Server{Strict: true})
	cfg := testConfig(s)
	cfg.Introduction, cfg.Pool = true, "metal"
	c := connect(t, cfg)
	enrol := func(again bool, previous string) string {
		t.Helper()
		files, err := c.Enrol(within(t), Client{Name: "host1", Again: again}, previous)
		if err != nil {
			t.Fatal(err)
		}
		last := files[len(files)-1]
		if len(files) != 2 || last.Path != introToken || last.Mode != 0o600 {
			t.Fatalf("Enrol gave %d files, the last is %s: want the configuration and a token", len(files), last.Path)
		}
		return last.Content
	}
	leave := s.Join(&nomadtest.Client{Name: "host1", Pool: "metal", Introduction: enrol(false, "")})
	old, err := c.WaitNode(within(t), "host1")
	if err != nil {
		t.Fatal(err)
	}
	leave()
	token := enrol(false, old.ID)
	if list, _, err := c.api.Nodes().List(nil); err != nil || len(list) != 0 {
		t.Errorf("after the enrolment %d nodes are listed (%v), want none", len(list), err)
	}
	t.Cleanup(s.Join(&nomadtest.Client{Name: "host1", Pool: "metal", Introduction: token}))
	if _, err := c.WaitNode(within(t), "host1"); err != nil {
		t.Fatal(err)
	}
	enrol(true, old.ID)
	if list, _, err := c.api.Nodes().List(nil); err != nil || len(list) != 1 {
		t.Errorf("after a repeated enrolment %d nodes are listed (%v), want the living one", len(list), err)
	}
}

func TestIntroduce(t *testing.T) {
	s := serve(t, &nomadtest.Server{Strict: true})
	c := connect(t, testConfig(s))
	for _, ttl := range []time.Duration{-time.Second, 0, 31 * time.Minute} {
		if _, err := c.Introduce(within(t), "host1", "default", ttl); err == nil {
			t.Errorf("Introduce for %s succeeded, want a refusal", ttl)
		}
	}
	s.Inject(nomadtest.KeyringNotReady)
	token, err := c.Introduce(within(t), "host1", "default", time.Minute)
	if err != nil || token == "" {
		t.Fatalf("Introduce: %q, %v", token, err)
	}
	t.Cleanup(s.Join(&nomadtest.Client{Name: "host2", Introduction: token})) // not its own
	t.Cleanup(s.Join(&nomadtest.Client{Name: "host3"}))
	t.Cleanup(s.Join(&nomadtest.Client{Name: "host1", Introduction: token}))
	if _, err := c.WaitNode(within(t), "host1"); err != nil {
		t.Error(err)
	}
	if list, _, err := c.api.Nodes().List(nil); err != nil || len(list) != 1 {
		t.Errorf("%d nodes are listed (%v), want host1 alone", len(list), err)
	}

	old := connect(t, testConfig(serve(t, &nomadtest.Server{NoIntroduction: true})))
	if token, err := old.Introduce(within(t), "host1", "default", time.Minute); token != "" || err != nil {
		t.Errorf("Introduce with an old server: %q, %v, want neither", token, err)
	}
}
