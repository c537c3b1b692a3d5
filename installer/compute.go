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
	Keys         []File   // trusted package keys
	FirstBoot    FirstBoot
}

// ErrPlan is wrapped when a host cannot be installed as its role wants it.
var ErrPlan = errors.New("no plan")

// defaultCmdline is Void's.
const defaultCmdline = "loglevel=4"

// Target returns the disk that an install of h would write: the one of its
// grant when the operator named one, else the one that the role's rule means.
func (r Role) Target(h host.Host, inv host.Inventory) (host.Disk, error) {
	rule, err := ParseRule(r.Disk)
	if err != nil {
		return host.Disk{}, err
	}
	foreign := false
	if h.Grant != nil && h.Grant.Disk != "" {
		rule, foreign = Rule{kind: "serial", value: h.Grant.Disk}, h.Grant.Foreign
	}
	return rule.Choose(inv.Disks, foreign)
}

// Plan computes what the agent on h does. It is pure: the same arguments always
// give the same plan.
func (r Role) Plan(h host.Host, inv host.Inventory, site Site) (Plan, error) {
	if err := ValidHostname(h.Name); err != nil {
		return Plan{}, fmt.Errorf("%w: %w", ErrPlan, err)
	}
	disk, err := r.Target(h, inv)
	if err != nil {
		return Plan{}, err
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
		Host: h.Name,
		MAC:  h.MAC,
		Disk: Disk{
			Serial:  disk.ID(),
			Size:    disk.Size,
			Foreign: h.Grant != nil && h.Grant.Foreign && h.Grant.Disk == disk.ID(),
		},
		Layout:     Layout{Filesystem: r.Filesystem, Swap: r.Swap},
		Repository: site.Repositories,
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
		FirstBoot:  site.FirstBoot,
	}
	if p.Layout.Filesystem == "" {
		p.Layout.Filesystem = "ext4"
	}
	if p.Cmdline == "" {
		p.Cmdline = defaultCmdline
	}
	if inv.UEFI {
		p.Layout.ESP = r.ESP
	}
	return p, nil
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

// packages are those that every host needs, then the role's.
func (r Role) packages(arch, grub string) []string {
	all := []string{"base-system", grub, "nomad"}
	if arch != "x86_64" {
		all = append(all, "linux") // base-system brings it on x86 only
	}
	if r.Filesystem == "xfs" {
		all = append(all, "xfsprogs")
	}
	return union(all, r.Packages)
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
