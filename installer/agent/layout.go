package agent

import (
	"cmp"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode"

	"provision.internal/host"
	"provision.internal/installer"
)

const (
	mib = 1 << 20
	gib = 1 << 30

	defaultESP  = 128 * mib
	biggerESP   = 512 * mib // FAT32 needs 65,525 clusters: 256 MiB when sectors have 4 KiB
	biosSize    = mib
	defaultBoot = gib // a handful of kernels with their initramfs
	smallestFit = gib // a root below this holds no base-system
	tableSize   = 4 * mib
)

// The partition types of GPT that an install uses (UEFI 5.3.3; Discoverable
// Partitions Specification).
const (
	typeESP   = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
	typeBIOS  = "21686148-6449-6E6F-744E-656564454649"
	typeSwap  = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"
	typeLinux = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
	typeRAID  = "A19D880F-05FC-4D3B-A006-743F0F84911E"
	typeLUKS  = "CA7D7CCB-63ED-4C53-861C-1742536059CC"
)

// layout is how the disks are divided. The disks of a mirror are divided alike,
// and each has a boot loader of its own, so that either boots without the other.
type layout struct {
	disks   []diskParts
	volumes []volume // in the order of their partitions
}

// diskParts is one disk with what only the firmware reads. Devices are full
// paths; "" means that the disk has no such partition.
type diskParts struct {
	disk      string // /dev/nvme0n1
	esp, bios string
	espDir    string // where the ESP is mounted
	espFS     string // volume number of its file system: 1A2B-3C4D
	espID     string // PARTUUID of the ESP
	rows      []string
}

// volume is a file system or swap space with the devices below it, from the
// partitions up: an array over both disks, encryption, or neither.
type volume struct {
	name  string   // root, swap, or made of the path: srv-data
	path  string   // where it is mounted; "" is swap
	fs    string   // one of installer.Filesystems, or swap
	size  uint64   // of the partitions; 0 means what is left
	parts []string // one for each disk
	md    string   // /dev/md0; "" without a mirror
	mdID  string   // as mdadm writes UUIDs
	luks  string   // UUID of the encrypted device; "" without encryption
	id    string   // UUID of the file system. It is made up before, so that nothing has to be read back
}

// device is what holds the file system.
func (v volume) device() string {
	if v.luks != "" {
		return "/dev/mapper/" + v.mapping()
	}
	return v.below()
}

// below is what encryption lies on.
func (v volume) below() string {
	if v.md != "" {
		return v.md
	}
	return v.parts[0]
}

// mapping is the name by which dracut, too, opens the device.
func (v volume) mapping() string { return "luks-" + v.luks }

func (v volume) partitionType() string {
	switch {
	case v.md != "":
		return typeRAID
	case v.luks != "":
		return typeLUKS
	case v.fs == swapType:
		return typeSwap
	}
	return typeLinux
}

const swapType = "swap"

// espDirs are where Void and its GRUB expect the EFI partition, and where the one
// of the mirror's other disk is.
var espDirs = []string{"/boot/efi", "/boot/efi2"}

// divide computes the layout of disks for p. sector is the largest of their
// logical block sizes.
func divide(disks []host.Disk, p installer.Plan, uefi bool, sector int, rand io.Reader) (layout, error) {
	r := identities{rand: rand}
	var l layout
	var err error
	if l.volumes, err = volumes(p.Layout, smallestOf(disks)-firmwareSize(p.Layout, uefi, sector), disks[0].ID()); err != nil {
		return l, err
	}
	for i := range l.volumes {
		v := &l.volumes[i]
		v.id = uuidOf(r.next(), 4)
		if p.Layout.Mirror {
			v.md, v.mdID = fmt.Sprintf("/dev/md%d", i), mdUUID(r.next())
		}
		// GRUB would have to ask for the passphrase itself, knows neither Argon2 nor
		// a serial console's keyboard by then, and takes minutes for one try: /boot is
		// never encrypted. It holds a kernel and no data.
		if p.Layout.Passphrase != "" && v.path != "/boot" {
			v.luks = uuidOf(r.next(), 4)
		}
	}
	for i, d := range disks {
		parts := diskParts{disk: "/dev/" + d.Name}
		if uefi {
			b := r.next()
			parts.espDir = espDirs[i]
			parts.espFS = fmt.Sprintf("%02X%02X-%02X%02X", b[0], b[1], b[2], b[3])
			parts.espID = partIdentity("esp", d.ID(), p.MAC)
			parts.esp = parts.add(espSize(p.Layout, sector), typeESP, parts.espID, "EFI")
		} else {
			parts.bios = parts.add(biosSize, typeBIOS, partIdentity("bios", d.ID(), p.MAC), "BIOS boot")
		}
		for j := range l.volumes {
			v := &l.volumes[j]
			v.parts = append(v.parts, parts.add(v.size, v.partitionType(), partIdentity(v.name, d.ID(), p.MAC), v.name))
		}
		l.disks = append(l.disks, parts)
	}
	return l, r.err
}

// add appends a partition and returns its device.
func (d *diskParts) add(size uint64, kind, id, name string) string {
	row := fmt.Sprintf("type=%s, uuid=%s, name=%q", kind, strings.ToUpper(id), name)
	if size > 0 {
		row = fmt.Sprintf("size=%dMiB, %s", size/mib, row)
	}
	d.rows = append(d.rows, row)
	return partitionName(d.disk, len(d.rows))
}

// script is the layout of one disk in sfdisk's words.
func (d diskParts) script() string { return "label: gpt\n" + strings.Join(d.rows, "\n") + "\n" }

func espSize(l installer.Layout, sector int) uint64 {
	switch {
	case l.ESP > 0:
		return roundMiB(l.ESP)
	case sector >= 4096:
		return biggerESP
	}
	return defaultESP
}

// firmwareSize is what partition table and firmware take of each disk.
func firmwareSize(l installer.Layout, uefi bool, sector int) uint64 {
	if uefi {
		return tableSize + espSize(l, sector)
	}
	return tableSize + biosSize
}

func smallestOf(disks []host.Disk) uint64 {
	return slices.MinFunc(disks, func(a, b host.Disk) int { return cmp.Compare(a.Size, b.Size) }).Size
}

// volumes lists what l asks for, the one that takes what is left at the end, on
// room bytes of the disk.
func volumes(l installer.Layout, room uint64, disk string) ([]volume, error) {
	all := []volume{}
	rest := volume{name: "root", path: "/", fs: first(l.Filesystem, installer.DefaultFilesystem)}
	ownBoot := false
	for _, p := range l.Partitions {
		ownBoot = ownBoot || p.Path == "/boot"
	}
	// mkfs.xfs turns on features as soon as Linux has them; GRUB learns to read
	// them years later.
	if (l.Passphrase != "" || rest.fs == "xfs") && !ownBoot {
		all = append(all, volume{name: "boot", path: "/boot", fs: "ext4", size: defaultBoot})
	}
	if l.Swap > 0 {
		all = append(all, volume{name: swapType, fs: swapType, size: roundMiB(l.Swap)})
	}
	for _, p := range l.Partitions {
		v := volume{
			name: strings.ReplaceAll(strings.Trim(p.Path, "/"), "/", "-"), path: p.Path,
			fs: first(p.Filesystem, l.Filesystem, installer.DefaultFilesystem), size: roundMiB(p.Size),
		}
		if v.size == 0 {
			rest, v = v, volume{name: "root", path: "/", fs: rest.fs, size: roundMiB(l.Root)}
		}
		all = append(all, v)
	}
	if rest.path == "/" {
		rest.size = roundMiB(l.Root)
	}
	var taken uint64
	for _, v := range append(all, rest) {
		taken += v.size
		if !slices.Contains(append(slices.Clone(installer.Filesystems), swapType), v.fs) {
			return nil, final("the file system %q is none of %s", v.fs, strings.Join(installer.Filesystems, ", "))
		}
	}
	need := taken
	if rest.size == 0 {
		need += smallestFit
	}
	if room > 1<<62 || room < need { // beyond 1<<62 it is below zero
		return nil, final("the disk %s is too small: partition table, EFI partition and the sizes in the role take %d MiB, and what is left must be at least %d: make swap or partitions smaller, or choose a larger disk",
			disk, taken/mib, smallestFit/mib)
	}
	if rest.size == 0 && l.Mirror {
		rest.size = (room - taken) / mib * mib // alike on disks of different sizes
	}
	return append(all, rest), nil
}

// mounts lists what is mounted in the new system, each after what it lies in.
func (l layout) mounts() []mountPoint {
	var all []mountPoint
	for _, v := range l.volumes {
		if v.path != "" {
			all = append(all, mountPoint{source: v.device(), target: v.path, fstype: v.fs})
		}
	}
	for _, d := range l.disks {
		if d.esp != "" {
			all = append(all, mountPoint{source: d.esp, target: d.espDir, fstype: "vfat"})
		}
	}
	slices.SortFunc(all, func(a, b mountPoint) int { return strings.Compare(a.target, b.target) })
	return all
}

// fstab names file systems by UUID: kernel names change between boots.
func (l layout) fstab() string {
	type entry struct{ id, path, fs, options, check string }
	var all []entry
	for _, v := range l.volumes {
		switch {
		case v.path == "":
			all = append(all, entry{v.id, "none", v.fs, "defaults", "0"})
		case v.fs != "ext4":
			all = append(all, entry{v.id, v.path, v.fs, "defaults", "0"}) // xfs and btrfs recover by themselves
		case v.path == "/":
			all = append(all, entry{v.id, v.path, v.fs, "defaults", "1"})
		default:
			all = append(all, entry{v.id, v.path, v.fs, "defaults", "2"})
		}
	}
	for _, d := range l.disks {
		switch {
		case d.esp == "":
		case len(l.disks) == 1:
			all = append(all, entry{d.espFS, d.espDir, "vfat", "defaults,umask=0077", "2"})
		default: // runit's stage 1 ends in a shell when a file system of a dead disk is missing
			all = append(all, entry{d.espFS, d.espDir, "vfat", "defaults,umask=0077,nofail", "0"})
		}
	}
	slices.SortStableFunc(all, func(a, b entry) int { return strings.Compare(path.Join(a.path, "/"), path.Join(b.path, "/")) })
	var b strings.Builder
	line := func(f ...string) { b.WriteString(strings.Join(f, "\t") + "\n") }
	line("# device", "directory", "type", "options", "dump", "check")
	for _, e := range all {
		line("UUID="+e.id, e.path, e.fs, e.options, "0", e.check)
	}
	line("tmpfs", "/tmp", "tmpfs", "defaults,nosuid,nodev", "0", "0")
	return b.String()
}

// partitionName is the kernel's name for partition n: a letter comes between
// when the disk's own name ends in a digit (nvme0n1p1, mmcblk0p1).
func partitionName(disk string, n int) string {
	if unicode.IsDigit(rune(disk[len(disk)-1])) {
		return fmt.Sprintf("%sp%d", disk, n)
	}
	return fmt.Sprintf("%s%d", disk, n)
}

func roundMiB(size uint64) uint64 { return (size + mib - 1) / mib * mib }
