package daemon

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"time"

	"provision.internal/boot"
	"provision.internal/host"
	"provision.internal/installer"
	"provision.internal/nomad"
	"provision.internal/xbps"
)

// plans computes what hosts are made of, from the configuration.
type plans struct {
	cfg     Config
	cluster *nomad.Cluster
}

// target is the disk that an install of h writes.
func (p *plans) target(h host.Host) (host.Disk, error) {
	role, err := p.role(h)
	if err != nil {
		return host.Disk{}, err
	}
	if h.Inventory == nil {
		return host.Disk{}, fmt.Errorf("%s: %w: its hardware is not known", h.Label(), installer.ErrPlan)
	}
	return role.Target(h, *h.Inventory)
}

// plan is what the agent on h does to disk, which must be the target: an agent
// does not choose what it wipes.
func (p *plans) plan(h host.Host, disk host.Disk) (installer.Plan, error) {
	target, err := p.target(h)
	if err != nil {
		return installer.Plan{}, err
	}
	if target.ID() != disk.ID() {
		return installer.Plan{}, fmt.Errorf("%s: %w: it asks for disk %s, its role means %s", h.Label(), installer.ErrPlan, disk.ID(), target.ID())
	}
	role, err := p.role(h)
	if err != nil {
		return installer.Plan{}, err
	}
	keys, err := keyFiles(p.cfg.Images.Keys)
	if err != nil {
		return installer.Plan{}, fmt.Errorf("package keys for %s: %w", h.Label(), err)
	}
	site := installer.Site{Arch: p.cfg.Images.Arch, Keys: keys}
	for _, sub := range p.cfg.Images.subfolders() {
		site.Repositories = append(site.Repositories, p.cfg.Server.httpURL()+boot.RepoPath+sub)
	}
	return role.Plan(h, *h.Inventory, site)
}

func (p *plans) role(h host.Host) (installer.Role, error) {
	role, ok := p.cfg.Roles[h.Role]
	if !ok {
		return role, fmt.Errorf("%s: the configuration has no role %q any more; add it, or run provision reinstall %s --role", h.Label(), h.Role, h.Label())
	}
	return role, nil
}

// keyFiles returns the trusted package keys under the names by which XBPS looks
// for them.
func keyFiles(dir string) ([]installer.File, error) {
	keys, err := xbps.LoadKeys(dir)
	if err != nil {
		return nil, err
	}
	var files []installer.File
	for _, key := range keys {
		name, content, err := key.Marshal()
		if err != nil {
			return nil, err
		}
		files = append(files, installer.File{Path: name, Content: string(content)})
	}
	return files, nil
}

// enrolTime bounds what an enrolling host waits for Nomad; its first boot asks
// again.
const enrolTime = 30 * time.Second

// files are what makes the installed h a member of the cluster.
func (p *plans) files(ctx context.Context, h host.Host) ([]installer.File, error) {
	role, err := p.role(h)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, enrolTime)
	defer cancel()
	made, err := p.cluster.Enrol(ctx, nomad.Client{
		Name: h.Name, Datacenter: role.Nomad.Datacenter, Pool: role.Nomad.Pool, Meta: role.Nomad.Meta,
		Certificate: installer.HostCertificate, Key: installer.HostKey,
		Again: h.Enrolment != nil && !h.Enrolment.Used.IsZero(),
	}, h.Node)
	if err != nil {
		return nil, err
	}
	var files []installer.File
	for _, f := range made {
		files = append(files, installer.File{Path: f.Path, Mode: uint32(f.Mode.Perm()), Content: f.Content})
	}
	if role.Nomad.Config != "" {
		// Nomad reads the folder in alphabetical order, and later files win.
		files = append(files, installer.File{Path: filepath.Join(nomad.ConfigDir, "role.hcl"), Mode: 0o640, Content: role.Nomad.Config})
	}
	return files, nil
}

// meta is what the configuration job of h is told.
func (p *plans) meta(h host.Host) map[string]string {
	return maps.Clone(p.cfg.Roles[h.Role].Nomad.Meta)
}

// template is the file with the configuration job of h.
func (p *plans) template(h host.Host) string { return p.cfg.Roles[h.Role].Job }
