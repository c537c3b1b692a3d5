package agent

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"provision.internal/host"
	"provision.internal/installer"
)

// notDisks are block devices that are never a machine's own disk.
var notDisks = []string{"loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd", "mtdblock", "bcache", "drbd", "rbd", "zd"}

// disks lists the whole, fixed, writable disks. Removable media are left out:
// nobody means the stick that was forgotten in a port. mac is the machine's own:
// what it installed itself is not foreign to it.
func (s *System) disks(mac host.MAC) []host.Disk {
	entries, _ := os.ReadDir(s.path("/sys/block")) // no sysfs, no disks
	var all []host.Disk
	for _, e := range entries {
		if d, ok := s.disk(e.Name()); ok {
			d.Foreign = s.foreign(d, mac)
			all = append(all, d)
		}
	}
	return all
}

func (s *System) disk(name string) (host.Disk, bool) {
	dir := "/sys/block/" + name
	for _, prefix := range notDisks {
		if strings.HasPrefix(name, prefix) {
			return host.Disk{}, false
		}
	}
	// mmcblk0boot0 and mmcblk0rpmb hold firmware.
	if strings.HasPrefix(name, "mmcblk") && !wholeMMC().MatchString(name) {
		return host.Disk{}, false
	}
	sectors, err := strconv.ParseUint(s.read(dir, "size"), 10, 64) // of 512 bytes, whatever the disk's are
	if err != nil || sectors == 0 || s.read(dir, "ro") == "1" || s.read(dir, "removable") == "1" || s.read(dir, "hidden") == "1" {
		return host.Disk{}, false
	}
	return host.Disk{
		Name:     name,
		Path:     s.diskPath(name),
		Serial:   s.diskSerial(name),
		WWN:      s.diskWWN(name),
		Model:    first(s.read(dir, "device/model"), s.read(dir, "device/name")),
		Size:     sectors * 512,
		Rotating: s.read(dir, "queue/rotational") == "1",
	}, true
}

var wholeMMC = installer.Regexp(`^mmcblk\d+$`)

// diskSerial asks in the three places where drivers keep it: virtio's own
// attribute, NVMe's and MMC's device, SCSI's and ATA's vital product data
// (page 80h: a header of four bytes, then text).
func (s *System) diskSerial(name string) string {
	dir := "/sys/block/" + name
	if v := first(s.read(dir, "serial"), s.read(dir, "device/serial")); v != "" {
		return v
	}
	page, err := os.ReadFile(s.path(dir, "device/vpd_pg80"))
	if err != nil || len(page) <= 4 {
		return ""
	}
	return strings.TrimSpace(strings.Trim(string(page[4:]), "\x00"))
}

// diskWWN returns a world-wide name. The kernel also puts made-up names there
// ("t10.ATA …" and "nvme.…" are built of model and serial): those are not one.
func (s *System) diskWWN(name string) string {
	dir := "/sys/block/" + name
	wwn := first(s.read(dir, "wwid"), s.read(dir, "device/wwid"))
	for _, prefix := range []string{"naa.", "eui.", "uuid."} {
		if strings.HasPrefix(wwn, prefix) {
			return wwn
		}
	}
	return ""
}

var (
	pciAddress  = installer.Regexp(`^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`)
	ataPort     = installer.Regexp(`^ata\d+$`)
	scsiAddress = installer.Regexp(`^\d+:(\d+:\d+:\d+)$`)
	usbAddress  = installer.Regexp(`^\d+-([\d.]+:[\d.]+)$`)
	namespace   = installer.Regexp(`^nvme\d+n(\d+)$`)
)

// diskPath names the place where the disk is plugged in, from the device's path
// in sysfs: the last PCI address and the place below it. Numbers that the kernel
// gives out in the order of discovery (ata3, host0, virtio1, nvme0) say nothing
// about a place and are left out, as udev's by-path does.
func (s *System) diskPath(name string) string {
	real, err := filepath.EvalSymlinks(s.path("/sys/block", name))
	if err != nil {
		return ""
	}
	pci, below := "", ""
	for _, part := range strings.Split(path.Dir(filepath.ToSlash(real)), "/") {
		if pciAddress().MatchString(part) {
			pci, below = part, ""
		} else if ataPort().MatchString(part) {
			below = "-ata-" + s.read("/sys/class/ata_port", part, "port_no") // counts per controller
		} else if m := usbAddress().FindStringSubmatch(part); m != nil {
			below = "-usb-" + m[1]
		} else if m := scsiAddress().FindStringSubmatch(part); m != nil && !strings.HasPrefix(below, "-ata") {
			below += "-scsi-" + m[1]
		}
	}
	if pci == "" {
		return ""
	}
	if m := namespace().FindStringSubmatch(name); m != nil {
		below = "-nvme-" + m[1]
	}
	return "pci-" + pci + below
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// foreign says why the disk must not be wiped, or "": what uses it now, or what
// a signature on it or on one of its partitions says. A signature on a partition
// that an install of this machine made is its own.
func (s *System) foreign(d host.Disk, mac host.MAC) string {
	if why := s.mounted(s.tree(d.Name)); why != "" {
		return why
	}
	for _, dev := range append([]string{d.Name}, s.partitions(d.Name)...) {
		dir := "/sys/block/" + d.Name
		if dev != d.Name {
			dir += "/" + dev
		}
		found, err := s.signature(dev)
		if held := s.above(nil, dir); len(held) > 0 {
			found = "used by " + held[len(held)-1]
		}
		switch {
		case err != nil:
			return fmt.Sprintf("unreadable: %v", err)
		case found != "" && !s.ownPartition(d, dev, mac):
			return found + " on " + dev
		}
	}
	return ""
}

// ownPartition reports whether dev is a partition of d that an install of this
// machine made. Doubt is no.
func (s *System) ownPartition(d host.Disk, dev string, mac host.MAC) bool {
	n, err := strconv.Atoi(s.read("/sys/block", d.Name, dev, "partition"))
	if err != nil || mac.IsZero() || d.ID() == "" {
		return false
	}
	f, err := os.Open(s.path("/dev", d.Name))
	if err != nil {
		return false
	}
	defer f.Close()
	id, err := gptIdentity(f, int64(d.Size), s.sector(d.Name), n)
	return err == nil && madeHere(id, d.ID(), mac)
}

// signature reads the device's signatures.
func (s *System) signature(dev string) (string, error) {
	f, err := os.Open(s.path("/dev", dev))
	if err != nil {
		return "", err
	}
	defer f.Close()
	size, err := f.Seek(0, 2)
	if err != nil {
		return "", err
	}
	return probe(f, size)
}
