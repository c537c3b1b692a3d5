package routertest

import (
	"net/netip"
	"slices"
	"strconv"
)

// packet is what a client sends to the router itself.
type packet struct {
	from, to netip.Addr
	port     uint16 // TCP
	state    string // of its connection: new or established
	in       string // reference of the interface that it comes in by
}

// Reachable tells whether a client gets to api-ssl on an address of the router:
// Config.Client, or anybody when that is none.
func (r *Router) Reachable(address string) bool {
	to, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reachable(r.config.Client, to, r.servicePort("api-ssl"))
}

// reachable tells whether a new connection from a client gets to the router's
// own address and TCP port: through an enabled port, the bridge and its VLAN
// filtering, the VLAN interface, the address, and the input firewall.
func (r *Router) reachable(from, to netip.Addr, port uint16) bool {
	return r.arrives(packet{from: from, to: to, port: port, state: "new"})
}

// stillReachable tells it of a connection that is there.
func (r *Router) stillReachable(from, to netip.Addr, port uint16) bool {
	return r.arrives(packet{from: from, to: to, port: port, state: "established"})
}

func (r *Router) arrives(p packet) bool {
	for _, one := range r.tables["/ip/address"].rows {
		address, err := netip.ParsePrefix(one.fields["address"])
		i, ok := r.interfaceByID(one.fields["interface"])
		if err != nil || !one.on() || !ok || address.Addr() != p.to {
			continue
		}
		if bridge, slave := r.slaveOf(formatID(i.id)); slave {
			i, _ = r.interfaceByID(bridge) // the address works on the bridge
		}
		p.in = formatID(i.id)
		if r.carries(i) && r.inputTakes(p) {
			return true
		}
	}
	return false
}

// carries tells whether frames from the clients' side come in by an interface
// with an address.
func (r *Router) carries(i iface) bool {
	if !r.linked(i) {
		return false
	}
	switch i.menu {
	case "/interface/ethernet":
		return r.clientsAre(i)
	case "/interface/bridge":
		t := r.tables[i.menu]
		pvid, _ := strconv.Atoi(t.value(i.row, "pvid"))
		return r.bridgeCarries(i, pvid, takesUntagged(t.value(i.row, "frame-types")))
	case "/interface/vlan":
		parent, ok := r.interfaceByID(i.fields["interface"])
		if !ok {
			return false
		}
		ref := formatID(parent.id)
		vlan, _ := strconv.Atoi(r.tables[i.menu].value(i.row, "vlan-id"))
		switch parent.menu {
		case "/interface/ethernet":
			// The frames of a port of a bridge go to the bridge, whatever
			// VLAN interfaces are on it.
			_, slave := r.slaveOf(ref)
			return !slave && r.clientsAre(parent)
		case "/interface/bridge":
			return r.bridgeCarries(parent, vlan, r.tags(ref, vlan))
		}
	}
	return false
}

// clientsAre tells whether the clients may be behind a port.
func (r *Router) clientsAre(port iface) bool {
	return r.config.ManagementPort == "" || port.name() == r.config.ManagementPort
}

// tags tells whether the bridge itself is a tagged member of its VLAN, by a
// configured or a dynamic row.
func (r *Router) tags(bridge string, vlan int) bool {
	return slices.ContainsFunc(r.tables["/interface/bridge/vlan"].rows, func(one *row) bool {
		return one.on() && one.fields["bridge"] == bridge && inRanges(one.fields["vlan-ids"], vlan) &&
			slices.Contains(r.expand(one.fields["tagged"]), bridge)
	})
}

// bridgeCarries tells whether a port with the clients behind it passes the
// VLAN to the bridge. Without filtering every port passes all; with it, the
// bridge itself must be a member as well.
func (r *Router) bridgeCarries(bridge iface, vlan int, member bool) bool {
	ref := formatID(bridge.id)
	filters := r.filters(ref)
	if filters && !member {
		return false
	}
	return slices.ContainsFunc(r.bridgePorts(), func(p bridgePort) bool {
		if p.bridge != ref || !r.linked(p.iface) || !r.clientsAre(p.iface) {
			return false
		}
		return !filters || r.portCarries(p, vlan)
	})
}

// portCarries tells whether a port of a filtering bridge is a member of the
// VLAN, tagged or not.
func (r *Router) portCarries(p bridgePort, vlan int) bool {
	ref := formatID(p.iface.id)
	if p.frames != "admit-only-untagged-and-priority-tagged" && r.declared(p.bridge, vlan, ref, "tagged") {
		return true
	}
	return takesUntagged(p.frames) && p.pvid == vlan
}

// inputTakes asks the input chain: the first rule that matches decides; what
// none decides about is accepted.
func (r *Router) inputTakes(p packet) bool {
	accepted, _ := r.chain("input", p, 0)
	return accepted
}

// chain walks one chain; decided is false when it ends without a verdict.
func (r *Router) chain(name string, p packet, depth int) (accepted, decided bool) {
	if depth > 8 {
		return true, false // chains that jump in a circle decide nothing
	}
	for _, rule := range r.tables["/ip/firewall/filter"].rows {
		if rule.fields["chain"] != name || !rule.on() || !r.matches(rule, p) {
			continue
		}
		switch r.tables["/ip/firewall/filter"].value(rule, "action") {
		case "accept", "fasttrack-connection":
			return true, true
		case "drop", "reject", "tarpit":
			return false, true
		case "return":
			return true, false
		case "jump":
			if accepted, decided := r.chain(rule.fields["jump-target"], p, depth+1); decided {
				return accepted, true
			}
		}
	}
	return true, false
}
