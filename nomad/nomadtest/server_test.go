package nomadtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
)

func cluster(t *testing.T, s *Server) *api.Client {
	t.Helper()
	s.Start()
	t.Cleanup(s.Close)
	c, err := api.NewClient(&api.Config{Address: s.URL, SecretID: s.Token})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func join(t *testing.T, s *Server, c *Client) (leave func()) {
	t.Helper()
	leave = s.Join(c)
	t.Cleanup(leave)
	return leave
}

// until asks again until f holds; it gives up with the test's time.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func ready(c *api.Client, name string) func() bool {
	return func() bool {
		list, _, err := c.Nodes().List(nil)
		if err != nil {
			return false
		}
		for _, n := range list {
			if n.Name == name && n.Status == "ready" {
				return true
			}
		}
		return false
	}
}

func parse(t *testing.T, text string) *api.Job {
	t.Helper()
	j, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

const parameterized = `job "config" {
  type = "sysbatch"
  parameterized {
    meta_required = ["COMMIT"]
  }
  group "g" {
    task "t" {
      driver = "raw_exec"
      config {
        command = "true"
      }
    }
  }
}`

func TestDispatch(t *testing.T) {
	s := new(Server)
	c := cluster(t, s)
	seen := make(chan string, 1)
	join(t, s, &Client{Name: "host1", Task: func(_ context.Context, task Task) Exit {
		seen <- task.Env["NOMAD_META_COMMIT"]
		return Exit{}
	}})
	until(t, "host1 is ready", ready(c, "host1"))
	if _, _, err := c.Jobs().Register(parse(t, parameterized), nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Jobs().Dispatch("config", nil, nil, "", nil); err == nil || !strings.Contains(err.Error(), "did not provide required meta keys: [COMMIT]") {
		t.Errorf("Dispatch without meta: %v", err)
	}
	got, _, err := c.Jobs().Dispatch("config", map[string]string{"COMMIT": "deadbeef"}, nil, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case commit := <-seen:
		if commit != "deadbeef" {
			t.Errorf("the task saw COMMIT=%q, want deadbeef", commit)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the child never runs")
	}
	// The child's ID has a slash, which travels escaped.
	until(t, "the child is dead", func() bool {
		j, _, err := c.Jobs().Info(got.DispatchedJobID, nil)
		return err == nil && *j.Status == "dead" && *j.ParentID == "config"
	})
	if _, _, err := c.Jobs().Deregister("config", false, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Jobs().Dispatch("config", map[string]string{"COMMIT": "x"}, nil, "", nil); err == nil || !strings.Contains(err.Error(), "500") {
		t.Errorf("Dispatch on a stopped parent: %v, want a 500", err)
	}
}

// "dead" is not success: a job that nothing matched is dead, too.
func TestUnplacedSysbatch(t *testing.T) {
	s := new(Server)
	c := cluster(t, s)
	j := parse(t, strings.Replace(parameterized, "parameterized {\n    meta_required = [\"COMMIT\"]\n  }", "", 1))
	got, _, err := c.Jobs().Register(j, nil)
	if err != nil {
		t.Fatal(err)
	}
	eval, _, err := c.Evaluations().Info(got.EvalID, nil)
	if err != nil {
		t.Fatal(err)
	}
	if eval.Status != "complete" || len(eval.FailedTGAllocs) != 0 {
		t.Errorf("evaluation %s with %d failed groups, want complete with none: there is no node to speak of", eval.Status, len(eval.FailedTGAllocs))
	}
	if info, _, err := c.Jobs().Info("config", nil); err != nil || *info.Status != "dead" {
		t.Errorf("the job is %v (%v), want dead", *info.Status, err)
	}
}

// A batch job that nothing matched starts when a node joins.
func TestBlockedBatch(t *testing.T) {
	s := new(Server)
	c := cluster(t, s)
	j := parse(t, strings.Replace(parameterized, "parameterized {\n    meta_required = [\"COMMIT\"]\n  }", "", 1))
	j.Type = new("batch")
	if _, _, err := c.Jobs().Register(j, nil); err != nil {
		t.Fatal(err)
	}
	join(t, s, &Client{Name: "host1"})
	until(t, "the job completes", func() bool {
		sum, _, err := c.Jobs().Summary("config", nil)
		return err == nil && sum.Summary["g"].Complete == 1
	})
}

// A node whose heartbeats stay away goes down; what a sysbatch job runs on it
// stays "running". It comes back as the same node, also after a purge.
func TestNodeLost(t *testing.T) {
	s := &Server{TTL: 150 * time.Millisecond}
	c := cluster(t, s)
	const id = "7a780c47-390f-e4db-6dd9-10096b4b2ac9"
	hang := func(ctx context.Context, _ Task) Exit {
		<-ctx.Done()
		return Exit{}
	}
	leave := join(t, s, &Client{Name: "host1", ID: id, Secret: "s", Task: hang})
	until(t, "host1 is ready", ready(c, "host1"))
	j := parse(t, strings.Replace(parameterized, "parameterized {\n    meta_required = [\"COMMIT\"]\n  }", "", 1))
	if _, _, err := c.Jobs().Register(j, nil); err != nil {
		t.Fatal(err)
	}
	running := func() bool {
		allocs, _, err := c.Jobs().Allocations("config", false, nil)
		return err == nil && len(allocs) == 1 && allocs[0].ClientStatus == "running"
	}
	until(t, "the task runs", running)
	leave()
	until(t, "host1 is down", func() bool {
		n, _, err := c.Nodes().Info(id, nil)
		return err == nil && n.Status == "down"
	})
	if !running() {
		t.Error("the lost node's allocation does not stay running")
	}
	join(t, s, &Client{Name: "thief", ID: id, Secret: "another"})
	join(t, s, &Client{Name: "host1", ID: id, Secret: "s", Task: hang})
	until(t, "host1 is back", ready(c, "host1"))
	if _, _, err := c.Nodes().Purge(id, nil); err != nil {
		t.Fatal(err)
	}
	until(t, "host1 has registered again", func() bool { return ready(c, "host1")() || ready(c, "thief")() })
}

func TestDrainAndCollect(t *testing.T) {
	s := new(Server)
	c := cluster(t, s)
	stopped := make(chan struct{})
	const id = "7a780c47-390f-e4db-6dd9-10096b4b2ac9"
	join(t, s, &Client{Name: "host1", ID: id, Task: func(ctx context.Context, _ Task) Exit {
		<-ctx.Done()
		close(stopped)
		return Exit{Code: 143}
	}})
	until(t, "host1 is ready", ready(c, "host1"))
	j := parse(t, strings.Replace(parameterized, "parameterized {\n    meta_required = [\"COMMIT\"]\n  }", "", 1))
	if _, _, err := c.Jobs().Register(j, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Nodes().UpdateDrain(id, &api.DrainSpec{}, false, nil); err != nil {
		t.Fatal(err)
	}
	<-stopped
	n, _, err := c.Nodes().Info(id, nil)
	if err != nil || !n.Drain || n.SchedulingEligibility != "ineligible" {
		t.Errorf("after a drain: %+v, %v, want draining and ineligible", n, err)
	}
	s.Collect("config")
	if _, _, err := c.Jobs().Info("config", nil); err == nil {
		t.Error("a collected job is still known")
	}
}

// A blocking query is woken by the change that it waits for.
func TestBlockingQuery(t *testing.T) {
	s := new(Server)
	c := cluster(t, s)
	// An index of 0, which an empty cluster's listing has, would not wait.
	time.AfterFunc(50*time.Millisecond, func() { t.Cleanup(s.Join(&Client{Name: "host1"})) })
	list, after, err := c.Nodes().List(&api.QueryOptions{WaitIndex: 1, WaitTime: 30 * time.Second})
	if err != nil || len(list) != 1 || after.LastIndex <= 1 {
		t.Errorf("the query answered %d nodes at %d (%v), want 1 after 1", len(list), after.LastIndex, err)
	}
}

// A server that restarts breaks blocking queries with an empty reply.
func TestRestartBreaksQueries(t *testing.T) {
	s := new(Server)
	c := cluster(t, s)
	time.AfterFunc(50*time.Millisecond, s.Restart)
	_, _, err := c.Nodes().List(&api.QueryOptions{WaitIndex: 1000, WaitTime: 30 * time.Second})
	if err == nil || !strings.Contains(err.Error(), "EOF") {
		t.Errorf("the query ended with %v, want an empty reply", err)
	}
	for range Restarted.Times {
		if _, _, err := c.Nodes().List(nil); err == nil || !strings.Contains(err.Error(), "403") {
			t.Errorf("after the restart: %v, want a 403", err)
		}
	}
	if _, _, err := c.Nodes().List(nil); err != nil {
		t.Errorf("some time after the restart: %v", err)
	}
}

// The stream's framing is Nomad's: no chunks, one line each, a heartbeat first.
func TestStreamWire(t *testing.T) {
	s := &Server{Token: "secret"}
	cluster(t, s)
	dial := func(token string) (net.Conn, *bufio.Reader) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprintf(conn, "GET /v1/event/stream HTTP/1.1\r\nHost: x\r\nX-Nomad-Token: %s\r\n\r\n", token)
		return conn, bufio.NewReader(conn)
	}
	_, r := dial("secret")
	var got []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, line)
		if line == "{}\n" {
			break
		}
	}
	want := "HTTP/1.1 200 OK\r\nCache-Control: no-cache\r\nConnection: close\r\nContent-Type: application/json\r\nVary: Accept-Encoding\r\n\r\n{}\n"
	if all := strings.Join(got, ""); all != want {
		t.Errorf("the stream begins\n%q, want\n%q", all, want)
	}

	// Denied: the same head, and then nothing.
	conn, r := dial("wrong")
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if b, err := r.ReadByte(); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("a denied stream says %q, %v, want silence", b, err)
	}
}

func TestIntroductionLifetime(t *testing.T) {
	for raw, want := range map[string]time.Duration{
		`"10m"`: 10 * time.Minute, `600000000000`: 10 * time.Minute, `"99h"`: 30 * time.Minute, `-5`: -5, ``: 5 * time.Minute,
	} {
		if got, err := lifetime([]byte(raw)); got != want || err != nil {
			t.Errorf("lifetime(%s) = %s, %v, want %s", raw, got, err, want)
		}
	}
	if _, err := lifetime([]byte(`"junk"`)); err == nil || err.Error() != `400 time: invalid duration "junk"` {
		t.Errorf(`lifetime("junk"): %v`, err)
	}
}

// It can be run as a process of its own: Serve ends with its context.
func TestServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- new(Server).Serve(ctx, l) }()
	resp, err := http.Get("http://" + l.Addr().String() + "/v1/status/leader")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve: %v after being asked to stop, want nil", err)
	}
}

// No jobspec may bring the parser down, and what is refused says where.
func FuzzParse(f *testing.F) {
	f.Add(parameterized)
	f.Add(`job "x" {`)
	f.Add(`job "x" { group "g" { task "t" { config { args = ["${NOMAD_META_x}", 5, null, true, { a = "b" }] } } } }`)
	f.Add("job \"x\" {\n meta = { \"a.b\" = 1 }\n datacenters = \"dc1\"\n priority = 1e99\n}")
	f.Add("job \"x\" {\n group \"g\" {\n restart {\n delay = \"x\"\n}\n}\n}")
	f.Fuzz(func(t *testing.T, text string) {
		j, err := Parse(text)
		if (j == nil) == (err == nil) {
			t.Fatalf("Parse(%q) = %v, %v", text, j, err)
		}
		if err != nil && !strings.Contains(err.Error(), "input.hcl") {
			t.Fatalf("Parse(%q) does not say where: %v", text, err)
		}
		if j != nil {
			j.Canonicalize()
		}
	})
}
