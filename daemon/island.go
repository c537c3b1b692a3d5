package daemon

import (
	"net/netip"

	"provision.internal/dhcp"
)

// island is the network of a host's address when hosts there have no default
// route: the appliance gives the addresses, and it knows no gateway.
func (c Config) island(host netip.Addr) netip.Prefix {
	for _, n := range c.Network {
		if n.Subnet.Contains(host) && n.DHCP == dhcp.Full && !n.Gateway.IsValid() {
			return n.Subnet.Masked()
		}
	}
	return netip.Prefix{}
}
