package dhcp

import (
	"net/netip"
	"slices"
	"time"

	"provision.internal/host"
)

const (
	// offerTime is how long an offered address is kept for its client. Firmware
	// collects offers for about 4 s, and a lost REQUEST is repeated after 4 and
	// 8 s more.
	offerTime = 30 * time.Second

	// quarantineTime is how long an address rests that somebody else uses.
	quarantineTime = 10 * time.Minute
)

// table holds the addresses of one network: which host has which, and which
// can be given next. One host has one address, whatever client identifier it
// shows: firmware, iPXE, the installer and the installed system of one machine
// show different ones. Finding an address costs the same however many there are.
//
// An address that was never used costs nothing: fresh counts through the pool.
type table struct {
	first, last uint32 // the pool; 0 when there is none
	lease       time.Duration
	target      int // size of the stock of verified addresses

	taken       map[uint32]bool // never given: the gateway's, the server's
	reservedBy  map[host.MAC]uint32
	reservedFor map[uint32]host.MAC

	byAddr  map[uint32]*binding
	byMAC   map[host.MAC]*binding
	free    list   // not verified; least recently used first
	stock   list   // verified; oldest verification first
	probing int    // how many are being verified
	fresh   uint64 // the next address that was never used; 64 bits so that it can pass the last

	due    expiries
	ledger *ledger
}

// state is what is known of an address.
type state uint8

const (
	idle        state = iota // reserved by the configuration, not in use
	free                     // may be given after a probe
	probing                  // being verified
	stocked                  // verified: nobody answered
	offered                  // until the offer lapses
	bound                    // until the lease ends
	quarantined              // used by somebody else, until the quarantine ends
)

// binding is one address that was used or looked at. mac is its owner; of a
// free address the last one, who gets it back when it returns in time; of a
// quarantined one the machine that was heard with it, when known.
type binding struct {
	addr     uint32
	mac      host.MAC
	state    state
	reserved bool
	until    time.Time
	verified time.Time // in stock
	cover    cover     // while offered or bound

	expiry
	links
}

func newTable(n Network, server netip.Addr, reservations []Reservation, l *ledger) *table {
	t := &table{
		lease:       n.leaseTime(),
		target:      attachedStock,
		taken:       map[uint32]bool{bits(n.Gateway): true, bits(server): true},
		reservedBy:  map[host.MAC]uint32{},
		reservedFor: map[uint32]host.MAC{},
		byAddr:      map[uint32]*binding{},
		byMAC:       map[host.MAC]*binding{},
		ledger:      l,
	}
	if n.Relayed {
		t.target = relayedStock
	}
	if n.DHCP == Full {
		t.first, t.last = bits(n.Pool.From), bits(n.Pool.To)
		t.fresh = uint64(t.first)
	}
	for _, r := range reservations {
		if n.holds(r.Address) {
			t.reservedBy[r.MAC] = bits(r.Address)
			t.reservedFor[bits(r.Address)] = r.MAC
		}
	}
	return t
}

// load takes over leases as they were stored; later ones win. Addresses outside of the
// pool are left alone: their hosts are refused when they renew.
func (t *table) load(leases []host.Lease, now time.Time) {
	leases = slices.Clone(leases)
	slices.SortStableFunc(leases, func(a, b host.Lease) int { return a.Expires.Compare(b.Expires) })
	for _, l := range leases {
		b := t.at(bits(l.Address))
		if b == nil {
			continue
		}
		if !l.Declined {
			t.own(b, l.MAC)
		}
		switch {
		case !l.Expires.After(now):
			t.lapse(b)
		case l.Declined:
			t.hold(b, quarantined, l.Expires)
		default:
			t.hold(b, bound, l.Expires)
			b.cover = cover{until: l.Expires}
		}
	}
}

// at returns the binding of an address that this table may give, made when it
// was never used; nil for every other address.
func (t *table) at(addr uint32) *binding {
	if b := t.byAddr[addr]; b != nil {
		return b
	}
	_, reserved := t.reservedFor[addr]
	if inPool := t.first != 0 && addr >= t.first && addr <= t.last; !reserved && !inPool || t.taken[addr] {
		return nil
	}
	b := &binding{addr: addr, reserved: reserved, expiry: expiry{index: -1}}
	t.byAddr[addr] = b
	if !reserved {
		t.toFree(b, false)
	}
	return b
}

// verdict is the result of a search for an address.
type verdict uint8

const (
	found verdict = iota
	wait          // until an address is verified
	none
)

// offer finds the address for mac, keeps it for offerTime, and writes its lease
// ahead.
func (t *table) offer(mac host.MAC, wanted uint32, now time.Time) (*binding, verdict) {
	b, v := t.find(mac, wanted, now)
	if b != nil {
		if b.state != bound {
			t.take(b, mac, offered, now.Add(offerTime))
		}
		t.writeAhead(b, now)
	}
	return b, v
}

// find finds the address for mac: the reserved one, the one that it has or had,
// the one that it wishes for, else the one whose verification is oldest.
func (t *table) find(mac host.MAC, wanted uint32, now time.Time) (*binding, verdict) {
	if b := t.known(mac); b != nil {
		return b, found
	}
	if b := t.byAddr[wanted]; b != nil && b.state == stocked && t.trusted(b, now) {
		return b, found
	}
	if b := t.stock.front(); b != nil && t.trusted(b, now) {
		return b, found
	}
	if t.probing > 0 || t.stock.len() > 0 || t.free.len() > 0 || t.advance() {
		return nil, wait
	}
	return nil, none
}

// known returns the address that mac has a right to: its reservation, else the
// one that it has or had last.
func (t *table) known(mac host.MAC) *binding {
	if addr, ok := t.reservedBy[mac]; ok {
		// While another host still holds it by an older lease, or somebody
		// else was heard with it, the host gets one from the pool.
		if b := t.at(addr); b != nil && (b.mac == mac || b.state == idle) && b.state != quarantined {
			return b
		}
	}
	b := t.byMAC[mac]
	if b == nil || b.reserved && t.reservedFor[b.addr] != mac {
		return nil
	}
	return b
}

// bind gives addr to mac until the lease ends and reports whether it could:
// only the address that mac has a right to. named says that the client named
// this server: then one that has no right gets a free address too, because it
// was offered before a restart.
func (t *table) bind(mac host.MAC, addr uint32, named bool, now time.Time) (*binding, bool) {
	b := t.known(mac)
	if b == nil && named {
		b = t.at(addr)
		if b == nil || b.reserved || b.state != free && b.state != probing && b.state != stocked {
			return nil, false
		}
	}
	if b == nil || b.addr != addr {
		return nil, false
	}
	t.take(b, mac, bound, now.Add(t.lease))
	return b, true
}

// withdraw takes an offer back: the client chose another server. A lease that
// it had is left to end by itself.
func (t *table) withdraw(mac host.MAC) bool {
	b := t.byMAC[mac]
	if b == nil || b.state != offered {
		return false
	}
	t.lapse(b)
	return true
}

// release ends the lease of mac on addr, on the disk too, and remembers whose
// it was.
func (t *table) release(mac host.MAC, addr uint32) bool {
	b := t.byAddr[addr]
	if b == nil || b.mac != mac || b.state != bound {
		return false
	}
	if !b.reserved {
		t.ledger.put(host.Lease{MAC: mac, Address: addrOf(addr)})
		b.cover = cover{}
	}
	t.lapse(b)
	return true
}

// decline quarantines addr, on the disk too, which mac found in use by somebody
// else.
func (t *table) decline(mac host.MAC, addr uint32, now time.Time) (*binding, bool) {
	b := t.byAddr[addr]
	if b == nil || b.mac != mac || b.state != offered && b.state != bound {
		return nil, false
	}
	until := now.Add(quarantineTime)
	if !b.reserved {
		t.ledger.put(host.Lease{MAC: mac, Address: addrOf(addr), Expires: until, Declined: true})
	}
	t.own(b, host.MAC{})
	t.hold(b, quarantined, until)
	return b, true
}

// take gives b to mac.
func (t *table) take(b *binding, mac host.MAC, s state, until time.Time) {
	t.own(b, mac)
	t.hold(b, s, until)
}

// own makes mac the owner of b, and of nothing else. An address that mac had
// before is free from now on; its stored lease ends by itself.
func (t *table) own(b *binding, mac host.MAC) {
	if t.byMAC[b.mac] == b {
		delete(t.byMAC, b.mac)
	}
	if old := t.byMAC[mac]; old != nil && old != b {
		delete(t.byMAC, mac)
		t.lapse(old)
		old.mac = host.MAC{}
	}
	if b.mac != mac {
		b.cover = cover{}
	}
	b.mac = mac
	if !mac.IsZero() {
		t.byMAC[mac] = b
	}
}

// hold puts b into a state that ends at until.
func (t *table) hold(b *binding, s state, until time.Time) {
	t.leave(b)
	b.state, b.until = s, until
	t.due.set(b)
}

// lapse makes b free again. An address that was only offered is given before
// those that were really used.
func (t *table) lapse(b *binding) {
	wasOffer := b.state == offered
	t.uncover(b)
	if b.reserved {
		t.leave(b)
		b.state = idle
		return
	}
	if b.state == quarantined {
		t.own(b, host.MAC{})
	}
	t.toFree(b, wasOffer)
}

func (t *table) toFree(b *binding, first bool) {
	t.leave(b)
	b.state = free
	if first {
		t.free.pushFront(b)
	} else {
		t.free.pushBack(b)
	}
}

// leave takes b out of the list that its state keeps it in.
func (t *table) leave(b *binding) {
	switch b.state {
	case free:
		t.free.remove(b)
	case stocked:
		t.stock.remove(b)
	case probing:
		t.probing--
	}
	b.state = idle
}

// expire ends what is due at now.
func (t *table) expire(now time.Time) {
	for b := t.due.pop(now); b != nil; b = t.due.pop(now) {
		if b.state >= offered {
			t.lapse(b)
		}
	}
}
