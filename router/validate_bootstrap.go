package router

import (
	"fmt"
	"slices"
)

// bootstrap looks at the way into a router that was reset, where there is one.
func (v *validator) bootstrap() {
	b := v.cfg.Bootstrap
	if b.IsZero() {
		return
	}
	management := v.cfg.Management
	switch {
	case !interfaceName.MatchString(b.Interface):
		v.fault("bootstrap.interface", "%q is no port: name the one on which a router that was reset is reached, such as ether1", b.Interface)
	case !v.carries(management, b.Interface):
		v.fault("bootstrap.interface", "no other port carries %s: the way in could not be proven there before %s changes; give another port %s, too", management, b.Interface, management)
	}
	if b.VLAN < 1 || b.VLAN > 4094 {
		v.fault("bootstrap.vlan", "%d is not between 1 and 4094", b.VLAN)
	}
	switch {
	case !b.Address.IsValid() || !b.Address.Addr().Is4() || b.Address.Masked().Addr() == b.Address.Addr():
		v.fault("bootstrap.address", "want an IPv4 address with its prefix length, such as 198.51.100.1/24")
		return
	case !b.Address.Contains(b.Appliance) || b.Appliance == b.Address.Addr():
		v.fault("bootstrap.appliance", "want another address of %s than the router's", b.Address.Masked())
	}
	for i, vlan := range v.cfg.VLANs {
		if vlan.Name == BootstrapVLAN {
			v.fault(fmt.Sprintf("vlans[%d].name", i), "%s is the name of the way in of router.bootstrap", vlan.Name)
		}
		if vlan.Address.IsValid() && b.Address.Overlaps(vlan.Address) {
			v.fault("bootstrap.address", "%s overlaps with %s of %s", b.Address, vlan.Address, vlan.Name)
		}
	}
}

// carries reports whether a port other than but has the VLAN and stays where
// it is.
func (v *validator) carries(vlan, but string) bool {
	return slices.ContainsFunc(v.cfg.Ports, func(p Port) bool {
		return p.Name != but && p.Role != Host && (p.VLAN == vlan || slices.Contains(p.Tagged, vlan))
	})
}
