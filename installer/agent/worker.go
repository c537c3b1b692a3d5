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
	drivers func(*System, *Log)                                    // loads what the hardware asks for
	network func(context.Context, *System, *Log) (host.MAC, error) // brings it up; by which address the appliance knows the machine
}

func work(ctx context.Context, sys *System, version string, around surroundings) error {
	log := &Log{Console: os.Stdout}
	log.Say("agent %s", version)
	hardware := make(chan error, 1)
	go func() {
		around.drivers(sys, log)
		hardware <- sys.settle(ctx)
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
	if err := setTime(ctx, sys, log, overlay.HTTP); err != nil {
		return err
	}
	if err := <-hardware; err != nil {
		return err
	}
	if sys.uefi() {
		m := efivars
		if err := sys.Mount(m.source, m.target, m.fstype, m.flags, m.data); err != nil {
			log.Say("boot entries cannot be written: %v", err)
		}
	}
	a := &Agent{System: sys, Client: client, Log: log, Version: version, MAC: mac, Userland: overlay.Userland, Self: "/proc/self/exe"}
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

// loadDrivers loads everything that the hardware asks for. What cannot be
// loaded is told, and missed only when it was needed.
func loadDrivers(sys *System, log *Log) {
	modules, err := newModules(sys.Root)
	if err == nil {
		err = modules.Coldplug(func() {})
	}
	if err != nil {
		log.Say("drivers: %v", err)
	}
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
	if set, err := setClock(now); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	} else if set {
		log.Say("the clock was off; it is %s now", now.UTC().Format(time.RFC3339))
	}
	return nil
}

// settle waits until the kernel finds no more devices: a choice among disks must
// see all of them, and drivers scan in the background. The disks are looked at
// once more before the grant is taken, so that this wait can be short.
func (s *System) settle(ctx context.Context) error {
	const (
		poll  = 20 * time.Millisecond
		quiet = 150 * time.Millisecond // without a new device
		most  = 15 * time.Second
		first = 5 * time.Second // for a first disk, when there is none
	)
	seen, still := "", time.Duration(0)
	for waited := time.Duration(0); waited < most; waited += poll {
		now := s.read("/sys/kernel/uevent_seqnum")
		if now != seen {
			seen, still = now, 0
		}
		if still >= quiet && (waited >= first || s.anyDisk()) {
			return nil
		}
		if err := s.Wait(ctx, poll); err != nil {
			return err
		}
		still += poll
	}
	return nil
}

func (s *System) anyDisk() bool {
	entries, _ := os.ReadDir(s.path("/sys/block")) // no sysfs, no disks
	for _, e := range entries {
		if _, ok := s.disk(e.Name()); ok {
			return true
		}
	}
	return false
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
