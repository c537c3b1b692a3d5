package dhcp

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"provision.internal/dhcp/dhcptest"
	"provision.internal/host"
	"provision.internal/store"
)

// BenchmarkDecide is the work of one DISCOVER without the network: parsing,
// classification, address, boot file, encoding.
func BenchmarkDecide(b *testing.B) {
	h, n := benchHandler(b, nil)
	n.restock(time.Now())
	m, err := dhcptest.UEFI(dhcptest.MAC(1)).Discover()
	if err != nil {
		b.Fatal(err)
	}
	p := datagram{data: m.ToBytes(), link: "srv", port: serverPort}
	b.ReportAllocs()
	for b.Loop() {
		if d := h.handle(p, time.Now()); d.what != offers {
			b.Fatalf("got %s, want an offer", countNames[d.what])
		}
	}
}

// BenchmarkExchange is one machine's DISCOVER and REQUEST with a lease that is
// durable, in groups of 32 as a storm brings them together, with few and with
// many leases in the store.
func BenchmarkExchange(b *testing.B) {
	for _, leases := range []int{100, 100_000} {
		b.Run(fmt.Sprintf("leases=%d", leases), func(b *testing.B) { benchExchange(b, leases, 32) })
	}
}

// BenchmarkExchangeAlone has a sync of its own for each lease.
func BenchmarkExchangeAlone(b *testing.B) {
	for _, leases := range []int{100, 100_000} {
		b.Run(fmt.Sprintf("leases=%d", leases), func(b *testing.B) { benchExchange(b, leases, 1) })
	}
}

func benchExchange(b *testing.B, leases, size int) {
	st, err := store.Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { st.Close() })
	now := time.Now()
	held := make([]host.Lease, leases)
	first := bits(benchNetwork().Pool.From)
	for i := range held {
		held[i] = host.Lease{MAC: host.MAC(dhcptest.MAC(uint32(i))), Address: addrOf(first + uint32(i)), Expires: now.Add(benchLease)}
	}
	if err := st.CommitLeases(held); err != nil {
		b.Fatal(err)
	}
	h, n := benchHandler(b, st.Leases())
	machines := make([][]byte, 100)
	for i := range machines {
		m, err := dhcptest.UEFI(dhcptest.MAC(uint32(i * leases / len(machines)))).Discover()
		if err != nil {
			b.Fatal(err)
		}
		machines[i] = m.ToBytes()
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		discover := machines[i%len(machines)]
		i++
		// When a machine comes back, its last lease no longer covers the next.
		at := now.Add(time.Duration(i) * offerTime / 50)
		offer := h.handle(datagram{data: discover, link: "srv", port: serverPort}, at)
		if offer.what != offers {
			b.Fatalf("got %s, want an offer", countNames[offer.what])
		}
		ack := h.handle(datagram{data: requestOf(discover, offer), link: "srv", port: serverPort}, at)
		if ack.what != acks || ack.after == nil {
			b.Fatalf("got %s, want an ACK that waits for its lease", countNames[ack.what])
		}
		if len(n.table.ledger.open.leases) == size {
			g := n.table.ledger.take()
			if err := st.CommitLeases(g.leases); err != nil {
				b.Fatal(err)
			}
			g.settle(stored)
		}
	}
}

// requestOf turns a DISCOVER into the REQUEST that takes offer, without the
// codec, which would be measured too.
func requestOf(discover []byte, offer decision) []byte {
	end := len(discover)
	for discover[end-1] == 0 {
		end--
	}
	b := append([]byte(nil), discover[:end-1]...)
	for o := headerLen; o < len(b); o += 2 + int(b[o+1]) {
		if b[o] == dhcpv4.OptionDHCPMessageType.Code() {
			b[o+2] = byte(dhcpv4.MessageTypeRequest)
		}
	}
	addr, server := offer.reply[frameHeaders+16:frameHeaders+20], offer.to.from.Addr().As4()
	b = append(append(b, 50, 4), addr...)
	b = append(append(b, 54, 4), server[:]...)
	return append(b, 255)
}

// benchLease does not end during a benchmark.
const benchLease = 300 * 24 * time.Hour

// benchNetwork has room for 100,000 leases.
func benchNetwork() Network {
	n := rack()
	n.Lease = benchLease
	n.Subnet = netip.MustParsePrefix("10.64.0.0/12")
	n.Pool = Pool{netip.MustParseAddr("10.65.0.0"), netip.MustParseAddr("10.67.0.0")}
	n.Gateway = netip.MustParseAddr("10.64.0.1")
	return n
}

func benchHandler(tb testing.TB, leases []host.Lease) (*handler, *network) {
	tb.Helper()
	cfg := Config{Networks: []Network{benchNetwork()}}
	if err := cfg.Validate(); err != nil {
		tb.Fatal(err)
	}
	return newHandler(cfg, leases, &people{}, netip.MustParseAddr("10.64.0.1"))
}

// newHandler makes a handler for the one network of cfg.
func newHandler(cfg Config, leases []host.Lease, hosts Hosts, server netip.Addr) (*handler, *network) {
	n := newNetwork(cfg.Networks[0], server, cfg, &ledger{})
	n.table.load(leases, time.Now())
	return &handler{networks: []*network{n}, hosts: hosts}, n
}

// restock does what a prober does when nobody answers.
func (n *network) restock(now time.Time) {
	for addrs := n.table.candidates(now); len(addrs) > 0; addrs = n.table.candidates(now) {
		for _, a := range addrs {
			n.table.silent(a, now)
		}
	}
}
