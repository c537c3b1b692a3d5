package agent

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision.internal/golden"
	"provision.internal/host"
	"provision.internal/installer"
)

// Every kind of layout, as sfdisk and fstab get it.
func TestDivide(t *testing.T) {
	const x = 100 << 30
	for _, c := range []struct {
		name   string
		disks  []host.Disk
		uefi   bool
		sector int
		layout installer.Layout
	}{
		{"plain-uefi-nvme", []host.Disk{{Name: "nvme0n1", Serial: "X", Size: x}}, true, 512, installer.Layout{Filesystem: "ext4", Swap: 3 << 30}},
		{"4k-sectors", []host.Disk{{Name: "sda", Serial: "X", Size: x}}, true, 4096, installer.Layout{}},
		{"bios-memory-card", []host.Disk{{Name: "mmcblk0", Serial: "X", Size: x}}, false, 512, installer.Layout{Filesystem: "xfs"}},
		{"partitions", []host.Disk{{Name: "vda", Serial: "X", Size: x}}, true, 512, installer.Layout{
			Filesystem: "btrfs", Root: 20 << 30, Swap: 1 << 30,
			Partitions: []installer.Partition{{Path: "/home"}, {Path: "/var", Size: 10<<30 + 1, Filesystem: "xfs"}, {Path: "/srv/data", Size: 1 << 30, Filesystem: "ext4"}},
		}},
		{"mirror-bios", []host.Disk{{Name: "sda", Serial: "A", Size: x}, {Name: "sdb", Serial: "B", Size: x + 5<<30}}, false, 512, installer.Layout{Filesystem: "ext4", Mirror: true}},
		{"luks", []host.Disk{{Name: "sda", Serial: "X", Size: x}}, false, 512, installer.Layout{Filesystem: "ext4", Swap: 1 << 30, Passphrase: "p"}},
		{"mirror-luks-uefi", []host.Disk{{Name: "nvme0n1", Serial: "A", Size: x}, {Name: "nvme1n1", Serial: "B", Size: x}}, true, 512, installer.Layout{
			Filesystem: "xfs", Swap: 1 << 30, Mirror: true, Passphrase: "p",
			Partitions: []installer.Partition{{Path: "/boot", Size: 2 << 30, Filesystem: "ext4"}, {Path: "/var", Size: 10 << 30}},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := divide(c.disks, installer.Plan{MAC: testMAC, Layout: c.layout}, c.uefi, c.sector, new(counter))
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, d := range l.disks {
				fmt.Fprintf(&b, "%s\n%s\n", d.disk, d.script())
			}
			b.WriteString(l.fstab() + "\n")
			for _, v := range l.volumes {
				fmt.Fprintf(&b, "%s of %s: %s\n", v.device(), strings.Join(v.parts, " "), strings.Join(v.mkfs(), " "))
			}
			in := &install{layout: l}
			fmt.Fprintf(&b, "%s\n", in.storageWords())
			golden.Check(t, "layout-"+c.name+".txt", b.String())
		})
	}
}

// counter gives identifiers that differ.
type counter byte

func (c *counter) Read(b []byte) (int, error) {
	*c++
	for i := range b {
		b[i] = byte(*c)
	}
	return len(b), nil
}

func TestDivideRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		size   uint64
		layout installer.Layout
		want   string
	}{
		{"swap as large as the disk", 4 << 30, installer.Layout{Swap: 3 << 30}, "make swap or partitions smaller"},
		{"nothing left for the rest", 8 << 30, installer.Layout{Root: 7<<30 + 512<<20, Partitions: []installer.Partition{{Path: "/var"}}}, "too small"},
		{"a tiny disk", 100 << 20, installer.Layout{}, "too small"},
		{"room for a root, not for /boot", 2 << 30, installer.Layout{Passphrase: "p"}, "too small"},
		{"an unknown file system", 8 << 30, installer.Layout{Filesystem: "zfs"}, "none of ext4"},
	} {
		_, err := divide([]host.Disk{{Name: "sda", Serial: "X", Size: c.size}}, installer.Plan{Layout: c.layout}, true, 512, new(counter))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: divide = %v, want a refusal with %q", c.name, err, c.want)
		}
	}
}

// The halves of a mirror are alike to the byte, whatever the disks are.
func TestMirrorsHalvesAreAlike(t *testing.T) {
	disks := []host.Disk{{Name: "sda", Serial: "A", Size: 100<<30 + 12345*512}, {Name: "sdb", Serial: "B", Size: 90<<30 + 512}}
	l, err := divide(disks, installer.Plan{MAC: testMAC, Layout: installer.Layout{Mirror: true}}, true, 512, new(counter))
	if err != nil {
		t.Fatal(err)
	}
	if got := l.volumes[0].size; got == 0 || got > 90<<30 || got%mib != 0 {
		t.Errorf("the root has %d bytes on each disk, want whole MiB of what the smaller one has", got)
	}
	var sizes [2][]string
	for i, d := range l.disks {
		for _, row := range d.rows {
			size, _, _ := strings.Cut(row, ",")
			sizes[i] = append(sizes[i], size)
		}
	}
	if d := cmp.Diff(sizes[0], sizes[1]); d != "" {
		t.Errorf("the disks are divided differently:\n%s", d)
	}
}

// What an install of this machine made is known again; nothing else is.
func TestMadeHere(t *testing.T) {
	other := host.MAC{0x52, 0x54, 0, 9, 9, 9}
	for _, c := range []struct {
		id   string
		want bool
	}{
		{partIdentity("root", "DISK1", testMAC), true},
		{strings.ToUpper(partIdentity("some-partition-of-old", "DISK1", testMAC)), true},
		{partIdentity("root", "DISK2", testMAC), false}, // a copy of the disk
		{partIdentity("root", "DISK1", other), false},   // the disk of another machine
		{"", false},
		{"0fc63daf-8483-4772-8e79-3d69d8477de4", false},
	} {
		if got := madeHere(c.id, "DISK1", testMAC); got != c.want {
			t.Errorf("madeHere(%q) = %v, want %v", c.id, got, c.want)
		}
	}
	if a, b := partIdentity("root", "DISK1", testMAC), partIdentity("swap", "DISK1", testMAC); a == b {
		t.Error("two partitions have one identity")
	}
}

// A disk with anything at all on it can be asked for its partitions.
func FuzzGPTIdentity(f *testing.F) {
	table := make([]byte, 2048)
	copy(table[512:], "EFI PART")
	table[512+72], table[512+80], table[512+84] = 2, 128, 128
	copy(table[1024+16:], "0123456789abcdef")
	f.Add(table, 512, 1)
	f.Add(bytes.Repeat([]byte{0xff}, 8192), 4096, 3)
	f.Add([]byte{}, 512, 0)
	f.Fuzz(func(t *testing.T, disk []byte, sector, n int) {
		if sector <= 0 || sector > 1<<16 {
			return
		}
		id, err := gptIdentity(bytes.NewReader(disk), int64(len(disk)), sector, n)
		if err != nil || id != "" && len(id) != 36 {
			t.Errorf("gptIdentity = %q, %v", id, err)
		}
	})
}
