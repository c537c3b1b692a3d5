package dhcp

import (
	"net/netip"
	"time"

	"provision.internal/host"
)

// A pool address is offered only after a probe that nobody answered (RFC 2131
// §2.2). Waiting for it at every DISCOVER would cost each new machine the
// probe's time, and a storm all of them: so addresses are probed ahead, in
// batches, and a stock of silent ones is kept. Hearing an address later takes
// it out again.
const (
	attachedStock = 4096 // more than a storm; 14 ARP frames a second keep it verified
	relayedStock  = 256  // each probe makes a distant router resolve an address

	// probeBatch bounds the burst of broadcasts.
	probeBatch = 1024

	// verifyAgain is the age at which a stocked address is probed again, and
	// trustFor the age at which it is no longer given without.
	verifyAgain = 5 * time.Minute
	trustFor    = 3 * verifyAgain
)

func (t *table) trusted(b *binding, now time.Time) bool {
	return now.Sub(b.verified) < trustFor
}

// advance moves on to the next address that was never used and reports
// whether there is one.
func (t *table) advance() bool {
	if t.first == 0 {
		return false
	}
	for ; t.fresh <= uint64(t.last); t.fresh++ {
		addr := uint32(t.fresh)
		_, reserved := t.reservedFor[addr]
		if !reserved && !t.taken[addr] && t.byAddr[addr] == nil {
			return true
		}
	}
	return false
}

// candidates returns the addresses to probe now: those that would fill the
// stock, and the stocked ones whose verification is old. The latter stay in
// stock meanwhile.
func (t *table) candidates(now time.Time) []netip.Addr {
	addrs := t.fill(now)
	for b := t.stock.front(); b != nil && len(addrs) < probeBatch && now.Sub(b.verified) >= verifyAgain; b = b.next {
		addrs = append(addrs, addrOf(b.addr))
	}
	return addrs
}

// fill returns the addresses that would fill the stock, never used ones first
// and then the least recently used.
func (t *table) fill(now time.Time) []netip.Addr {
	t.expire(now)
	var addrs []netip.Addr
	for t.stock.len()+t.probing < t.target && len(addrs) < probeBatch {
		var b *binding
		if t.advance() {
			b = t.at(uint32(t.fresh))
		} else if b = t.free.front(); b == nil {
			break
		}
		t.leave(b)
		b.state = probing
		t.probing++
		addrs = append(addrs, addrOf(b.addr))
	}
	return addrs
}

// hungry reports whether the stock cannot wait for the prober's next tick: half
// of it is gone, and there is something to fill it with. A storm takes less, so
// that its answers need not share the wire with probes.
func (t *table) hungry() bool {
	return t.stock.len()+t.probing < t.target/2 && (t.free.len() > 0 || t.advance())
}

// silent notes that nobody answered the probe of a.
func (t *table) silent(a netip.Addr, now time.Time) {
	b := t.byAddr[bits(a)]
	if b == nil || b.state != probing && b.state != stocked {
		return // it was given, or heard, meanwhile
	}
	t.leave(b)
	b.state, b.verified = stocked, now
	t.stock.pushBack(b)
}

// unprobed notes that a could not be probed.
func (t *table) unprobed(a netip.Addr) {
	if b := t.byAddr[bits(a)]; b != nil && b.state == probing {
		t.toFree(b, true)
	}
}

// heard notes that a machine uses a; mac is zero when it is not known which.
// It reports whether that is news: a pool address in the hands of somebody to
// whom it was not given. Such a machine gets the address when it asks for one:
// after the loss of the leases everybody keeps what they have.
func (t *table) heard(a netip.Addr, mac host.MAC, now time.Time) bool {
	b := t.at(bits(a))
	if b == nil || b.reserved || b.state == offered || b.state == bound {
		return false
	}
	if !mac.IsZero() && b.mac == mac && b.state == free {
		return false // its last owner still uses it
	}
	news := b.state != quarantined
	owner := mac
	if t.byMAC[mac] != nil && t.byMAC[mac] != b {
		owner = host.MAC{} // it has an address from us and uses a second one
	}
	t.own(b, owner)
	t.hold(b, quarantined, now.Add(quarantineTime))
	return news
}
