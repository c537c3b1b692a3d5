package dhcp

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"provision.internal/host"
)

// FuzzTable plays machines, time, and a disk that is slow, fails, and is all
// that is left after a crash. The table stays consistent, and whoever holds an
// ACK holds the address: on the disk when it was sent, and after every crash.
func FuzzTable(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte("\x00\x10\x01\x10\x02\x10\x03\x10\x07\x10\x08\x40\x00\x20\x05\x10"))
	// Offered, requested while the disk is at work, stored, crash.
	f.Add([]byte{6, 0, 0, 0x10, 10, 0, 17, 0x10, 11, 0, 13, 0})
	// The same with a disk that fails, and a second try.
	f.Add([]byte{6, 0, 0, 0x10, 10, 0, 17, 0x10, 12, 0, 17, 0x10, 10, 0, 11, 0, 13, 0})
	// An offer that lapses and goes to another, with a crash.
	f.Add([]byte{6, 0, 0, 0x10, 10, 0, 11, 0, 8, 1, 6, 0, 0, 0x13, 17, 0x13, 10, 0, 11, 0, 13, 0})
	// Requested too late for what was written ahead.
	f.Add([]byte{6, 0, 0, 0x10, 10, 0, 11, 0, 1, 0x10, 8, 30, 1, 0x10, 13, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		n := rack()
		n.Pool = Pool{ip("10.77.0.100"), ip("10.77.0.107")}
		w := &tableWorld{network: n, now: t0, disk: map[netip.Addr]host.Lease{}, acked: map[host.MAC]host.Lease{}}
		w.start()
		for i := 0; i+1 < len(script); i += 2 {
			if err := w.step(script[i], script[i+1]); err != nil {
				t.Fatalf("step %d, % x: %v", i/2, script[i:i+2], err)
			}
			if err := w.table.check(); err != nil {
				t.Fatalf("after step %d, % x: %v", i/2, script[i:i+2], err)
			}
		}
	})
}

// tableWorld is a table with what surrounds it.
type tableWorld struct {
	network Network
	table   *table
	now     time.Time
	disk    map[netip.Addr]host.Lease
	flight  *group // at the disk
	waiting map[*group][]waiter
	acked   map[host.MAC]host.Lease // what machines were told and have not given up
}

// waiter is an ACK that waits, and the lease that it tells.
type waiter struct {
	promise
	host.Lease
}

// start makes the table anew, from the disk.
func (w *tableWorld) start() {
	w.table = newTable(w.network, server, []Reservation{{carol, ip("10.77.0.103")}, {bob, ip("10.77.0.20")}}, &ledger{})
	w.flight, w.waiting = nil, map[*group][]waiter{}
	w.table.load(slices.Collect(maps.Values(w.disk)), w.now)
}

// step does one thing; some of them are rather a machine's, some the disk's.
func (w *tableWorld) step(what, which byte) error {
	macs := []host.MAC{alice, bob, carol, macOf(1), macOf(2), macOf(3), macOf(4), macOf(5)}
	mac := macs[which&7]
	addr := bits(ip("10.77.0.100")) + uint32(which>>4)
	tab, flag := w.table, what&16 != 0
	switch what % 16 {
	case 0:
		tab.expire(w.now)
		if b, _ := tab.offer(mac, addr, w.now); b != nil && addrOf(b.addr) != w.acked[mac].Address {
			delete(w.acked, mac) // who starts anew gives up what it had
		}
	case 1:
		tab.expire(w.now)
		return w.request(mac, addr, flag)
	case 2:
		if tab.release(mac, addr) {
			delete(w.acked, mac)
		}
	case 3:
		if _, ok := tab.decline(mac, addr, w.now); ok {
			delete(w.acked, mac)
		}
	case 4:
		tab.withdraw(mac)
	case 5:
		tab.heard(addrOf(addr), mac, w.now)
	case 6:
		for _, a := range tab.candidates(w.now) {
			if flag {
				tab.unprobed(a)
			} else {
				tab.silent(a, w.now)
			}
		}
	case 7:
		tab.candidates(w.now)
	case 8:
		w.now = w.now.Add(time.Duration(which) * time.Minute)
	case 9:
		tab.silent(addrOf(addr), w.now)
	case 10:
		if w.flight == nil {
			w.flight = tab.ledger.take()
		}
	case 11:
		return w.settle(stored)
	case 12:
		return w.settle(failed)
	case 13:
		w.start()
	case 14:
		w.now = w.now.Add(time.Duration(which) * time.Second)
	}
	return w.kept()
}

// request takes an address, and has its ACK at once or waits for the disk.
func (w *tableWorld) request(mac host.MAC, addr uint32, named bool) error {
	b, ok := w.table.bind(mac, addr, named, w.now)
	if !ok {
		return nil
	}
	l := host.Lease{MAC: mac, Address: addrOf(addr), Expires: b.until}
	if l.Address != w.acked[mac].Address {
		delete(w.acked, mac)
	}
	after, ok := w.table.secure(b)
	switch {
	case !ok:
		return errors.New("the ledger has no room")
	case b.reserved:
	case after == nil:
		return w.ack(l)
	default:
		g := after.cover.group
		w.waiting[g] = append(w.waiting[g], waiter{*after, l})
	}
	return nil
}

// ack sends an ACK for l.
func (w *tableWorld) ack(l host.Lease) error {
	if on := w.disk[l.Address]; on.MAC != l.MAC || on.Declined || on.Expires.Before(l.Expires) {
		return fmt.Errorf("an ACK promises %+v; the disk has %+v", l, on)
	}
	w.acked[l.MAC] = l
	return nil
}

// settle ends what the disk is doing.
func (w *tableWorld) settle(f fate) error {
	g := w.flight
	if g == nil {
		return nil
	}
	w.flight = nil
	if f == stored {
		for _, l := range g.leases {
			w.disk[l.Address] = l
		}
	}
	g.settle(f)
	for _, a := range w.waiting[g] {
		if f == stored && a.stands() && a.Expires.After(w.now) {
			if err := w.ack(a.Lease); err != nil {
				return err
			}
		}
	}
	delete(w.waiting, g)
	return w.kept()
}

// kept reports the first machine whose lease was given to another, is not known
// to the table, or would not be after a crash.
func (w *tableWorld) kept() error {
	for mac, l := range w.acked {
		if !l.Expires.After(w.now) {
			continue
		}
		if b := w.table.byAddr[bits(l.Address)]; b == nil || b.mac != mac || b.state != bound {
			return fmt.Errorf("%s holds %s, which the table has as %+v", mac, l.Address, b)
		}
		if on := w.disk[l.Address]; on.MAC != mac || on.Declined || on.Expires.Before(l.Expires) {
			return fmt.Errorf("%s holds %s until %s; the disk has %+v", mac, l.Address, l.Expires, on)
		}
	}
	return nil
}

// check reports the first contradiction in t.
func (t *table) check() error {
	count := func(l *list, s state) (n int, err error) {
		for b := l.head; b != nil; b = b.next {
			n++
			if b.state != s || b.next != nil && b.next.prev != b || b.next == nil && l.tail != b {
				return n, fmt.Errorf("%s in state %d is in the list of %d", addrOf(b.addr), b.state, s)
			}
		}
		if n != l.n {
			return n, fmt.Errorf("list of %d says %d", n, l.n)
		}
		return n, nil
	}
	inFree, err := count(&t.free, free)
	if err != nil {
		return err
	}
	inStock, err := count(&t.stock, stocked)
	if err != nil {
		return err
	}
	states := map[state]int{}
	for addr, b := range t.byAddr {
		states[b.state]++
		if b.addr != addr {
			return fmt.Errorf("%s is filed under %s", addrOf(b.addr), addrOf(addr))
		}
		if (b.state == offered || b.state == bound) && t.byMAC[b.mac] != b {
			return fmt.Errorf("%s belongs to %s, which does not know", addrOf(addr), b.mac)
		}
		if held := b.state == offered || b.state == bound; b.cover != (cover{}) && !held {
			return fmt.Errorf("%s is covered in state %d", addrOf(addr), b.state)
		}
		if b.state >= offered && (b.index < 0 || t.due[b.index] != b || b.key.After(b.until)) {
			return fmt.Errorf("the end of %s would be missed", addrOf(addr))
		}
		if owner, ok := t.reservedFor[addr]; ok && (b.state == offered || b.state == bound) && owner != b.mac {
			return fmt.Errorf("%s is reserved for %s and given to %s", addrOf(addr), owner, b.mac)
		}
	}
	for mac, b := range t.byMAC {
		if b.mac != mac || mac.IsZero() {
			return fmt.Errorf("%s is filed under %s and belongs to %s", addrOf(b.addr), mac, b.mac)
		}
	}
	if states[free] != inFree || states[stocked] != inStock || states[probing] != t.probing {
		return fmt.Errorf("states %v, but %d free, %d stocked, %d probing", states, inFree, inStock, t.probing)
	}
	return nil
}
