package router

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
)

// domainName has labels of letters, digits, hyphens and underscores.
var domainName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*$`)

func (v *validator) dns() {
	d := v.cfg.DNS
	for i, a := range d.Servers {
		if !usable(a) {
			v.fault(fmt.Sprintf("dns.servers[%d]", i), "%s is not the IPv4 address of one machine", a)
		}
	}
	if d.Domain != "" && !domainName.MatchString(d.Domain) {
		v.fault("dns.domain", "%q is no domain name", d.Domain)
	}
	taken := map[string]string{}
	if d.Hosts {
		for i, h := range v.in.Hosts {
			if h.Address.IsValid() {
				taken[h.Name], taken[d.fullName(h.Name)] = fmt.Sprintf("hosts[%d]", i), fmt.Sprintf("hosts[%d]", i)
			}
		}
	}
	for i, r := range d.Records {
		at := fmt.Sprintf("dns.records[%d]", i)
		switch {
		case !domainName.MatchString(r.Name) || len(r.Name) > 253:
			v.fault(at+".name", "%q is no domain name", r.Name)
		case taken[r.Name] != "":
			v.fault(at+".name", "%s has a record by %s already", r.Name, taken[r.Name])
		}
		taken[r.Name] = at
		switch {
		case r.Address.IsValid() == (r.CNAME != ""):
			v.fault(at, "needs one of address and cname")
		case r.Address.IsValid() && !usable(r.Address):
			v.fault(at+".address", "%s is not the IPv4 address of one machine", r.Address)
		case r.CNAME != "" && !domainName.MatchString(r.CNAME):
			v.fault(at+".cname", "%q is no domain name", r.CNAME)
		case r.CNAME == r.Name:
			v.fault(at+".cname", "%s is an alias of itself", r.Name)
		}
	}
}

func (v *validator) ntp() {
	for i, s := range v.cfg.NTP {
		if a, err := netip.ParseAddr(s); (err != nil || !usable(a)) && (err == nil || !domainName.MatchString(s)) {
			v.fault(fmt.Sprintf("ntp[%d]", i), "%q is neither an IPv4 address nor a name", s)
		}
	}
}

// What BGP takes, as RouterOS calls it.
var (
	redistributable = words("bgp bgp-mpls-vpn connected copy dhcp fantasy isis modem ospf rip slaac static vpn")
	originations    = words("never always if-installed")
)

func (v *validator) bgp() {
	b := v.cfg.BGP
	if b == nil {
		return
	}
	if b.AS == 0 {
		v.fault("bgp.as", "is missing: give the number of the router's AS")
	}
	if b.RouterID.IsValid() && !b.RouterID.Is4() {
		v.fault("bgp.router_id", "%s is not in the form of an IPv4 address", b.RouterID)
	}
	if len(b.Peers) == 0 {
		v.fault("bgp.peers", "is missing: list at least one, or leave bgp out")
	}
	names := map[string]int{}
	for i, p := range b.Peers {
		at := fmt.Sprintf("bgp.peers[%d]", i)
		switch first, again := names[p.Name]; {
		case !interfaceName.MatchString(p.Name):
			v.fault(at+".name", "%q cannot be a name: %s", p.Name, interfaceNameForm)
		case again:
			v.fault(at+".name", "%s is the name of bgp.peers[%d] too", p.Name, first)
		}
		names[p.Name] = i
		v.peer(at, p)
	}
}

func (v *validator) peer(at string, p Peer) {
	vlan, _ := v.cfg.vlanOf(p.Address)
	switch {
	case !usable(p.Address):
		v.fault(at+".address", "is not the IPv4 address of one machine")
	case vlan.Address.IsValid() && vlan.Address.Addr() == p.Address:
		v.fault(at+".address", "%s is the router itself", p.Address)
	}
	// RFC 4271 §4.2: a hold time is zero or at least three seconds.
	if p.Hold != 0 && (p.Hold < 3*time.Second || p.Hold > 65535*time.Second) {
		v.fault(at+".hold", "%s is not between 3s and 65535s", p.Hold)
	}
	if p.Keepalive != 0 && (p.Keepalive < time.Second || p.Hold != 0 && p.Keepalive >= p.Hold) {
		v.fault(at+".keepalive", "%s is not between 1s and the hold time, %s: a third of it is usual", p.Keepalive, p.Hold)
	}
	for i, what := range p.Redistribute {
		if !slices.Contains(redistributable, what) {
			v.fault(fmt.Sprintf("%s.redistribute[%d]", at, i), "%q is not one of %s", what, strings.Join(redistributable, ", "))
		}
	}
	if p.Originate != "" && !slices.Contains(originations, p.Originate) {
		v.fault(at+".originate", "%q is not one of %s", p.Originate, strings.Join(originations, ", "))
	}
}

func (v *validator) services() {
	c := v.cfg
	if c.Services == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		at := "services." + name
		if !slices.Contains(knownServices, name) {
			v.fault(at, "is no service: want %s", strings.Join(knownServices, ", "))
			continue
		}
		if len(c.Services[name]) == 0 {
			v.fault(at, "is empty: list from where it may be used; 0.0.0.0/0 is everywhere")
		}
		for i, p := range c.Services[name] {
			if !p.IsValid() || p != p.Masked() {
				v.fault(fmt.Sprintf("%s[%d]", at, i), "%s is no network: it has host bits set", p)
			}
		}
	}
	from, ok := c.Services["api-ssl"]
	switch {
	case !ok:
		v.fault("services.api-ssl", "is missing, and would be disabled: provision itself uses it")
	case v.in.Appliance.IsValid() && !slices.ContainsFunc(from, func(p netip.Prefix) bool { return p.Contains(v.in.Appliance) }):
		v.fault("services.api-ssl", "does not hold %s, from where provision itself uses it", v.in.Appliance)
	}
}
