package store

import (
	"net/netip"
	"time"

	"provision.internal/host"
)

// lease returns the nth lease of a test.
func lease(n int) host.Lease {
	return host.Lease{
		MAC:     host.MAC{2, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)},
		Address: netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}),
		Expires: t0.Add(time.Duration(n) * time.Second),
	}
}
