package agent

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

type mountPoint struct {
	source, target, fstype string
	flags                  uintptr
	data                   string
	optional               bool // the kernel may lack it
}

// pseudo are the kernel's file systems, in the order in which they are mounted.
var pseudo = []mountPoint{
	{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, "", false},
	{"sysfs", "/sys", "sysfs", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, "", false},
	{"devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755", false},
	{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=0620,gid=5", true},
	{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755", false},
}

// efivars holds the firmware's variables: boot entries.
var efivars = mountPoint{"efivarfs", "/sys/firmware/efi/efivars", "efivarfs", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, "", true}

// mountFirmware makes boot entries writable. A machine without them boots all
// the same, by the path that firmware looks for.
func (s *System) mountFirmware(log *Log) {
	if m := efivars; s.uefi() {
		if err := s.Mount(m.source, m.target, m.fstype, m.flags, m.data); err != nil {
			log.Say("boot entries cannot be written: %v", err)
		}
	}
}

// mountPseudo mounts the kernel's file systems of a fresh initrd.
func mountPseudo() error {
	var faults []error
	for _, m := range pseudo {
		if err := mount(m.source, m.target, m.fstype, m.flags, m.data); err != nil && !m.optional {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// mount makes its target and accepts what is mounted there already.
func mount(source, target, fstype string, flags uintptr, data string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	err := unix.Mount(source, target, fstype, flags, data)
	if err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("mount %s (%s) on %s: %w", source, fstype, target, err)
	}
	if flags&unix.MS_BIND == 0 {
		return nil
	}
	// Otherwise, where mounts are shared, unmounting the copy of /dev would take
	// /dev/pts away from everybody.
	if err := unix.Mount("", target, "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("keep %s apart from %s: %w", target, source, err)
	}
	return nil
}

// unmount detaches lazily when something still holds the mount: everything was
// synced before, and a busy /dev must not keep the machine from rebooting.
func unmount(target string) error {
	err := unix.Unmount(target, 0)
	if errors.Is(err, unix.EBUSY) {
		err = unix.Unmount(target, unix.MNT_DETACH)
	}
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", target, err)
	}
	return nil
}
