package lab

import (
	"strings"
	"testing"
)

// Several disks have names, serials and places of their own; one that is pulled
// leaves the others where they are.
func TestDisksOfAMachine(t *testing.T) {
	r := &Rack{Name: "disks"}
	m := Machine{Name: "m1", Firmware: BIOS, Disk: NVMe, More: []DiskKind{SATA, SATA, Virtio, SATA}}.withDefaults()
	if err := m.validate(); err != nil {
		t.Fatal(err)
	}
	devices := []string{
		"file=disk.img", "nvme,drive=disk1,bootindex=2,serial=LAB-m1",
		"file=disk2.img", "ide-hd,bus=ide.0,unit=0,drive=disk2,bootindex=3,serial=LAB-m1-2",
		"file=disk3.img", "ide-hd,bus=ide.1,unit=0,drive=disk3,bootindex=4,serial=LAB-m1-3",
		"file=disk4.img", "virtio-blk-pci,drive=disk4,bootindex=5,serial=LAB-m1-4",
		"file=disk5.img", "ide-hd,bus=ide.0,unit=1,drive=disk5,bootindex=6,serial=LAB-m1-5",
	}
	for pulled := range len(m.disks()) + 1 {
		m.Pulled = pulled
		line := strings.Join(r.arguments(m, TCG), " ") + " "
		for i, want := range devices {
			if there := strings.Contains(line, want+" ") || strings.Contains(line, want+","); there != (i/2+1 != pulled) {
				t.Errorf("disk %d is pulled, and %q is there: %v", pulled, want, there)
			}
		}
	}
	for _, more := range [][]DiskKind{{"floppy"}, {SATA, SATA, SATA, SATA, SATA}} {
		m.More = more
		if err := m.validate(); err == nil {
			t.Errorf("%v was accepted", more)
		}
	}
}
