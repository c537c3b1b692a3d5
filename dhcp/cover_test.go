package dhcp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"provision.internal/host"
	"provision.internal/store"
)

// office is a Server without sockets and without goroutines: the test hands in
// packets, and works the disk. At each ACK it looks whether the disk has the
// lease.
type office struct {
	*Server
	t     *testing.T
	link  *link
	asked map[dhcpv4.TransactionID]time.Time // when packets came in
	group *group                             // at the disk
	acks  map[host.MAC]host.Lease
	sent  []dhcpv4.MessageType
}

func newOffice(t *testing.T, leases Leases) *office {
	t.Helper()
	o := &office{t: t, asked: map[dhcpv4.TransactionID]time.Time{}, acks: map[host.MAC]host.Lease{}}
	o.link = &link{name: "srv", server: map[string]netip.Addr{"rack": server}, frames: o}
	n := rack()
	n.Pool = Pool{ip("10.77.1.1"), ip("10.77.1.8")}
	o.Server = &Server{
		Config: Config{Networks: []Network{n}}, Sockets: &Sockets{links: []*link{o.link}},
		Hosts: &people{}, Leases: leases, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if err := o.prepare(time.Now()); err != nil {
		t.Fatal(err)
	}
	o.handler.networks[0].restock(time.Now())
	return o
}

// packet hands in one packet.
func (o *office) packet(mac host.MAC, kind dhcpv4.MessageType, change ...func(*dhcpv4.DHCPv4)) {
	var id dhcpv4.TransactionID
	binary.BigEndian.PutUint32(id[:], uint32(len(o.asked)))
	o.asked[id] = time.Now()
	data := packetOf(mac, kind, append(change, func(m *dhcpv4.DHCPv4) { m.TransactionID = id })...)
	in := datagram{data: data, link: "srv", port: serverPort}
	o.finish(o.decide(o.link, []datagram{in}, nil))
}

// request asks for what mac was offered or has.
func (o *office) request(mac host.MAC) {
	b := o.handler.networks[0].table.byMAC[mac]
	if b == nil {
		return
	}
	o.packet(mac, dhcpv4.MessageTypeRequest, optIP(50, addrOf(b.addr).String()), optIP(54, server.String()))
}

// send takes an answer.
func (o *office) send(frame []byte) error {
	m, err := dhcpv4.FromBytes(frame[frameHeaders:])
	if err != nil {
		o.t.Fatal(err)
	}
	o.sent = append(o.sent, m.MessageType())
	if m.MessageType() != dhcpv4.MessageTypeAck {
		return nil
	}
	l := host.Lease{MAC: host.MAC(m.ClientHWAddr), Address: fromIP(m.YourIPAddr), Expires: o.asked[m.TransactionID].Add(m.IPAddressLeaseTime(0))}
	o.acks[l.MAC] = l
	if err := holds(o.Leases.Leases(), l); err != nil {
		o.t.Errorf("an ACK left too early: %v", err)
	}
	return nil
}

// holds says what is missing for want among the stored leases.
func holds(all []host.Lease, want host.Lease) error {
	for _, l := range all {
		if l.Address == want.Address && l.MAC == want.MAC && !l.Declined && !l.Expires.Before(want.Expires) {
			return nil
		}
	}
	return fmt.Errorf("no lease of %s for %s until %s is stored", want.Address, want.MAC, want.Expires)
}

// take gives the disk its next work, if it has none.
func (o *office) take() {
	if o.group == nil {
		o.group = o.next()
	}
}

// settle ends the disk's work, as the Leases will have it.
func (o *office) settle() {
	if o.group != nil {
		o.conclude(o.group, o.Leases.CommitLeases(o.group.leases))
		o.group = nil
	}
}

// The disk may begin, succeed or fail before or after the REQUEST: an ACK waits
// for it, and comes if it can.
func TestAckWaitsForItsLease(t *testing.T) {
	tests := map[string]struct {
		steps string
		acks  int
		idle  bool // the disk has nothing left to do
	}{
		"stored before the request":          {"discover take store request", 1, true},
		"requested while the disk works":     {"discover take request", 0, true},
		"stored while the request waits":     {"discover take request store", 1, true},
		"requested before the disk begins":   {"discover request take", 0, true},
		"stored with the request":            {"discover request take store", 1, true},
		"failed while the request waits":     {"discover take request fail", 0, true},
		"requested again after the failure":  {"discover take request fail request take store", 1, true},
		"failed before the request":          {"discover take fail request", 0, false},
		"stored at the second try":           {"discover take fail request take store", 1, true},
		"failed at the second try":           {"discover take fail request take fail", 0, true},
		"discovered again while it waits":    {"discover take discover request store", 1, true},
		"discovered again after the failure": {"discover take fail discover take request store", 1, true},
		"requested twice while it waits":     {"discover take request request store", 2, true},
		"renewed before the next sync":       {"discover take store request request", 2, true},
		"released and taken again":           {"discover take store request release discover request", 1, false},
		"stored after the release":           {"discover take store request release discover request take store", 2, true},
		"declined: another address":          {"discover take store request decline discover request", 1, false},
		"released while it waits":            {"discover take request release store", 0, false},
		"released before the disk begins":    {"discover request release take store", 0, true},
		"released and taken while it waits":  {"discover take request release discover request store take store", 1, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			leases := &memory{}
			o := newOffice(t, leases)
			for step := range strings.FieldsSeq(tt.steps) {
				has := addrOf(0)
				if b := o.handler.networks[0].table.byMAC[alice]; b != nil {
					has = addrOf(b.addr)
				}
				switch step {
				case "discover":
					o.packet(alice, dhcpv4.MessageTypeDiscover)
				case "request":
					o.request(alice)
				case "release":
					o.packet(alice, dhcpv4.MessageTypeRelease, ciaddr(has.String()))
				case "decline":
					o.packet(alice, dhcpv4.MessageTypeDecline, optIP(50, has.String()))
				case "take":
					o.take()
				case "store":
					leases.breakWith(nil)
					o.settle()
				case "fail":
					leases.breakWith(errDisk)
					o.settle()
				default:
					t.Fatalf("no step %q", step)
				}
			}
			acks := 0
			for _, kind := range o.sent {
				if kind == dhcpv4.MessageTypeAck {
					acks++
				}
			}
			if acks != tt.acks || o.sent[0] != dhcpv4.MessageTypeOffer {
				t.Errorf("sent %v, want an offer at once and %d ACKs", o.sent, tt.acks)
			}
			if idle := o.next() == nil; idle != tt.idle {
				t.Errorf("the disk has nothing left to do: %t, want %t", idle, tt.idle)
			}
		})
	}
}

// cutStore is a store whose journal is looked at as a crash would leave it:
// before each commit, in the middle of it, and after it.
type cutStore struct {
	*store.Store
	path  string
	crash func(journal []byte)
}

func (c *cutStore) CommitLeases(leases []host.Lease) error {
	written := func(b []byte) int { return len(bytes.TrimRight(b, "\x00")) }
	before, err := os.ReadFile(c.path)
	err = errors.Join(err, c.Store.CommitLeases(leases))
	after, readErr := os.ReadFile(c.path)
	if err := errors.Join(err, readErr); err != nil {
		return err
	}
	from, to := written(before), written(after)
	for _, cut := range []int{from, (from + to) / 2, to} {
		left := slices.Clone(after)
		clear(left[cut:])
		c.crash(left)
	}
	return nil
}

// Whenever the power fails, every machine with an ACK has its lease in the store
// that is opened afterwards.
func TestAckedLeasesSurviveACrash(t *testing.T) {
	dir := t.TempDir()
	st, err := store.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	cut := &cutStore{Store: st, path: filepath.Join(dir, "leases.log")}
	o := newOffice(t, cut)
	cut.crash = func(journal []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "leases.log"), journal, 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := store.Open(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		all := again.Leases()
		for _, l := range o.acks {
			if err := holds(all, l); err != nil {
				t.Errorf("after a crash: %v", err)
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		mac := macOf(random.IntN(6))
		switch random.IntN(10) {
		case 0, 1, 2:
			o.packet(mac, dhcpv4.MessageTypeDiscover)
		case 3, 4, 5:
			o.request(mac)
		case 6:
			o.packet(mac, dhcpv4.MessageTypeRequest, optIP(54, "10.77.0.9")) // takes another's offer
		case 7:
			if l, ok := o.acks[mac]; ok {
				delete(o.acks, mac)
				o.packet(mac, dhcpv4.MessageTypeRelease, ciaddr(l.Address.String()))
			}
		case 8:
			o.take()
		case 9:
			o.settle()
		}
	}
	if o.Counters()["sent_acks"] < 20 || o.Counters()["lease_commits"] < 10 {
		t.Errorf("too little happened: %v", o.Counters())
	}
}

// A disk that hangs costs ACKs, and neither offers nor memory without end.
func TestDiskThatHangs(t *testing.T) {
	o := newOffice(t, &memory{})
	o.packet(alice, dhcpv4.MessageTypeDiscover)
	o.take()
	for range maxGroup + 1 {
		o.request(alice)
	}
	if n, dropped := len(o.group.waiting), o.Counters()["dropped_disk_behind"]; n != maxGroup || dropped != 1 {
		t.Errorf("%d answers wait and %d were dropped, want %d and 1", n, dropped, maxGroup)
	}
	for o.ledger.put(host.Lease{MAC: carol, Address: ip("10.77.1.8")}) != nil {
	}
	o.packet(bob, dhcpv4.MessageTypeDiscover)
	if last := o.sent[len(o.sent)-1]; last != dhcpv4.MessageTypeOffer {
		t.Errorf("answered %v while the ledger is full, want an offer", last)
	}
	o.request(bob)
	if n := o.Counters()["dropped_disk_behind"]; n != 2 {
		t.Errorf("%d dropped, want bob's REQUEST too: there is no room for its lease", n)
	}
	for range 2 {
		o.settle()
		o.take()
	}
	o.request(bob)
	o.take()
	o.settle()
	if len(o.acks) != 2 {
		t.Errorf("the disk works again and these have leases: %v", o.acks)
	}
}

// An offer that nobody took is taken back from the disk too, so that a restart
// does not keep its address; a lease that ends by itself needs no word.
func TestUnusedOfferIsReleased(t *testing.T) {
	addr := ip("10.77.0.100")
	released := []host.Lease{{MAC: alice, Address: addr}}
	poke := func(d *desk) { d.send(carol, dhcpv4.MessageTypeInform, ciaddr("10.77.0.9")) }
	tests := map[string]struct {
		then func(d *desk)
		want []host.Lease
	}{
		"lapsed": {func(d *desk) { d.now = d.now.Add(offerTime); poke(d) }, released},
		"withdrawn": {func(d *desk) {
			d.send(alice, dhcpv4.MessageTypeRequest, optIP(50, addr.String()), optIP(54, "10.77.0.9"))
		}, released},
		"taken and ended": {func(d *desk) { d.lease(alice); d.now = d.now.Add(time.Hour); poke(d) }, nil},
		"offered again to a machine that then only used up its lease": {func(d *desk) {
			d.lease(alice)
			d.now = d.now.Add(30 * time.Minute)
			d.send(alice, dhcpv4.MessageTypeDiscover)
			d.now = d.now.Add(30 * time.Minute)
			poke(d)
		}, released},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, nil)
			d.send(alice, dhcpv4.MessageTypeDiscover)
			if tt.then(d); !slices.Equal(d.put, tt.want) {
				t.Errorf("then the ledger got %+v, want %+v", d.put, tt.want)
			}
		})
	}
}

// What is written ahead covers the ACK as long as the offer lasts, and nothing
// is written twice.
func TestWrittenAheadOnce(t *testing.T) {
	d := newDesk(t, nil)
	d.lease(alice)
	if v, _ := d.send(alice, dhcpv4.MessageTypeDiscover); v.what != offers || d.put != nil {
		t.Errorf("a second DISCOVER at once: %s, put %+v", countNames[v.what], d.put)
	}
	d.now = d.now.Add(offerTime)
	v, _ := d.send(alice, dhcpv4.MessageTypeRequest, optIP(50, "10.77.0.100"), optIP(54, server.String()))
	if v.what != acks || v.after != nil || d.put != nil {
		t.Errorf("a REQUEST in time: %s, put %+v", countNames[v.what], d.put)
	}
	d.now = d.now.Add(time.Second)
	want := []host.Lease{{MAC: alice, Address: ip("10.77.0.100"), Expires: d.now.Add(time.Hour)}}
	v, _ = d.send(alice, dhcpv4.MessageTypeRequest, ciaddr("10.77.0.100"))
	if v.what != acks || v.after == nil || !slices.Equal(d.put, want) {
		t.Errorf("a renewal after that: %s, put %+v, want %+v and an ACK that waits", countNames[v.what], d.put, want)
	}
}
