package router

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// keys are the paths that a Validate complains about.
func keys(err error) []string {
	if err == nil {
		return nil
	}
	var all []string
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []string{err.Error()}
	}
	for _, e := range joined.Unwrap() {
		key, _, _ := strings.Cut(e.Error(), ": ")
		all = append(all, key)
	}
	return all
}

func ip(s string) netip.Addr        { return netip.MustParseAddr(s) }
func network(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func TestTheMatrixIsValid(t *testing.T) {
	c, in := matrix()
	if err := c.Validate("router", in); err != nil {
		t.Error(err)
	}
	if w := c.Warnings("router"); len(w) > 0 {
		t.Error(w)
	}
}

// Each change makes one fault of the valid site, under one key.
func TestOneFaultOneKey(t *testing.T) {
	for _, tt := range []struct {
		key    string
		change func(*Config, *Inputs)
	}{
		{"address", func(c *Config, _ *Inputs) { c.Address = "" }},
		{"address", func(c *Config, _ *Inputs) { c.Address = "192.0.2.1:0" }},
		{"address", func(c *Config, _ *Inputs) { c.Address = "192.0.2.1:api" }},
		{"address", func(c *Config, _ *Inputs) { c.Address = "https://192.0.2.1" }},
		{"user", func(c *Config, _ *Inputs) { c.User = "" }},
		{"password_file", func(c *Config, _ *Inputs) { c.PasswordFile = "" }},
		{"identity", func(c *Config, _ *Inputs) { c.Identity = "a\nb" }},
		{"bridge", func(c *Config, _ *Inputs) { c.Bridge = "" }},

		{"vlans[1].name", func(c *Config, _ *Inputs) { c.VLANs[1].Name = "wan 0"; c.Ports[0].VLAN = "lan9" }}, // and two more: see below
		{"vlans[0].id", func(c *Config, _ *Inputs) { c.VLANs[0].ID = 0 }},
		{"vlans[1].id", func(c *Config, _ *Inputs) { c.VLANs[1].ID = 4095 }},
		{"vlans[2].id", func(c *Config, _ *Inputs) { c.VLANs[2].ID = 10 }},
		{"vlans[4].name", func(c *Config, _ *Inputs) { c.VLANs = append(c.VLANs, VLAN{Name: "lan0", ID: 40}) }},
		{"vlans[4].name", func(c *Config, _ *Inputs) { c.VLANs = append(c.VLANs, VLAN{Name: "br0", ID: 40}) }},
		{"vlans[4].address", func(c *Config, _ *Inputs) {
			c.VLANs = append(c.VLANs, VLAN{Name: "x", ID: 40, Address: network("192.0.2.129/25")})
		}},
		{"vlans[4].address", func(c *Config, _ *Inputs) {
			c.VLANs = append(c.VLANs, VLAN{Name: "x", ID: 40, Address: network("192.0.3.0/24")})
		}},
		{"vlans[4].address", func(c *Config, _ *Inputs) {
			c.VLANs = append(c.VLANs, VLAN{Name: "x", ID: 40, Address: network("192.0.3.255/24")})
		}},
		{"vlans[4].address", func(c *Config, _ *Inputs) {
			c.VLANs = append(c.VLANs, VLAN{Name: "x", ID: 40, Address: network("2001:db8::1/64")})
		}},
		{"vlans[4].address", func(c *Config, _ *Inputs) { c.VLANs = append(c.VLANs, VLAN{Name: "x", ID: 40, Relay: ip("192.0.2.2")}) }},
		{"vlans[3].relay", func(c *Config, _ *Inputs) { c.VLANs[3].Relay = ip("198.51.100.1") }},
		{"vlans[0].relay", func(c *Config, _ *Inputs) { c.VLANs[0].Relay = ip("192.0.2.2") }},
		{"vlans[1].dhcp_client", func(c *Config, _ *Inputs) { c.VLANs[1].Address = network("203.0.113.1/24"); c.Routes = nil }},
		{"vlans[3].dhcp_client", func(c *Config, _ *Inputs) { c.VLANs[3].DHCPClient = true }},
		{"vlans[0].dhcp.pool.from", func(c *Config, _ *Inputs) { c.VLANs[0].DHCP.Pool.From = ip("192.0.3.30") }},
		{"vlans[0].dhcp.pool.to", func(c *Config, _ *Inputs) { c.VLANs[0].DHCP.Pool.To = ip("192.0.2.255") }},
		{"vlans[0].dhcp.pool.to", func(c *Config, _ *Inputs) { c.VLANs[0].DHCP.Pool.To = netip.Addr{} }},
		{"vlans[0].dhcp.pool", func(c *Config, _ *Inputs) { c.VLANs[0].DHCP.Pool.To = ip("192.0.2.29") }},
		{"vlans[0].dhcp.pool", func(c *Config, _ *Inputs) { c.VLANs[0].DHCP.Pool.From = ip("192.0.2.1") }},
		{"vlans[0].dhcp.pool", func(c *Config, _ *Inputs) { c.VLANs[0].DHCP.Pool.From = ip("192.0.2.2") }},
		{"vlans[0].dhcp.gateway", func(c *Config, _ *Inputs) { c.VLANs[0].DHCP.Gateway = ip("192.0.3.1") }},
		{"vlans[0].dhcp.dns[0]", func(c *Config, _ *Inputs) { c.VLANs[0].DHCP.DNS[0] = ip("::1") }},
		{"vlans[0].dhcp.domain", func(c *Config, _ *Inputs) { c.VLANs[0].DHCP.Domain = "a b" }},
		{"vlans[0].dhcp.lease", func(c *Config, _ *Inputs) { c.VLANs[0].DHCP.Lease = time.Second }},
		{"vlans[0].address", func(_ *Config, in *Inputs) { in.Appliance = ip("192.0.2.1") }}, // and services: see below

		{"ports[0].name", func(c *Config, _ *Inputs) { c.Ports[0].Name = "ether 1" }},
		{"ports[0].name", func(c *Config, _ *Inputs) { c.Ports[0].Name = "lan0" }},
		{"ports[1].name", func(c *Config, _ *Inputs) { c.Ports[1].Name = "ether1" }},
		{"ports[2].name", func(c *Config, _ *Inputs) { c.Ports[2].Name = "ether2" }},
		{"ports[0].role", func(c *Config, _ *Inputs) { c.Ports[0].Role = "" }},
		{"ports[0].vlan", func(c *Config, _ *Inputs) { c.Ports[0].VLAN = "" }},
		{"ports[0].vlan", func(c *Config, _ *Inputs) { c.Ports[0].VLAN = "lan9" }},
		{"ports[0].vlan", func(c *Config, _ *Inputs) { c.Ports[0].VLAN = "lan0" }}, // management on the uplink
		{"ports[6].vlan", func(c *Config, _ *Inputs) { c.Ports[6].VLAN = "lan0" }},
		{"ports[1].tagged", func(c *Config, _ *Inputs) { c.Ports[1].Tagged = []string{"lan0"} }},
		{"ports[5].tagged[1]", func(c *Config, _ *Inputs) { c.Ports[5].Tagged[1] = "lan0" }},
		{"ports[5].tagged[1]", func(c *Config, _ *Inputs) { c.Ports[5].Tagged[1] = "lan9" }},
		{"ports[5].tagged[0]", func(c *Config, _ *Inputs) { c.Ports[5].VLAN = "lan0" }},
		{"ports[5].tagged", func(c *Config, _ *Inputs) { c.Ports[5].Tagged = nil }},
		{"stages.idle", func(c *Config, _ *Inputs) { c.Stages.Idle = "" }},
		{"stages.install", func(c *Config, _ *Inputs) { c.Stages.Install = "install" }},
		{"management", func(c *Config, _ *Inputs) { c.Management = "" }},
		{"management", func(c *Config, _ *Inputs) { c.Ports[5].Tagged, c.Ports[9].VLAN = []string{"peer0"}, "peer0" }}, // given away
		{"management", func(c *Config, in *Inputs) {
			c.Management, *in = "wan0", Inputs{}
			c.VLANs[0].DHCP.Boot, c.Ports[0].Role = false, Access
		}},

		{"routes[0].to", func(c *Config, _ *Inputs) { c.Routes[0].To = network("203.0.113.1/24") }},
		{"routes[0].to", func(c *Config, _ *Inputs) { c.Routes[0].To = netip.Prefix{} }},
		{"routes[0].via", func(c *Config, _ *Inputs) { c.Routes[0].Via = ip("203.0.113.1") }},
		{"routes[0].via", func(c *Config, _ *Inputs) { c.Routes[0].Via = ip("192.0.2.1") }},
		{"routes[1].to", func(c *Config, _ *Inputs) { c.Routes = append(c.Routes, c.Routes[0]) }},

		{"dns.servers[0]", func(c *Config, _ *Inputs) { c.DNS.Servers[0] = ip("0.0.0.0") }},
		{"dns.domain", func(c *Config, _ *Inputs) { c.DNS.Domain = "-" }},
		{"dns.records[0].name", func(c *Config, _ *Inputs) { c.DNS.Records[0].Name = "a..b" }},
		{"dns.records[1].name", func(c *Config, _ *Inputs) { c.DNS.Records[1].Name = c.DNS.Records[0].Name }},
		{"dns.records[0].name", func(c *Config, _ *Inputs) { c.DNS.Records[0].Name = "nodea" }},
		{"dns.records[0]", func(c *Config, _ *Inputs) { c.DNS.Records[0].CNAME = "x" }},
		{"dns.records[0]", func(c *Config, _ *Inputs) { c.DNS.Records[0].Address = netip.Addr{} }},
		{"dns.records[1].cname", func(c *Config, _ *Inputs) { c.DNS.Records[1].CNAME = c.DNS.Records[1].Name }},
		{"ntp[1]", func(c *Config, _ *Inputs) { c.NTP[1] = "a b" }},

		{"bgp.as", func(c *Config, _ *Inputs) { c.BGP.AS, c.BGP.Peers[0].AS = 0, 1 }},
		{"bgp.router_id", func(c *Config, _ *Inputs) { c.BGP.RouterID = ip("::1") }},
		{"bgp.peers", func(c *Config, _ *Inputs) { c.BGP.Peers = nil }},
		{"bgp.peers[1].name", func(c *Config, _ *Inputs) { c.BGP.Peers = append(c.BGP.Peers, c.BGP.Peers[0]) }},
		{"bgp.peers[0].address", func(c *Config, _ *Inputs) { c.BGP.Peers[0].Address = netip.Addr{} }},
		{"bgp.peers[0].address", func(c *Config, _ *Inputs) { c.BGP.Peers[0].Address = ip("169.254.255.1") }},
		{"bgp.peers[0].hold", func(c *Config, _ *Inputs) { c.BGP.Peers[0].Hold, c.BGP.Peers[0].Keepalive = 2*time.Second, 0 }},
		{"bgp.peers[0].keepalive", func(c *Config, _ *Inputs) { c.BGP.Peers[0].Keepalive = 30 * time.Second }},
		{"bgp.peers[0].redistribute[0]", func(c *Config, _ *Inputs) { c.BGP.Peers[0].Redistribute[0] = "all" }},
		{"bgp.peers[0].originate", func(c *Config, _ *Inputs) { c.BGP.Peers[0].Originate = "yes" }},

		{"services.https", func(c *Config, _ *Inputs) { c.Services["https"] = nil }},
		{"services.ssh", func(c *Config, _ *Inputs) { c.Services["ssh"] = nil }},
		{"services.ssh[0]", func(c *Config, _ *Inputs) { c.Services["ssh"][0] = network("192.0.2.1/24") }},
		{"services.api-ssl", func(c *Config, _ *Inputs) { delete(c.Services, "api-ssl") }},
		{"services.api-ssl", func(c *Config, _ *Inputs) { c.Services["api-ssl"][0] = network("192.0.2.3/32") }},

		{"firewall.input[0].name", func(c *Config, _ *Inputs) { c.Firewall.Input[0].Name = "" }},
		{"firewall.input[1].name", func(c *Config, _ *Inputs) { c.Firewall.Input[1].Name = "established" }},
		{"firewall.input[3].action", func(c *Config, _ *Inputs) { c.Firewall.Input[3].Action = "allow" }},
		{"firewall.input[3].action", func(c *Config, _ *Inputs) { c.Firewall.Input[3].Action = "" }},
		{"firewall.input[3].action", func(c *Config, _ *Inputs) { c.Firewall.Input[3].Action = "masquerade" }},
		{"firewall.input[0].connection_state[1]", func(c *Config, _ *Inputs) { c.Firewall.Input[0].ConnectionState[1] = "relatedd" }},
		{"firewall.input[3].protocol", func(c *Config, _ *Inputs) { c.Firewall.Input[3].Protocol = "icmpp" }},
		{"firewall.input[2].dst_port", func(c *Config, _ *Inputs) { c.Firewall.Input[2].DstPort = "70000" }},
		{"firewall.input[2].dst_port", func(c *Config, _ *Inputs) { c.Firewall.Input[2].Protocol = "" }},
		{"firewall.input[2].src_address", func(c *Config, _ *Inputs) { c.Firewall.Input[2].SrcAddress = "192.0.2.9-192.0.2.1" }},
		{"firewall.input[2].in_interface", func(c *Config, _ *Inputs) { c.Firewall.Input[2].InInterface = "lan9" }},
		{"firewall.input[2].in_interface", func(c *Config, _ *Inputs) { c.Firewall.Input[2].InInterface = "ether1" }},
		{"firewall.input[2].out_interface", func(c *Config, _ *Inputs) { c.Firewall.Input[2].OutInterface = "lan0" }},
		{"firewall.input[3].reject_with", func(c *Config, _ *Inputs) { c.Firewall.Input[3].RejectWith = "tcp-reset" }},
		{"firewall.srcnat[0].to_addresses", func(c *Config, _ *Inputs) { c.Firewall.SrcNAT[0].ToAddresses = "192.0.2.1" }},
		{"firewall.input[1]", func(c *Config, _ *Inputs) { c.Firewall.Input[1].Action = "drop" }}, // where the appliance is
		{"firewall.input[4]", func(c *Config, _ *Inputs) { c.Firewall.Input[1].SrcAddress = "!192.0.2.2" }},
		{"firewall.input[4]", func(c *Config, _ *Inputs) {
			c.Firewall.Input[1].Protocol, c.Firewall.Input[1].DstPort = "tcp", "22,8730-9000"
		}},
	} {
		c, in := matrix()
		tt.change(&c, &in)
		got, want := keys(c.Validate("router", in)), "router."+tt.key
		if !slices.Contains(got, want) {
			t.Errorf("faults of %v; want one of %s", got, want)
		}
	}
}

// What makes one of a site's values wrong must not be told of its others.
func TestOneFaultMakesNoOthers(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"id":      func(c *Config) { c.VLANs[2].ID = 10 },
		"subnet":  func(c *Config) { c.VLANs[3].Address, c.VLANs[3].Relay = network("192.0.2.129/25"), netip.Addr{} },
		"gateway": func(c *Config) { c.VLANs[0].DHCP.Gateway = ip("192.0.3.1") },
		"pool":    func(c *Config) { c.VLANs[0].DHCP.Pool.To = ip("192.0.3.1") },
		"port":    func(c *Config) { c.Ports[1] = c.Ports[0] },
		"role":    func(c *Config) { c.Ports[1].Role = "acess" },
		"way in":  func(c *Config) { c.Firewall.Input = c.Firewall.Input[4:] },
	} {
		c, in := matrix()
		change(&c)
		if got := keys(c.Validate("router", in)); len(got) != 1 {
			t.Errorf("%s: faults of %v; want one", name, got)
		}
	}
}

func TestFaultsComeTogether(t *testing.T) {
	c, in := matrix()
	c.User, c.VLANs[0].ID, c.Ports[3].VLAN, c.Firewall.Input[3].Action = "", 5000, "lan9", "allow"
	want := []string{"r.user", "r.vlans[0].id", "r.ports[3].vlan", "r.firewall.input[3].action"}
	if got := keys(c.Validate("r", in)); !slices.Equal(got, want) {
		t.Errorf("faults of %v; want %v", got, want)
	}
	if err := (Config{}).Validate("router", Inputs{}); len(keys(err)) < 6 {
		t.Errorf("an empty section: %v", err)
	}
}

func TestWarnings(t *testing.T) {
	c, _ := matrix()
	c.BGP.Peers[0].Address, c.Services, c.Firewall.Input = ip("203.0.113.1"), nil, nil
	got := strings.Join(c.Warnings("router"), "\n")
	for _, key := range []string{"router.bgp.peers[0].address: ", "router.services: ", "router.firewall.input: "} {
		if !strings.Contains(got, key) {
			t.Errorf("no warning of %s in\n%s", key, got)
		}
	}
}

// The address that the router is dialled at has its port by default.
func TestHostPort(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1:8729", "192.0.2.1:8730": "192.0.2.1:8730", "router.example": "router.example:8729",
	} {
		if got := (Config{Address: address}).HostPort(); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
