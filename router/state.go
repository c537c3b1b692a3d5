package router

import (
	"net/netip"

	"provision.internal/router/ros"
)

// Row is what one row of the router shall hold.
type Row struct {
	Menu   string
	Key    string  // of our mark, such as "vlan/lan0"; of built-in rows their name; of single-row menus nothing
	Fields ros.Row // the declared ones; "" is a field that shall not be set
	First  ros.Row // more fields of a new row, which somebody else may change later
}

// State is what Read has found.
type State struct {
	Version   Version
	Mode      DeviceMode
	Ethernets []string // the ports of the router
	Via       netip.Addr
	Rows      map[string][]ros.Row // by menu, in the router's order, without dynamic ones
}

// DeviceMode says what the router's owner allows programs to do.
type DeviceMode struct {
	Name      string // "home", "advanced", …; empty before RouterOS 7.17
	Scheduler bool   // whether timers are allowed
}
