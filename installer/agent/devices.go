package agent

import (
	"context"
	"os"
	"time"
)

// How often the kernel is asked whether it has found more devices: while
// something waits for that, and later.
const (
	devicesPoll = 20 * time.Millisecond
	laterPoll   = 250 * time.Millisecond
)

// loadDrivers loads everything that the hardware asks for. Until ctx ends it goes
// on in the background, for what shows up later: a bus may need seconds to find
// its devices. What cannot be loaded is told, and missed only when it was needed.
func loadDrivers(ctx context.Context, s *System, log *Log) {
	modules, err := newModules(s.Root)
	if err != nil {
		log.Say("drivers: %v", err)
		return
	}
	load := func() {
		if err := modules.Coldplug(); err != nil {
			log.Say("drivers: %v", err)
		}
	}
	load()
	go func() {
		for seen := ""; s.Wait(ctx, laterPoll) == nil; {
			if now := s.devicesSeen(); now != seen {
				load()
				seen = now
			}
		}
	}()
}

// awaitDisk returns when there is a disk to tell of, or when it has waited long
// enough for one. It is short for machines that have one: Install looks again,
// for longer, before it takes the grant.
func (s *System) awaitDisk(ctx context.Context) {
	const (
		quiet = 40 * time.Millisecond
		most  = 5 * time.Second
	)
	for waited := time.Duration(0); waited < most; waited += quiet {
		if s.settle(ctx, quiet) != nil || s.anyDisk() {
			return
		}
	}
}

// settle waits until the kernel has found no more devices for a while: a choice
// among disks must see all of them, and drivers scan in the background.
func (s *System) settle(ctx context.Context, quiet time.Duration) error {
	const most = 15 * time.Second // some hardware comes and goes all the time
	seen, still := s.devicesSeen(), time.Duration(0)
	for waited := time.Duration(0); still < quiet && waited < most; waited += devicesPoll {
		if err := s.Wait(ctx, devicesPoll); err != nil {
			return err
		}
		still += devicesPoll
		if now := s.devicesSeen(); now != seen {
			seen, still = now, 0
		}
	}
	return nil
}

// devicesSeen is the kernel's counter of devices that came, went or changed.
func (s *System) devicesSeen() string { return s.read("/sys/kernel/uevent_seqnum") }

func (s *System) anyDisk() bool {
	entries, _ := os.ReadDir(s.path("/sys/block")) // no sysfs, no disks
	for _, e := range entries {
		if _, ok := s.disk(e.Name()); ok {
			return true
		}
	}
	return false
}
