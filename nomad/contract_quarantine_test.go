package nomad

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
)

// A host joins the quarantine pool, where its configuration job runs and an
// operator's does not, and is moved into its own by new files and a restart: the
// same node, whose finished jobs stay as they are.
func TestContractQuarantine(t *testing.T) { onBoth(t, true, quarantine) }

func quarantine(t *testing.T, p peer) {
	p.cfg.Quarantine = DefaultQuarantine
	c := connectAt(t, p.cfg, realPace)
	h := Client{Name: "host1", Network: loopback, Quarantine: true, Certificate: ConfigDir + "/tls/host.pem", Key: ConfigDir + "/tls/host.key"}
	files, err := c.Enrol(within(t), h, "")
	if err != nil {
		t.Fatal(err)
	}
	const chosen = "7a780c47-390f-4edb-8dd9-10096b4b2ac9"
	p.join(t, h, append(files, File{nodeID, 0o600, chosen}))
	node, err := c.WaitNode(within(t), "host1", "raw_exec")
	if err != nil {
		t.Fatal(err)
	}
	if node.Pool != DefaultQuarantine {
		t.Fatalf("the node is in pool %q, want %s", node.Pool, DefaultQuarantine)
	}
	impatient, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	if _, err := c.WaitMember(impatient, "host1"); err == nil || !strings.Contains(err.Error(), "still in the pool quarantine") {
		t.Errorf("WaitMember: %v, want that it is in quarantine", err)
	}
	cancel()
	if _, err := c.RunJob(within(t), Job{Host: "host1", Role: "worker", Attempt: "1"}); err != nil {
		t.Fatalf("the configuration job in quarantine: %v", err)
	}
	operators := operatorsJob(t, c)
	if n := allocations(t, c, operators); n != 0 {
		t.Errorf("%d allocations of an operator's job are on a host in quarantine", n)
	}

	h.Quarantine, h.Again = false, true
	if files, err = c.Enrol(within(t), h, node.ID); err != nil {
		t.Fatal(err)
	}
	p.restart(t, h, files)
	member, err := c.WaitMember(within(t), "host1")
	if err != nil {
		t.Fatal(err)
	}
	if member.ID != chosen || member.Pool != DefaultPool {
		t.Errorf("it is node %s in pool %q now, want %s in %s", member.ID, member.Pool, chosen, DefaultPool)
	}
	if _, err := c.WaitNode(within(t), "host1", "raw_exec"); err != nil {
		t.Fatal(err)
	}
	for ctx := within(t); allocations(t, c, operators) == 0; {
		if ctx.Err() != nil {
			t.Fatal("the operator's job does not come to the member")
		}
		time.Sleep(50 * time.Millisecond)
	}
	allocs, _, err := c.api.Jobs().Allocations("provision-host1-1", true, query(within(t)))
	if err != nil || len(allocs) != 1 || allocs[0].ClientStatus != api.AllocClientStatusComplete {
		t.Errorf("the finished configuration job has %+v, %v; want it complete as before", allocs, err)
	}
	if _, err := c.RunJob(within(t), Job{Host: "host1", Role: "worker", Attempt: "2"}); err != nil {
		t.Errorf("a job on the member: %v", err)
	}
	if err := c.PurgeStale(within(t), "host1", ""); !errors.Is(err, ErrNameTaken) {
		t.Errorf("PurgeStale with a living node: %v, want ErrNameTaken", err)
	}
}

// operatorsJob registers a job for a node of the default pool, to wait until there is one.
func operatorsJob(t *testing.T, c *Cluster) (id string) {
	t.Helper()
	id = "operators"
	kind := api.JobTypeBatch
	task := api.NewTask("t", "raw_exec").SetConfig("command", "/bin/sleep").SetConfig("args", []string{"600"})
	job := &api.Job{ID: &id, Name: &id, Type: &kind, Datacenters: []string{"*"}, TaskGroups: []*api.TaskGroup{api.NewTaskGroup("g", 1).AddTask(task)}}
	if _, _, err := c.api.Jobs().Register(job, write(within(t))); err != nil {
		t.Fatal(err)
	}
	return id
}

func allocations(t *testing.T, c *Cluster, job string) int {
	t.Helper()
	allocs, _, err := c.api.Jobs().Allocations(job, true, query(within(t)))
	if err != nil {
		t.Fatal(err)
	}
	return len(allocs)
}
