package agent

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision.internal/host"
	"provision.internal/installer"
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
	if err := in.checkDisks(context.Background()); err != nil {
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

// Neither half of a mirror may be anything but what the plan says; when one is
// refused, the other is not touched either.
func TestRefusedMirrors(t *testing.T) {
	lvm := "LABELONE" + strings.Repeat("\x00", 16) + "LVM2 001"
	for _, c := range []struct {
		name    string
		arrange func(*machine, *installer.Plan)
		want    string
	}{
		{"one half only", func(_ *machine, p *installer.Plan) { p.Disks = p.Disks[:1] }, "names 1 disks and needs 2"},
		{"two disks without a mirror", func(_ *machine, p *installer.Plan) { p.Layout.Mirror = false }, "names 2 disks and needs 1"},
		{"one disk twice", func(_ *machine, p *installer.Plan) { p.Disks[1] = p.Disks[0] }, "named twice"},
		{"the second is gone", func(_ *machine, p *installer.Plan) { p.Disks[1].Serial = "GONE" }, `no disk has the serial "GONE"`},
		{"the second was exchanged", func(_ *machine, p *installer.Plan) { p.Disks[1].Size = 1 << 40 }, "it was exchanged"},
		{"a third has the serial of the second", func(m *machine, _ *installer.Plan) { m.addDisk("sdc", "DISK2") }, "2 disks have the serial"},
		{"the first is foreign", func(m *machine, p *installer.Plan) { m.writeAt("sda", 512, lvm); p.Disks[1].Foreign = true }, "LVM2_member on sda"},
		{"the second is foreign", func(m *machine, p *installer.Plan) { m.writeAt("sdb", 512, lvm); p.Disks[0].Foreign = true }, "LVM2_member on sdb"},
		{"the second is mounted", func(m *machine, p *installer.Plan) {
			p.Disks[0].Foreign, p.Disks[1].Foreign = true, true
			m.put("/proc/mounts", "/dev/sdb /mnt ext4 rw 0 0\n")
		}, "sdb is mounted on /mnt"},
		{"its array also lies on a third", func(m *machine, p *installer.Plan) {
			p.Disks[0].Foreign, p.Disks[1].Foreign = true, true
			m.addDisk("sdc", "DATA")
			m.hold("md127", "sda", "sdb", "sdc")
		}, "md127, which also lies on sdc"},
		{"what lies on its array is mounted", func(m *machine, p *installer.Plan) {
			p.Disks[0].Foreign, p.Disks[1].Foreign = true, true
			m.hold("md127", "sda", "sdb")
			m.hold("dm-0", "md127")
			m.put("/sys/block/dm-0/dm/name", "vg-data")
			m.put("/proc/mounts", "/dev/mapper/vg-data /srv ext4 rw 0 0\n")
		}, "dm-0 is mounted on /srv"},
		{"what lies on its array also lies elsewhere", func(m *machine, p *installer.Plan) {
			p.Disks[0].Foreign, p.Disks[1].Foreign = true, true
			m.addDisk("sdc", "DATA")
			m.hold("md127", "sda", "sdb")
			m.hold("dm-0", "md127", "sdc")
		}, "dm-0, which also lies on sdc"},
		{"a cache holds it", func(m *machine, p *installer.Plan) {
			p.Disks[0].Foreign, p.Disks[1].Foreign = true, true
			m.hold("bcache0", "sda")
		}, "neither an array nor a mapping"},
		{"its array was not named by the operator", func(m *machine, _ *installer.Plan) { m.hold("md127", "sda", "sdb") }, "used by md127 on sda"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			m.addDisk("sda", "DISK1")
			m.addDisk("sdb", "DISK2")
			plan := mirrorPlan()
			c.arrange(m, &plan)
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

// hold makes the kernel say that a device lies on others.
func (m *machine) hold(name string, slaves ...string) {
	for _, s := range slaves {
		m.put("/sys/block/"+s+"/holders/"+name, "")
		m.put("/sys/block/"+name+"/slaves/"+s, "")
	}
}

// Idle holders of the plan's own disks are stopped from the top down, before
// anything is written.
func TestHoldersAreStopped(t *testing.T) {
	m := newMachine(t)
	m.addDisk("sda", "DISK1")
	m.addDisk("sdb", "DISK2")
	m.hold("md127", "sda", "sdb")
	m.hold("dm-0", "md127")
	m.hold("dm-1", "dm-0")
	m.put("/sys/block/dm-0/dm/name", "luks-old")
	m.put("/sys/block/dm-1/dm/name", "vg-old")
	plan := mirrorPlan()
	plan.Disks[0].Foreign, plan.Disks[1].Foreign = true, true
	in, _ := testInstall(t, m, plan, false)
	if err := in.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	want := []string{"dmsetup remove --retry vg-old", "dmsetup remove --retry luks-old", "mdadm --stop /dev/md127", "wipefs --all --force /dev/sda"}
	if d := cmp.Diff(want, m.done()[:len(want)]); d != "" {
		t.Errorf("effects differ (-want +got):\n%s", d)
	}
}

// A machine may reinstall the mirror that it has made itself, but not one with
// the same signature that it has not.
func TestOwnMirrorIsNotForeign(t *testing.T) {
	for _, c := range []struct {
		name    string
		mac     host.MAC
		foreign bool
	}{
		{"its own", testMAC, false},
		{"another machine's", host.MAC{0x52, 0x54, 0, 9, 9, 9}, true},
	} {
		m := newMachine(t)
		m.addDisk("sda", "DISK1")
		table := make([]byte, 1024+128)
		copy(table[512:], "EFI PART")
		table[512+72], table[512+80], table[512+84] = 2, 128, 128
		id, err := hex.DecodeString(strings.ReplaceAll(partIdentity("root", "DISK1", c.mac), "-", ""))
		if err != nil {
			t.Fatal(err)
		}
		for i, from := range []int{3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15} { // as GPT has them
			table[1024+16+i] = id[from]
		}
		m.writeAt("sda", 0, string(table))
		m.put("/sys/block/sda/sda1/partition", "1")
		m.put("/dev/sda1", strings.Repeat("\x00", 0x1000)+"\xfc\x4e\x2b\xa9"+strings.Repeat("\x00", 0x1000))
		got := m.system().disks(testMAC)[0].Foreign
		if foreign := got != ""; foreign != c.foreign {
			t.Errorf("%s mirror: foreign = %q", c.name, got)
		}
		if got := m.system().disks(host.MAC{})[0].Foreign; got == "" {
			t.Error("a machine that does not know itself took the disk for its own")
		}
	}
}
