package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"provision.internal/host"
	"provision.internal/installer"
	"provision.internal/nomad"
	"provision.internal/store"
)

// ample is far above what anything takes here.
const ample = 2 * time.Minute

// until waits for something that comes about by itself.
func (c *crowd) until(what string, ok func() bool) {
	c.t.Helper()
	for end := time.Now().Add(ample); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("in vain: %s", what)
		}
	}
}

// node is what the cluster knows of a member.
type node struct{ ID, Name, NodePool, Status string }

func (c *crowd) nodes() (all []node) {
	c.t.Helper()
	resp, err := c.http.Get(c.sim.URL + "/v1/nodes")
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil || resp.StatusCode != http.StatusOK {
		c.t.Fatalf("list the nodes: status %d, %v", resp.StatusCode, err)
	}
	return all
}

func (c *crowd) untilReady(nodes int) {
	c.t.Helper()
	c.until(fmt.Sprintf("%d nodes are ready", nodes), func() bool {
		ready := 0
		for _, n := range c.nodes() {
			if n.Status == "ready" {
				ready++
			}
		}
		return ready == nodes
	})
}

// host is what the appliance knows of host n.
func (c *crowd) host(st *store.Store, n int) host.Host {
	c.t.Helper()
	h, err := st.Host(crowdMAC(n))
	if err != nil {
		c.t.Fatal(err)
	}
	return h
}

// newcomer installs host n and returns what its system shows.
func (c *crowd) newcomer(st *store.Store, n int) installer.Enrol {
	c.t.Helper()
	if err := c.install(st, n); err != nil {
		c.t.Fatal(err)
	}
	q, err := newcomer(n)
	if err != nil {
		c.t.Fatal(err)
	}
	return q
}

// refused enrols in vain, and holds the answer to what its console shall say.
func (c *crowd) refused(q installer.Enrol, words ...string) {
	c.t.Helper()
	answer, err := c.enrol(c.t.Context(), q)
	if err == nil {
		c.t.Fatalf("%s was given %+v", q.Host, answer)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			c.t.Errorf("%s was told %q, want %q in it", q.Host, err, w)
		}
	}
}

// outside fails the test unless host n waits before the door: its token is good,
// its page says why, and no job ran.
func (c *crowd) outside(st *store.Store, n int, words ...string) {
	c.t.Helper()
	h := c.host(st, n)
	if h.State != host.Installed || !h.Enrolment.Used.IsZero() || h.Node != "" {
		c.t.Errorf("%s is %s with node %q, its token was used %s; want it Installed, with its token", h.Name, h.State, h.Node, h.Enrolment.Used)
	}
	for _, w := range words {
		if !strings.Contains(h.Progress.Text, w) {
			c.t.Errorf("the page of %s says %q, want %q in it", h.Name, h.Progress.Text, w)
		}
	}
	if ran := c.jobs.Load(); ran != 0 {
		c.t.Errorf("%d configuration jobs ran", ran)
	}
}

// getsThere takes host n, which has q.Stage, to Ready: with one job, and with the
// one living node that is its own.
func (c *crowd) getsThere(st *store.Store, n int, q installer.Enrol, leave func()) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), ample)
	defer cancel()
	if err := c.goOn(ctx, n, q, leave); err != nil {
		c.t.Fatal(err)
	}
	c.until("the host is Ready", func() bool { return c.host(st, n).State == host.Ready })
	if ran := c.jobs.Load(); ran != 1 {
		c.t.Errorf("%d configuration jobs ran, want 1", ran)
	}
	for _, member := range c.nodes() {
		if mine := member.ID == nodeID(n) && member.NodePool != nomad.DefaultQuarantine; member.Status != "down" && !mine {
			c.t.Errorf("the node %+v lives beside that of the host", member)
		}
	}
}

// A living machine has the name: the host stays outside until that is settled.
func TestNameOfALivingNode(t *testing.T) {
	c := newCrowd(t, 2)
	st, kill := c.start()
	t.Cleanup(kill)
	token, err := c.cluster.Introduce(t.Context(), "host0", nomad.DefaultPool, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	other := c.join(7, "host0", installer.Enrolled{Stage: installer.StageMember, Files: []installer.File{{Path: "intro_token.jwt", Content: token}}})
	c.untilReady(1)
	before := c.nodes()

	q := c.newcomer(st, 0)
	why := []string{"node name is taken", nodeID(7), "rename one of them"}
	c.refused(q, append(why, "status 503")...)
	c.outside(st, 0, why...)
	if after := c.nodes(); !reflect.DeepEqual(after, before) {
		t.Errorf("the nodes are %+v, want %+v", after, before)
	}

	other()
	c.sim.Lose("host0")
	c.getsThere(st, 0, q, func() {})
	if all := c.nodes(); len(all) != 1 {
		t.Errorf("the nodes are %+v, want that of the host alone", all)
	}
}

// A cluster that has lost its leader takes nobody, and says so.
func TestEnrolmentAtALeaderlessCluster(t *testing.T) {
	c := newCrowd(t, 1)
	st, kill := c.start()
	t.Cleanup(kill)
	c.sim.Depose()
	q := c.newcomer(st, 0)
	c.refused(q, "No cluster leader", "status 503")
	c.outside(st, 0, "No cluster leader")
	c.sim.Mend()
	if all := c.nodes(); len(all) != 0 {
		t.Errorf("the nodes are %+v, want none", all)
	}
	c.getsThere(st, 0, q, func() {})
}

// Two machines with copies of one disk: neither is configured, and the host's
// page says what to do.
func TestHostThatJoinsTwice(t *testing.T) {
	c := newCrowd(t, 2)
	st, kill := c.start()
	t.Cleanup(func() { kill() })
	q := c.newcomer(st, 0)
	answer, err := c.enrol(t.Context(), q)
	if err != nil || answer.Stage != installer.StageQuarantine {
		t.Fatalf("enrolled %+v, %v; want quarantine", answer, err)
	}
	kill() // so that both are there when the appliance looks
	leaveTwin := c.join(1, "host0", answer)
	c.untilReady(1)
	leave := c.join(0, "host0", answer)
	c.untilReady(2)
	st, kill = c.start()
	c.until("the appliance sees the cluster", func() bool { _, known := c.cluster.Alive("host0"); return known })
	change := func(f func(*host.Host) error) {
		t.Helper()
		if _, err := st.Change(crowdMAC(0), "test", "", f); err != nil {
			t.Fatal(err)
		}
	}
	change(func(h *host.Host) error { h.Deadline = time.Now(); return nil })
	c.until("the host has failed", func() bool { return c.host(st, 0).State == host.Failed })
	h := c.host(st, 0)
	for _, w := range []string{"joined more than once", nodeID(0), nodeID(1), "switch one off"} {
		if !strings.Contains(h.Failure.Reason, w) {
			t.Errorf("it failed because %q, want %q in it", h.Failure.Reason, w)
		}
	}
	for _, n := range c.nodes() {
		if n.NodePool != nomad.DefaultQuarantine {
			t.Errorf("%+v is not in quarantine", n)
		}
	}
	if ran := c.jobs.Load(); ran != 0 {
		t.Errorf("%d configuration jobs ran", ran)
	}

	// Both are switched off, and the newer one is switched on again.
	leave()
	leaveTwin()
	c.sim.Lose("host0")
	leave = c.join(0, "host0", answer)
	c.untilReady(1)
	change(func(h *host.Host) (err error) { *h, err = h.Retry(time.Now()); return err })
	q.Stage = installer.StageQuarantine
	c.getsThere(st, 0, q, leave)
}

// Who reads the token of a host that has enrolled gets nothing for it, neither as
// that host nor as another one, and is noticed.
func TestStolenToken(t *testing.T) {
	c := newCrowd(t, 2)
	st, kill := c.start()
	t.Cleanup(kill)
	c.getsThere(st, 0, c.newcomer(st, 0), func() {})
	other := c.newcomer(st, 1)
	hosts, nodes := st.Hosts(), c.nodes()

	thief, err := newcomer(0) // with a key of his own
	if err != nil {
		t.Fatal(err)
	}
	for _, stage := range []installer.Stage{installer.StageNone, installer.StageQuarantine, installer.StageMember} {
		thief.Stage = stage
		c.refused(thief, "status 403", "not authorised")
	}
	other.Token = thief.Token
	c.refused(other, "status 403", "not authorised")

	if after := st.Hosts(); !reflect.DeepEqual(after, hosts) {
		t.Errorf("the hosts have become %+v, want %+v", after, hosts)
	}
	if after := c.nodes(); !reflect.DeepEqual(after, nodes) {
		t.Errorf("the nodes have become %+v, want %+v", after, nodes)
	}
	for n, want := range []string{"host0: its enrolment token was used by another key", "host1: a wrong enrolment token"} {
		events, err := st.Events(crowdMAC(n), 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		told := 0
		for _, e := range events {
			if strings.Contains(e.Cause, want) {
				told++
			}
			if strings.Contains(e.Cause, thief.Token) {
				t.Errorf("the token is told: %q", e.Cause)
			}
		}
		if told == 0 {
			t.Errorf("no event of host%d says %q: %+v", n, want, events)
		}
	}
}
