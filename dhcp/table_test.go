package dhcp

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"provision.internal/host"
)

func macOf(n int) host.MAC { return host.MAC{2, 0, 0, byte(n >> 16), byte(n >> 8), byte(n)} }

func TestPoolExhaustion(t *testing.T) {
	d := newDesk(t, nil)
	given := map[netip.Addr]bool{}
	for i := range 4 {
		given[d.lease(macOf(i))] = true
	}
	if len(given) != 4 {
		t.Fatalf("4 machines share %d addresses", len(given))
	}
	v, _ := d.send(macOf(9), dhcpv4.MessageTypeDiscover)
	if v.what != exhausted || v.notice == "" {
		t.Errorf("outcome of a full pool is %s, notice %q; want %s and a notice", countNames[v.what], v.notice, countNames[exhausted])
	}
	if v, _ = d.send(macOf(10), dhcpv4.MessageTypeDiscover); v.notice != "" {
		t.Errorf("second notice %q about the same pool", v.notice)
	}
	if got := d.lease(macOf(2)); !given[got] {
		t.Errorf("a machine with a lease got %s from a full pool", got)
	}
}

// Addresses come back in the order in which their leases ended, so that each
// machine finds its old one for as long as possible.
func TestLeastRecentlyUsedFirst(t *testing.T) {
	d := newDesk(t, nil)
	var given []netip.Addr
	for i := range 4 {
		given = append(given, d.lease(macOf(i)))
		d.now = d.now.Add(time.Minute)
	}
	if v, _ := d.send(macOf(0), dhcpv4.MessageTypeRequest, ciaddr(given[0].String())); v.what != acks { // renews: now the last to end
		t.Fatalf("renewal: %s", countNames[v.what])
	}
	d.now = d.now.Add(2 * time.Hour)
	d.net.restock(d.now)
	for i, want := range []netip.Addr{given[1], given[2], given[3], given[0]} {
		if got := d.lease(macOf(10 + i)); got != want {
			t.Errorf("new machine %d got %s, want %s, which rested longest", i, got, want)
		}
	}
}

// Each flood packet costs an offer for a while and nothing for ever.
func TestFloodOfHardwareAddresses(t *testing.T) {
	d := newDesk(t, func(n *Network) { n.Pool.To = ip("10.77.0.200") })
	for i := range 20_000 {
		d.send(macOf(i), dhcpv4.MessageTypeDiscover, opt(60, []byte("PXEClient")...), opt(93, 0, 99))
		d.now = d.now.Add(time.Millisecond)
	}
	tab := d.net.table
	if n := len(tab.byAddr); n > 101 {
		t.Errorf("%d addresses remembered of a pool of 101", n)
	}
	if n := len(tab.byMAC); n > 101 {
		t.Errorf("%d machines remembered, more than addresses", n)
	}
	if n := len(tab.due); n > 101 {
		t.Errorf("%d ends remembered, more than addresses", n)
	}
	if n := len(d.notices.told); n > maxNotices {
		t.Errorf("%d machines noticed, want at most %d", n, maxNotices)
	}
	d.now = d.now.Add(offerTime)
	d.net.restock(d.now)
	d.lease(alice)
}

func TestOfferLapses(t *testing.T) {
	d := newDesk(t, func(n *Network) { n.Pool.To = n.Pool.From })
	d.send(alice, dhcpv4.MessageTypeDiscover)
	if v, _ := d.send(bob, dhcpv4.MessageTypeDiscover); v.what != exhausted {
		t.Fatalf("the only address was offered twice: %s", countNames[v.what])
	}
	d.now = d.now.Add(offerTime)
	d.net.restock(d.now)
	if got := d.lease(bob); got != ip("10.77.0.100") {
		t.Errorf("got %s", got)
	}
}

// A client that takes another server's offer leaves ours to others at once.
func TestOfferWithdrawn(t *testing.T) {
	d := newDesk(t, func(n *Network) { n.Pool.To = n.Pool.From })
	d.send(alice, dhcpv4.MessageTypeDiscover)
	d.send(alice, dhcpv4.MessageTypeRequest, optIP(50, "10.77.0.100"), optIP(54, "10.77.0.9"))
	d.net.restock(d.now)
	d.lease(bob)
}

func TestReservation(t *testing.T) {
	reserved := ip("10.77.0.50")
	t.Run("is given and not stored", func(t *testing.T) {
		d := newDesk(t, nil)
		if got := d.lease(carol); got != reserved {
			t.Errorf("got %s, want %s", got, reserved)
		}
		v, _ := d.send(carol, dhcpv4.MessageTypeRequest, ciaddr(reserved.String()))
		if v.lease.Address.IsValid() || !v.saw {
			t.Errorf("renewal stores %+v, want nothing", v.lease)
		}
		if v, _ = d.send(carol, dhcpv4.MessageTypeRelease, ciaddr(reserved.String())); v.what != releases || v.lease.Address.IsValid() {
			t.Errorf("release: %s, stores %+v", countNames[v.what], v.lease)
		}
	})
	t.Run("survives a restart without being stored", func(t *testing.T) {
		d := newDesk(t, nil)
		if v, _ := d.send(carol, dhcpv4.MessageTypeRequest, optIP(50, reserved.String())); v.what != acks {
			t.Errorf("init-reboot with the reserved address: %s", countNames[v.what])
		}
	})
	t.Run("calls a host back from the pool", func(t *testing.T) {
		d := newDesk(t, nil, host.Lease{MAC: carol, Address: ip("10.77.0.100"), Expires: t0.Add(time.Hour)})
		if v, _ := d.send(carol, dhcpv4.MessageTypeRequest, ciaddr("10.77.0.100")); v.what != naks {
			t.Errorf("renewal of the address from before the reservation: %s, want a NAK", countNames[v.what])
		}
		if got := d.lease(carol); got != reserved {
			t.Errorf("then got %s", got)
		}
	})
	t.Run("waits for who holds it by an older lease", func(t *testing.T) {
		d := newDesk(t, nil, host.Lease{MAC: alice, Address: reserved, Expires: t0.Add(time.Hour)})
		if got := d.lease(carol); got == reserved {
			t.Errorf("%s belongs to two machines", got)
		}
		if v, _ := d.send(alice, dhcpv4.MessageTypeRequest, ciaddr(reserved.String())); v.what != naks {
			t.Errorf("the older lease is renewed: %s", countNames[v.what])
		}
		d.now = d.now.Add(time.Hour)
		if got := d.lease(carol); got != reserved {
			t.Errorf("after its end the host got %s, want %s", got, reserved)
		}
	})
	t.Run("rests when declined", func(t *testing.T) {
		d := newDesk(t, nil)
		d.lease(carol)
		v, _ := d.send(carol, dhcpv4.MessageTypeDecline, optIP(50, reserved.String()))
		if v.what != declines || v.notice == "" {
			t.Fatalf("decline: %s, notice %q", countNames[v.what], v.notice)
		}
		if got := d.lease(carol); got == reserved {
			t.Errorf("offered %s again at once", got)
		}
		d.now = d.now.Add(quarantineTime)
		if got := d.lease(carol); got != reserved {
			t.Errorf("after the quarantine got %s", got)
		}
	})
	t.Run("inside the pool is given to nobody else", func(t *testing.T) {
		d := newDesk(t, func(n *Network) { n.Pool = Pool{ip("10.77.0.49"), ip("10.77.0.51")} })
		a, b := d.lease(alice), d.lease(bob)
		if a == reserved || b == reserved {
			t.Errorf("gave %s and %s", a, b)
		}
		if v, _ := d.send(macOf(1), dhcpv4.MessageTypeDiscover); v.what != exhausted {
			t.Errorf("third machine: %s", countNames[v.what])
		}
	})
}

// What is declined rests, across a restart too, and then comes back.
func TestQuarantine(t *testing.T) {
	d := newDesk(t, func(n *Network) { n.Pool.To = n.Pool.From })
	d.lease(alice)
	v, _ := d.send(alice, dhcpv4.MessageTypeDecline, optIP(50, "10.77.0.100"))
	for _, d := range []*desk{d, newDesk(t, func(n *Network) { n.Pool.To = n.Pool.From }, v.lease)} {
		if v, _ := d.send(alice, dhcpv4.MessageTypeDiscover); v.what != exhausted {
			t.Errorf("quarantined address is given: %s", countNames[v.what])
		}
		d.now = t0.Add(quarantineTime)
		d.net.restock(d.now)
		d.lease(bob)
	}
}

func TestProbe(t *testing.T) {
	one := func(n *Network) { n.Pool.To = n.Pool.From }
	addr := ip("10.77.0.100")
	unprobed := func(t *testing.T) *desk {
		d := newDesk(t, one)
		d.net.table = newTable(d.net.Network, server, nil)
		return d
	}
	t.Run("nothing is offered before it", func(t *testing.T) {
		d := unprobed(t)
		if v, _ := d.send(alice, dhcpv4.MessageTypeDiscover); v.park != d.net {
			t.Fatalf("outcome is %s, want parked", countNames[v.what])
		}
		if got := d.net.table.candidates(d.now); len(got) != 1 || got[0] != addr {
			t.Fatalf("to probe: %v", got)
		}
		if v, _ := d.send(alice, dhcpv4.MessageTypeDiscover); v.park != d.net {
			t.Fatalf("while probing the outcome is %s, want parked", countNames[v.what])
		}
		d.net.table.silent(addr, d.now)
		d.lease(alice)
	})
	t.Run("who answers keeps the address", func(t *testing.T) {
		d := unprobed(t)
		d.net.table.candidates(d.now)
		if !d.net.table.heard(addr, bob, d.now) {
			t.Error("an answer to the probe is no news")
		}
		d.net.table.silent(addr, d.now)
		if v, _ := d.send(alice, dhcpv4.MessageTypeDiscover); v.what != exhausted {
			t.Errorf("address in use: %s", countNames[v.what])
		}
		if got := d.lease(bob); got != addr {
			t.Errorf("who was heard with %s got %s", addr, got)
		}
	})
	t.Run("heard later leaves the stock", func(t *testing.T) {
		d := newDesk(t, one)
		if !d.net.table.heard(addr, bob, d.now) || d.net.table.heard(addr, bob, d.now) {
			t.Error("want news once")
		}
		if v, _ := d.send(alice, dhcpv4.MessageTypeDiscover); v.what != exhausted {
			t.Errorf("address in use: %s", countNames[v.what])
		}
	})
	t.Run("an owner is no conflict", func(t *testing.T) {
		d := newDesk(t, one)
		d.lease(alice)
		if d.net.table.heard(addr, alice, d.now) {
			t.Error("a leased address in use is news")
		}
	})
	t.Run("is repeated", func(t *testing.T) {
		d := newDesk(t, one)
		if got := d.net.table.candidates(d.now.Add(verifyAgain - time.Second)); len(got) != 0 {
			t.Errorf("to probe early: %v", got)
		}
		d.now = d.now.Add(trustFor)
		if v, _ := d.send(alice, dhcpv4.MessageTypeDiscover); v.what != waiting {
			t.Errorf("with an old verification: %s, want parked", countNames[v.what])
		}
		d.net.restock(d.now)
		d.lease(alice)
	})
	t.Run("is tried again when it could not be sent", func(t *testing.T) {
		d := unprobed(t)
		for range 2 {
			for _, a := range d.net.table.candidates(d.now) {
				d.net.table.unprobed(a)
			}
		}
		d.net.restock(d.now)
		d.lease(alice)
	})
}

// After the loss of the leases every machine that is heard keeps its address.
func TestLostLeases(t *testing.T) {
	d := newDesk(t, nil)
	d.net.table = newTable(d.net.Network, server, nil)
	held := map[host.MAC]netip.Addr{alice: ip("10.77.0.102"), bob: ip("10.77.0.100")}
	d.net.table.candidates(d.now)
	for mac, addr := range held {
		d.net.table.heard(addr, mac, d.now)
	}
	for mac, addr := range held {
		if v, _ := d.send(mac, dhcpv4.MessageTypeRequest, ciaddr(addr.String())); v.what != acks || v.lease.Address != addr {
			t.Errorf("%s renews %s: %s", mac, addr, countNames[v.what])
		}
	}
}

// A restart between OFFER and REQUEST is not seen by the client.
func TestRestartBetweenOfferAndRequest(t *testing.T) {
	d := newDesk(t, nil)
	_, offer := d.send(alice, dhcpv4.MessageTypeDiscover)
	again := newDesk(t, nil)
	v, _ := again.send(alice, dhcpv4.MessageTypeRequest, optIP(50, offer.YourIPAddr.String()), optIP(54, server.String()))
	if v.what != acks {
		t.Errorf("outcome is %s, want an ACK", countNames[v.what])
	}
}

// The table's lists and heap stay consistent whatever happens.
func FuzzTable(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte("\x00\x10\x01\x10\x02\x10\x03\x10\x07\x10\x08\x40\x00\x20\x05\x10"))
	f.Fuzz(func(t *testing.T, script []byte) {
		n := rack()
		n.Pool = Pool{ip("10.77.0.100"), ip("10.77.0.107")}
		tab := newTable(n, server, []Reservation{{carol, ip("10.77.0.103")}, {bob, ip("10.77.0.20")}})
		now := t0
		macs := []host.MAC{alice, bob, carol, macOf(1), macOf(2), macOf(3), macOf(4), macOf(5)}
		for i := 0; i+1 < len(script); i += 2 {
			mac := macs[script[i+1]&7]
			addr := bits(ip("10.77.0.100")) + uint32(script[i+1]>>4)
			switch script[i] % 10 {
			case 0:
				tab.expire(now)
				tab.offer(mac, addr, now)
			case 1:
				tab.bind(mac, addr, script[i]&16 != 0, now)
			case 2:
				tab.release(mac, addr)
			case 3:
				tab.decline(mac, addr, now)
			case 4:
				tab.withdraw(mac)
			case 5:
				tab.heard(addrOf(addr), mac, now)
			case 6:
				for _, a := range tab.candidates(now) {
					if script[i]&16 != 0 {
						tab.unprobed(a)
					} else {
						tab.silent(a, now)
					}
				}
			case 7:
				tab.candidates(now)
			case 8:
				now = now.Add(time.Duration(script[i+1]) * time.Minute)
			case 9:
				tab.silent(addrOf(addr), now)
			}
			if err := tab.check(); err != nil {
				t.Fatalf("after step %d, % x: %v", i/2, script[i:i+2], err)
			}
		}
	})
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
