package router

import (
	"net"
	"net/netip"
	"time"

	"provision.internal/host"
	"provision.internal/router/ros"
)

// Config is the router and all that it shall hold. Whatever is left out is not
// declared, and stays as it is on the router.
type Config struct {
	Address      string  `mapstructure:"address"` // HOST or HOST:PORT of the service api-ssl
	User         string  `mapstructure:"user"`
	PasswordFile string  `mapstructure:"password_file"` // read at every session, so that it may be changed
	Certificate  ros.Pin `mapstructure:"certificate"`   // when left out, the one that bootstrap has pinned

	Identity   string `mapstructure:"identity"`
	Bridge     string `mapstructure:"bridge"`     // the only one, with all ports and VLANs
	Management string `mapstructure:"management"` // name of the VLAN on which the appliance reaches the router
	VLANs      []VLAN `mapstructure:"vlans"`
	Ports      []Port `mapstructure:"ports"`
	Stages     Stages `mapstructure:"stages"`

	Routes   []Route                   `mapstructure:"routes"`
	DNS      DNS                       `mapstructure:"dns"`
	NTP      []string                  `mapstructure:"ntp"` // servers, by address or name
	BGP      *BGP                      `mapstructure:"bgp"`
	Services map[string][]netip.Prefix `mapstructure:"services"` // from where each may be used; those not named are disabled; nothing at all leaves them be
	Firewall Firewall                  `mapstructure:"firewall"`

	Bootstrap Bootstrap `mapstructure:"bootstrap"`
}

// VLAN becomes an interface on the bridge, with what runs on it.
type VLAN struct {
	Name       string       `mapstructure:"name"` // of the interface, at most 15 characters
	ID         int          `mapstructure:"id"`   // 1 to 4094
	Address    netip.Prefix `mapstructure:"address"`
	DHCP       *DHCP        `mapstructure:"dhcp"`        // the router is the DHCP server here
	Relay      netip.Addr   `mapstructure:"relay"`       // or it relays to this one
	DHCPClient bool         `mapstructure:"dhcp_client"` // or it asks for an address itself
}

// DHCP is the router's own server on a VLAN.
type DHCP struct {
	Pool    Pool          `mapstructure:"pool"`
	Gateway netip.Addr    `mapstructure:"gateway"` // the router itself when left out
	Lease   time.Duration `mapstructure:"lease"`   // DefaultLease when 0
	DNS     []netip.Addr  `mapstructure:"dns"`
	Domain  string        `mapstructure:"domain"`

	// Boot makes the router name the appliance's boot files to clients, by what
	// they say they are: for networks that the appliance's own DHCP server is
	// not on, not even as a proxy.
	Boot bool `mapstructure:"boot"`
}

// Pool is the range of addresses to give, both ends included.
type Pool struct {
	From netip.Addr `mapstructure:"from"`
	To   netip.Addr `mapstructure:"to"`
}

// DefaultLease is the lease time of a DHCP server that names none.
const DefaultLease = time.Hour

// Role is what is behind a port.
type Role string

// The roles.
const (
	Uplink Role = "uplink" // the way out; never moved
	Trunk  Role = "trunk"  // several VLANs, tagged: the appliance, a switch; never moved
	Access Role = "access" // one VLAN, always the same
	Host   Role = "host"   // one machine, whose stage decides the VLAN
)

// Port is an Ethernet port of the router that provision may touch.
type Port struct {
	Name   string   `mapstructure:"name"`
	Role   Role     `mapstructure:"role"`
	VLAN   string   `mapstructure:"vlan"`   // untagged; of a trunk optional, of a host port none
	Tagged []string `mapstructure:"tagged"` // of a trunk
}

// Stages are the VLANs of a host port by what its machine is at.
type Stages struct {
	Idle       string `mapstructure:"idle"` // unknown and retired machines
	Install    string `mapstructure:"install"`
	Production string `mapstructure:"production"`
}

// Route is a static one.
type Route struct {
	To  netip.Prefix `mapstructure:"to"` // 0.0.0.0/0 is the default route
	Via netip.Addr   `mapstructure:"via"`
}

// DNS is the router's resolver.
type DNS struct {
	Servers []netip.Addr `mapstructure:"servers"` // that it asks
	Remote  *bool        `mapstructure:"remote"`  // whether it answers others
	Domain  string       `mapstructure:"domain"`  // of hosts
	Hosts   bool         `mapstructure:"hosts"`   // makes A records, and with Domain short names as CNAMEs, of the configured hosts
	Records []Record     `mapstructure:"records"`
}

// Record is one name: an address or another name.
type Record struct {
	Name    string     `mapstructure:"name"`
	Address netip.Addr `mapstructure:"address"`
	CNAME   string     `mapstructure:"cname"`
}

// BGP is the router's one instance.
type BGP struct {
	AS       uint32     `mapstructure:"as"`
	RouterID netip.Addr `mapstructure:"router_id"` // one of the router's addresses when left out
	Peers    []Peer     `mapstructure:"peers"`
}

// Peer is one BGP session.
type Peer struct {
	Name         string        `mapstructure:"name"`
	Address      netip.Addr    `mapstructure:"address"`
	AS           uint32        `mapstructure:"as"` // ours when 0
	Hold         time.Duration `mapstructure:"hold"`
	Keepalive    time.Duration `mapstructure:"keepalive"`
	Redistribute []string      `mapstructure:"redistribute"` // connected, static, …
	Originate    string        `mapstructure:"originate"`    // of the default route: never, always, if-installed
}

// Firewall holds ordered rules. A chain that is left out has none of ours.
type Firewall struct {
	Input   []Rule `mapstructure:"input"`
	Forward []Rule `mapstructure:"forward"`
	Output  []Rule `mapstructure:"output"`
	SrcNAT  []Rule `mapstructure:"srcnat"`
	DstNAT  []Rule `mapstructure:"dstnat"`
}

// Rule is one firewall rule; what is left out matches everything. Values are
// as RouterOS writes them, "!" before one negates it.
type Rule struct {
	Name            string   `mapstructure:"name"` // unique in its chain: by it the rule is known again
	Action          string   `mapstructure:"action"`
	ConnectionState []string `mapstructure:"connection_state"`
	Protocol        string   `mapstructure:"protocol"`
	SrcAddress      string   `mapstructure:"src_address"`
	DstAddress      string   `mapstructure:"dst_address"`
	SrcPort         string   `mapstructure:"src_port"`
	DstPort         string   `mapstructure:"dst_port"`
	InInterface     string   `mapstructure:"in_interface"`
	OutInterface    string   `mapstructure:"out_interface"`
	RejectWith      string   `mapstructure:"reject_with"`
	ToAddresses     string   `mapstructure:"to_addresses"`
	ToPorts         string   `mapstructure:"to_ports"`
	Log             bool     `mapstructure:"log"`
	LogPrefix       string   `mapstructure:"log_prefix"`
}

// DefaultPort is that of the service api-ssl.
const DefaultPort = "8729"

// HostPort is Address with its port.
func (c Config) HostPort() string {
	if _, _, err := net.SplitHostPort(c.Address); err == nil {
		return c.Address
	}
	return net.JoinHostPort(c.Address, DefaultPort)
}

// VLAN returns the VLAN called name.
func (c Config) VLAN(name string) (VLAN, bool) {
	for _, v := range c.VLANs {
		if v.Name == name {
			return v, true
		}
	}
	return VLAN{}, false
}

// Port returns the port called name.
func (c Config) Port(name string) (Port, bool) {
	for _, p := range c.Ports {
		if p.Name == name {
			return p, true
		}
	}
	return Port{}, false
}

// Inputs is what the rows depend on beside the router's own section.
type Inputs struct {
	Appliance netip.Addr // ours, as machines and the router see it
	HTTPPort  uint16     // of the appliance's plain server; 0 means 80
	Hosts     []Machine
}

// Machine is a configured host.
type Machine struct {
	Name    string
	MAC     host.MAC
	Address netip.Addr // invalid: it has none of its own
}
