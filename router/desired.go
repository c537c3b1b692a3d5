package router

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"provision.internal/router/ros"
)

// Desired are the rows that the configuration stands for, on a router of
// version v, in the order in which they are safe to add. c must be valid.
func (c Config) Desired(in Inputs, v Version) []Row {
	rows := slices.Concat(
		c.identity(), c.bridge(), c.bridgePorts(), c.bridgeVLANs(), c.interfaces(),
		c.addresses(), c.routes(), c.dhcp(in), c.leases(in), c.relays(), c.resolver(in),
		c.ntp(), c.bgp(v), c.firewall(), c.services(),
	)
	slices.SortStableFunc(rows, func(a, b Row) int { return stage(a.Menu) - stage(b.Menu) })
	return rows
}

// stage is the place of a menu in the safe order.
func stage(path string) int {
	return slices.IndexFunc(menus, func(m menu) bool { return m.path == path })
}

func (c Config) identity() []Row {
	if c.Identity == "" {
		return nil
	}
	return []Row{{Menu: "/system/identity", Fields: ros.Row{"name": c.Identity}}}
}

// The frame types that a port or the bridge takes.
const (
	allFrames      = "admit-all"
	taggedFrames   = "admit-only-vlan-tagged"
	untaggedFrames = "admit-only-untagged-and-priority-tagged"
)

func (c Config) bridge() []Row {
	return []Row{{Menu: "/interface/bridge", Key: "bridge", Fields: ros.Row{
		"name": c.Bridge, "frame-types": taggedFrames, "ingress-filtering": "yes", "vlan-filtering": "yes",
	}}}
}

func (c Config) bridgePorts() []Row {
	var rows []Row
	for _, p := range c.Ports {
		row := Row{Menu: "/interface/bridge/port", Key: "port/" + p.Name, Fields: ros.Row{
			"interface": p.Name, "bridge": c.Bridge, "ingress-filtering": "yes", "frame-types": untaggedFrames,
		}}
		switch {
		case p.Role == Host:
			// Which VLAN it is in, and whether it is an edge, is by its host's stage.
			row.First = ros.Row{"pvid": c.vid(c.Stages.Idle)}
		case p.Role == Trunk && p.VLAN == "":
			row.Fields["frame-types"] = taggedFrames
		case p.Role == Trunk:
			row.Fields["frame-types"], row.Fields["pvid"] = allFrames, c.vid(p.VLAN)
		case p.Role == Access:
			// Spanning tree would keep a machine that boots from the network waiting.
			row.Fields["pvid"], row.Fields["edge"] = c.vid(p.VLAN), "yes"
		default:
			row.Fields["pvid"] = c.vid(p.VLAN)
		}
		rows = append(rows, row)
	}
	return rows
}

// bridgeVLANs has the bridge itself tagged in every VLAN, because that is where
// the VLAN's interface is. Untagged members follow from the ports' pvid.
func (c Config) bridgeVLANs() []Row {
	var rows []Row
	for _, v := range c.VLANs {
		tagged := []string{c.Bridge}
		for _, p := range c.Ports {
			if slices.Contains(p.Tagged, v.Name) {
				tagged = append(tagged, p.Name)
			}
		}
		rows = append(rows, Row{Menu: "/interface/bridge/vlan", Key: "bridge-vlan/" + v.Name, Fields: ros.Row{
			"bridge": c.Bridge, "vlan-ids": strconv.Itoa(v.ID), "tagged": strings.Join(tagged, ","), "untagged": "",
		}})
	}
	return rows
}

func (c Config) interfaces() []Row {
	var rows []Row
	for _, v := range c.VLANs {
		rows = append(rows, Row{Menu: "/interface/vlan", Key: "vlan/" + v.Name, Fields: ros.Row{
			"name": v.Name, "interface": c.Bridge, "vlan-id": strconv.Itoa(v.ID),
		}})
	}
	return rows
}

func (c Config) addresses() []Row {
	var rows []Row
	for _, v := range c.VLANs {
		if v.Address.IsValid() {
			rows = append(rows, Row{Menu: "/ip/address", Key: "address/" + v.Name, Fields: ros.Row{
				"address": v.Address.String(), "interface": v.Name,
			}})
		}
		if v.DHCPClient {
			rows = append(rows, Row{Menu: "/ip/dhcp-client", Key: "dhcp-client/" + v.Name, Fields: ros.Row{"interface": v.Name}})
		}
	}
	return rows
}

func (c Config) routes() []Row {
	var rows []Row
	for _, r := range c.Routes {
		rows = append(rows, Row{Menu: "/ip/route", Key: "route/" + r.To.String(), Fields: ros.Row{
			"dst-address": r.To.String(), "gateway": r.Via.String(),
		}})
	}
	return rows
}

func (c Config) ntp() []Row {
	if len(c.NTP) == 0 {
		return nil
	}
	return []Row{{Menu: "/system/ntp/client", Fields: ros.Row{"enabled": "yes", "servers": strings.Join(c.NTP, ",")}}}
}

// knownServices are those of /ip/service that every version has.
var knownServices = []string{"ftp", "ssh", "telnet", "www", "www-ssl", "winbox", "api", "api-ssl"}

// services disables what is not declared. Versions may have more than are known
// here: the plan disables those that it finds.
func (c Config) services() []Row {
	if c.Services == nil {
		return nil
	}
	var rows []Row
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		rows = append(rows, Row{Menu: "/ip/service", Key: name, Fields: ros.Row{"disabled": "no", "address": join(c.Services[name])}})
	}
	for _, name := range knownServices {
		if _, ok := c.Services[name]; !ok {
			rows = append(rows, disabledService(name))
		}
	}
	return rows
}

func disabledService(name string) Row {
	return Row{Menu: "/ip/service", Key: name, Fields: ros.Row{"disabled": "yes"}}
}

// vid is the number of the VLAN called name.
func (c Config) vid(name string) string {
	v, _ := c.VLAN(name)
	return strconv.Itoa(v.ID)
}

// vlanOf is the VLAN in whose subnet a is.
func (c Config) vlanOf(a netip.Addr) (VLAN, bool) {
	for _, v := range c.VLANs {
		if v.Address.IsValid() && v.Address.Contains(a) {
			return v, true
		}
	}
	return VLAN{}, false
}
