package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// holders lists the devices that the kernel has made of the disk or of its
// partitions (md arrays, LUKS and LVM mappings), each before those that it
// lies on.
func (s *System) holders(disk string) []string {
	all := s.above(nil, "/sys/block/"+disk)
	for _, p := range s.partitions(disk) {
		all = s.above(all, "/sys/block/"+disk+"/"+p)
	}
	return all
}

// above appends the holders of the device with the folder in sysfs to all.
func (s *System) above(all []string, dir string) []string {
	entries, _ := os.ReadDir(s.path(dir, "holders")) // a device without any may have no folder
	for _, e := range entries {
		if slices.Contains(all, e.Name()) {
			continue
		}
		for _, higher := range s.holders(e.Name()) {
			if !slices.Contains(all, higher) {
				all = append(all, higher)
			}
		}
		all = append(all, e.Name())
	}
	return all
}

// tree lists the disk, its partitions, and all that lies on them.
func (s *System) tree(disk string) []string {
	all := append([]string{disk}, s.partitions(disk)...)
	for _, h := range s.holders(disk) {
		all = append(all, h)
		all = append(all, s.partitions(h)...)
	}
	return all
}

// inUse says what of the disks is in use at this moment and cannot be freed, or
// "": a mounted file system, swap, or a holder that also lies on another disk.
// Such a disk is never written, whatever the plan says.
func (s *System) inUse(disks ...string) string {
	var devices []string
	for _, d := range disks {
		devices = append(devices, s.tree(d)...)
	}
	for _, d := range disks {
		for _, h := range s.holders(d) {
			if why := s.unstoppable(h, devices); why != "" {
				return fmt.Sprintf("%s is used by %s, %s", d, h, why)
			}
		}
	}
	return s.mounted(devices)
}

// unstoppable says why a holder cannot be stopped for an install that owns the
// devices.
func (s *System) unstoppable(holder string, devices []string) string {
	if !strings.HasPrefix(holder, "md") && !strings.HasPrefix(holder, "dm-") {
		return "which is neither an array nor a mapping"
	}
	slaves, err := os.ReadDir(s.path("/sys/block", holder, "slaves"))
	if err != nil || len(slaves) == 0 {
		return "which does not tell what it lies on"
	}
	for _, slave := range slaves {
		if !slices.Contains(devices, slave.Name()) {
			return "which also lies on " + slave.Name()
		}
	}
	return ""
}

// mounted says which of the devices is mounted or swap.
func (s *System) mounted(devices []string) string {
	names := map[string]string{}
	for _, dev := range devices {
		names["/dev/"+dev] = dev
		if name := s.read("/sys/block", dev, "dm/name"); name != "" {
			names["/dev/mapper/"+name] = dev
		}
	}
	// In a root of our own, /proc/mounts has less than init sees.
	for line := range strings.Lines(s.read("/proc/mounts") + "\n" + s.read("/proc/1/mounts")) {
		if f := strings.Fields(line); len(f) > 1 && names[f[0]] != "" {
			return names[f[0]] + " is mounted on " + f[1]
		}
	}
	for line := range strings.Lines(s.read("/proc/swaps")) {
		if f := strings.Fields(line); len(f) > 0 && names[f[0]] != "" {
			return names[f[0]] + " is used as swap"
		}
	}
	return ""
}

// stopHolders takes apart what the kernel has made of the plan's disks: a device
// that is held cannot be wiped, and an array or a mapping would write to it
// later. inUse has said that nothing else depends on it.
func (in *install) stopHolders(ctx context.Context) error {
	var stopped []string
	for _, d := range in.disks {
		for _, h := range in.sys.holders(d.Name) {
			if slices.Contains(stopped, h) {
				continue
			}
			stopped = append(stopped, h)
			args := []string{"mdadm", "--stop", "/dev/" + h}
			if strings.HasPrefix(h, "dm-") {
				args = []string{"dmsetup", "remove", "--retry", in.sys.read("/sys/block", h, "dm/name")}
			}
			in.log.Say("partition: %s lies on %s: stopping it", h, filepath.Base(d.Name))
			if err := in.command(ctx, Command{Args: args, Env: noUdev, Timeout: time.Minute}); err != nil {
				return err
			}
		}
	}
	return nil
}
