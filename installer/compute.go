package installer

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"provision.internal/host"
)

// Site is what the appliance adds to a role to make a plan.
type Site struct {
	Arch         string   // as XBPS calls it, with the libc: x86_64-musl
	Repositories []string // URLs, first wins
	Snapshot     string   // that Repositories are of; empty where there are none
	Keys         []File   // trusted package keys
	Passphrase   Secret   // content of the role's luks.passphrase_file
	FirstBoot    FirstBoot
}

// ErrPlan is wrapped when a host cannot be installed as its role wants it.
var ErrPlan = errors.New("no plan")

// defaultCmdline is Void's.
const defaultCmdline = "loglevel=4"

// Targets returns the disks that an install of h would write: those of its
// grant when the operator named them, else those that the role's rule means. It
// is an error when the machine is not what the role expects.
func (r Role) Targets(h host.Host, inv host.Inventory) ([]host.Disk, error) {
	if err := r.Hardware.Check(inv); err != nil {
		return nil, err
	}
	if h.Grant != nil && h.Grant.Disk != "" {
		return r.named(*h.Grant, inv)
	}
	rules, err := ParseDisks(r.Disk)
	if err != nil {
		return nil, err
	}
	if r.Mirror {
		return ChooseMirror(rules, inv.Disks, false)
	}
	d, err := rules[0].Choose(inv.Disks, false)
	return []host.Disk{d}, err
}

// named returns the disks of the grant.
func (r Role) named(g host.Grant, inv host.Inventory) ([]host.Disk, error) {
	disks, err := host.FindDisks(inv.Disks, g.Disk)
	if err != nil {
		return nil, refuse(inv.Disks, err.Error())
	}
	want := 1
	if r.Mirror {
		want = 2
	}
	if len(disks) != want {
		return nil, refuse(inv.Disks, fmt.Sprintf("the role installs on %d disks and --disk names %d (%s): name all of them, with commas between",
			want, len(disks), g.Disk))
	}
	return disks, mayInstall(disks, inv.Disks, g.Foreign)
}

// Plan computes what the agent on h does. It is pure: the same arguments always
// give the same plan.
func (r Role) Plan(h host.Host, inv host.Inventory, site Site) (Plan, error) {
	if err := ValidHostname(h.Name); err != nil {
		return Plan{}, fmt.Errorf("%w: %w", ErrPlan, err)
	}
	disks, err := r.Targets(h, inv)
	if err != nil {
		return Plan{}, err
	}
	if r.LUKS != nil && (site.Passphrase == "" || len(site.Passphrase) > largestPassphrase) {
		return Plan{}, fmt.Errorf("%w: the file %s holds no passphrase of 1 to %d bytes", ErrPlan, r.LUKS.PassphraseFile, largestPassphrase)
	}
	arch, _, _ := strings.Cut(site.Arch, "-")
	if arch != inv.Arch {
		return Plan{}, fmt.Errorf("%w: the machine is %s, but the appliance's repositories are for %s", ErrPlan, inv.Arch, site.Arch)
	}
	grub, err := grubPackage(arch, inv.UEFI)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{
		Host:       h.Name,
		MAC:        h.MAC,
		Layout:     r.layout(inv.UEFI),
		Repository: site.Repositories,
		Snapshot:   site.Snapshot,
		Arch:       site.Arch,
		Keys:       site.Keys,
		Packages:   r.packages(arch, grub),
		Services:   r.services(),
		Users:      r.Users,
		Files:      r.Files,
		Timezone:   r.Timezone,
		Keymap:     r.Keymap,
		Locale:     r.Locale,
		Cmdline:    r.Cmdline,
		Boot:       r.Boot,
		Script:     r.Script,
		FirstBoot:  site.FirstBoot,
	}
	for _, d := range disks {
		p.Disks = append(p.Disks, PlanDisk(d, h.Grant, disks))
	}
	if r.LUKS != nil {
		p.Layout.Passphrase = site.Passphrase
	}
	if p.Boot == "" {
		p.Boot = BootNetwork
	}
	if p.Cmdline == "" {
		p.Cmdline = defaultCmdline
	}
	return p, nil
}

// PlanDisk is how a plan names d, one of the disks of an install under the grant
// g: only the operator's own word for exactly these disks lets foreign data go.
func PlanDisk(d host.Disk, g *host.Grant, all []host.Disk) Disk {
	return Disk{Serial: d.ID(), Size: d.Size, Foreign: g != nil && g.Foreign && g.Disk == host.DiskIDs(all)}
}

// grubPackage is the package with the boot loader for the firmware.
func grubPackage(arch string, uefi bool) (string, error) {
	switch {
	case arch == "x86_64" && uefi:
		return "grub-x86_64-efi", nil
	case arch == "x86_64":
		return "grub", nil
	case arch == "aarch64" && uefi:
		return "grub-arm64-efi", nil
	}
	return "", fmt.Errorf("%w: there is no boot loader for %s without UEFI: switch the machine to UEFI", ErrPlan, arch)
}

// PackagesOn are all that a host of the role may need on machines of the architecture arch,
// whatever their firmware.
func (r Role) PackagesOn(arch string) []string {
	var all []string
	for _, uefi := range []bool{true, false} {
		if grub, err := grubPackage(arch, uefi); err == nil {
			all = union(all, r.packages(arch, grub))
		}
	}
	return all
}

// packages are those that every host needs, then the role's.
func (r Role) packages(arch, grub string) []string {
	all := []string{"base-system", grub, "nomad"}
	if arch != "x86_64" {
		all = append(all, "linux") // base-system brings it on x86 only
	}
	return union(union(all, r.Tools()), r.Packages)
}

// services: without dhcpcd the host would never be heard of again.
func (r Role) services() []string {
	all := []string{"dhcpcd"}
	if len(r.Users) > 0 {
		all = append(all, "sshd")
	}
	return union(all, r.Services)
}

func union(a, b []string) []string {
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(a, s)
		}
	}
	return a
}
