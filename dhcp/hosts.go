package dhcp

import (
	"net/netip"

	"provision.internal/boot"
	"provision.internal/host"
)

// Hosts is what the appliance knows of machines. The server calls it while
// packets wait: none of it may block.
type Hosts interface {
	// Host returns what is known of mac, or host.ErrUnknown.
	Host(mac host.MAC) (host.Host, error)

	// Saw reports a machine that was given addr, or, in proxy mode, a boot
	// file and no address.
	Saw(c boot.Client, addr netip.Addr)

	// Notice reports something worth knowing about mac; with a zero mac about
	// the appliance. The number of notices is bounded.
	Notice(mac host.MAC, text string)
}

// Leases keeps leases beyond a restart. The key of a lease is its address.
type Leases interface {
	// Leases returns all of them, ended ones included.
	Leases() []host.Lease

	// CommitLeases returns when all of them are durable. A nil error is what
	// lets the ACKs go. The slice is the caller's again then.
	CommitLeases([]host.Lease) error
}
