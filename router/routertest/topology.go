package routertest

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// interfaceMenus hold the interfaces; /interface shows all of them.
var interfaceMenus = []string{"/interface/ethernet", "/interface/bridge", "/interface/vlan", "/interface/loopback"}

// iface is an interface of any kind.
type iface struct {
	*row
	menu string
}

func (i iface) name() string { return i.fields["name"] }

// interfaceByID finds an interface by the reference that a property keeps.
func (r *Router) interfaceByID(ref string) (iface, bool) {
	id, ok := parseID(ref)
	if !ok {
		return iface{}, false
	}
	for _, menu := range interfaceMenus {
		if t := r.tables[menu]; t != nil {
			if found, _ := t.find(id); found != nil {
				return iface{found, menu}, true
			}
		}
	}
	return iface{}, false
}

// members lists the ids of the interfaces in an interface list: its members
// and those of the lists that it includes, without those that it excludes.
func (r *Router) members(list string) []string {
	return r.membersWithin(list, 0)
}

// membersWithin stops where lists include each other in a circle.
func (r *Router) membersWithin(list string, depth int) []string {
	id, ok := parseID(list)
	found, _ := r.tables["/interface/list"].find(id)
	if !ok || found == nil || depth > 8 {
		return nil
	}
	var ids []string
	switch found.fields["name"] {
	case "all", "static":
		for _, menu := range interfaceMenus {
			for _, one := range r.tables[menu].rows {
				ids = append(ids, formatID(one.id))
			}
		}
		return ids
	}
	for _, m := range r.tables["/interface/list/member"].rows {
		if m.on() && m.fields["list"] == list {
			ids = append(ids, m.fields["interface"])
		}
	}
	for _, other := range splitList(found.fields["include"]) {
		ids = append(ids, r.membersWithin(other, depth+1)...)
	}
	for _, other := range splitList(found.fields["exclude"]) {
		out := r.membersWithin(other, depth+1)
		ids = slices.DeleteFunc(ids, func(id string) bool { return slices.Contains(out, id) })
	}
	return ids
}

// expand replaces the interface lists among references by their members.
func (r *Router) expand(refs string) []string {
	var ids []string
	for _, ref := range splitList(refs) {
		if _, ok := r.interfaceByID(ref); ok {
			ids = append(ids, ref)
			continue
		}
		ids = append(ids, r.members(ref)...)
	}
	return ids
}

// bridgePort is a port of a bridge that is in force.
type bridgePort struct {
	iface    iface
	bridge   string // reference
	pvid     int
	frames   string // frame-types
	ingress  bool   // ingress-filtering
	declared *row
}

// bridgePorts lists the enabled ports of all bridges whose interface exists.
func (r *Router) bridgePorts() []bridgePort {
	t := r.tables["/interface/bridge/port"]
	var ports []bridgePort
	for _, one := range t.rows {
		if !one.on() {
			continue
		}
		bridge, ok := r.interfaceByID(one.fields["bridge"])
		if !ok || bridge.menu != "/interface/bridge" {
			continue // the bridge is gone: the port shows its id and does nothing
		}
		for _, ref := range r.expand(one.fields["interface"]) {
			i, ok := r.interfaceByID(ref)
			if !ok {
				continue
			}
			pvid, _ := strconv.Atoi(t.value(one, "pvid"))
			ports = append(ports, bridgePort{
				iface: i, bridge: one.fields["bridge"], pvid: pvid, frames: t.value(one, "frame-types"),
				ingress: t.value(one, "ingress-filtering") == "true", declared: one,
			})
		}
	}
	return ports
}

// slaveOf returns the bridge that an interface is a port of, as a reference.
func (r *Router) slaveOf(ref string) (bridge string, slave bool) {
	for _, p := range r.bridgePorts() {
		if formatID(p.iface.id) == ref {
			return p.bridge, true
		}
	}
	return "", false
}

// linked tells whether an interface carries frames: enabled, with a link, and
// on something that does.
func (r *Router) linked(i iface) bool {
	if !i.on() {
		return false
	}
	switch i.menu {
	case "/interface/ethernet":
		return !r.unplugged[i.fields["default-name"]]
	case "/interface/vlan":
		parent, ok := r.interfaceByID(i.fields["interface"])
		return ok && parent.id != i.id && r.linked(parent)
	}
	return true
}

// mac is the address that an interface has: a VLAN that of what it is on, a
// bridge the configured one or that of its first port.
func (r *Router) mac(i iface) string {
	switch i.menu {
	case "/interface/vlan":
		if parent, ok := r.interfaceByID(i.fields["interface"]); ok && parent.id != i.id {
			return r.mac(parent)
		}
	case "/interface/bridge":
		if admin := i.fields["admin-mac"]; admin != "" {
			return admin
		}
		for _, p := range r.bridgePorts() {
			if p.bridge == formatID(i.id) {
				return r.mac(p.iface)
			}
		}
		return "00:00:00:00:00:00"
	}
	return r.tables[i.menu].value(i.row, "mac-address")
}

// inRanges tells whether a list such as 10,20-30 has the number: a VLAN or a
// port.
func inRanges(list string, n int) bool {
	for _, part := range splitList(list) {
		low, high, span := strings.Cut(part, "-")
		if !span {
			high = low
		}
		from, _ := strconv.Atoi(low)
		to, _ := strconv.Atoi(high)
		if n >= from && n <= to {
			return true
		}
	}
	return false
}

// contains tells whether an address is in a prefix, a span FROM-TO, or is it.
func contains(text string, address netip.Addr) bool {
	if low, high, span := strings.Cut(text, "-"); span {
		from, errFrom := netip.ParseAddr(low)
		to, errTo := netip.ParseAddr(high)
		return errFrom == nil && errTo == nil && !address.Less(from) && !to.Less(address)
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Contains(address)
	}
	one, err := netip.ParseAddr(text)
	return err == nil && one == address
}

// splitList cuts at commas; the empty list has no parts.
func splitList(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}
