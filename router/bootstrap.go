package router

import "net/netip"

// Bootstrap is the way into a router that was just installed: one VLAN on one
// of its ports, for the appliance alone, until the router is taken over.
type Bootstrap struct {
	Interface string       `mapstructure:"interface"` // the port, such as ether1
	VLAN      int          `mapstructure:"vlan"`      // 1 to 4094
	Address   netip.Prefix `mapstructure:"address"`   // of the router
	Appliance netip.Addr   `mapstructure:"appliance"` // ours
}

// BootstrapVLAN is the name of that VLAN's interface on the router.
const BootstrapVLAN = "bootstrap"

// IsZero reports whether no way in is configured.
func (b Bootstrap) IsZero() bool { return b == Bootstrap{} }
