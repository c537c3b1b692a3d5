package daemon

import (
	"context"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"provision.internal/boot"
	"provision.internal/host"
	"provision.internal/store"
)

// machines is the store as the DHCP server sees it. Packets wait for it, so
// nothing here waits for a disk.
type machines struct {
	store   *store.Store
	known   map[host.MAC]Host // of the configuration
	notices chan host.Event
	dropped atomic.Uint64 // notices, because the disk was slower than they came
	now     func() time.Time
	log     *slog.Logger
	loads   *loading // nil where no port follows its host
}

func newMachines(st *store.Store, configured []Host, log *slog.Logger) *machines {
	m := &machines{store: st, known: map[host.MAC]Host{}, notices: make(chan host.Event, 1024), now: time.Now, log: log}
	for _, h := range configured {
		m.known[h.MAC] = h
	}
	return m
}

// Host returns what the store knows. A machine that the configuration names has
// its name from the start.
func (m *machines) Host(mac host.MAC) (host.Host, error) {
	h, err := m.store.Host(mac)
	if err == nil && h.Name == "" {
		h.Name = m.known[mac].Name
	}
	return h, err
}

// Saw notes a machine that asked for a boot file, or a known one that asked for
// an address. The telephones and laptops of a network are nobody's hosts.
func (m *machines) Saw(c boot.Client, addr netip.Addr) {
	if !c.PXE {
		if _, err := m.store.Host(c.MAC); err != nil {
			return
		}
	} else if m.loads != nil {
		m.loads.begin(c.MAC)
	}
	m.store.Saw(store.Sighting{MAC: c.MAC, UUID: c.UUID, Platform: string(c.Platform), Address: addr, Time: m.now()})
}

// name is what the configuration calls a machine; empty when it does not.
func (m *machines) name(mac host.MAC) string { return m.known[mac].Name }

// Notice queues an event.
func (m *machines) Notice(mac host.MAC, text string) {
	select {
	case m.notices <- host.Event{Time: m.now(), MAC: mac, Kind: host.KindNotice, Actor: "dhcp", Cause: text}:
	default:
		m.dropped.Add(1)
	}
}

// run records the notices until ctx ends.
func (m *machines) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-m.notices:
			m.log.Warn("notice", "mac", e.MAC, "text", e.Cause)
			if err := m.store.Record(e); err != nil {
				m.log.Error("record a notice", "mac", e.MAC, "err", err)
			}
		}
	}
}
