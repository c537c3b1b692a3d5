package daemon

import (
	"slices"
	"testing"

	"provision.internal/ansible"
	"provision.internal/cluster"
	"provision.internal/host"
	"provision.internal/installer"
	"provision.internal/upkeep"
)

// Hosts that are Ready are configured, each as its role says; and the control
// node where it is a server, once.
func TestTargets(t *testing.T) {
	cfg := Config{
		Server: Server{Name: "core"},
		Roles:  map[string]installer.Role{"storage": {Playbooks: []string{"disks.yml"}, Job: "storage.hcl"}, "worker": {}},
		Config: ansible.Config{Driver: ansible.RawExec, Playbooks: []string{"base.yml"}},
	}
	hosts := []host.Host{
		{Name: "node1", Role: "worker", State: host.Ready}, {Name: "node2", Role: "worker", State: host.Joined},
		{Name: "node3", Role: "storage", State: host.Ready},
	}
	check := func(what string, hosts []host.Host, want ...string) []upkeep.Target {
		t.Helper()
		all := cfg.targets(hosts)
		var got []string
		for _, t := range all {
			got = append(got, t.Host)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: targets %q, want %q", what, got, want)
		}
		return all
	}
	all := check("no cluster of ours", hosts, "node1", "node3")
	if !slices.Equal(all[0].Playbooks, []string{"base.yml"}) || !slices.Equal(all[1].Playbooks, []string{"disks.yml"}) || all[1].Template != "storage.hcl" {
		t.Errorf("targets %+v", all)
	}
	cfg.Cluster = cluster.Config{Servers: []string{"node1"}}
	check("a host is the server", hosts, "node1", "node3")
	cfg.Cluster.Servers = []string{"core"}
	check("node zero", hosts, "node1", "node3", "core")
	check("node zero as a host", append(hosts, host.Host{Name: "core", State: host.Ready}), "node1", "node3", "core")
	cfg.Config = ansible.Config{}
	check("node zero without playbooks", hosts, "node1", "node3")
}
