package agent

import (
	"crypto/sha256"
	"fmt"
	"io"
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
	smallestFit = gib       // a root below this holds no base-system
)

// The partition types of GPT that an install uses (UEFI 5.3.3; Discoverable
// Partitions Specification).
const (
	typeESP   = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
	typeBIOS  = "21686148-6449-6E6F-744E-656564454649"
	typeSwap  = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"
	typeLinux = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
)

// layout is how one disk is divided. Devices are full paths; "" means that the
// disk has no such partition.
type layout struct {
	Disk, ESP, BIOS, Swap, Root string

	espSize, swapSize uint64
	espID             string // PARTUUID of the ESP
	uuids             uuids
}

// uuids of the file systems. They are made up before the file systems, so that
// nothing has to be read back.
type uuids struct{ ESP, Swap, Root string }

// divide computes the layout of d for p. sector is its logical block size.
func divide(d host.Disk, p installer.Plan, uefi bool, sector int, rand io.Reader) (layout, error) {
	l := layout{Disk: "/dev/" + d.Name}
	n := 0
	part := func() string {
		n++
		return partitionName(l.Disk, n)
	}
	if uefi {
		l.ESP, l.espID = part(), espIdentity(d.ID(), p.MAC)
		l.espSize = roundMiB(p.Layout.ESP)
		if l.espSize == 0 {
			l.espSize = defaultESP
			if sector >= 4096 {
				l.espSize = biggerESP
			}
		}
	} else {
		l.BIOS = part()
	}
	if p.Layout.Swap > 0 {
		l.Swap, l.swapSize = part(), roundMiB(p.Layout.Swap)
	}
	l.Root = part()
	if taken := l.espSize + l.swapSize + 4*mib; d.Size < taken+smallestFit {
		return l, final("the disk %s has %d MiB, but EFI partition and swap take %d and the root needs at least %d: make swap smaller or choose a larger disk",
			d.ID(), d.Size/mib, taken/mib, smallestFit/mib)
	}
	b := make([]byte, 36)
	if _, err := io.ReadFull(rand, b); err != nil {
		return l, fmt.Errorf("make identifiers: %w", err)
	}
	l.uuids = uuids{
		Root: uuidOf([16]byte(b), 4),
		Swap: uuidOf([16]byte(b[16:]), 4),
		ESP:  fmt.Sprintf("%02X%02X-%02X%02X", b[32], b[33], b[34], b[35]),
	}
	return l, nil
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

// espIdentity is the PARTUUID of the ESP. It is the same at each install of the
// same machine and disk, so that the firmware's entry for it stays valid and a
// reinstall adds no second one.
func espIdentity(disk string, mac host.MAC) string {
	sum := sha256.Sum256([]byte("provision esp\x00" + mac.String() + "\x00" + disk))
	return uuidOf([16]byte(sum[:16]), 8)
}

func uuidOf(b [16]byte, version byte) string {
	b[6] = b[6]&0x0f | version<<4
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// script is the layout in sfdisk's words.
func (l layout) script() string {
	var b strings.Builder
	b.WriteString("label: gpt\n")
	if l.ESP != "" {
		fmt.Fprintf(&b, "size=%dMiB, type=%s, uuid=%s, name=\"EFI\"\n", l.espSize/mib, typeESP, strings.ToUpper(l.espID))
	}
	if l.BIOS != "" {
		fmt.Fprintf(&b, "size=1MiB, type=%s, name=\"BIOS boot\"\n", typeBIOS)
	}
	if l.Swap != "" {
		fmt.Fprintf(&b, "size=%dMiB, type=%s, name=\"swap\"\n", l.swapSize/mib, typeSwap)
	}
	fmt.Fprintf(&b, "type=%s, name=\"root\"\n", typeLinux)
	return b.String()
}

// fstab names file systems by UUID: kernel names change between boots.
func (l layout) fstab(filesystem string) string {
	var b strings.Builder
	line := func(f ...string) { b.WriteString(strings.Join(f, "\t") + "\n") }
	line("# device", "directory", "type", "options", "dump", "check")
	check := "1"
	if filesystem == "xfs" {
		check = "0" // it recovers by itself
	}
	line("UUID="+l.uuids.Root, "/", filesystem, "defaults", "0", check)
	if l.ESP != "" {
		line("UUID="+l.uuids.ESP, espDir, "vfat", "defaults,umask=0077", "0", "2")
	}
	if l.Swap != "" {
		line("UUID="+l.uuids.Swap, "none", "swap", "defaults", "0", "0")
	}
	line("tmpfs", "/tmp", "tmpfs", "defaults,nosuid,nodev", "0", "0")
	return b.String()
}

// espDir is where Void and its GRUB expect the EFI partition.
const espDir = "/boot/efi"
