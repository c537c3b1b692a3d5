package router

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Validate reports every fault at once. Each message begins with the key's
// path; key is the section's own. What in leaves out is not looked at.
func (c Config) Validate(key string, in Inputs) error {
	v := &validator{key: key, cfg: c, in: in}
	v.access()
	v.vlans()
	v.ports()
	v.stages()
	v.management()
	v.routes()
	v.dns()
	v.ntp()
	v.bgp()
	v.services()
	v.firewall()
	v.bootstrap()
	return errors.Join(v.faults...)
}

// validator collects faults.
type validator struct {
	key    string
	cfg    Config
	in     Inputs
	faults []error
}

// fault adds one; at is the path below the section.
func (v *validator) fault(at, format string, args ...any) {
	v.faults = append(v.faults, fmt.Errorf("%s.%s: %s", v.key, at, fmt.Sprintf(format, args...)))
}

// interfaceName is what RouterOS, Linux and people can all live with.
var interfaceName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,14}$`)

const interfaceNameForm = "want a letter, then letters, digits, dots, hyphens and underscores, at most 15"

func (v *validator) access() {
	c := v.cfg
	switch name, port, err := net.SplitHostPort(c.HostPort()); {
	case c.Address == "":
		v.fault("address", "is missing: give the router's address, or leave the section out (router: none)")
	case err != nil, name == "", !validPort(port), strings.ContainsAny(name, " /@"):
		v.fault("address", "%q is no address: want HOST or HOST:PORT, of the service api-ssl", c.Address)
	}
	if c.User == "" {
		v.fault("user", "is missing: name the user of the router that provision logs in as")
	}
	if c.PasswordFile == "" {
		v.fault("password_file", "is missing: name the file with the user's password")
	}
	if len(c.Identity) > 64 || strings.ContainsFunc(c.Identity, func(r rune) bool { return r < ' ' || r > '~' }) {
		v.fault("identity", "%q is no name: want at most 64 printable ASCII characters", c.Identity)
	}
	if !interfaceName.MatchString(c.Bridge) {
		v.fault("bridge", "%q cannot be a name: %s", c.Bridge, interfaceNameForm)
	}
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// management looks whether the appliance keeps its way to the router.
func (v *validator) management() {
	c := v.cfg
	vlan, ok := c.VLAN(c.Management)
	switch {
	case c.Management == "":
		v.fault("management", "is missing: name the VLAN on which the appliance reaches the router")
		return
	case !ok:
		v.fault("management", "there is no VLAN %q", c.Management)
		return
	case !vlan.Address.IsValid():
		v.fault("management", "VLAN %s has no address: the appliance could not reach the router there", vlan.Name)
	}
	stays := false
	for i, p := range c.Ports {
		carries := p.VLAN == vlan.Name || slices.Contains(p.Tagged, vlan.Name)
		switch {
		case carries && p.Role == Uplink:
			v.fault(fmt.Sprintf("ports[%d].vlan", i), "%s is the management VLAN, and the uplink would open it to the outside", vlan.Name)
		case carries && p.Role != Host:
			stays = true
		}
	}
	if !stays && len(c.Ports) > 0 {
		v.fault("management", "no port that stays where it is carries VLAN %s: give the appliance's port the role trunk or access", vlan.Name)
	}
}

func (v *validator) routes() {
	seen := map[netip.Prefix]int{}
	for i, r := range v.cfg.Routes {
		at := fmt.Sprintf("routes[%d]", i)
		first, again := seen[r.To]
		switch {
		case !r.To.IsValid(), !r.To.Addr().Is4():
			v.fault(at+".to", "is no IPv4 network; the default route is 0.0.0.0/0")
		case r.To != r.To.Masked():
			v.fault(at+".to", "%s has host bits set; write %s", r.To, r.To.Masked())
		case again:
			v.fault(at+".to", "%s is the target of routes[%d] too", r.To, first)
		}
		seen[r.To] = i
		switch vlan, ok := v.cfg.vlanOf(r.Via); {
		case !r.Via.IsValid():
			v.fault(at+".via", "is missing: name the gateway")
		case !ok:
			v.fault(at+".via", "%s is in no VLAN's subnet: the router could not reach it", r.Via)
		case vlan.Address.Addr() == r.Via:
			v.fault(at+".via", "%s is the router itself", r.Via)
		}
	}
}

// usable reports whether a can be the address of one machine.
func usable(a netip.Addr) bool {
	return a.Is4() && !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// machineIn reports whether a can be the address of one machine in the subnet
// that p is in: neither its first nor its last address.
func machineIn(p netip.Prefix, a netip.Addr) bool {
	if !a.Is4() || !p.IsValid() || !p.Contains(a) {
		return false
	}
	if p.Bits() >= 31 {
		return true
	}
	return a != p.Masked().Addr() && a != lastOf(p)
}

// lastOf is the broadcast address of p's subnet.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(b)
}
