package router

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net"
	"strconv"
	"strings"

	"provision.internal/boot"
	"provision.internal/host"
	"provision.internal/router/ros"
)

func (c Config) dhcp(in Inputs) []Row {
	var rows []Row
	boots := false
	for _, v := range c.VLANs {
		d := v.DHCP
		if d == nil {
			continue
		}
		gateway := d.Gateway
		if !gateway.IsValid() {
			gateway = v.Address.Addr()
		}
		network := ros.Row{
			"address": v.Address.Masked().String(), "gateway": gateway.String(), "dns-server": join(d.DNS), "domain": d.Domain,
			"next-server": "", "boot-file-name": "",
		}
		if d.Boot {
			boots = true
			rows = append(rows, matchers(v)...)
			// BIOS ROMs exist that read the header's fields only, and nothing else
			// prefers those to the options.
			network["next-server"], network["boot-file-name"] = addr(in.Appliance), boot.Loader(boot.BIOS)
		}
		rows = append(rows,
			Row{Menu: "/ip/pool", Key: "pool/" + v.Name, Fields: ros.Row{"name": v.Name, "ranges": d.Pool.From.String() + "-" + d.Pool.To.String()}},
			Row{Menu: "/ip/dhcp-server", Key: "dhcp/" + v.Name, Fields: ros.Row{
				"name": v.Name, "interface": v.Name, "address-pool": v.Name, "authoritative": "yes", "conflict-detection": "yes",
				"lease-time": formatDuration(cmp.Or(d.Lease, DefaultLease)),
			}},
			Row{Menu: "/ip/dhcp-server/network", Key: "network/" + v.Name, Fields: network},
		)
	}
	if boots {
		rows = append(rows, bootOptions(in)...)
	}
	return rows
}

// client is a kind of machine as its DHCP packets show it, with what it shall
// load.
type client struct {
	name  string
	code  int    // of the option that tells it
	value string // of that option, as a matcher takes it
	set   string // of options that answer it
}

// clients are told apart by option 93 (RFC 4578, RFC 5970: firmwares send 7 or
// 9 for the same machine; 16 and 19 are HTTP boot). iPXE sends its platform's 93
// too: it stands first, or it would be given a loader again and again.
var clients = []client{
	{"ipxe", 77, "iPXE", "script"},
	{"arch-7", 93, "0x0007", "uefi-x86_64"},
	{"arch-9", 93, "0x0009", "uefi-x86_64"},
	{"arch-11", 93, "0x000b", "uefi-aarch64"},
	{"arch-16", 93, "0x0010", "http-x86_64"},
	{"arch-19", 93, "0x0013", "http-aarch64"},
}

func matchers(v VLAN) []Row {
	var rows []Row
	for _, k := range clients {
		rows = append(rows, Row{Menu: "/ip/dhcp-server/matcher", Key: "boot/" + v.Name + "/" + k.name, Fields: ros.Row{
			"name": v.Name + "-" + k.name, "server": v.Name, "address-pool": v.Name,
			"code": strconv.Itoa(k.code), "value": k.value, "matching-type": "exact", "option-set": nameMark + "boot-" + k.set,
		}})
	}
	return rows
}

// bootOptions are the answers to clients, as sets of DHCP options.
func bootOptions(in Inputs) []Row {
	base := "http://" + in.Appliance.String()
	if in.HTTPPort != 0 && in.HTTPPort != 80 {
		base = "http://" + net.JoinHostPort(in.Appliance.String(), strconv.Itoa(int(in.HTTPPort)))
	}
	file := func(arch uint16, class string) string {
		c := boot.Classify(host.MAC{}, boot.Options{VendorClass: []byte(class), Arch: binary.BigEndian.AppendUint16(nil, arch)})
		return boot.File(c, base)
	}
	const server, http = "boot-server", "boot-http"
	rows := []Row{
		option(server, 66, in.Appliance.String()),
		option(http, 60, "HTTPClient"), // or a firmware does not take the URL: UEFI 2.10 §24.7.2
	}
	for _, a := range []struct{ set, file, with string }{
		{"script", base + boot.ScriptPath + "${mac:hexhyp}", ""}, // iPXE fills its MAC in
		{"uefi-x86_64", file(7, "PXEClient"), server},
		{"uefi-aarch64", file(11, "PXEClient"), server},
		{"http-x86_64", file(16, "HTTPClient"), http},
		{"http-aarch64", file(19, "HTTPClient"), http},
	} {
		key := "boot-" + a.set
		options := []string{nameMark + key}
		if a.with != "" {
			options = append(options, nameMark+a.with)
		}
		rows = append(rows, option(key, 67, a.file), Row{
			Menu: "/ip/dhcp-server/option/sets", Key: key, Fields: ros.Row{"options": strings.Join(options, ",")},
		})
	}
	return rows
}

// option is a DHCP option with a text. It is sent also to clients that do not
// list it: some firmwares ask for less than they need.
func option(key string, code int, value string) Row {
	return Row{Menu: "/ip/dhcp-server/option", Key: key, Fields: ros.Row{
		"name": nameMark + key, "code": strconv.Itoa(code), "value": fmt.Sprintf("s'%s'", value), "force": "yes",
	}}
}

// leases gives the configured hosts always the same address where the router is
// their DHCP server.
func (c Config) leases(in Inputs) []Row {
	var rows []Row
	for _, h := range in.Hosts {
		v, ok := c.vlanOf(h.Address)
		if !ok || v.DHCP == nil {
			continue
		}
		rows = append(rows, Row{Menu: "/ip/dhcp-server/lease", Key: "lease/" + h.Name, Fields: ros.Row{
			"address": h.Address.String(), "mac-address": strings.ToUpper(h.MAC.String()), "server": v.Name,
		}})
	}
	return rows
}

func (c Config) relays() []Row {
	var rows []Row
	for _, v := range c.VLANs {
		if v.Relay.IsValid() {
			rows = append(rows, Row{Menu: "/ip/dhcp-relay", Key: v.Name, Fields: ros.Row{
				"interface": v.Name, "dhcp-server": v.Relay.String(), "local-address": v.Address.Addr().String(),
			}})
		}
	}
	return rows
}
