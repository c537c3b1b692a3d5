package daemon

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"provision.internal/boot"
	"provision.internal/host"
	"provision.internal/installer"
	"provision.internal/nomad"
	"provision.internal/xbps"
	"provision.internal/xbps/mirror"
)

// plans computes what hosts are made of, from the configuration.
type plans struct {
	cfg     Config
	mirror  *mirror.Mirror // nil where images.repository is a folder
	cluster *nomad.Cluster
	founder founder // nil where the cluster is somebody else's
}

// targets are the disks that an install of h writes.
func (p *plans) targets(h host.Host) ([]host.Disk, error) {
	role, err := p.role(h)
	if err != nil {
		return nil, err
	}
	if h.Inventory == nil {
		return nil, fmt.Errorf("%s: %w: its hardware is not known", h.Label(), installer.ErrPlan)
	}
	return role.Targets(h, *h.Inventory)
}

// plan is what the agent on h does to disks, which must be the targets: an agent
// does not choose what it wipes.
func (p *plans) plan(h host.Host, disks []host.Disk) (installer.Plan, error) {
	targets, err := p.targets(h)
	if err != nil {
		return installer.Plan{}, err
	}
	if want, asked := host.DiskIDs(targets), host.DiskIDs(disks); want != asked {
		return installer.Plan{}, fmt.Errorf("%s: %w: it asks for disk %s, its role means %s", h.Label(), installer.ErrPlan, asked, want)
	}
	role, err := p.role(h)
	if err != nil {
		return installer.Plan{}, err
	}
	site, err := p.site(h, role, h.Inventory.Arch)
	if err != nil {
		return installer.Plan{}, err
	}
	return role.Plan(h, *h.Inventory, site)
}

// site is what the appliance adds to the role for h, whose processor the kernel
// calls machine.
func (p *plans) site(h host.Host, role installer.Role, machine string) (installer.Site, error) {
	passphrase, err := passphraseOf(role)
	if err != nil {
		return installer.Site{}, fmt.Errorf("%s: %w: %w", h.Label(), installer.ErrPlan, err)
	}
	keys, err := p.keys()
	if err != nil {
		return installer.Site{}, fmt.Errorf("package keys for %s: %w", h.Label(), err)
	}
	files, err := keyFiles(keys)
	if err != nil {
		return installer.Site{}, fmt.Errorf("package keys for %s: %w", h.Label(), err)
	}
	arch, err := p.cfg.Images.target(machine, role.Libc)
	if err != nil {
		return installer.Site{}, fmt.Errorf("%s: %w: %w", h.Label(), installer.ErrPlan, err)
	}
	site := installer.Site{Arch: arch, Keys: files, Passphrase: passphrase}
	base := p.cfg.Server.httpURL() + boot.RepoPath
	if p.mirror != nil {
		if site.Snapshot, err = snapshotFor(p.mirror, h); err != nil {
			return installer.Site{}, fmt.Errorf("%s: %w: %w", h.Label(), installer.ErrPlan, err)
		}
		base += "@" + site.Snapshot + "/"
	}
	for _, sub := range p.cfg.Images.folders(arch) {
		site.Repositories = append(site.Repositories, base+sub)
	}
	return site, nil
}

// keys are the package keys that installed systems trust.
func (p *plans) keys() (xbps.Keys, error) {
	if p.mirror != nil {
		return p.mirror.Keys(), nil // an import may have brought some
	}
	return p.cfg.Images.trusted()
}

func (p *plans) role(h host.Host) (installer.Role, error) {
	role, ok := p.cfg.Roles[h.Role]
	if !ok {
		return role, fmt.Errorf("%s: the configuration has no role %q any more; add it, or run provision reinstall %s --role", h.Label(), h.Role, h.Label())
	}
	return role, nil
}

// passphraseOf reads the role's passphrase for LUKS. The file belongs to root:
// whoever else could read it could open every disk of the role.
func passphraseOf(role installer.Role) (installer.Secret, error) {
	if role.LUKS == nil {
		return "", nil
	}
	f, err := os.Open(role.LUKS.PassphraseFile)
	if err != nil {
		return "", fmt.Errorf("the role's passphrase: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("the role's passphrase: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("the role's passphrase: %s can be read by others than its owner: chmod 600 %s", f.Name(), f.Name())
	}
	const longest = 4096 // the plan refuses much shorter ones
	b, err := io.ReadAll(io.LimitReader(f, longest))
	if err != nil {
		return "", fmt.Errorf("the role's passphrase: %w", err)
	}
	return installer.Secret(bytes.TrimRight(b, "\r\n")), nil
}

// keyFiles returns the trusted package keys under the names by which XBPS looks
// for them.
func keyFiles(keys xbps.Keys) ([]installer.File, error) {
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
