package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"provision.internal/host"
)

// Carry is what Supervise is, inside of an initrd whose init is not ours: that of
// a NETBOOT image, where the autoinstaller's configuration starts it. It returns
// the exit status for that script: 0 means that the machine may restart.
func Carry() int {
	console := openConsole(nil)
	if err := mayCarry(Machine()); err != nil {
		fmt.Fprintf(console, "provision: %v\n", err)
		return 1
	}
	status, output := superviseWorker(console, CarriedArgument)
	if status != 0 && status != ExitTold {
		fmt.Fprintf(console, "provision: the agent died (status %d)\n", status)
		if err := speakForTheDead(Machine(), status, output); err != nil {
			fmt.Fprintf(console, "provision: tell the appliance: %v\n", err)
		}
	}
	unix.Sync()
	return max(status, -status) // a signal's is negative
}

// mayCarry refuses every system but an autoinstaller's initrd, which only the
// kernel's command line tells from an installed one for certain.
func mayCarry(sys *System) error {
	for word := range strings.FieldsSeq(sys.read("/proc/cmdline")) {
		if strings.HasPrefix(word, "autourl=") {
			return nil
		}
	}
	return errors.New("this system was not started to be installed over (its kernel has no autourl=): it would write to this machine's disks")
}

// WorkCarried is Work in an initrd that is not ours. Its udev has loaded the
// drivers, its DHCP client has brought up the network and holds the lease, and
// what it has of programs stays untouched: the userland gets a root of its own.
func WorkCarried(ctx context.Context, version string) error {
	sys := Machine()
	if err := mayCarry(sys); err != nil {
		return err
	}
	sys.Enter = enterRoot
	return work(ctx, sys, version, surroundings{drivers: func(context.Context, *System, *Log) {}, network: carriedNetwork})
}

// carriedNetwork returns the MAC address that the boot script gave. Which
// interface the image's DHCP client has used is of no interest.
func carriedNetwork(_ context.Context, sys *System, _ *Log) (host.MAC, error) {
	mac := commandLine(sys.read("/proc/cmdline"))
	if mac.IsZero() {
		return mac, errors.New("the kernel's command line has no provision.mac=: start the machine by the appliance's boot script")
	}
	return mac, nil
}

// ownRoot is where the userland is unpacked when it must not replace what is
// there. It is in memory, like all of an initrd.
const ownRoot = "/provision"

// enterRoot makes dir, with the kernel's file systems in it, the root of this
// process and of all that it starts. The kernel goes on to load modules from the
// old one, which is the kernel's own.
func enterRoot(dir string) error {
	for _, m := range []mountPoint{
		{source: "/proc", flags: unix.MS_BIND | unix.MS_REC},
		{source: "/sys", flags: unix.MS_BIND | unix.MS_REC},
		{source: "/dev", flags: unix.MS_BIND | unix.MS_REC},
		{source: "/run", flags: unix.MS_BIND | unix.MS_REC},
	} {
		if err := mount(m.source, filepath.Join(dir, m.source), m.fstype, m.flags, m.data); err != nil {
			return err
		}
	}
	if err := unix.Chroot(dir); err != nil {
		return os.NewSyscallError("chroot", err)
	}
	return os.Chdir("/")
}
