package installer_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision.internal/golden"
	"provision.internal/host"
	"provision.internal/installer"
)

func someHost() host.Host {
	return host.Host{
		MAC: host.MAC{0x52, 0x54, 0, 0x12, 0x34, 0x56}, Name: "node1", Role: "worker",
		State: host.Admitted, Grant: &host.Grant{ID: "g1", By: "operator"},
	}
}

func site(arch string) installer.Site {
	return installer.Site{
		Arch:         arch,
		Repositories: []string{"http://10.77.0.1/void/current", "http://10.77.0.1/void/current/nonfree"},
		Keys:         []installer.File{{Path: "60:ae:0c.plist", Content: "<plist/>"}},
		Passphrase:   "open sesame",
		FirstBoot:    installer.FirstBoot{URL: "https://10.77.0.1", HTTP: "http://10.77.0.1", CA: "PEM", Token: "secret"},
	}
}

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		name string
		role installer.Role
		inv  host.Inventory
		arch string
	}{
		{"uefi", fullRole(), host.Inventory{Arch: "x86_64", UEFI: true, Memory: 15 << 30, Disks: []host.Disk{usb, small, medium}}, "x86_64"},
		{"mirror", installer.Role{Disk: "largest", Mirror: true, Filesystem: "btrfs"}, host.Inventory{Arch: "x86_64", Disks: []host.Disk{twin, small, large}}, "x86_64"},
		{"bios", installer.Role{ESP: 1 << 30}, host.Inventory{Arch: "x86_64", Disks: []host.Disk{plain}}, "x86_64-musl"},
		{"arm64", installer.Role{Packages: []string{"linux", "vim"}, Services: []string{"dhcpcd"}}, host.Inventory{Arch: "aarch64", UEFI: true, Disks: []host.Disk{small}}, "aarch64"},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan, err := c.role.Plan(someHost(), c.inv, site(c.arch))
			if err != nil {
				t.Fatal(err)
			}
			b, err := json.MarshalIndent(plan, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, "plan-"+c.name+".json", string(b)+"\n")

			again, err := c.role.Plan(someHost(), c.inv, site(c.arch))
			if err != nil || !reflect.DeepEqual(plan, again) {
				t.Errorf("the same arguments gave another plan: %+v, %v", again, err)
			}
			var read installer.Plan
			if err := json.Unmarshal(b, &read); err != nil || !reflect.DeepEqual(plan, read) {
				t.Errorf("the agent reads another plan: %v\n%s", err, cmp.Diff(plan, read))
			}
		})
	}
}

func TestPlanRefuses(t *testing.T) {
	x86 := host.Inventory{Arch: "x86_64", UEFI: true, Disks: []host.Disk{small}}
	for _, c := range []struct {
		name   string
		change func(*installer.Role, *host.Host, *host.Inventory, *installer.Site)
		want   error
		text   string
	}{
		{"a name that is none", func(_ *installer.Role, h *host.Host, _ *host.Inventory, _ *installer.Site) { h.Name = "Bad_Name" }, installer.ErrPlan, "Bad_Name"},
		{"another architecture", func(_ *installer.Role, _ *host.Host, i *host.Inventory, _ *installer.Site) { i.Arch = "aarch64" }, installer.ErrPlan, "aarch64"},
		{"arm64 without UEFI", func(_ *installer.Role, _ *host.Host, i *host.Inventory, s *installer.Site) {
			i.Arch, i.UEFI, s.Arch = "aarch64", false, "aarch64"
		}, installer.ErrPlan, "switch the machine to UEFI"},
		{"no disk", func(_ *installer.Role, _ *host.Host, i *host.Inventory, _ *installer.Site) { i.Disks = nil }, installer.ErrDisk, "no disk"},
		{"the grant's disk is gone", func(_ *installer.Role, h *host.Host, _ *host.Inventory, _ *installer.Site) {
			h.Grant = &host.Grant{Disk: "OTHER"}
		}, installer.ErrDisk, "OTHER"},
		{"a foreign disk that the operator did not name", func(_ *installer.Role, h *host.Host, i *host.Inventory, _ *installer.Site) {
			i.Disks, h.Grant = []host.Disk{used}, &host.Grant{Disk: "F1"}
		}, installer.ErrDisk, "LVM2"},
		{"LUKS without a passphrase", func(r *installer.Role, _ *host.Host, _ *host.Inventory, s *installer.Site) {
			r.LUKS, s.Passphrase = &installer.LUKS{PassphraseFile: "/etc/provision/luks"}, ""
		}, installer.ErrPlan, "/etc/provision/luks"},
		{"too little memory", func(r *installer.Role, _ *host.Host, i *host.Inventory, _ *installer.Site) {
			r.Hardware.Memory, i.Memory = amount(">= 16GiB"), 8<<30
		}, installer.ErrHardware, "8.0 GiB of memory, wanted >= 16GiB"},
		{"one disk named for a mirror", func(r *installer.Role, h *host.Host, i *host.Inventory, _ *installer.Site) {
			i.Disks, r.Mirror, h.Grant = []host.Disk{small, medium}, true, &host.Grant{Disk: "S1"}
		}, installer.ErrDisk, "name all of them"},
		{"two disks named for one", func(_ *installer.Role, h *host.Host, i *host.Inventory, _ *installer.Site) {
			i.Disks, h.Grant = []host.Disk{small, medium}, &host.Grant{Disk: "S1,N1"}
		}, installer.ErrDisk, "--disk names 2"},
		{"half of a mirror is foreign", func(r *installer.Role, _ *host.Host, i *host.Inventory, _ *installer.Site) {
			i.Disks, r.Mirror = []host.Disk{small, used}, true
		}, installer.ErrDisk, "--disk F1,S1"},
		{"the operator's word was for another set of disks", func(r *installer.Role, h *host.Host, i *host.Inventory, _ *installer.Site) {
			i.Disks, r.Mirror, h.Grant = []host.Disk{small, used, medium}, true, &host.Grant{Disk: "F1,S1"}
		}, installer.ErrDisk, "LVM2"},
	} {
		role, h, inv, s := installer.Role{}, someHost(), x86, site("x86_64")
		c.change(&role, &h, &inv, &s)
		if p, err := role.Plan(h, inv, s); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: Plan = %+v, %v; want %v with %q", c.name, p.Disks, err, c.want, c.text)
		}
	}
}

// Only the operator's own word in the very command lets foreign data go; the
// grant's disk wins over the role's rule.
func TestPlanTakesTheGrantsDisk(t *testing.T) {
	inv := host.Inventory{Arch: "x86_64", Disks: []host.Disk{small, used}}
	h := someHost()
	h.Grant = &host.Grant{Disk: "F1", Foreign: true}
	plan, err := installer.Role{Disk: "largest"}.Plan(h, inv, site("x86_64"))
	if err != nil {
		t.Fatal(err)
	}
	if want := (installer.Disk{Serial: "F1", Size: used.Size, Foreign: true}); len(plan.Disks) != 1 || plan.Disks[0] != want {
		t.Errorf("the plan's disks are %+v, want %+v", plan.Disks, want)
	}

	h.Grant = &host.Grant{Disk: "S1"}
	plan, err = installer.Role{}.Plan(h, inv, site("x86_64"))
	if err != nil || len(plan.Disks) != 1 || plan.Disks[0].Serial != "S1" || plan.Disks[0].Foreign {
		t.Errorf("Plan = %+v, %v; want S1 without foreign", plan.Disks, err)
	}
}
