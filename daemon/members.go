package daemon

import (
	"context"
	"net/netip"
	"path/filepath"
	"time"

	"provision.internal/cluster"
	"provision.internal/host"
	"provision.internal/httpboot"
	"provision.internal/installer"
	"provision.internal/nomad"
)

// founder is the part of cluster.Founder that enrolling hosts depend on.
type founder interface {
	Asked() bool   // an operator has said that the cluster is to be founded
	Founded() bool // it has a leader and its ACLs
	Waits() string // what is missing until then, for a person
	Changed() <-chan struct{}
	Wake() // a server may have come up

	Server(name string) bool
	ServerFiles(name string) ([]nomad.File, error)
	Names(name string) (dns []string, addresses []netip.Addr) // of a server's certificate
	Issuer() httpboot.Issuer                                  // of all members' certificates
}

// plans makes hosts members.
var _ httpboot.Members = (*plans)(nil)

// Stage is what h is to be by now. Whoever is not configured is in quarantine.
func (p *plans) Stage(h host.Host) (stage installer.Stage, waits string) {
	switch {
	case p.founder == nil || p.founder.Founded():
	case p.founder.Asked() && p.founder.Server(h.Name):
		return installer.StageFounding, p.founder.Waits()
	default:
		return installer.StageNone, p.founder.Waits()
	}
	if !p.cfg.Nomad.Quarantines() || h.State == host.Configured || h.State == host.Ready {
		return installer.StageMember, ""
	}
	return installer.StageQuarantine, "it is in quarantine until its configuration job has succeeded"
}

// Changed is closed when the cluster was founded.
func (p *plans) Changed() <-chan struct{} {
	if p.founder == nil {
		return nil
	}
	return p.founder.Changed()
}

// Heard has the founding look at once when one of its servers was started.
func (p *plans) Heard(h host.Host) {
	if p.founder != nil && !p.founder.Founded() && p.founder.Server(h.Name) {
		p.founder.Wake()
	}
}

// waits is what keeps h from having a node, although it has done everything;
// empty when nothing does.
func (p *plans) waits(h host.Host) string {
	if p.founder == nil || p.founder.Founded() {
		return ""
	}
	return p.founder.Waits()
}

// pool is where the work of h comes from. A server takes that of servers, unless
// its role has a pool of its own.
func (p *plans) pool(h host.Host, role installer.Role) string {
	if role.Nomad.Pool == "" && p.founder != nil && p.founder.Server(h.Name) {
		return cluster.ServerPool
	}
	return role.Nomad.Pool
}

// enrolTime bounds what an enrolling host waits for Nomad; its first boot asks
// again. It is below the agent's patience with a request.
const enrolTime = 25 * time.Second

// Join makes what h needs to be at stage.
func (p *plans) Join(ctx context.Context, h host.Host, stage installer.Stage, first bool) (m httpboot.Membership, err error) {
	role, err := p.role(h)
	if err != nil {
		return m, err
	}
	var files []nomad.File
	if stage != installer.StageFounding {
		ctx, cancel := context.WithTimeout(ctx, enrolTime)
		defer cancel()
		files, err = p.cluster.Enrol(ctx, nomad.Client{
			Name: h.Name, Datacenter: role.Nomad.Datacenter, Pool: p.pool(h, role), Meta: role.Nomad.Meta,
			Certificate: installer.HostCertificate, Key: installer.HostKey,
			Again: !first, Quarantine: stage == installer.StageQuarantine,
			Network: p.cfg.island(h.Address),
		}, h.Node)
		if err != nil {
			return m, err
		}
		m.Names = p.cfg.Nomad.ClientNames()
	}
	if p.founder != nil {
		m.Issuer = p.founder.Issuer()
		if p.founder.Server(h.Name) {
			more, err := p.founder.ServerFiles(h.Name)
			if err != nil {
				return m, err
			}
			files = append(files, more...)
			names, addresses := p.founder.Names(h.Name)
			m.Names, m.Addresses = append(m.Names, names...), addresses
		}
	}
	seen := map[string]bool{}
	for _, f := range files {
		if seen[f.Path] { // a server has the same authority as a client
			continue
		}
		seen[f.Path] = true
		m.Files = append(m.Files, installer.File{Path: f.Path, Mode: uint32(f.Mode.Perm()), Content: f.Content})
	}
	if role.Nomad.Config != "" && stage != installer.StageFounding {
		// Nomad reads the folder in alphabetical order, and later files win.
		m.Files = append(m.Files, installer.File{Path: filepath.Join(nomad.ConfigDir, "role.hcl"), Mode: 0o640, Content: role.Nomad.Config})
	}
	return m, nil
}
