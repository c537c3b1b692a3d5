package routertest

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// wanted is a dynamic row that should be there.
type wanted struct {
	origin string // names the reason; the row keeps its id while that holds
	fields map[string]string
}

// derive makes the dynamic rows follow the configured ones.
func (r *Router) derive() {
	r.follow("/interface/bridge/vlan", append(r.vlansOfPVIDs(), r.vlansOfInterfaces()...))
	r.follow("/interface/bridge/host", r.hosts())
	r.follow("/ip/route", r.connectedRoutes())
	if r.version.atLeast(connectionRows) {
		r.follow("/ip/service", r.connections())
	}
	r.follow("/user/active", r.activeUsers())
}

// follow makes the dynamic rows of a table those that are wanted.
func (r *Router) follow(menu string, want []wanted) {
	t := r.tables[menu]
	kept := map[string]*row{}
	for _, one := range t.rows {
		if one.dynamic() {
			kept[one.origin] = one
		}
	}
	t.rows = slices.DeleteFunc(t.rows, (*row).dynamic)
	for _, w := range want {
		old := kept[w.origin]
		switch {
		case old == nil:
			t.insert(w.fields, w.origin)
		case maps.Equal(old.fields, w.fields):
			t.rows = append(t.rows, old)
		default:
			t.rows = append(t.rows, &row{id: old.id, fields: w.fields, origin: w.origin})
		}
	}
}

// vlansOfPVIDs are the memberships that come from the pvid of ports and of the
// bridges themselves: a row a VLAN, beside a declared one of the same VLAN.
func (r *Router) vlansOfPVIDs() []wanted {
	type key struct {
		bridge string
		vlan   int
	}
	members := map[key][]string{}
	var order []key
	join := func(bridge string, vlan int, member string) {
		k := key{bridge, vlan}
		if len(members[k]) == 0 {
			order = append(order, k)
		}
		members[k] = append(members[k], member)
	}
	bridges := r.tables["/interface/bridge"]
	for _, one := range bridges.rows {
		ref := formatID(one.id)
		pvid, _ := strconv.Atoi(bridges.value(one, "pvid"))
		if r.filters(ref) && takesUntagged(bridges.value(one, "frame-types")) && !r.declared(ref, pvid, ref, "untagged") {
			join(ref, pvid, ref)
		}
	}
	for _, p := range r.bridgePorts() {
		ref := formatID(p.iface.id)
		if r.filters(p.bridge) && takesUntagged(p.frames) && r.linked(p.iface) && !r.declared(p.bridge, p.pvid, ref, "untagged") {
			join(p.bridge, p.pvid, ref)
		}
	}
	slices.SortFunc(order, func(a, b key) int { return a.vlan - b.vlan })
	var rows []wanted
	for _, k := range order {
		vlan := strconv.Itoa(k.vlan)
		rows = append(rows, wanted{"pvid " + k.bridge + " " + vlan, map[string]string{
			"bridge": k.bridge, "vlan-ids": vlan, "untagged": strings.Join(members[k], ","), "comment": "added by pvid",
		}})
	}
	return rows
}

// vlansOfInterfaces are the memberships of bridges that VLAN interfaces on
// them bring about.
func (r *Router) vlansOfInterfaces() []wanted {
	if !r.version.atLeast(vlanTagsBridge) {
		return nil
	}
	var rows []wanted
	t := r.tables["/interface/vlan"]
	for _, one := range t.rows {
		ref, id := one.fields["interface"], t.value(one, "vlan-id")
		vlan, _ := strconv.Atoi(id)
		if !one.on() || !r.filters(ref) || r.declared(ref, vlan, ref, "tagged") {
			continue
		}
		origin := "vlan " + ref + " " + id
		if slices.ContainsFunc(rows, func(w wanted) bool { return w.origin == origin }) {
			continue
		}
		rows = append(rows, wanted{origin, map[string]string{
			"bridge": ref, "vlan-ids": id, "tagged": ref, "comment": "added by vlan on bridge",
		}})
	}
	return rows
}

// filters tells whether the reference is of an enabled bridge that filters
// VLANs.
func (r *Router) filters(ref string) bool {
	i, ok := r.interfaceByID(ref)
	return ok && i.menu == "/interface/bridge" && i.on() && i.fields["vlan-filtering"] == "true"
}

func takesUntagged(frames string) bool { return frames != "admit-only-vlan-tagged" }

// declared tells whether a configured row makes the interface a tagged or
// untagged member of the bridge's VLAN.
func (r *Router) declared(bridge string, vlan int, member, how string) bool {
	for _, one := range r.tables["/interface/bridge/vlan"].rows {
		if !one.dynamic() && one.on() && one.fields["bridge"] == bridge && inRanges(one.fields["vlan-ids"], vlan) &&
			slices.Contains(r.expand(one.fields[how]), member) {
			return true
		}
	}
	return false
}

// connectedRoutes are the routes to the subnets of the router's addresses.
func (r *Router) connectedRoutes() []wanted {
	var rows []wanted
	for _, one := range r.tables["/ip/address"].rows {
		p, err := netip.ParsePrefix(one.fields["address"])
		i, ok := r.interfaceByID(one.fields["interface"])
		if err != nil || !ok || !one.on() || !r.linked(i) {
			continue
		}
		name := i.name()
		if bridge, slave := r.slaveOf(formatID(i.id)); slave {
			b, _ := r.interfaceByID(bridge)
			name = b.name()
		}
		rows = append(rows, wanted{"address " + formatID(one.id), map[string]string{
			"dst-address": p.Masked().String(), "gateway": name, "immediate-gw": name, "distance": "0",
			"local-address": p.Addr().String() + "%" + name, "connect": "true",
		}})
	}
	return rows
}

// connections are the live sessions, as /ip/service shows them.
func (r *Router) connections() []wanted {
	var rows []wanted
	for _, s := range r.orderedSessions() {
		if s.conn == nil {
			continue
		}
		port := strconv.Itoa(int(r.servicePort(s.via)))
		local := s.conn.to.String() + ":" + port
		if !s.conn.to.IsValid() {
			local = s.conn.LocalAddr().String()
		}
		rows = append(rows, wanted{"session " + strconv.Itoa(s.id), map[string]string{
			"name": s.via, "port": port, "proto": "tcp", "connection": "true",
			"local": local, "remote": s.remote.String(),
		}})
	}
	return rows
}

// activeUsers are the live sessions, as /user/active shows them.
func (r *Router) activeUsers() []wanted {
	var rows []wanted
	for _, s := range r.orderedSessions() {
		rows = append(rows, wanted{"session " + strconv.Itoa(s.id), map[string]string{
			"name": s.user, "address": s.remote.Addr().String(), "via": "api", "when": s.since.Format(stamp),
		}})
	}
	return rows
}

// orderedSessions lists the sessions, oldest first.
func (r *Router) orderedSessions() []*session {
	return slices.SortedFunc(maps.Keys(r.sessions), func(a, b *session) int { return a.id - b.id })
}
