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
	"provision.internal/installer"

	"golang.org/x/sys/unix"
)

// findDisks returns the disks that ids (see host.DiskIDs) means now. Names may
// have changed since the inventory; two disks with one identity cannot be told
// apart and are refused. mac is the machine's: see madeHere.
func (s *System) findDisks(ids string, mac host.MAC) ([]host.Disk, error) {
	all := s.disks(mac)
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

// checkDisks finds the plan's disks and makes sure that they may be wiped.
func (in *install) checkDisks(context.Context) error {
	disks, err := in.sys.wipeable(in.plan)
	if err != nil {
		return err
	}
	sector := 512
	for _, d := range disks {
		sector = max(sector, in.sys.sector(d.Name))
	}
	in.disks = disks
	in.layout, err = divide(disks, in.plan, in.uefi, sector, in.sys.Rand)
	return err
}

// sector is the disk's logical block size.
func (s *System) sector(disk string) int {
	n, err := strconv.Atoi(s.read("/sys/block", disk, "queue/logical_block_size"))
	if err != nil || n < 512 {
		return 512
	}
	return n
}

// wipeable returns the disks of the plan if the rules that protect data let all
// of them be written: right size, not in use, no foreign signature unless the
// operator named the disk.
func (s *System) wipeable(p installer.Plan) ([]host.Disk, error) {
	want := 1
	if p.Layout.Mirror {
		want = 2
	}
	if len(p.Disks) != want {
		return nil, final("the plan names %d disks and needs %d: use the image that belongs to the appliance", len(p.Disks), want)
	}
	disks, err := s.findDisks(planned(p), p.MAC)
	if err != nil {
		return nil, err
	}
	var names []string
	for i, d := range disks {
		names = append(names, d.Name)
		if size := p.Disks[i].Size; size != 0 && d.Size != size {
			return nil, final("the disk %s has %d bytes now, but %d when the plan was made: it was exchanged", d.ID(), d.Size, size)
		}
	}
	if why := s.inUse(names...); why != "" {
		return nil, final("the disk %s is in use: %s", planned(p), why)
	}
	for i, d := range disks {
		if d.Foreign != "" && !p.Disks[i].Foreign {
			return nil, final("the disk %s carries data of something else (%s): look at it, then name it with provision reinstall --disk %s", d.ID(), d.Foreign, planned(p))
		}
	}
	return disks, nil
}

// partition takes old devices apart, wipes old signatures and writes the new
// tables. The disks are looked at once more: checkDisks may be a while ago when
// commands are slow.
func (in *install) partition(ctx context.Context) error {
	disks, err := in.sys.wipeable(in.plan)
	if err != nil {
		return err
	}
	for i, d := range disks {
		if d.Name != in.disks[i].Name {
			return final("the disk %s was %s and is %s now", d.ID(), in.disks[i].Name, d.Name)
		}
	}
	if err := in.stopHolders(ctx); err != nil {
		return err
	}
	for i, d := range disks {
		// Inner signatures first: once the table is gone, nothing finds them.
		for _, dev := range append(in.sys.partitions(d.Name), d.Name) {
			if err := in.command(ctx, Command{Args: []string{"wipefs", "--all", "--force", "/dev/" + dev}, Timeout: time.Minute}); err != nil {
				return err
			}
		}
		err = in.command(ctx, Command{
			Args:    []string{"sfdisk", "--wipe", "always", "--wipe-partitions", "always", in.layout.disks[i].disk},
			Stdin:   in.layout.disks[i].script(),
			Timeout: time.Minute,
		})
		if err != nil {
			return err
		}
	}
	return in.waitForNodes(ctx)
}

// waitForNodes waits until the kernel shows the new partitions.
func (in *install) waitForNodes(ctx context.Context) error {
	const pause, most = 50 * time.Millisecond, 15 * time.Second
	for waited := time.Duration(0); ; waited += pause {
		var missing error
		for _, node := range in.layout.volumes[len(in.layout.volumes)-1].parts { // the last ones to appear
			if _, err := os.Stat(in.sys.path(node)); err != nil {
				missing = err
			}
		}
		if missing == nil {
			return nil
		}
		if waited >= most {
			return fmt.Errorf("the kernel does not show the new partitions: %w", missing)
		}
		if err := in.sys.Wait(ctx, pause); err != nil {
			return err
		}
	}
}

func (in *install) makeFilesystems(ctx context.Context) error {
	var commands [][]string
	for _, d := range in.layout.disks {
		if d.esp != "" {
			commands = append(commands, []string{"mkfs.vfat", "-F", "32", "-n", "EFI", "-i", strings.ReplaceAll(d.espFS, "-", ""), d.esp})
		}
	}
	for _, v := range in.layout.volumes {
		commands = append(commands, v.mkfs())
	}
	for _, args := range commands {
		if err := in.command(ctx, Command{Args: args}); err != nil {
			return err
		}
	}
	return in.linkByUUID()
}

// mkfs is the command that makes the file system. Nothing is discarded: that
// would take minutes on large disks.
func (v volume) mkfs() []string {
	label := v.name[:min(len(v.name), 12)] // as many as XFS has room for
	switch v.fs {
	case swapType:
		return []string{"mkswap", "--label", label, "--uuid", v.id, v.device()}
	case "xfs":
		return []string{"mkfs.xfs", "-f", "-q", "-K", "-L", label, "-m", "uuid=" + v.id, v.device()}
	case "btrfs":
		return []string{"mkfs.btrfs", "-f", "-q", "-K", "-L", label, "-U", v.id, v.device()}
	}
	// Tables are zeroed in the background of the installed system. GRUB before 2.12
	// cannot read metadata_csum_seed.
	return []string{"mkfs.ext4", "-F", "-q", "-L", label, "-U", v.id,
		"-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", "-O", "^metadata_csum_seed", v.device()}
}

// linkByUUID makes the links that udev would: without them grub-mkconfig writes
// the kernel name of the root into the menu, and that changes between boots.
func (in *install) linkByUUID() error {
	dir := in.sys.path("/dev/disk/by-uuid")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	devices := map[string]string{}
	for _, v := range in.layout.volumes {
		devices[v.id] = v.device()
	}
	for _, d := range in.layout.disks {
		if d.esp != "" {
			devices[d.espFS] = d.esp
		}
	}
	for uuid, dev := range devices {
		link := filepath.Join(dir, uuid)
		if err := os.Symlink("../../"+strings.TrimPrefix(dev, "/dev/"), link); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// mount mounts the new file systems and, for what runs in a chroot, the kernel's.
func (in *install) mount(context.Context) error {
	points := append(in.layout.mounts(),
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

// unmount writes everything out, unmounts in reverse and closes the devices. It
// may be called at any point, and again.
func (in *install) unmount(ctx context.Context) error {
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
	return errors.Join(append(faults, in.closeDevices(ctx))...)
}
