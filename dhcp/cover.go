package dhcp

import (
	"time"

	"provision.internal/host"
)

// A lease is written ahead: an OFFER puts into the ledger what the ACK will
// promise, so that the disk works while OFFER and REQUEST travel, and most ACKs
// find their lease stored. The rule stays that no ACK leaves before the disk
// holds a lease of that address for that machine until the time that the ACK
// promises.
//
// Whoever sends DISCOVERs from random hardware addresses now makes the disk write: a
// lease for each address of the pool, and its release, once in offerTime at
// most, many with one sync. An address that is offered already costs nothing.

// cover is what the ledger was last told about an address in the hands of its
// owner. The zero value covers nothing.
type cover struct {
	until time.Time // the owner's lease ends then
	group *group    // it is as good as this group; nil: the disk has it
}

// holds reports whether c covers a lease that ends at until, unless the disk
// fails that is still at work.
func (c cover) holds(until time.Time) bool {
	return !c.until.Before(until) && (c.group == nil || c.group.fate != failed)
}

// writeAhead covers the lease that a REQUEST would get as long as b is offered.
// Without room in the ledger it does not: the ACK will do it.
func (t *table) writeAhead(b *binding, now time.Time) {
	if !b.reserved && !b.cover.holds(now.Add(t.lease)) {
		t.write(b, now.Add(offerTime+t.lease))
	}
}

// promise is b's lease, which mac will be told about when the disk has it.
type promise struct {
	b     *binding
	mac   host.MAC
	cover cover
}

// stands reports whether p is what the ledger was told last: a machine may have
// given up meanwhile what it is to be told.
func (p promise) stands() bool { return p.b.mac == p.mac && p.b.cover == p.cover }

// secure covers b's lease. It returns what an ACK has to wait for, nil when the
// disk has the lease, and false when the ledger has no room. Reservations are in the
// configuration and need no cover.
func (t *table) secure(b *binding) (*promise, bool) {
	if b.reserved {
		return nil, true
	}
	if !b.cover.holds(b.until) && !t.write(b, b.until) {
		return nil, false
	}
	if g := b.cover.group; g != nil && g.fate == pending {
		return &promise{b, b.mac, b.cover}, true
	}
	b.cover.group = nil
	return nil, true
}

// write puts the lease of b's owner into the ledger and reports whether there
// was room.
func (t *table) write(b *binding, until time.Time) bool {
	g := t.ledger.put(host.Lease{MAC: b.mac, Address: addrOf(b.addr), Expires: until})
	if g == nil {
		return false
	}
	b.cover = cover{until, g}
	return true
}

// uncover ends b's cover. If the disk would keep the address much longer than the
// table did, because an offer was not taken, it is told. Nobody waits for that: when it
// is lost, a restart keeps the address until the lease that nobody has ends.
func (t *table) uncover(b *binding) {
	if b.cover.until.After(b.until.Add(offerTime)) {
		t.ledger.put(host.Lease{MAC: b.mac, Address: addrOf(b.addr)})
	}
	b.cover = cover{}
}
