package router

import (
	"slices"
	"testing"
)

func TestWayInFaults(t *testing.T) {
	for _, tt := range []struct {
		key    string
		change func(*Config)
	}{
		{"", func(*Config) {}},
		{"", func(c *Config) { c.Bootstrap = Bootstrap{} }},
		{"bootstrap.interface", func(c *Config) { c.Bootstrap.Interface = "" }},
		{"bootstrap.interface", func(c *Config) { c.Bootstrap.Interface = "ether1\n/quit" }},
		{"bootstrap.interface", func(c *Config) { // the only port with the management VLAN
			at := slices.IndexFunc(c.Ports, func(p Port) bool { return p.Role == Trunk })
			c.Ports = []Port{c.Ports[at]}
			c.Bootstrap.Interface = c.Ports[0].Name
		}},
		{"bootstrap.vlan", func(c *Config) { c.Bootstrap.VLAN = 0 }},
		{"bootstrap.vlan", func(c *Config) { c.Bootstrap.VLAN = 4095 }},
		{"bootstrap.address", func(c *Config) { c.Bootstrap.Address = network("203.0.113.0/24") }},
		{"bootstrap.address", func(c *Config) { c.Bootstrap.Address = network("2001:db8::1/64") }},
		{"bootstrap.address", func(c *Config) {
			c.Bootstrap.Address, c.Bootstrap.Appliance = network("192.0.2.129/25"), ip("192.0.2.130")
		}},
		{"bootstrap.appliance", func(c *Config) { c.Bootstrap.Appliance = c.Bootstrap.Address.Addr() }},
		{"bootstrap.appliance", func(c *Config) { c.Bootstrap.Appliance = ip("198.51.100.2") }},
		{"vlans[0].name", func(c *Config) { c.VLANs[0].Name, c.Management = BootstrapVLAN, BootstrapVLAN }},
	} {
		c, in := matrix()
		c.Bootstrap = Bootstrap{Interface: "ether1", VLAN: 2, Address: network("203.0.113.1/24"), Appliance: ip("203.0.113.2")}
		tt.change(&c)
		got := keys(c.Validate("router", in))
		if tt.key == "" && len(got) > 0 || tt.key != "" && !slices.Contains(got, "router."+tt.key) {
			t.Errorf("faults %v, want %q among them", got, tt.key)
		}
	}
}
