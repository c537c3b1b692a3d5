package daemon

import (
	"context"
	"log/slog"
	"slices"

	"provision.internal/ansible"
	"provision.internal/host"
	"provision.internal/nomad"
	"provision.internal/store"
	"provision.internal/upkeep"
)

// newUpkeep makes what configures hosts that are in the cluster.
func newUpkeep(cfg Config, st *store.Store, cluster *nomad.Cluster, log *slog.Logger) (*upkeep.Manager, error) {
	return upkeep.New(upkeep.Parts{
		Store: st, Config: cfg.Config, Log: log,
		Runner:  newRunner(cfg, cluster),
		Targets: func() []upkeep.Target { return cfg.targets(st.Hosts()) },
		Target: func(name string) (upkeep.Target, bool) {
			if h, err := st.Named(name); err == nil && h.State == host.Ready {
				return cfg.target(h), true
			}
			zero, ok := cfg.zeroTarget()
			return zero, ok && zero.Host == name
		},
		Ready: func(ctx context.Context, name string) error {
			_, err := cluster.WaitNode(ctx, name)
			return err
		},
	})
}

// targets are the hosts that are in the cluster, and the control node where it is a
// server.
func (c Config) targets(hosts []host.Host) (all []upkeep.Target) {
	zero, ok := c.zeroTarget()
	for _, h := range hosts {
		if h.State == host.Ready {
			all = append(all, c.target(h))
			ok = ok && h.Name != zero.Host
		}
	}
	if ok {
		all = append(all, zero)
	}
	return all
}

// target is how h is configured.
func (c Config) target(h host.Host) upkeep.Target {
	role := c.Roles[h.Role]
	t := upkeep.Target{
		Target: ansible.Target{Host: h.Name, Role: h.Role, Meta: role.Nomad.Meta, Template: role.Job},
		MAC:    h.MAC, Playbooks: c.Config.Playbooks, Configuration: h.Configuration,
	}
	if len(role.Playbooks) > 0 {
		t.Playbooks = role.Playbooks
	}
	return t
}

// zeroTarget is the control node. It has no role, and without the section config
// nothing that was meant for installed hosts runs on it.
func (c Config) zeroTarget() (upkeep.Target, bool) {
	if !c.Config.Enabled() || len(c.Config.Playbooks) == 0 || !slices.Contains(c.Cluster.Servers, c.Server.Name) {
		return upkeep.Target{}, false
	}
	return upkeep.Target{Target: ansible.Target{Host: c.Server.Name}, Playbooks: c.Config.Playbooks}, true
}
