package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"provision.internal/host"
	"provision.internal/lab"
)

// clusterServer is node1 of examples/rack.yaml.
const clusterServer = "10.77.0.11"

// TestCluster is a rack whose first machine becomes the cluster and whose second
// one joins it. The playbook asks for a neighbour that is not there at first, and
// keeps a file that does not survive a loss of power.
func TestCluster(t *testing.T) {
	r := newRig(t, withCluster,
		"copy: {dest: /etc/motd,", "copy: {dest: /run/motd,",
		"              - name: a folder for data\n", "              - name: the neighbour answers\n                command: {cmd: ping -c1 -W5 10.77.0.250, creates: /etc/server}\n              - name: a folder for data\n",
		"  server:\n    <<: *worker\n", "  server:\n    <<: *worker\n    script: touch /etc/server\n",
		"schedule: {every: 30m, jitter: 5m}", "schedule: {every: 1m, jitter: 1s}",
	)
	r.startAppliance(t)
	server := lab.Machine{Name: "node1", Firmware: lab.UEFI, Disk: lab.NVMe}
	worker := lab.Machine{Name: "node2", Firmware: lab.BIOS, Disk: lab.Virtio}

	ok := t.Run("the first machine becomes the cluster", func(t *testing.T) {
		r.provision(t, "cluster", "init", "--no-wait")
		server, worker = r.admitNamed(t, server), r.admitNamed(t, worker)
		r.awaitState(t, server, host.Ready)
		if plan := r.provision(t, "cluster", "policies", "plan", "--json"); !strings.Contains(plan, `"changes": null`) && !strings.Contains(plan, `"changes": []`) {
			t.Errorf("a second plan after the founding:\n%s", plan)
		}
		if said := r.provision(t, "cluster", "init"); strings.Contains(said, r.provision(t, "cluster", "secret", "--yes")) {
			t.Error("cluster init tells the secret")
		}
	})
	if !ok {
		t.Fatal("there is no cluster: the rest would tell nothing new")
	}
	t.Run("a host whose playbook fails stays in quarantine until that is mended", func(t *testing.T) {
		failed := r.await(t, worker, "failed", func(h host.Host) bool { return h.State == host.Failed || h.State == host.Ready })
		if failed.State != host.Failed || !strings.Contains(failed.Failure.Reason, "the neighbour answers") {
			t.Fatalf("%s is %s (%+v), want Failed with the task's name", worker.Name, failed.State, failed.Failure)
		}
		if pool := r.pools(t)[worker.Name]; len(pool) != 1 || pool[0] != "quarantine" {
			t.Errorf("its nodes are in the pools %q, want one in quarantine", pool)
		}
		if _, err := r.AddNeighbour(t.Context(), "peer", "10.77.0.250"); err != nil {
			t.Fatal(err)
		}
		r.provision(t, "enroll", worker.Name, "--retry", "--no-wait")
		r.awaitState(t, worker, host.Ready)
		if pool := r.pools(t)[worker.Name]; len(pool) != 1 || pool[0] != "default" {
			t.Errorf("its nodes are in the pools %q, want one in default", pool)
		}
	})
	if t.Failed() {
		return
	}
	t.Run("the schedule corrects what a loss of power has changed", func(t *testing.T) {
		if err := r.PowerCycle(t.Context(), worker.Name); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(limit); ; time.Sleep(time.Second) {
			status := r.provision(t, "config", "status", worker.Name)
			if strings.Contains(status, "corrected") && strings.Contains(status, "the message of the day") {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("nothing was corrected:\n%s", status)
			}
		}
	})
	t.Run("a reinstalled host leaves one node record", func(t *testing.T) {
		before := r.await(t, worker, "known", func(host.Host) bool { return true })
		r.provision(t, "reinstall", worker.Name, "--yes", "--no-wait")
		if err := r.PowerCycle(t.Context(), worker.Name); err != nil {
			t.Fatal(err)
		}
		after := r.awaitState(t, worker, host.Ready)
		if after.Node == before.Node {
			t.Errorf("its node is %s, as before", after.Node)
		}
		if pool := r.pools(t)[worker.Name]; len(pool) != 1 {
			t.Errorf("it has nodes in the pools %q, want one node", pool)
		}
	})
}

// admitNamed switches a machine on that the configuration names, and admits it.
func (r *rig) admitNamed(t *testing.T, m lab.Machine) lab.Machine {
	t.Helper()
	m = r.switchOn(t, m)
	r.provision(t, "enroll", m.Name, "--no-wait")
	return m
}

// pools asks the cluster itself, as anybody may here, for the pools of each host's
// nodes.
func (r *rig) pools(t *testing.T) map[string][]string {
	t.Helper()
	argv := r.Inside("curl", "--silent", "--show-error", "--fail", "--insecure", "--max-time", "20", fmt.Sprintf("https://%s:4646/v1/nodes", clusterServer))
	out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).Output()
	if err != nil {
		t.Fatalf("list the nodes: %v", err)
	}
	var nodes []struct{ Name, NodePool string }
	if err := json.Unmarshal(out, &nodes); err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, n := range nodes {
		found[n.Name] = append(found[n.Name], n.NodePool)
	}
	return found
}
