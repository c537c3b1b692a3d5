package store

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"provision.internal/host"
)

// Sighting is a machine that was heard on the network. What is zero is not
// known.
type Sighting struct {
	MAC      host.MAC
	UUID     host.UUID
	Platform string // of a machine that asks for a boot file
	Address  netip.Addr
	Time     time.Time
}

const (
	// tick is how long sightings and log lines are collected before they are
	// written together.
	tick = 100 * time.Millisecond
	// sightingEvery is how exact LastSeen is kept on the disk.
	sightingEvery = time.Minute
	// maxSightings and maxLines bound what is collected while the disk does not
	// keep up; maxStrangers how many machines that nobody admitted are kept, so
	// that forged addresses cannot fill the disk.
	maxSightings = 1 << 14
	maxLines     = 1 << 14
	maxStrangers = 1 << 16
)

// batcher collects what may be written late. Its goroutine runs from start to
// stop, and sleeps while nothing is collected.
type batcher struct {
	mu        sync.Mutex
	sightings map[host.MAC]Sighting
	lines     []host.Event
	stopped   bool

	wake    chan struct{}
	quit    chan struct{}
	done    sync.WaitGroup
	noticed map[host.MAC]host.UUID // unfitting UUIDs that have an event; of the goroutine alone
	full    bool                   // maxStrangers has an event; of the goroutine alone
}

func (b *batcher) start(s *Store) {
	b.sightings = map[host.MAC]Sighting{}
	b.noticed = map[host.MAC]host.UUID{}
	b.wake = make(chan struct{}, 1)
	b.quit = make(chan struct{})
	b.done.Go(func() { b.run(s) })
}

func (b *batcher) run(s *Store) {
	for {
		select {
		case <-b.wake:
		case <-b.quit:
			return
		}
		select {
		case <-time.After(tick):
		case <-b.quit:
			return
		}
		if err := b.flush(s); err != nil {
			// Nobody waits for this write. It is tried again with the next tick.
			slog.Error("store sightings and log lines", "err", err)
			b.signal()
		}
	}
}

func (b *batcher) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Saw notes a machine on the network. It never waits: sightings of one tick are
// written together, the last of each machine. A machine seen first becomes
// Seen. An admitted host whose UUID does not fit goes back to Seen and loses its
// grant, since another machine may be using its address; for a host in any other
// state that is an event.
func (s *Store) Saw(c Sighting) {
	if c.MAC.IsZero() {
		return
	}
	if c.Time.IsZero() {
		c.Time = s.now()
	}
	b := &s.batcher
	b.mu.Lock()
	defer b.mu.Unlock()
	if old, ok := b.sightings[c.MAC]; ok {
		c = c.over(old)
	} else if b.stopped || len(b.sightings) >= maxSightings {
		return
	}
	b.sightings[c.MAC] = c
	b.signal()
}

// over fills what c does not know from an earlier sighting.
func (c Sighting) over(old Sighting) Sighting {
	if c.UUID.IsZero() {
		c.UUID = old.UUID
	}
	if c.Platform == "" {
		c.Platform = old.Platform
	}
	if !c.Address.IsValid() {
		c.Address = old.Address
	}
	return c
}

// Log appends lines of the host mac to the history. They are written within a
// tick; when the disk does not keep up, Log waits for it.
func (s *Store) Log(mac host.MAC, lines []string) error {
	b := &s.batcher
	now := s.now()
	b.mu.Lock()
	if b.stopped {
		b.mu.Unlock()
		return ErrClosed
	}
	var late []host.Event
	for _, line := range lines {
		late = append(late, host.Event{Time: now, MAC: mac, Kind: host.KindLog, Actor: "agent", Line: line})
	}
	if len(b.lines)+len(lines) <= maxLines {
		b.lines = append(b.lines, late...)
		b.signal()
		b.mu.Unlock()
		return nil
	}
	b.mu.Unlock()
	staged, err := s.stageEvents(late...)
	if err != nil {
		return err
	}
	return s.commitBatch(staged)
}

// flush writes what is collected. What could not be written is kept.
func (b *batcher) flush(s *Store) error {
	b.mu.Lock()
	sightings, lines := b.sightings, b.lines
	b.sightings, b.lines = map[host.MAC]Sighting{}, nil
	b.mu.Unlock()
	if len(sightings) == 0 && len(lines) == 0 {
		return nil
	}
	staged, err := b.stageAll(s, sightings, lines)
	if err == nil && staged != nil {
		err = s.commitBatch(staged)
	}
	if err == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for mac, c := range sightings {
		if newer, ok := b.sightings[mac]; ok {
			c = newer.over(c)
		}
		b.sightings[mac] = c
	}
	b.lines = append(lines, b.lines...)
	return err
}

func (b *batcher) stageAll(s *Store, sightings map[host.MAC]Sighting, lines []host.Event) (*batch, error) {
	s.stage.Lock()
	defer s.stage.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	for _, e := range lines {
		s.stageEvent(e)
	}
	for _, c := range sightings {
		if err := b.stageSighting(s, c); err != nil {
			// A sighting that cannot be applied now never can.
			slog.Error("drop a sighting", "mac", c.MAC, "err", err)
		}
	}
	return s.pending, nil
}

// stageSighting applies one sighting. The caller holds stage.
func (b *batcher) stageSighting(s *Store, c Sighting) error {
	old, _ := s.latest(c.MAC)
	if old.State == "" && s.crowded() {
		if !b.full {
			b.full = true
			s.stageEvent(host.Event{Kind: host.KindNotice, Actor: "store", Cause: fmt.Sprintf(
				"%d machines were seen that nobody admitted; new ones are not kept any more: look for a machine that forges addresses", maxStrangers)})
		}
		return nil
	}
	h, cause, err := c.apply(old)
	if err != nil {
		return err
	}
	if !old.UUID.Fits(c.UUID) && b.noticed[c.MAC] != c.UUID {
		b.noticed[c.MAC] = c.UUID
		if h.State == old.State {
			s.stageEvent(host.Event{MAC: c.MAC, Kind: host.KindNotice, Actor: "firmware", Cause: otherMachine(old, c)})
		}
	}
	_, _, err = s.stageHost(old, h, "firmware", cause)
	return err
}

// crowded reports whether no further stranger is kept. The caller holds stage.
func (s *Store) crowded() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.strangers+len(s.pending.hosts) >= maxStrangers
}

// apply returns old as the sighting changes it, and the cause of a change of
// state.
func (c Sighting) apply(old host.Host) (h host.Host, cause string, err error) {
	h = old.Clone()
	h.MAC = c.MAC
	switch {
	case old.State == "":
		if h, err = h.Advance(host.Seen, c.Time); err != nil {
			return h, "", err
		}
		h.FirstSeen = c.Time
		cause = "answered on the network; admit it with provision enroll"
	case !old.UUID.Fits(c.UUID):
		if old.State != host.Admitted {
			return h, "", nil
		}
		cause = otherMachine(old, c)
		err = revoke(&h, cause+"; if that is right, admit it again with provision enroll", c.Time)
		return h, cause, err
	}
	if h.UUID.IsZero() {
		h.UUID = c.UUID
	}
	if c.Platform != "" {
		h.Platform = c.Platform
		if c.Time.Sub(h.Asked) >= sightingEvery {
			h.Asked = c.Time
		}
	}
	if c.Address.IsValid() {
		h.Address = c.Address
	}
	if c.Time.Sub(h.LastSeen) >= sightingEvery {
		h.LastSeen = c.Time
	}
	return h, cause, nil
}

func otherMachine(h host.Host, c Sighting) string {
	return fmt.Sprintf("a machine with the UUID %s uses the MAC address of %s, whose UUID is %s", c.UUID, h.Label(), h.UUID)
}

// stop ends the goroutine and writes what is left.
func (b *batcher) stop(s *Store) error {
	b.mu.Lock()
	again := b.stopped
	b.stopped = true
	b.mu.Unlock()
	if again {
		return nil
	}
	close(b.quit)
	b.done.Wait()
	if err := b.flush(s); err != nil {
		return errors.Join(errors.New("the last sightings and log lines are lost"), err)
	}
	return nil
}
