package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"provision.internal/host"

	"golang.org/x/sys/unix"
)

// findDisks returns the disks that ids (see host.DiskIDs) means now. Names may
// have changed since the inventory; two disks with one identity cannot be told
// apart and are refused.
func (s *System) findDisks(ids string) ([]host.Disk, error) {
	all := s.disks()
	found, err := host.FindDisks(all, ids)
	if err != nil {
		var others []string
		for _, d := range all {
			others = append(others, fmt.Sprintf("%s %q", d.Name, d.ID()))
		}
		return nil, final("%w; there are: %s", err, strings.Join(others, ", "))
	}
	return found, nil
}

// checkDisk finds the plan's disk and makes sure that it may be wiped.
func (in *install) checkDisk(context.Context) error {
	d, err := in.sys.wipeable(in.plan.Disks[0].Serial, in.plan.Disks[0].Size, in.plan.Disks[0].Foreign)
	if err != nil {
		return err
	}
	sector, err := strconv.Atoi(in.sys.read("/sys/block", d.Name, "queue/logical_block_size"))
	if err != nil {
		sector = 512
	}
	in.disk = d
	in.layout, err = divide(d, in.plan, in.uefi, sector, in.sys.Rand)
	return err
}

// wipeable returns the disk with the identity if the rules that protect data
// let it be written: right size, not in use, no foreign signature unless the
// operator named the disk.
func (s *System) wipeable(id string, size uint64, foreign bool) (host.Disk, error) {
	found, err := s.findDisks(id)
	if err != nil {
		return host.Disk{}, err
	}
	d := found[0]
	switch {
	case size != 0 && d.Size != size:
		return d, final("the disk %s has %d bytes now, but %d when the plan was made: it was exchanged", id, d.Size, size)
	}
	if why := s.inUse(d.Name); why != "" {
		return d, final("the disk %s is in use: %s", id, why)
	}
	if d.Foreign != "" && !foreign {
		return d, final("the disk %s carries data of something else (%s): look at it, then name it with provision reinstall --disk %s", id, d.Foreign, id)
	}
	return d, nil
}

// partition wipes old signatures and writes the new table. The disk is looked
// at once more: checkDisk may be a while ago when commands are slow.
func (in *install) partition(ctx context.Context) error {
	d, err := in.sys.wipeable(in.plan.Disks[0].Serial, in.plan.Disks[0].Size, in.plan.Disks[0].Foreign)
	if err != nil {
		return err
	}
	if d.Name != in.disk.Name {
		return final("the disk %s was %s and is %s now", d.ID(), in.disk.Name, d.Name)
	}
	// Inner signatures first: once the table is gone, nothing finds them.
	for _, dev := range append(in.sys.partitions(d.Name), d.Name) {
		if err := in.command(ctx, Command{Args: []string{"wipefs", "--all", "--force", "/dev/" + dev}, Timeout: time.Minute}); err != nil {
			return err
		}
	}
	err = in.command(ctx, Command{
		Args:    []string{"sfdisk", "--wipe", "always", "--wipe-partitions", "always", in.layout.Disk},
		Stdin:   in.layout.script(),
		Timeout: time.Minute,
	})
	if err != nil {
		return err
	}
	return in.waitForNodes(ctx)
}

// waitForNodes waits until the kernel shows the new partitions.
func (in *install) waitForNodes(ctx context.Context) error {
	const pause, most = 50 * time.Millisecond, 15 * time.Second
	for waited := time.Duration(0); ; waited += pause {
		_, err := os.Stat(in.sys.path(in.layout.Root))
		if err == nil {
			return nil
		}
		if waited >= most {
			return fmt.Errorf("the kernel does not show the new partitions: %w", err)
		}
		if err := in.sys.Wait(ctx, pause); err != nil {
			return err
		}
	}
}

func (in *install) makeFilesystems(ctx context.Context) error {
	l := in.layout
	commands := [][]string{}
	if l.ESP != "" {
		commands = append(commands, []string{"mkfs.vfat", "-F", "32", "-n", "EFI", "-i", strings.ReplaceAll(l.uuids.ESP, "-", ""), l.ESP})
	}
	if l.Swap != "" {
		commands = append(commands, []string{"mkswap", "--label", "swap", "--uuid", l.uuids.Swap, l.Swap})
	}
	switch in.plan.Layout.Filesystem {
	case "xfs":
		commands = append(commands, []string{"mkfs.xfs", "-f", "-q", "-K", "-L", "root", "-m", "uuid=" + l.uuids.Root, l.Root})
	case "ext4", "":
		// Tables are zeroed in the background of the installed system, and nothing
		// is discarded: large disks would take minutes. GRUB before 2.12 cannot read
		// metadata_csum_seed.
		commands = append(commands, []string{"mkfs.ext4", "-F", "-q", "-L", "root", "-U", l.uuids.Root,
			"-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", "-O", "^metadata_csum_seed", l.Root})
	default:
		return final("the file system %q is not ext4 or xfs", in.plan.Layout.Filesystem)
	}
	for _, args := range commands {
		if err := in.command(ctx, Command{Args: args}); err != nil {
			return err
		}
	}
	return in.linkByUUID()
}

// linkByUUID makes the links that udev would: without them grub-mkconfig writes
// the kernel name of the root into the menu, and that changes between boots.
func (in *install) linkByUUID() error {
	dir := in.sys.path("/dev/disk/by-uuid")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	l := in.layout
	for uuid, dev := range map[string]string{l.uuids.Root: l.Root, l.uuids.ESP: l.ESP, l.uuids.Swap: l.Swap} {
		if dev == "" {
			continue
		}
		link := filepath.Join(dir, uuid)
		if err := os.Symlink("../../"+filepath.Base(dev), link); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// mount mounts the new file systems and, for what runs in a chroot, the kernel's.
func (in *install) mount(context.Context) error {
	fstype := first(in.plan.Layout.Filesystem, "ext4")
	points := []mountPoint{{source: in.layout.Root, fstype: fstype}}
	if in.layout.ESP != "" {
		points = append(points, mountPoint{source: in.layout.ESP, target: espDir, fstype: "vfat"})
	}
	points = append(points,
		mountPoint{source: "/proc", target: "/proc", flags: unix.MS_BIND},
		mountPoint{source: "/sys", target: "/sys", flags: unix.MS_BIND | unix.MS_REC},
		mountPoint{source: "/dev", target: "/dev", flags: unix.MS_BIND | unix.MS_REC},
		mountPoint{source: "tmpfs", target: "/run", fstype: "tmpfs", flags: unix.MS_NOSUID | unix.MS_NODEV, data: "mode=0755"},
	)
	for _, m := range points {
		at := in.sys.path(targetDir, m.target)
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
		if err := in.sys.Mount(m.source, at, m.fstype, m.flags, m.data); err != nil {
			return err
		}
		in.mounted = append(in.mounted, at)
	}
	var err error
	in.target, err = openTarget(in.sys.path(targetDir))
	return err
}

// unmount writes everything out and unmounts in reverse. It may be called at
// any point, and again.
func (in *install) unmount(context.Context) error {
	if in.target != nil {
		in.target.Close()
		in.target = nil
	}
	unix.Sync()
	var faults []error
	for i := len(in.mounted) - 1; i >= 0; i-- {
		faults = append(faults, in.sys.Unmount(in.mounted[i]))
	}
	in.mounted = nil
	unix.Sync()
	return errors.Join(faults...)
}
