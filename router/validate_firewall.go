package router

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// What rules may say, as RouterOS calls it: the parts of it that a site like
// ours needs.
var (
	actions = map[string][]string{
		"filter": words("accept drop reject log passthrough fasttrack-connection"),
		"nat":    words("accept masquerade src-nat dst-nat redirect netmap log passthrough"),
	}
	connectionStates = words("established related new invalid untracked")
	protocols        = words("tcp udp icmp gre ospf igmp sctp vrrp ipsec-esp ipsec-ah ipip l2tp etherip")
	rejections       = words("icmp-admin-prohibited icmp-host-prohibited icmp-host-unreachable icmp-net-prohibited icmp-network-unreachable icmp-port-unreachable icmp-protocol-unreachable tcp-reset")
	translations     = words("src-nat dst-nat redirect netmap")

	ruleName  = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)
	portsForm = regexp.MustCompile(`^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$`)
)

func (v *validator) firewall() {
	for _, ch := range v.cfg.Firewall.chains() {
		names := map[string]int{}
		for i, r := range ch.rules {
			at := fmt.Sprintf("firewall.%s[%d]", ch.name, i)
			switch first, again := names[r.Name]; {
			case !ruleName.MatchString(r.Name):
				v.fault(at+".name", "%q cannot be a name: want lower-case letters, digits and hyphens, at most 40; the rule is known again by it", r.Name)
			case again:
				v.fault(at+".name", "%s is the name of firewall.%s[%d] too", r.Name, ch.name, first)
			}
			names[r.Name] = i
			v.rule(at, ch, r)
		}
	}
	v.wayIn()
}

func (v *validator) rule(at string, ch chain, r Rule) {
	oneOf := func(key, value string, known []string) {
		if value != "" && !slices.Contains(known, value) {
			v.fault(at+"."+key, "%q is not one of %s", value, strings.Join(known, ", "))
		}
	}
	if r.Action == "" {
		v.fault(at+".action", "is missing: %s", strings.Join(actions[ch.table], ", "))
	}
	oneOf("action", r.Action, actions[ch.table])
	for i, s := range r.ConnectionState {
		oneOf(fmt.Sprintf("connection_state[%d]", i), strings.TrimPrefix(s, "!"), connectionStates)
	}
	if protocol := strings.TrimPrefix(r.Protocol, "!"); protocol != "" && !slices.Contains(protocols, protocol) {
		if _, err := strconv.ParseUint(protocol, 10, 8); err != nil {
			v.fault(at+".protocol", "%q is neither a number nor one of %s", protocol, strings.Join(protocols, ", "))
		}
	}
	for _, a := range []struct{ key, value string }{{"src_address", r.SrcAddress}, {"dst_address", r.DstAddress}, {"to_addresses", r.ToAddresses}} {
		if a.value != "" && !addresses(strings.TrimPrefix(a.value, "!")) {
			v.fault(at+"."+a.key, "%q is no address, network or range such as 192.0.2.1-192.0.2.9", a.value)
		}
	}
	v.rulePorts(at, r)
	v.ruleInterfaces(at, ch, r)
	oneOf("reject_with", r.RejectWith, rejections)
	if r.RejectWith != "" && r.Action != "reject" {
		v.fault(at+".reject_with", "is for the action reject")
	}
	if (r.ToAddresses != "" || r.ToPorts != "") && !slices.Contains(translations, r.Action) {
		v.fault(at+".to_addresses", "and to_ports are for the actions %s", strings.Join(translations, ", "))
	}
}

func (v *validator) rulePorts(at string, r Rule) {
	for _, p := range []struct{ key, value string }{{"src_port", r.SrcPort}, {"dst_port", r.DstPort}, {"to_ports", r.ToPorts}} {
		value := strings.TrimPrefix(p.value, "!")
		switch {
		case value == "":
		case !portsForm.MatchString(value) || slices.ContainsFunc(strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == '-' }), func(n string) bool { return !validPort(n) }):
			v.fault(at+"."+p.key, "%q are no ports such as 22,8000-8100", p.value)
		case !slices.Contains(words("tcp udp sctp"), r.Protocol):
			v.fault(at+"."+p.key, "needs protocol: tcp or udp")
		}
	}
}

// ruleInterfaces: of what goes through a bridge, rules see the VLAN's interface
// only, never the port.
func (v *validator) ruleInterfaces(at string, ch chain, r Rule) {
	for _, i := range []struct{ key, value, not string }{{"in_interface", r.InInterface, "output srcnat"}, {"out_interface", r.OutInterface, "input dstnat"}} {
		name := strings.TrimPrefix(i.value, "!")
		_, isPort := v.cfg.Port(name)
		switch {
		case name == "":
		case slices.Contains(words(i.not), ch.name):
			v.fault(at+"."+i.key, "says nothing in the chain %s", ch.name)
		case isPort:
			v.fault(at+"."+i.key, "%s is a port of the bridge, which rules do not see: name a VLAN", name)
		case !v.isVLAN(name) && name != v.cfg.Bridge:
			v.fault(at+"."+i.key, "there is no VLAN %q", name)
		}
	}
}

// addresses reads what RouterOS takes as the address of a rule.
func addresses(s string) bool {
	if from, to, ok := strings.Cut(s, "-"); ok {
		a, errA := netip.ParseAddr(from)
		b, errB := netip.ParseAddr(to)
		return errA == nil && errB == nil && a.Is4() && b.Is4() && !b.Less(a)
	}
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Addr().Is4() && p == p.Masked()
	}
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is4()
}

// wayIn follows the appliance's first packet to the API through the input chain.
func (v *validator) wayIn() {
	if !v.in.Appliance.IsValid() {
		return
	}
	for i, r := range v.cfg.Firewall.Input {
		if !r.takes(v.in.Appliance, v.cfg) {
			continue
		}
		switch r.Action {
		case "accept":
			return
		case "drop", "reject":
			v.fault(fmt.Sprintf("firewall.input[%d]", i), "rule %s would cut off provision itself, at %s: put a rule before it that accepts what comes from there", r.Name, v.in.Appliance)
			return
		}
	}
}

// takes reports whether the rule matches the first packet of a session from the
// appliance to the API. What it cannot tell for sure does not match.
func (r Rule) takes(appliance netip.Addr, c Config) bool {
	is := func(value string, holds func(string) bool) bool {
		plain, negated := strings.CutPrefix(value, "!")
		return value == "" || holds(plain) != negated
	}
	holds := func(s string) bool {
		if from, to, ok := strings.Cut(s, "-"); ok {
			a, b := netip.MustParseAddr(from), netip.MustParseAddr(to)
			return a.Compare(appliance) <= 0 && appliance.Compare(b) <= 0
		}
		if p, err := netip.ParsePrefix(s); err == nil {
			return p.Contains(appliance)
		}
		return s == appliance.String()
	}
	_, port, _ := strings.Cut(c.HostPort(), ":")
	router, _ := c.VLAN(c.Management)
	switch {
	case r.SrcAddress != "" && !addresses(strings.TrimPrefix(r.SrcAddress, "!")):
		return false
	case len(r.ConnectionState) > 0 && !slices.Contains(r.ConnectionState, "new"):
		return false
	case r.SrcPort != "", r.DstAddress != "" && r.DstAddress != router.Address.Addr().String():
		return false
	}
	return is(r.Protocol, func(s string) bool { return s == "tcp" || s == "6" }) &&
		is(r.SrcAddress, holds) &&
		is(r.DstPort, func(s string) bool { return hasPort(s, port) }) &&
		is(r.InInterface, func(s string) bool { return s == c.Management })
}

// hasPort reports whether a list of ports and ranges holds a port.
func hasPort(list, port string) bool {
	n, _ := strconv.Atoi(port)
	for part := range strings.SplitSeq(list, ",") {
		from, to, ok := strings.Cut(part, "-")
		low, _ := strconv.Atoi(from)
		high := low
		if ok {
			high, _ = strconv.Atoi(to)
		}
		if low <= n && n <= high {
			return true
		}
	}
	return false
}
