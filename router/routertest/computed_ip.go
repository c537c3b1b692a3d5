package routertest

import (
	"math/big"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// computePort shows what a port of a bridge is doing. Membership follows at
// once; spanning tree's states and its waiting are not simulated.
func (r *Router) computePort(one *row, rec record) {
	bridge, ok := r.interfaceByID(one.fields["bridge"])
	inactive := !ok || bridge.menu != "/interface/bridge" || !bridge.on() || !one.on()
	if i, ok := r.interfaceByID(one.fields["interface"]); ok && !r.linked(i) {
		inactive = true
	}
	rec["inactive"] = strconv.FormatBool(inactive)
	rec["hw-offload"] = strconv.FormatBool(!inactive && rec["hw"] == "true" && bridge.fields["vlan-filtering"] != "true")
	if inactive {
		rec["status"], rec["role"] = "inactive", "disabled-port"
		return
	}
	rec["status"], rec["role"] = "in-bridge", "designated-port"
	rec["edge-port"] = strconv.FormatBool(rec["edge"] != "no" && rec["edge"] != "no-discover")
}

// computeVLAN shows which members of a bridge's VLAN are there now.
func (r *Router) computeVLAN(one *row, rec record) {
	bridge, ok := r.interfaceByID(one.fields["bridge"])
	filtering := ok && bridge.fields["vlan-filtering"] == "true" && bridge.on() && one.on()
	current := func(refs string) string {
		var names []string
		for _, ref := range r.expand(refs) {
			i, ok := r.interfaceByID(ref)
			if !ok || !filtering || !r.linked(i) {
				continue
			}
			if on, slave := r.slaveOf(ref); ref == one.fields["bridge"] || slave && on == one.fields["bridge"] {
				names = append(names, i.name())
			}
		}
		return strings.Join(names, ",")
	}
	rec["current-tagged"] = current(one.fields["tagged"])
	rec["current-untagged"] = current(one.fields["untagged"])
}

// computeAddress shows what an address works on: the bridge, when its
// interface is a port of one.
func (r *Router) computeAddress(one *row, rec record) {
	if p, err := netip.ParsePrefix(one.fields["address"]); err == nil && rec["network"] == "" {
		rec["network"] = p.Masked().Addr().String()
	}
	ref := one.fields["interface"]
	i, ok := r.interfaceByID(ref)
	rec["actual-interface"] = rec["interface"]
	bridge, slave := r.slaveOf(ref)
	if slave {
		if b, found := r.interfaceByID(bridge); found {
			rec["actual-interface"] = b.name()
		}
	}
	rec["slave"] = strconv.FormatBool(slave)
	rec["invalid"] = strconv.FormatBool(!ok || !i.on())
	if r.version.atLeast(addressVRF) {
		rec["vrf"] = "main"
	}
}

// computePool counts the addresses of a pool.
func computePool(rec record) {
	total := new(big.Int)
	for _, part := range splitList(rec["ranges"]) {
		low, high, span := strings.Cut(part, "-")
		if !span {
			high = low
		}
		from, errFrom := netip.ParseAddr(low)
		to, errTo := netip.ParseAddr(high)
		if errFrom != nil || errTo != nil {
			continue // a prefix: the device counts those too, nobody asks here
		}
		a, b := new(big.Int).SetBytes(from.AsSlice()), new(big.Int).SetBytes(to.AsSlice())
		total.Add(total, b.Sub(b, a).Add(b, big.NewInt(1)))
	}
	rec["total"], rec["used"], rec["available"] = total.String(), "0", total.String()
}

// computeLease shows a static lease that no client has taken.
func computeLease(rec record) {
	if rec["status"] == "" {
		rec["status"], rec["last-seen"] = "waiting", "never"
	}
	rec["radius"], rec["blocked"] = "false", "false"
}

// computeRoute shows whether a route is in use. A disabled one shows little
// of itself, as seen on 7.23.
func (r *Router) computeRoute(one *row, rec record) {
	if one.dynamic() {
		rec["active"], rec["inactive"] = "true", "false"
		return
	}
	rec["static"], rec["inactive"] = "true", "false"
	if !one.on() {
		for _, name := range []string{"distance", "routing-table", "scope", "target-scope", "dynamic"} {
			delete(rec, name)
		}
		return
	}
	delete(rec, "disabled")
	via := r.gatewayVia(one.fields["gateway"])
	rec["immediate-gw"] = via
	if via == "" && one.fields["blackhole"] != "true" {
		rec["inactive"] = "true"
		return
	}
	rec["active"] = "true"
}

// gatewayVia names the connected interface behind which a gateway is; ""
// without one.
func (r *Router) gatewayVia(gateway string) string {
	address, err := netip.ParseAddr(gateway)
	if err != nil {
		if slices.ContainsFunc(interfaceMenus, func(menu string) bool { return r.tables[menu].named(gateway) != nil }) {
			return gateway
		}
		return ""
	}
	for _, one := range r.tables["/ip/address"].rows {
		p, err := netip.ParsePrefix(one.fields["address"])
		if i, ok := r.interfaceByID(one.fields["interface"]); ok && err == nil && one.on() && r.linked(i) && p.Contains(address) {
			return gateway + "%" + i.name()
		}
	}
	return ""
}
