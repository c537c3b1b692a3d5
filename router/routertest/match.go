package routertest

import (
	"slices"
	"strings"
)

// notMatchers are the properties of a rule that say nothing about packets.
var notMatchers = []string{
	"chain", "action", "comment", "disabled", "log", "log-prefix", "jump-target", "reject-with", "address-list",
	"address-list-timeout", "hw-offload",
}

// matches tells whether a rule of the firewall is about the packet. A matcher
// that the simulator does not know matches nothing, so that nothing is let
// through, or shut out, by a guess.
func (r *Router) matches(rule *row, p packet) bool {
	for name, value := range rule.fields {
		if slices.Contains(notMatchers, name) {
			continue
		}
		want, not := strings.CutPrefix(value, "!")
		if r.matcher(name, want, p) == not {
			return false
		}
	}
	return true
}

func (r *Router) matcher(name, want string, p packet) bool {
	switch name {
	case "protocol":
		return want == "tcp" || want == "6"
	case "dst-port", "port":
		return inRanges(want, int(p.port))
	case "src-address":
		return contains(want, p.from)
	case "dst-address":
		return contains(want, p.to)
	case "src-address-list":
		return r.listed(want, p)
	case "dst-address-type":
		return slices.Contains(splitList(want), "local")
	case "src-address-type":
		return slices.Contains(splitList(want), "unicast")
	case "connection-state":
		return slices.Contains(splitList(want), p.state)
	case "in-interface":
		return want == p.in
	case "in-interface-list":
		return slices.Contains(r.members(want), p.in)
	}
	return false
}

// listed tells whether the packet's source is in an address list.
func (r *Router) listed(list string, p packet) bool {
	return slices.ContainsFunc(r.tables["/ip/firewall/address-list"].rows, func(one *row) bool {
		return one.on() && one.fields["list"] == list && contains(one.fields["address"], p.from)
	})
}
