package router

import (
	"fmt"
	"slices"
	"strings"

	"provision.internal/router/ros"
)

// judgeVersion refuses what cannot be rolled back and warns of what is attacked.
func (p *planner) judgeVersion() {
	v := p.actual.Version
	switch {
	case v.Before(7, 18, 0):
		p.refuse("RouterOS %s is too old: safe mode, by which changes are taken back, needs 7.18 or later; upgrade the router", v)
	case v.Before(7, 23, 4), v.Major == 7 && v.Minor == 24 && v.Patch < 2:
		p.warn("RouterOS %s has faults that are being exploited (CVE-2026-67276, CVE-2026-86060): upgrade to 7.24.2 or later", v)
	}
}

// judgeMode refuses a router that cannot have the timer which takes changes back
// when nobody else can.
func (p *planner) judgeMode() {
	if !p.actual.Mode.Scheduler {
		p.refuse("the router's device mode %q forbids timers, and changes are only made under one: run /system/device-mode/update scheduler=yes and press the router's button when it asks", p.actual.Mode.Name)
	}
}

func (p *planner) judgePorts() {
	for i, port := range p.cfg.Ports {
		if !slices.Contains(p.actual.Ethernets, port.Name) {
			p.refuse("router.ports[%d].name: the router has no port %s; it has %s", i, port.Name, strings.Join(p.actual.Ethernets, ", "))
		}
	}
}

// judgeNewPorts looks at what stands on a port that is to become one of the
// bridge: a port of a bridge is a slave, and what is configured directly on it goes dead.
func (p *planner) judgeNewPorts() {
	ports := p.table("/interface/bridge/port")
	for i := range ports.want {
		w := &ports.want[i]
		name := w.want.Fields["interface"]
		if w.have != nil && w.have["interface"] == name {
			continue
		}
		stands := p.standsOn(name)
		if len(stands) == 0 {
			continue
		}
		text := strings.Join(stands, ", ")
		if p.options.HoldBack {
			w.held = true
			p.plan.Held = append(p.plan.Held, fmt.Sprintf("%s becomes no port of %s yet: %s would go dead", name, p.cfg.Bridge, text))
			continue
		}
		p.refuse("%s cannot become a port of %s while there is %s: it would go dead; where that is the way in, take the router over with `provision router bootstrap`, else --prune it",
			name, p.cfg.Bridge, text)
	}
}

// standsOn lists what is directly on an interface and is to stay. What is to go
// goes before the port is added, with all that is on it.
func (p *planner) standsOn(name string) []string {
	var stays []string
	for _, on := range []struct{ menu, property string }{
		{"/interface/vlan", "interface"}, {"/ip/address", "interface"}, {"/ip/dhcp-client", "interface"},
		{"/ip/firewall/filter", "in-interface"}, {"/ip/firewall/filter", "out-interface"},
		{"/ip/firewall/nat", "in-interface"}, {"/ip/firewall/nat", "out-interface"},
	} {
		t := p.table(on.menu)
		for _, row := range t.rows {
			if strings.TrimPrefix(row[on.property], "!") != name {
				continue
			}
			if p.goesEarly(t, row) {
				continue
			}
			if w := t.pairOf(row); w != nil && w.want.Fields[on.property] != name {
				continue // is moved elsewhere
			}
			stays = append(stays, on.menu+" "+t.m.nameOf(row))
		}
	}
	return stays
}

// goesEarly reports whether a row is to go, and sees to it that it does so
// first, together with what refers to it.
func (p *planner) goesEarly(t *table, row ros.Row) bool {
	for i := range t.gone {
		g := &t.gone[i]
		if g.row[".id"] != row[".id"] {
			continue
		}
		if !g.early && row["name"] != "" {
			g.early = true
			p.standsOn(row["name"])
		}
		g.early = true
		return true
	}
	return false
}

// pairOf is what the row stands for, nil for nothing.
func (t *table) pairOf(row ros.Row) *pair {
	for i := range t.want {
		if t.want[i].have != nil && t.want[i].have[".id"] == row[".id"] {
			return &t.want[i]
		}
	}
	return nil
}

func (p *planner) table(path string) *table {
	at := slices.IndexFunc(p.tables, func(t *table) bool { return t.m.path == path })
	return p.tables[at]
}
