package routertest

import (
	"strconv"
	"time"
)

// stamp is how the router writes an instant.
const stamp = time.DateTime

// compute adds to what print shows of a row what follows from other rows.
func (r *Router) compute(t *table, one *row, rec record) {
	switch t.path {
	case "/interface/ethernet", "/interface/bridge", "/interface/vlan", "/interface/loopback":
		r.computeInterface(iface{one, t.path}, rec)
	case "/interface/list":
		if one.builtin {
			rec["builtin"] = "true"
		}
	case "/interface/bridge/port":
		r.computePort(one, rec)
	case "/interface/bridge/vlan":
		r.computeVLAN(one, rec)
	case "/ip/address":
		r.computeAddress(one, rec)
	case "/ip/pool":
		computePool(rec)
	case "/ip/dns":
		rec["dynamic-servers"], rec["cache-used"] = "", "40"
	case "/ip/route":
		r.computeRoute(one, rec)
	case "/ip/service":
		rec["invalid"] = "false"
	case "/ip/dhcp-server":
		_, slave := r.slaveOf(one.fields["interface"])
		i, ok := r.interfaceByID(one.fields["interface"])
		rec["invalid"] = strconv.FormatBool(slave || !ok || !i.on())
	case "/ip/dhcp-relay":
		_, ok := r.interfaceByID(one.fields["interface"])
		rec["invalid"] = strconv.FormatBool(!ok)
	case "/ip/dhcp-client":
		_, slave := r.slaveOf(one.fields["interface"])
		rec["invalid"] = strconv.FormatBool(slave)
		if one.on() {
			rec["status"] = "searching..."
		}
	case "/ip/dhcp-server/lease":
		computeLease(rec)
	case "/ip/firewall/filter", "/ip/firewall/nat":
		rec["packets"], rec["bytes"], rec["invalid"] = "0", "0", "false"
	case "/routing/bgp/instance", "/routing/bgp/connection":
		if !one.on() {
			rec["inactive"] = "true"
		}
	case "/user":
		rec["expired"] = "false"
	case "/file":
		showFile(one, rec)
	default:
		r.computeSystem(t, one, rec)
	}
}

// showInterface is a row as /interface shows it.
func (r *Router) showInterface(i iface) record {
	t := r.tables[i.menu]
	rec := record{
		".id": formatID(i.id), "name": i.name(), "disabled": t.value(i.row, "disabled"),
		"mtu": t.value(i.row, "mtu"), "link-downs": "0",
		"rx-byte": "0", "tx-byte": "0", "rx-packet": "0", "tx-packet": "0",
	}
	rec["type"] = map[string]string{
		"/interface/ethernet": "ether", "/interface/bridge": "bridge",
		"/interface/vlan": "vlan", "/interface/loopback": "loopback",
	}[i.menu]
	rec["actual-mtu"] = rec["mtu"]
	if comment, ok := i.fields["comment"]; ok {
		rec["comment"] = comment
	}
	if i.menu == "/interface/ethernet" {
		rec["default-name"] = i.fields["default-name"]
		rec["max-l2mtu"] = "8156"
		rec["last-link-up-time"] = r.started.Format(stamp)
	}
	r.computeInterface(i, rec)
	if rec["actual-mtu"] == "auto" {
		rec["actual-mtu"] = "1500"
	}
	for name := range rec {
		if name != ".id" && r.tables["/interface"].byName[name] == nil {
			delete(rec, name)
		}
	}
	return rec
}

func (r *Router) computeInterface(i iface, rec record) {
	rec["running"] = strconv.FormatBool(r.linked(i))
	rec["mac-address"] = r.mac(i)
	if _, slave := r.slaveOf(formatID(i.id)); slave {
		rec["slave"] = "true"
	}
	switch i.menu {
	case "/interface/ethernet":
		rec["loop-protect-status"], rec["switch"] = "off", "switch1"
		rec["orig-mac-address"] = i.fields["orig-mac-address"]
		rec["l2mtu"] = r.tables[i.menu].value(i.row, "l2mtu")
	case "/interface/bridge":
		rec["l2mtu"], rec["actual-mtu"] = "1598", "1500"
		if mtu := i.fields["mtu"]; mtu != "" && mtu != "auto" {
			rec["actual-mtu"] = mtu
		}
	case "/interface/vlan":
		rec["l2mtu"], rec["loop-protect-status"] = "1594", "off"
	}
}

// computeSystem is the rest of compute: what has to do with the device itself.
func (r *Router) computeSystem(t *table, one *row, rec record) {
	now := r.clock.Now()
	switch t.path {
	case "/system/clock":
		rec["time"], rec["date"] = now.Format(time.TimeOnly), now.Format(time.DateOnly)
		rec["gmt-offset"], rec["dst-active"] = "+00:00", "false"
	case "/system/ntp/client":
		rec["status"], rec["freq-drift"] = "stopped", "0 PPM"
		if t.value(one, "enabled") == "true" {
			rec["status"] = "waiting"
		}
	case "/system/resource":
		r.computeResource(rec)
	case "/system/routerboard":
		rec["routerboard"], rec["model"], rec["board-name"] = "true", "RB3011UiAS", "RB3011UiAS"
		rec["serial-number"], rec["firmware-type"] = "HD0000000XX", "ipq8060"
		rec["factory-firmware"] = "6.45.9"
		rec["current-firmware"], rec["upgrade-firmware"] = r.config.Version, r.config.Version
	case "/system/package":
		rec["version"], rec["build-time"], rec["size"] = r.config.Version, buildTime, "13000000"
	case "/system/script":
		r.showScript(one, rec)
	case "/system/scheduler":
		r.showSchedule(one, rec)
	case "/routing/bgp/session":
		r.showPeer(one, rec)
	}
}

// buildTime is when the simulated release was built, as the router says it.
const buildTime = "2026-08-20 09:31:05"

func (r *Router) computeResource(rec record) {
	channel := "stable"
	if r.version.minor == 21 { // the long-term release of 2026
		channel = "long-term"
	}
	for name, value := range map[string]string{
		"uptime":  formatDuration(r.clock.Now().Sub(r.started).Truncate(time.Second)),
		"version": r.config.Version + " (" + channel + ")", "build-time": buildTime,
		"factory-software": "6.45.9", "free-memory": "901775360", "total-memory": "1073741824",
		"cpu": "ARM", "cpu-count": "2", "cpu-frequency": "1400", "cpu-load": "1",
		"free-hdd-space": "98566144", "total-hdd-space": "134479872",
		"architecture-name": "arm", "board-name": "RB3011UiAS", "platform": "MikroTik",
	} {
		rec[name] = value
	}
}
