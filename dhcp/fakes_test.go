package dhcp

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"provision.internal/boot"
	"provision.internal/dhcp/dhcptest"
	"provision.internal/host"
)

// memory keeps leases in memory. It can be made to fail.
type memory struct {
	mu     sync.Mutex
	kept   map[netip.Addr]host.Lease
	fail   error
	before func() // called at each commit
}

func (m *memory) Leases() []host.Lease {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []host.Lease
	for _, l := range m.kept {
		all = append(all, l)
	}
	return all
}

func (m *memory) CommitLeases(leases []host.Lease) error {
	if m.before != nil {
		m.before()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	if m.kept == nil {
		m.kept = map[netip.Addr]host.Lease{}
	}
	for _, l := range leases {
		m.kept[l.Address] = l
	}
	return nil
}

func (m *memory) lease(a netip.Addr) (host.Lease, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, ok := m.kept[a]
	return l, ok
}

func (m *memory) breakWith(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

// people knows some hosts by name and remembers what it was told.
type people struct {
	mu      sync.Mutex
	names   map[host.MAC]string
	seen    []boot.Client
	notices []string
}

func (p *people) Host(mac host.MAC) (host.Host, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if name, ok := p.names[mac]; ok {
		return host.Host{MAC: mac, Name: name}, nil
	}
	return host.Host{}, host.ErrUnknown
}

func (p *people) Saw(c boot.Client, _ netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, c)
}

func (p *people) Notice(_ host.MAC, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.notices = append(p.notices, text)
}

func (p *people) call(mac host.MAC, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.names = map[host.MAC]string{mac: name}
}

func (p *people) saw(mac host.MAC) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.seen, func(c boot.Client) bool { return c.MAC == mac })
}

// rack is the network of most tests.
func rack() Network {
	return Network{
		Name:          "rack",
		Interface:     "srv",
		Subnet:        netip.MustParsePrefix("10.77.0.0/16"),
		DHCP:          Full,
		Pool:          Pool{netip.MustParseAddr("10.77.1.0"), netip.MustParseAddr("10.77.32.255")},
		Gateway:       netip.MustParseAddr("10.77.0.1"),
		DNS:           []netip.Addr{netip.MustParseAddr("10.77.0.1")},
		Domain:        "rack.example",
		Authoritative: true,
	}
}

// start runs a server in c's namespace until the test ends, or until the
// function that it returns is called.
func start(tb testing.TB, c dhcptest.Cable, cfg Config, leases Leases) (*Server, *people, func()) {
	tb.Helper()
	if err := cfg.Validate(); err != nil {
		tb.Fatal(err)
	}
	var sockets *Sockets
	inside(tb, c.Server, func() (err error) {
		sockets, err = Listen(cfg)
		return err
	})
	return serve(tb, cfg, sockets, leases)
}

func serve(tb testing.TB, cfg Config, sockets *Sockets, leases Leases) (*Server, *people, func()) {
	tb.Helper()
	p := &people{}
	s := &Server{Config: cfg, Sockets: sockets, Hosts: p, Leases: leases, Log: slog.New(slog.NewTextHandler(tb.Output(), nil))}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("Run: %v", err)
		}
	})
	tb.Cleanup(stop)
	return s, p, stop
}

// eventually waits for something that another goroutine does.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("after 10 s: no %s", what)
		}
	}
}

var errDisk = errors.New("no space left on device")
