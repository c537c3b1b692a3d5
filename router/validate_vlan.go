package router

import (
	"fmt"
	"net/netip"
	"time"
)

const (
	minLease = time.Minute
	maxLease = 365 * 24 * time.Hour
)

func (v *validator) vlans() {
	if len(v.cfg.VLANs) == 0 {
		v.fault("vlans", "is missing: list at least the management VLAN")
	}
	names, ids := map[string]int{}, map[int]int{}
	for i, vlan := range v.cfg.VLANs {
		at := fmt.Sprintf("vlans[%d]", i)
		switch first, again := names[vlan.Name]; {
		case !interfaceName.MatchString(vlan.Name):
			v.fault(at+".name", "%q cannot be a name: %s", vlan.Name, interfaceNameForm)
		case again:
			v.fault(at+".name", "%s is the name of vlans[%d] too", vlan.Name, first)
		case vlan.Name == v.cfg.Bridge:
			v.fault(at+".name", "%s is the bridge's name", vlan.Name)
		}
		names[vlan.Name] = i
		switch first, again := ids[vlan.ID]; {
		case vlan.ID < 1 || vlan.ID > 4094:
			v.fault(at+".id", "%d is not between 1 and 4094", vlan.ID)
		case again:
			v.fault(at+".id", "%d is the id of vlans[%d], %s, too", vlan.ID, first, v.cfg.VLANs[first].Name)
		}
		ids[vlan.ID] = i
		v.address(at, i)
		v.serving(at, vlan)
	}
}

func (v *validator) address(at string, i int) {
	vlan := v.cfg.VLANs[i]
	a := vlan.Address
	switch {
	case !a.IsValid():
		return
	case !a.Addr().Is4(), a.Bits() < 8, a.Bits() == 32:
		v.fault(at+".address", "%s is not an IPv4 address with its network, between /8 and /31", a)
		return
	case !machineIn(a, a.Addr()):
		v.fault(at+".address", "%s is a network's own or broadcast address: give the router's address in it, such as %s/%d", a, a.Masked().Addr().Next(), a.Bits())
	}
	for j, other := range v.cfg.VLANs[:i] {
		if other.Address.IsValid() && a.Overlaps(other.Address) {
			v.fault(at+".address", "%s overlaps vlans[%d].address, %s", a, j, other.Address)
		}
	}
	for j, h := range v.in.Hosts {
		if h.Address == a.Addr() {
			v.faults = append(v.faults, fmt.Errorf("hosts[%d].address: %s is the router's address on VLAN %s", j, h.Address, vlan.Name))
		}
	}
	if v.in.Appliance == a.Addr() && v.in.Appliance.IsValid() {
		v.fault(at+".address", "%s is the appliance's own", a.Addr())
	}
}

// serving looks at what the router does for the machines of a VLAN.
func (v *validator) serving(at string, vlan VLAN) {
	switch {
	case vlan.DHCP != nil && vlan.Relay.IsValid():
		v.fault(at+".relay", "the router is the DHCP server of this VLAN: it cannot relay as well")
	case vlan.DHCPClient && (vlan.DHCP != nil || vlan.Relay.IsValid()):
		v.fault(at+".dhcp_client", "the router cannot be a DHCP client where it serves or relays")
	case vlan.DHCPClient && vlan.Address.IsValid():
		v.fault(at+".dhcp_client", "the VLAN has the address %s already: leave one of them out", vlan.Address)
	case (vlan.DHCP != nil || vlan.Relay.IsValid()) && !vlan.Address.IsValid():
		v.fault(at+".address", "is missing: a DHCP server or relay needs one")
		return
	}
	if vlan.Relay.IsValid() && (!usable(vlan.Relay) || vlan.Relay == vlan.Address.Addr()) {
		v.fault(at+".relay", "%s is not the address of another machine", vlan.Relay)
	}
	if vlan.DHCP != nil {
		v.server(at+".dhcp", vlan)
	}
}

func (v *validator) server(at string, vlan VLAN) {
	d, subnet := vlan.DHCP, vlan.Address
	ends := 0
	for _, end := range []struct {
		name string
		addr netip.Addr
	}{{"from", d.Pool.From}, {"to", d.Pool.To}} {
		switch {
		case !end.addr.IsValid():
			v.fault(at+".pool."+end.name, "is missing: give the pool's first and last address")
		case !machineIn(subnet, end.addr):
			v.fault(at+".pool."+end.name, "%s is not a machine's address in %s", end.addr, subnet.Masked())
		default:
			ends++
		}
	}
	if ends == 2 {
		v.pool(at+".pool", vlan)
	}
	if d.Gateway.IsValid() && !machineIn(subnet, d.Gateway) {
		v.fault(at+".gateway", "%s is not a machine's address in %s", d.Gateway, subnet.Masked())
	}
	for i, a := range d.DNS {
		if !usable(a) {
			v.fault(fmt.Sprintf("%s.dns[%d]", at, i), "%s is not the IPv4 address of one machine", a)
		}
	}
	if d.Domain != "" && !domainName.MatchString(d.Domain) {
		v.fault(at+".domain", "%q is no domain name", d.Domain)
	}
	if d.Lease != 0 && (d.Lease < minLease || d.Lease > maxLease) {
		v.fault(at+".lease", "%s is not between %s and a year", d.Lease, minLease)
	}
	if d.Boot && !v.in.Appliance.IsValid() {
		v.fault(at+".boot", "needs server.address, which is where the boot files are")
	}
}

func (v *validator) pool(at string, vlan VLAN) {
	pool, router := vlan.DHCP.Pool, vlan.Address.Addr()
	in := func(a netip.Addr) bool {
		return a.IsValid() && a.Compare(pool.From) >= 0 && a.Compare(pool.To) <= 0
	}
	switch {
	case pool.To.Less(pool.From):
		v.fault(at, "from %s is above to %s", pool.From, pool.To)
	case in(router):
		v.fault(at, "holds %s, which is the router's own", router)
	case in(vlan.DHCP.Gateway):
		v.fault(at, "holds %s, which is the gateway", vlan.DHCP.Gateway)
	case in(v.in.Appliance):
		v.fault(at, "holds %s, which is the appliance's own", v.in.Appliance)
	}
}
