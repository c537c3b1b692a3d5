package routertest

import (
	"slices"
	"strconv"
	"strings"
)

// learned is a machine that a bridge has seen behind a port.
type learned struct {
	mac, port string
	vlan      int // 0: whatever the port's pvid is
}

// LearnHost lets a bridge see frames of the machine behind the port, such as
// "ether7", in the VLAN; 0 is the port's own VLAN, whatever it becomes. The
// machine leaves the port where it was before. It shows in
// /interface/bridge/host while the port carries frames.
func (r *Router) LearnHost(mac, port string, vlan int) {
	r.mu.Lock()
	r.forget(mac)
	r.learned = append(r.learned, learned{strings.ToUpper(mac), port, vlan})
	r.changed("/interface/bridge/host")
	tell := r.untold()
	r.mu.Unlock()
	tell()
}

// ForgetHost ages the machine out of the bridge's table.
func (r *Router) ForgetHost(mac string) {
	r.mu.Lock()
	r.forget(mac)
	r.changed("/interface/bridge/host")
	tell := r.untold()
	r.mu.Unlock()
	tell()
}

func (r *Router) forget(mac string) {
	r.learned = slices.DeleteFunc(r.learned, func(l learned) bool { return strings.EqualFold(l.mac, mac) })
}

// SetLink plugs the cable of a port, by the name that it came with, in or out.
func (r *Router) SetLink(port string, up bool) {
	r.mu.Lock()
	if up {
		delete(r.unplugged, port)
	} else {
		r.unplugged[port] = true
	}
	r.changed("/interface")
	tell := r.untold()
	r.mu.Unlock()
	tell()
}

// AddNeighbor puts a row in /ip/neighbor: what a discovery protocol has told
// of the device behind an interface.
func (r *Router) AddNeighbor(port, mac, identity string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ref, err := (refKind{[]string{"/interface"}}).parse(r, "interface", port)
	if err != nil {
		ref = port
	}
	r.tables["/ip/neighbor"].insert(map[string]string{
		"interface": ref, "interface-name": "eth0", "mac-address": strings.ToUpper(mac), "identity": identity,
		"platform": "MikroTik", "discovered-by": "lldp", "age": "5s",
	}, "")
}

// hosts are the rows of /interface/bridge/host: the ports' own addresses, and
// the machines that were learned.
func (r *Router) hosts() []wanted {
	var rows []wanted
	ports := r.bridgePorts()
	for _, p := range ports {
		if !r.linked(p.iface) {
			continue
		}
		ref := formatID(p.iface.id)
		rows = append(rows, wanted{"local " + ref, map[string]string{
			"mac-address": r.mac(p.iface), "interface": ref, "on-interface": p.iface.name(), "bridge": p.bridge,
			"local": "true", "external": "false", "invalid": "false",
		}})
	}
	for _, l := range r.learned {
		at := slices.IndexFunc(ports, func(p bridgePort) bool { return p.iface.name() == l.port })
		if at < 0 || !r.linked(ports[at].iface) {
			continue
		}
		p := ports[at]
		vlan := l.vlan
		if vlan == 0 {
			vlan = p.pvid
		}
		fields := map[string]string{
			"mac-address": l.mac, "interface": formatID(p.iface.id), "on-interface": p.iface.name(), "bridge": p.bridge,
			"local": "false", "external": "false", "invalid": "false",
		}
		if r.filters(p.bridge) {
			fields["vid"] = strconv.Itoa(vlan)
		}
		rows = append(rows, wanted{"learned " + l.mac + " " + l.port, fields})
	}
	return rows
}
