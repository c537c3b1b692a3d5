package routertest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// factory puts in what a reset router has.
func (r *Router) factory() {
	for _, t := range r.tables {
		if t.kind == "single" {
			t.rows = []*row{{fields: map[string]string{}}}
		}
	}
	for _, menu := range []string{"/ip/service", "/log", "/system/scheduler"} {
		r.tables[menu].ids.last = -1 // the first id is *0 there, as seen
	}
	for n := 1; n <= r.config.Ethernets; n++ {
		mac := fmt.Sprintf("02:00:5E:10:00:%02X", n)
		name := "ether" + strconv.Itoa(n)
		r.builtin("/interface/ethernet", map[string]string{
			"name": name, "default-name": name, "mac-address": mac, "orig-mac-address": mac,
		})
	}
	r.builtin("/interface/loopback", map[string]string{"name": "lo"})
	for _, name := range []string{"all", "none", "dynamic", "static"} {
		r.builtin("/interface/list", map[string]string{"name": name, "comment": "contains " + name + " interfaces"})
	}
	r.tables["/ip/neighbor/discovery-settings"].rows[0].fields["discover-interface-list"] = r.reference("/interface/list", "static")
	for _, menu := range []string{"/tool/mac-server", "/tool/mac-server/mac-winbox"} {
		r.tables[menu].rows[0].fields["allowed-interface-list"] = r.reference("/interface/list", "all")
	}
	r.deviceMode()
	r.builtin("/routing/bgp/template", map[string]string{"name": "default", "as": "65530"})
	r.builtin("/system/package", map[string]string{"name": "routeros"})
	r.accounts()
	r.services()
	if !r.config.NoCertificate {
		r.ownCertificate()
	}
	r.log("system,info", "router rebooted")
}

// builtin puts a row in that can't be removed.
func (r *Router) builtin(menu string, fields map[string]string) *row {
	one := r.tables[menu].insert(fields, "")
	one.builtin = true
	return one
}

// reference is the id of a named row.
func (r *Router) reference(menu, name string) string {
	return formatID(r.tables[menu].named(name).id)
}

// deviceMode notes what the mode forbids.
func (r *Router) deviceMode() {
	mode := r.tables["/system/device-mode"].rows[0].fields
	mode["mode"] = r.config.DeviceMode
	if r.config.DeviceMode != "home" {
		return
	}
	for _, feature := range []string{
		"scheduler", "socks", "fetch", "bandwidth-test", "romon", "proxy", "hotspot", "email", "zerotier", "sniffer",
	} {
		mode[feature] = "false"
	}
}

// accounts makes the groups that every router has, and the users.
func (r *Router) accounts() {
	for _, group := range []struct{ name, policy string }{
		{"read", "local,telnet,ssh,reboot,read,test,winbox,password,web,sniff,sensitive,api,romon,rest-api,!ftp,!write,!policy"},
		{"write", "local,telnet,ssh,reboot,read,write,test,winbox,password,web,sniff,sensitive,api,romon,rest-api,!ftp,!policy"},
		{"full", fullPolicy},
	} {
		r.builtin("/user/group", map[string]string{"name": group.name, "policy": group.policy, "skin": "default"})
	}
	for _, name := range slices.Sorted(maps.Keys(r.config.Users)) {
		r.tables["/user"].insert(map[string]string{
			"name": name, "password": r.config.Users[name], "group": r.reference("/user/group", "full"), "address": "",
		}, "")
	}
}

// services are the built-in ones, in the order of the device.
func (r *Router) services() {
	for _, s := range []struct {
		name string
		port int
		tls  bool
	}{
		{"telnet", 23, false}, {"ftp", 21, false}, {"www", 80, false}, {"ssh", 22, false}, {"www-ssl", 443, true},
		{"api", 8728, false}, {"winbox", 8291, false}, {"api-ssl", 8729, true},
	} {
		fields := map[string]string{
			"name": s.name, "port": strconv.Itoa(s.port), "proto": "tcp", "address": "", "vrf": "main",
			"disabled": strconv.FormatBool(s.name == "www-ssl"), "max-sessions": strconv.Itoa(r.config.MaxSessions),
		}
		if s.tls {
			fields["certificate"], fields["tls-version"] = "none", "any"
		}
		r.builtin("/ip/service", fields)
	}
}

// servicePort is the port that a service listens on.
func (r *Router) servicePort(name string) uint16 {
	if s := r.tables["/ip/service"].named(name); s != nil {
		port, _ := strconv.ParseUint(s.fields["port"], 10, 16)
		return uint16(port)
	}
	return 0
}

// maxSessions is how many sessions a service takes at once.
func maxSessions(service *row) int {
	n, _ := strconv.Atoi(service.fields["max-sessions"])
	return n
}
