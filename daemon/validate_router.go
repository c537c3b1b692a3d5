package daemon

import (
	"fmt"

	"provision.internal/dhcp"
	"provision.internal/router"
)

// validateRouter looks at the router by itself, and whether it and the networks
// say the same of what both know.
func (c Config) validateRouter(fs *Faults) {
	if c.Router == nil {
		return
	}
	fs.take(c.Router.Validate("router", c.routerInputs()))
	for i, v := range c.Router.VLANs {
		at := fmt.Sprintf("router.vlans[%d]", i)
		found := false
		for j, n := range c.Network {
			if n.Subnet.IsValid() && v.Address.IsValid() && n.Subnet.Overlaps(v.Address) {
				found = true
				c.validateShared(fs, at, v, fmt.Sprintf("network[%d]", j), n)
			}
		}
		if v.Relay.IsValid() && v.Relay == c.Server.Address && !found {
			fs.add(at+".relay", "%s would not answer: no network of the configuration has the subnet %s", v.Relay, v.Address.Masked())
		}
	}
}

// validateShared compares a VLAN of the router with the network that is on it.
func (c Config) validateShared(fs *Faults, at string, v router.VLAN, network string, n dhcp.Network) {
	switch {
	case n.Subnet != v.Address.Masked():
		fs.add(at+".address", "is in %s, and %s.subnet is %s: they must be the same", v.Address.Masked(), network, n.Subnet)
	case v.DHCP != nil && n.DHCP == dhcp.Full:
		fs.add(at+".dhcp", "provision is the DHCP server of %s too: set %s.dhcp to proxy or off, or leave this out", n.Name, network)
	case v.DHCP != nil && v.DHCP.Boot && n.DHCP == dhcp.Proxy:
		fs.add(at+".dhcp.boot", "provision names the boot files of %s as a proxy: set %s.dhcp to off, or leave this out", n.Name, network)
	case v.Relay.IsValid() && n.DHCP != dhcp.Off && !n.Relayed:
		fs.add(at+".relay", "provision is on %s itself: leave the relay out, or set %s.relayed", n.Name, network)
	case n.Relayed && n.DHCP != dhcp.Off && !v.Relay.IsValid():
		fs.add(network+".relayed", "the router does not relay from VLAN %s: set %s.relay to %s", v.Name, at, c.Server.Address)
	}
}
