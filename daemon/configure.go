package daemon

import (
	"provision.internal/ansible"
	"provision.internal/host"
	"provision.internal/nomad"
)

// newRunner makes what runs playbooks on hosts.
func newRunner(cfg Config, cluster *nomad.Cluster) *ansible.Runner {
	return &ansible.Runner{Nomad: cluster, Config: cfg.Config, Own: cfg.Nomad.Job != ""}
}

// connectConfiguration has hosts configured on their way into the cluster, by
// what also keeps them so.
func (d *appliance) connectConfiguration(cfg Config, cluster *nomad.Cluster) {
	d.enroll.Runner, d.enroll.Turn, d.enroll.OrderChanged = newRunner(cfg, cluster), d.upkeep.Turn, d.upkeep.Changed
	d.enroll.Order = func(h host.Host) (ansible.Target, ansible.Run) {
		t := cfg.target(h)
		return t.Target, ansible.Run{Commit: d.upkeep.Commit(), Playbooks: t.Playbooks}
	}
}
