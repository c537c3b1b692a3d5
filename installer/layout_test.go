package installer_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision.internal/host"
	"provision.internal/installer"
)

// A mirror is two disks, neither more nor fewer, and never one that may hold
// somebody's data.
func TestChooseMirror(t *testing.T) {
	foreignTwin := host.Disk{Name: "sdf", Serial: "L3", Size: twin.Size, Foreign: "linux_raid_member on sdf1"}
	for _, c := range []struct {
		rule    string
		disks   []host.Disk
		foreign bool
		want    string // IDs; or, with err, a part of the message
		err     bool
	}{
		{rule: "", disks: []host.Disk{twin, large}, want: "L1,L2"},
		{rule: "", disks: []host.Disk{large}, want: "only sdb fits", err: true},
		{rule: "", disks: []host.Disk{large, twin, small}, want: "set its key disk", err: true},
		{rule: "largest", disks: []host.Disk{small, twin, large}, want: "L1,L2"},
		{rule: "largest", disks: []host.Disk{small, medium, large}, want: "L1,N1"},
		{rule: "largest", disks: []host.Disk{foreignTwin, twin, large}, want: "several fit largest", err: true},
		{rule: "smallest over 200 GB", disks: []host.Disk{small, medium, large}, want: "L1,N1"},
		{rule: "smallest", disks: []host.Disk{medium, large, twin}, want: "several fit", err: true},
		{rule: "model:Samsung HDD", disks: []host.Disk{twin, small, large}, want: "L1,L2"},
		{rule: "serial:L2 and serial:S1", disks: []host.Disk{twin, small, large}, want: "L2,S1"},
		{rule: "serial:L2 and serial:L2", disks: []host.Disk{twin, small}, want: "the same disk", err: true},
		{rule: "serial:L2 and serial:gone", disks: []host.Disk{twin, small}, want: "none fits serial:gone", err: true},
		{rule: "serial:L2 and largest", disks: []host.Disk{twin, small}, want: "the same disk", err: true},
		{rule: "largest", disks: []host.Disk{twin, foreignTwin, small}, want: "name it in provision reinstall --disk L2,L3", err: true},
		{rule: "largest", disks: []host.Disk{twin, foreignTwin, small}, foreign: true, want: "L2,L3"},
		{rule: "smallest", disks: []host.Disk{plain, bare, large}, want: "no serial, WWN or path", err: true},
		{rule: "smallest", disks: []host.Disk{cloneA, cloneB, large}, want: "share the serial SAME", err: true},
	} {
		rules, err := installer.ParseDisks(c.rule)
		if err != nil {
			t.Fatal(err)
		}
		got, err := installer.ChooseMirror(rules, c.disks, c.foreign)
		switch {
		case !c.err && (err != nil || host.DiskIDs(got) != c.want):
			t.Errorf("%q of %d disks = %q, %v; want %q", c.rule, len(c.disks), host.DiskIDs(got), err, c.want)
		case c.err && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q of %d disks = %q, %v; want an error with %q", c.rule, len(c.disks), host.DiskIDs(got), err, c.want)
		}
	}
}

func TestTools(t *testing.T) {
	for _, c := range []struct {
		role installer.Role
		want []string
	}{
		{installer.Role{}, nil},
		{installer.Role{Filesystem: "btrfs", Partitions: []installer.Partition{{Path: "/srv", Filesystem: "xfs"}}}, []string{"xfsprogs", "btrfs-progs"}},
		{installer.Role{Mirror: true, LUKS: &installer.LUKS{}}, []string{"mdadm", "cryptsetup"}},
	} {
		if d := cmp.Diff(c.want, c.role.Tools()); d != "" {
			t.Errorf("%+v: tools differ (-want +got):\n%s", c.role, d)
		}
	}
}

func TestValidateLayout(t *testing.T) {
	for key, role := range map[string]installer.Role{
		"disk":                     {Disk: "smallest and largest"},
		"mirror of three":          {Disk: "serial:A and serial:B and serial:C", Mirror: true},
		"luks.passphrase_file":     {LUKS: &installer.LUKS{}},
		"boot":                     {Boot: "usb"},
		"root":                     {Partitions: []installer.Partition{{Path: "/var"}}},
		"root too small":           {Root: 1 << 20},
		"partitions[0].path":       {Partitions: []installer.Partition{{Path: "/usr", Size: 1 << 30}}},
		"partitions[0].path no":    {Partitions: []installer.Partition{{Path: "/var/../etc", Size: 1 << 30}}},
		"partitions[1].path":       {Partitions: []installer.Partition{{Path: "/a", Size: 1 << 30}, {Path: "/a", Size: 1 << 30}}},
		"partitions[1].size":       {Root: 2 << 30, Partitions: []installer.Partition{{Path: "/a"}, {Path: "/b"}}},
		"partitions[0].size":       {Partitions: []installer.Partition{{Path: "/a", Size: 1 << 20}}},
		"partitions[0].filesystem": {Partitions: []installer.Partition{{Path: "/a", Size: 1 << 30, Filesystem: "zfs"}}},
		"hardware.memory":          {Hardware: installer.Hardware{Memory: amount("16GiB")}},
		"hardware.disks":           {Hardware: installer.Hardware{Disks: amount(">= 1TB")}},
		"script":                   {Script: "echo \x00"},
	} {
		want, _, _ := strings.Cut(key, " ")
		if want == "mirror" {
			want = "disk"
		}
		if err := role.Validate("r"); err == nil || !strings.HasPrefix(err.Error(), "r."+want+": ") {
			t.Errorf("%s: Validate = %v, want a fault of r.%s", key, err, want)
		}
	}
}

// Nothing but the plan on its way to the machine shows a passphrase.
func TestSecretIsNotShown(t *testing.T) {
	plan := installer.Plan{Layout: installer.Layout{Passphrase: "open sesame"}}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, plan); strings.Contains(text, "sesame") {
			t.Errorf("%s shows it: %s", format, text)
		}
	}
	b, err := json.Marshal(plan)
	if err != nil || !strings.Contains(string(b), "open sesame") {
		t.Errorf("the plan that travels has no passphrase: %s, %v", b, err)
	}
}
