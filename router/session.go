package router

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"provision.internal/router/ros"
)

// bootstrapKeys begin the keys of what the bootstrap script makes: rows of ours
// that no configuration wants.
const bootstrapKeys = "bootstrap/"

// judgeSession sees to it that nothing goes that the session runs over.
func (p *planner) judgeSession() {
	carriers, bridge := p.carriers()
	if bridge != "" && bridge != p.cfg.Bridge {
		p.judgeMovedPorts(bridge)
	}
	for _, t := range p.tables {
		var kept []leaving
		for _, g := range t.gone {
			carries := slices.Contains(carriers, carrier{t.m.path, g.row[".id"]})
			bootstrap := strings.HasPrefix(g.key, bootstrapKeys)
			switch {
			case p.options.HoldBack && (carries || bootstrap):
				p.plan.Held = append(p.plan.Held, fmt.Sprintf("%s %s stays: it is the way in for now", t.m.path, t.m.nameOf(g.row)))
				continue
			case carries:
				p.refuse("%s %s is what the connection to %s runs over, and the plan removes it: set router.address to another of the router's addresses first", t.m.path, t.m.nameOf(g.row), p.actual.Via)
			}
			kept = append(kept, g)
		}
		t.gone = kept
		for _, w := range t.want {
			if w.have == nil || !slices.Contains(carriers, carrier{t.m.path, w.have[".id"]}) {
				continue
			}
			_, after := w.changes(t.m)
			for _, name := range words("address interface vlan-id vlan-ids") {
				if _, changes := after[name]; changes {
					p.refuse("%s %s is what the connection to %s runs over, and the plan changes its %s: set router.address to another of the router's addresses first", t.m.path, t.m.nameOf(w.have), p.actual.Via, name)
				}
			}
		}
	}
}

// carrier is a row that the session runs over.
type carrier struct{ menu, id string }

// judgeMovedPorts refuses to take ports from the bridge that the session runs
// over: one of them is the session's.
func (p *planner) judgeMovedPorts(bridge string) {
	for _, w := range p.table("/interface/bridge/port").want {
		if w.have != nil && w.have["bridge"] == bridge {
			p.refuse("%s is taken from %s, which the connection to %s runs over: take the router over with `provision router bootstrap`", w.have["interface"], bridge, p.actual.Via)
		}
	}
}

// carriers follows the session from the router's address down to the bridge,
// whose name it returns too; empty when it runs over none.
func (p *planner) carriers() (found []carrier, bridge string) {
	add := func(menu string, fits func(ros.Row) bool) (ros.Row, bool) {
		rows := p.actual.Rows[menu]
		at := slices.IndexFunc(rows, fits)
		if at < 0 {
			return nil, false
		}
		found = append(found, carrier{menu, rows[at][".id"]})
		return rows[at], true
	}
	address, ok := add("/ip/address", func(row ros.Row) bool {
		prefix, err := netip.ParsePrefix(row["address"])
		return err == nil && prefix.Addr() == p.actual.Via
	})
	if !ok {
		return nil, ""
	}
	name := address["interface"]
	if vlan, ok := add("/interface/vlan", func(row ros.Row) bool { return row["name"] == name }); ok {
		name = vlan["interface"]
		add("/interface/bridge/vlan", func(row ros.Row) bool {
			return row["bridge"] == name && slices.Contains(strings.Split(row["vlan-ids"], ","), vlan["vlan-id"])
		})
	} else if name == p.cfg.Bridge {
		p.refuse("the connection to %s runs untagged over %s itself, which will take tagged frames only: put the router's address on a VLAN first, or take the router over with `provision router bootstrap`", p.actual.Via, name)
	}
	if _, ok := add("/interface/bridge", func(row ros.Row) bool { return row["name"] == name }); ok {
		bridge = name
	}
	return found, bridge
}
