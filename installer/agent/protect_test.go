package agent

import (
	"context"
	"errors"
	"strings"
	"testing"

	"provision.internal/host"
)

// Whatever is wrong with the disk: nothing at all is done to any.
func TestRefusedDisksAreNotTouched(t *testing.T) {
	for _, c := range []struct {
		name    string
		arrange func(*machine)
		foreign bool
		want    string
	}{
		{"no disk", func(m *machine) {}, false, "no disk has the serial"},
		{"another disk only", func(m *machine) { m.addDisk("vda", "OTHER") }, false, `vda "OTHER"`},
		{"two with one serial", func(m *machine) { m.addDisk("vda", "DISK1"); m.addDisk("vdb", "DISK1") }, false, "2 disks"},
		{"another size", func(m *machine) { m.addDisk("vda", "DISK1"); m.put("/sys/block/vda/size", "1000000") }, false, "it was exchanged"},
		{"LVM", func(m *machine) {
			m.addDisk("vda", "DISK1")
			m.writeAt("vda", 512, "LABELONE"+strings.Repeat("\x00", 16)+"LVM2 001")
		}, false, "LVM2_member on vda"},
		{"LUKS on a partition", func(m *machine) {
			m.addDisk("vda", "DISK1")
			m.put("/sys/block/vda/vda2/partition", "2")
			m.put("/dev/vda2", "LUKS\xba\xbe"+strings.Repeat("\x00", 64<<10))
		}, false, "crypto_LUKS on vda2"},
		{"a partition that cannot be read", func(m *machine) {
			m.addDisk("vda", "DISK1")
			m.put("/sys/block/vda/vda1/partition", "1")
		}, false, "unreadable"},
		// What is in use now is refused even when the operator has named the disk.
		{"mounted", func(m *machine) {
			m.addDisk("vda", "DISK1")
			m.put("/sys/block/vda/vda1/partition", "1")
			m.put("/dev/vda1", "")
			m.put("/proc/mounts", "tmpfs / tmpfs rw 0 0\n/dev/vda1 /mnt ext4 rw 0 0\n")
		}, true, "vda1 is mounted on /mnt"},
		{"swap", func(m *machine) {
			m.addDisk("vda", "DISK1")
			m.put("/proc/swaps", "Filename Type Size\n/dev/vda partition 1024 0 -2\n")
		}, true, "used as swap"},
		{"held by md", func(m *machine) {
			m.addDisk("vda", "DISK1")
			m.put("/sys/block/vda/holders/md0", "")
		}, true, "used by md0"},
		{"too small", func(m *machine) {
			m.addDisk("vda", "DISK1")
			m.put("/sys/block/vda/size", "1000000")
		}, true, "exchanged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			c.arrange(m)
			plan := testPlan("DISK1")
			plan.Disks[0].Foreign = c.foreign
			in, _ := testInstall(t, m, plan, true)
			err := in.run(context.Background())
			var at *StepError
			if !errors.As(err, &at) || at.Step != "disk" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("run = %v, want a StepError of disk with %q", err, c.want)
			}
			if done := m.done(); len(done) > 0 {
				t.Errorf("effects in spite of the refusal: %q", done)
			}
		})
	}
}

// The operator's word lets foreign data go, and only that.
func TestNamedForeignDiskIsInstalled(t *testing.T) {
	m := newMachine(t)
	m.addDisk("vda", "DISK1")
	m.writeAt("vda", 0, "LUKS\xba\xbe")
	plan := testPlan("DISK1")
	plan.Disks[0].Foreign = true
	in, _ := testInstall(t, m, plan, false)
	if err := in.run(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// A disk that is exchanged, or renamed by a bus reset, after the first look is
// noticed by the second one, right before the first write.
func TestDiskIsLookedAtBeforeTheFirstWrite(t *testing.T) {
	m := newMachine(t)
	m.addDisk("vda", "DISK1")
	m.addDisk("vdb", "DISK2")
	in, _ := testInstall(t, m, testPlan("DISK1"), false)
	if err := in.checkDisk(context.Background()); err != nil {
		t.Fatal(err)
	}
	m.put("/sys/block/vda/device/serial", "DISK2")
	m.put("/sys/block/vdb/device/serial", "DISK1")
	if err := in.partition(context.Background()); err == nil || !strings.Contains(err.Error(), "was vda and is vdb now") {
		t.Errorf("partition = %v, want a refusal", err)
	}
	if done := m.done(); len(done) > 0 {
		t.Errorf("effects in spite of the refusal: %q", done)
	}
}

// No effect names a disk that is not the plan's.
func TestOtherDisksAreNeverNamed(t *testing.T) {
	m := newMachine(t)
	for _, d := range []string{"sda", "sdb", "sdc", "nvme0n1"} {
		m.addDisk(d, "SERIAL-"+d)
	}
	in, _ := testInstall(t, m, testPlan("SERIAL-sdb"), true)
	if err := in.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, e := range m.done() {
		for _, other := range []string{"sda", "sdc", "nvme"} {
			if strings.Contains(e, other) {
				t.Errorf("%q touches %s", e, other)
			}
		}
	}
}

func TestDivide(t *testing.T) {
	plan := testPlan("X")
	plan.Layout.Swap = 3 << 30
	for _, c := range []struct {
		name   string
		disk   host.Disk
		uefi   bool
		sector int
		want   layout // without identifiers
	}{
		{"UEFI on NVMe", host.Disk{Name: "nvme0n1", Serial: "X", Size: 100 << 30}, true, 512,
			layout{Disk: "/dev/nvme0n1", ESP: "/dev/nvme0n1p1", Swap: "/dev/nvme0n1p2", Root: "/dev/nvme0n1p3", espSize: 128 << 20, swapSize: 3 << 30}},
		{"UEFI with sectors of 4 KiB", host.Disk{Name: "sda", Serial: "X", Size: 100 << 30}, true, 4096,
			layout{Disk: "/dev/sda", ESP: "/dev/sda1", Swap: "/dev/sda2", Root: "/dev/sda3", espSize: 512 << 20, swapSize: 3 << 30}},
		{"BIOS on a memory card", host.Disk{Name: "mmcblk0", Serial: "X", Size: 100 << 30}, false, 512,
			layout{Disk: "/dev/mmcblk0", BIOS: "/dev/mmcblk0p1", Swap: "/dev/mmcblk0p2", Root: "/dev/mmcblk0p3", swapSize: 3 << 30}},
	} {
		got, err := divide(c.disk, plan, c.uefi, c.sector, zeros{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.uefi && got.espID != espIdentity("X", testMAC) {
			t.Errorf("%s: the EFI partition is %s", c.name, got.espID)
		}
		got.espID, got.uuids = "", uuids{}
		if got != c.want {
			t.Errorf("%s: divide = %+v, want %+v", c.name, got, c.want)
		}
	}
	if _, err := divide(host.Disk{Name: "sda", Serial: "X", Size: 4 << 30}, plan, true, 512, zeros{}); err == nil || !strings.Contains(err.Error(), "make swap smaller") {
		t.Errorf("a disk of 4 GiB with 3 GiB of swap: %v, want a refusal", err)
	}
}
