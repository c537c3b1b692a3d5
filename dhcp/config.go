package dhcp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"provision.internal/host"
)

// Mode is what the server does on a network.
type Mode string

// The modes.
const (
	Full  Mode = "full"  // gives addresses and boot files
	Proxy Mode = "proxy" // gives boot files beside another server, which gives the addresses
	Off   Mode = "off"   // does nothing
)

// Config is what the server needs to know.
type Config struct {
	Networks []Network

	// Reservations are the configured hosts. One without an address reserves
	// nothing; it is allowed so that indices are those of the configuration.
	Reservations []Reservation

	// Address is how clients reach the appliance. On a network that it is
	// attached to with another address, that one is used instead.
	Address netip.Addr

	// HTTPPort is where the plain HTTP server listens; 0 means 80.
	HTTPPort uint16
}

// Network is one IPv4 network that the server is attached to, or that reaches
// it through a relay.
type Network struct {
	Name          string        `mapstructure:"name"`
	Interface     string        `mapstructure:"interface"` // attached to it, or where its relay's packets come in
	Subnet        netip.Prefix  `mapstructure:"subnet"`
	DHCP          Mode          `mapstructure:"dhcp"`
	Pool          Pool          `mapstructure:"pool"`
	Gateway       netip.Addr    `mapstructure:"gateway"`
	DNS           []netip.Addr  `mapstructure:"dns"`
	Domain        string        `mapstructure:"domain"`
	Lease         time.Duration `mapstructure:"lease"`         // 0 means DefaultLease
	Authoritative bool          `mapstructure:"authoritative"` // refuses leases that it does not know
	Relayed       bool          `mapstructure:"relayed"`
}

// Pool is the range of addresses to give, both ends included.
type Pool struct {
	From netip.Addr `mapstructure:"from"`
	To   netip.Addr `mapstructure:"to"`
}

// Reservation gives one host always the same address.
type Reservation struct {
	MAC     host.MAC
	Address netip.Addr
}

const (
	// DefaultLease is the lease time of a network that names none.
	DefaultLease = time.Hour

	minLease = time.Minute
	maxLease = 365 * 24 * time.Hour

	// maxPool bounds memory: each address that was ever used costs about 200 bytes.
	maxPool = 1 << 18
)

// Validate reports every fault, each with its key's path.
func (c Config) Validate() error {
	var faults []error
	bad := func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	if c.Address.IsValid() && !usable(c.Address) {
		bad("server.address", "%s is not an IPv4 address of one machine", c.Address)
	}
	names, attached := map[string]int{}, map[string]int{}
	for i, n := range c.Networks {
		key := fmt.Sprintf("network[%d]", i)
		n.validate(key, bad)
		if first, ok := names[n.Name]; ok && n.Name != "" {
			bad(key+".name", "%q is the name of network[%d] too", n.Name, first)
		} else {
			names[n.Name] = i
		}
		for j, other := range c.Networks[:i] {
			if n.DHCP != Off && other.DHCP != Off && n.Subnet.IsValid() && other.Subnet.IsValid() && n.Subnet.Overlaps(other.Subnet) {
				bad(key+".subnet", "%s overlaps network[%d].subnet, %s", n.Subnet, j, other.Subnet)
			}
		}
		if n.DHCP == Off || n.Relayed {
			continue
		}
		if first, ok := attached[n.Interface]; ok && n.Interface != "" {
			bad(key+".interface", "%s is attached to network[%d] already; a second network on it must be relayed", n.Interface, first)
		} else {
			attached[n.Interface] = i
		}
	}
	c.validateReservations(bad)
	return errors.Join(faults...)
}

func (n Network) validate(key string, bad func(key, format string, args ...any)) {
	if n.Name == "" {
		bad(key+".name", "is missing")
	}
	if !slices.Contains([]Mode{Full, Proxy, Off}, n.DHCP) {
		bad(key+".dhcp", "%q is not one of full, proxy, off", n.DHCP)
	}
	if n.DHCP == Off {
		return
	}
	if n.Interface == "" {
		bad(key+".interface", "is missing: name the interface on which this network's packets come in")
	}
	if !n.Subnet.IsValid() || !n.Subnet.Addr().Is4() || n.Subnet.Bits() < 8 || n.Subnet.Bits() > 30 {
		bad(key+".subnet", "%s is not an IPv4 network between /8 and /30", text(n.Subnet))
		return
	}
	if n.Subnet != n.Subnet.Masked() {
		bad(key+".subnet", "%s has host bits set; write %s", n.Subnet, n.Subnet.Masked())
	}
	if n.Gateway.IsValid() && !n.holds(n.Gateway) {
		bad(key+".gateway", "%s is not a machine's address in %s", n.Gateway, n.Subnet)
	}
	for j, a := range n.DNS {
		if !usable(a) {
			bad(fmt.Sprintf("%s.dns[%d]", key, j), "%s is not an IPv4 address of one machine", text(a))
		}
	}
	if len(n.DNS) > 16 {
		bad(key+".dns", "%d servers; at most 16 fit into a packet", len(n.DNS))
	}
	if len(n.Domain) > 200 {
		bad(key+".domain", "is longer than 200 characters")
	}
	if n.Lease != 0 && (n.Lease < minLease || n.Lease > maxLease) {
		bad(key+".lease", "%s is not between %s and a year", n.Lease, minLease)
	}
	if n.DHCP == Full {
		n.validatePool(key+".pool", bad)
	}
}

func (n Network) validatePool(key string, bad func(key, format string, args ...any)) {
	from, to := n.Pool.From, n.Pool.To
	if !from.IsValid() && !to.IsValid() {
		bad(key, "is missing; dhcp: full needs from and to")
		return
	}
	for _, end := range []struct {
		name string
		addr netip.Addr
	}{{".from", from}, {".to", to}} {
		if !n.holds(end.addr) {
			bad(key+end.name, "%s is not a machine's address in %s", text(end.addr), n.Subnet)
		}
	}
	switch {
	case !n.holds(from) || !n.holds(to):
	case to.Less(from):
		bad(key, "from %s is above to %s", from, to)
	case bits(to)-bits(from) >= maxPool:
		bad(key, "has more than %d addresses; make it smaller", maxPool)
	}
}

func (c Config) validateReservations(bad func(key, format string, args ...any)) {
	addrs, macs := map[netip.Addr]int{}, map[host.MAC]int{}
	for i, r := range c.Reservations {
		if !r.Address.IsValid() {
			continue
		}
		key := fmt.Sprintf("hosts[%d]", i)
		in := slices.IndexFunc(c.Networks, func(n Network) bool { return n.holds(r.Address) })
		if in < 0 {
			bad(key+".address", "%s is in no configured network", r.Address)
		} else if c.Networks[in].Gateway == r.Address {
			bad(key+".address", "%s is the gateway of network[%d]", r.Address, in)
		}
		if r.Address == c.Address {
			bad(key+".address", "%s is the appliance's own address", r.Address)
		}
		if r.MAC.IsZero() {
			bad(key+".mac", "is missing; an address is reserved for a MAC")
		}
		if first, ok := addrs[r.Address]; ok {
			bad(key+".address", "%s is reserved by hosts[%d] too", r.Address, first)
		} else {
			addrs[r.Address] = i
		}
		if first, ok := macs[r.MAC]; ok && !r.MAC.IsZero() {
			bad(key+".mac", "%s has an address by hosts[%d] already", r.MAC, first)
		} else {
			macs[r.MAC] = i
		}
	}
}

// holds reports whether a can be one machine's address on n: inside the
// subnet, and neither its first nor its last address.
func (n Network) holds(a netip.Addr) bool {
	if !a.Is4() || !n.Subnet.IsValid() || !n.Subnet.Addr().Is4() || !n.Subnet.Contains(a) {
		return false
	}
	hostBits := uint32(1)<<(32-n.Subnet.Bits()) - 1
	part := bits(a) & hostBits
	return part != 0 && part != hostBits
}

// leaseTime is the network's lease time.
func (n Network) leaseTime() time.Duration {
	if n.Lease == 0 {
		return DefaultLease
	}
	return n.Lease
}

func usable(a netip.Addr) bool {
	return a.Is4() && !a.IsUnspecified() && !a.IsMulticast() && a != broadcast
}

// text shows a value of the configuration; what is not set shows as "nothing".
func text(v interface {
	IsValid() bool
	String() string
}) string {
	if !v.IsValid() {
		return "nothing"
	}
	return v.String()
}
