package daemon

import (
	"context"
	"log/slog"

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
		Runner: newRunner(cfg, cluster),
		Targets: func() (all []upkeep.Target) {
			for _, h := range st.Hosts() {
				if h.State == host.Ready {
					all = append(all, cfg.target(h))
				}
			}
			return all
		},
		Target: func(name string) (upkeep.Target, bool) {
			h, err := st.Named(name)
			return cfg.target(h), err == nil && h.State == host.Ready
		},
		Ready: func(ctx context.Context, name string) error {
			_, err := cluster.WaitNode(ctx, name)
			return err
		},
	})
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
