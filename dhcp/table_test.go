package dhcp

import (
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

// A flood costs an offer of each address for a while and nothing for ever.
func TestFloodOfHardwareAddresses(t *testing.T) {
	d := newDesk(t, func(n *Network) { n.Pool.To = ip("10.77.0.200") })
	records := 0
	for i := range 20_000 {
		d.send(macOf(i), dhcpv4.MessageTypeDiscover, opt(60, []byte("PXEClient")...), opt(93, 0, 99))
		d.now = d.now.Add(time.Millisecond)
		records += len(d.put)
	}
	if records > 101 {
		t.Errorf("%d leases written, more than addresses in offerTime", records)
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
		if d.put != nil || v.after != nil || !v.saw {
			t.Errorf("renewal stores %+v, want nothing", d.put)
		}
		if v, _ = d.send(carol, dhcpv4.MessageTypeRelease, ciaddr(reserved.String())); v.what != releases || d.put != nil {
			t.Errorf("release: %s, stores %+v", countNames[v.what], d.put)
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
	d.send(alice, dhcpv4.MessageTypeDecline, optIP(50, "10.77.0.100"))
	for _, d := range []*desk{d, newDesk(t, func(n *Network) { n.Pool.To = n.Pool.From }, d.put...)} {
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
		d.net.table = newTable(d.net.Network, server, nil, &ledger{})
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
	d.net.table = newTable(d.net.Network, server, nil, &ledger{})
	held := map[host.MAC]netip.Addr{alice: ip("10.77.0.102"), bob: ip("10.77.0.100")}
	d.net.table.candidates(d.now)
	for mac, addr := range held {
		d.net.table.heard(addr, mac, d.now)
	}
	for mac, addr := range held {
		if v, _ := d.send(mac, dhcpv4.MessageTypeRequest, ciaddr(addr.String())); v.what != acks || d.put[0].Address != addr || d.put[0].MAC != mac {
			t.Errorf("%s renews %s: %s", mac, addr, countNames[v.what])
		}
	}
}

// A restart between OFFER and REQUEST is not seen by the client.
func TestRestartBetweenOfferAndRequest(t *testing.T) {
	d := newDesk(t, nil)
	_, offer := d.send(alice, dhcpv4.MessageTypeDiscover)
	for name, stored := range map[string][]host.Lease{"stored": d.put, "lost": nil} {
		again := newDesk(t, nil, stored...)
		v, _ := again.send(alice, dhcpv4.MessageTypeRequest, optIP(50, offer.YourIPAddr.String()), optIP(54, server.String()))
		if waits := v.after != nil; v.what != acks || waits != (stored == nil) {
			t.Errorf("what was written ahead is %s: %s, waits for the disk: %t", name, countNames[v.what], waits)
		}
	}
}
