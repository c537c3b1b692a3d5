package daemon

import (
	"net/netip"
	"testing"
	"time"

	"provision.internal/boot"
	"provision.internal/host"
)

func TestLoading(t *testing.T) {
	now := time.Unix(1000, 0)
	l := &loading{now: func() time.Time { return now }}
	m := &machines{store: openStore(t), now: time.Now, loads: l}
	mac, other := host.MAC{2, 1}, host.MAC{2, 2}
	want := func(what string, is bool) {
		t.Helper()
		if l.is(mac) != is {
			t.Errorf("%s: loading %v, want %v", what, !is, is)
		}
	}
	want("never heard", false)
	m.Saw(boot.Client{MAC: mac}, netip.Addr{})
	want("an operating system", false)
	m.Saw(boot.Client{MAC: mac, PXE: true}, netip.Addr{})
	want("its firmware", true)
	l.end(other)
	want("another got a script", true)
	l.end(mac)
	want("it has its script", false)
	m.Saw(boot.Client{MAC: mac, PXE: true, IPXE: true}, netip.Addr{})
	now = now.Add(loadTime)
	want("it never asked for a script", false)
	for i := range 3 * maxLoading {
		l.begin(host.MAC{2, 3, byte(i >> 16), byte(i >> 8), byte(i)})
	}
	if n := len(l.since); n > maxLoading {
		t.Errorf("%d machines are remembered, want at most %d", n, maxLoading)
	}
}
