package router

import "fmt"

// Warnings are what may be meant so and probably is not, each with its key's
// path. c must be valid.
func (c Config) Warnings(key string) []string {
	var all []string
	warn := func(at, format string, args ...any) {
		all = append(all, key+"."+at+": "+fmt.Sprintf(format, args...))
	}
	if c.BGP != nil {
		for i, peer := range c.BGP.Peers {
			if _, ok := c.vlanOf(peer.Address); !ok {
				warn(fmt.Sprintf("bgp.peers[%d].address", i), "%s is in none of the VLANs' subnets: the session needs a route to it and more hops than one", peer.Address)
			}
		}
	}
	if c.Services == nil {
		warn("services", "is left out: telnet, ftp, www and the API without TLS stay as they are on the router, open unless somebody closed them")
	}
	if len(c.Firewall.Input) == 0 {
		warn("firewall.input", "has no rules: whoever reaches the router reaches its services")
	}
	return all
}
