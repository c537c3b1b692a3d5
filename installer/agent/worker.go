package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"provision.internal/host"
	"provision.internal/installer"
)

// networkLimit bounds the wait for a DHCP answer. A switch with spanning tree
// needs half a minute; a machine that gets none starts over.
const networkLimit = 5 * time.Minute

// Work is the installer: it finds the hardware, brings up the network and
// installs. It runs as a child of init, see Supervise.
func Work(ctx context.Context, version string) error {
	return work(ctx, Machine(), version, surroundings{drivers: loadDrivers, network: connect})
}

// surroundings are what an initrd of ours does by itself and another one has
// done already.
type surroundings struct {
	drivers func(context.Context, *System, *Log)                   // loads what the hardware asks for
	network func(context.Context, *System, *Log) (host.MAC, error) // brings it up; by which address the appliance knows the machine
}

func work(ctx context.Context, sys *System, version string, around surroundings) error {
	log := &Log{Console: os.Stdout}
	log.Say("agent %s", version)
	boot := commandLine(sys.read("/proc/cmdline"))
	// Whatever hello needs is done at the same time, because each takes long
	// somewhere: drivers and disks on a server with many, the network behind a
	// switch that looks for loops.
	hardware := make(chan host.Inventory, 1)
	go func() {
		around.drivers(ctx, sys, log)
		sys.awaitDisk(ctx)
		hardware <- sys.inventory(boot)
	}()
	overlay, ca, err := readOverlay(sys)
	if err != nil {
		return err
	}
	client, err := NewClient(overlay.URL, ca)
	if err != nil {
		return err
	}
	if err := awaitRandomness(sys.Rand); err != nil {
		return err
	}
	mac, err := around.network(ctx, sys, log)
	if err != nil {
		return err
	}
	a := &Agent{System: sys, Client: client, Log: log, Version: version, MAC: mac, Userland: overlay.Userland, Self: "/proc/self/exe"}
	a.Time = func(ctx context.Context) error { return setTime(ctx, sys, log, overlay.HTTP) }
	if first := <-hardware; mac == boot {
		first.NICs = sys.nics(mac) // the links are up by now
		a.First = &first
	}
	return a.Install(ctx)
}

// awaitRandomness returns when there are random bytes. A machine without a
// hardware generator has none at its start, and the kernel makes them, within
// about a second, only while somebody waits: so init starts to wait as soon as
// it lives, and nothing that needs them starts before. The DHCP library would
// ask without waiting, in a loop that takes the processor from the kernel.
func awaitRandomness(r io.Reader) error {
	if _, err := io.ReadFull(r, make([]byte, 32)); err != nil {
		return fmt.Errorf("wait for random bytes: %w", err)
	}
	return nil
}

// readOverlay reads what the appliance has put into the initrd.
func readOverlay(sys *System) (o installer.Overlay, ca []byte, err error) {
	b, err := os.ReadFile(sys.path(installer.OverlayFile))
	if err == nil {
		err = json.Unmarshal(b, &o)
	}
	if err == nil {
		ca, err = os.ReadFile(sys.path(installer.OverlayCA))
	}
	if err != nil {
		return o, nil, fmt.Errorf("read the appliance's overlay: %w: this initrd was not served by an appliance", err)
	}
	return o, ca, nil
}

// connect brings up the network and returns the MAC address by which the
// appliance knows the machine.
func connect(ctx context.Context, sys *System, log *Log) (host.MAC, error) {
	boot := commandLine(sys.read("/proc/cmdline"))
	n := &network{sys: sys, log: log, boot: boot, uuid: sys.uuid()}
	up, cancel := context.WithTimeoutCause(ctx, networkLimit, fmt.Errorf("none within %s", networkLimit))
	defer cancel()
	b, err := n.up(up)
	if err != nil {
		return boot, err
	}
	go n.keep(ctx, b)
	if boot.IsZero() {
		boot = b.nic.mac
	}
	return boot, nil
}

// setTime sets the clock from the appliance.
func setTime(ctx context.Context, sys *System, log *Log, url string) error {
	var now time.Time
	err := sys.retry(ctx, patience, time.Second/4, 10*time.Second, func() (err error) {
		now, err = applianceTime(ctx, url)
		// Until the system's DHCP client has an address, asking costs nothing and each
		// second of a longer pause would be lost.
		for tries := 0; errors.Is(err, unix.ENETUNREACH) && tries < 200; tries++ {
			if e := sys.Wait(ctx, time.Second/10); e != nil {
				return e
			}
			now, err = applianceTime(ctx, url)
		}
		return err
	}, func(err error, pause time.Duration) {
		log.Say("%v; once more in %s", err, pause)
	})
	if err != nil {
		return err
	}
	return sys.correctClock(log, now)
}

// Modprobe is what the kernel calls for modules that it wants by itself: file
// systems, character sets, ciphers. Init names itself in
// /proc/sys/kernel/modprobe; the arguments are "-q -- NAME".
func Modprobe(args []string) error {
	modules, err := newModules("/")
	if err != nil {
		return err
	}
	var faults []error
	for _, name := range args {
		if filepath.IsAbs(name) || name == "" || name[0] == '-' {
			continue
		}
		faults = append(faults, modules.Probe(name))
	}
	return errors.Join(faults...)
}
