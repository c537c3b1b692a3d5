package router

import (
	"maps"
	"slices"
	"strings"

	"provision.internal/router/ros"
)

// named reports whether one of the operator's names means a row: MENU/NAME,
// MENU/*ID, or MENU for all of its rows.
func (p *planner) named(names []string, m *menu, row ros.Row) bool {
	found := false
	for _, n := range names {
		rest, ok := strings.CutPrefix(n, m.path)
		if !ok || rest != "" && rest != "/"+m.nameOf(row) && rest != "/"+row[".id"] {
			continue
		}
		p.used[n], found = true, true
	}
	return found
}

// judgeChains tells of rules of others beside ours: the first that matches
// decides, and where ours stand among them is not looked at.
func (p *planner) judgeChains() {
	for _, t := range p.tables {
		if !t.m.ordered {
			continue
		}
		chains := map[string][]string{}
		for _, f := range p.plan.Foreign {
			chain := f.Fields["chain"]
			if f.Menu == t.m.path && slices.ContainsFunc(t.want, func(w pair) bool { return w.want.Fields["chain"] == chain }) {
				chains[chain] = append(chains[chain], value(f.Name))
			}
		}
		for _, chain := range slices.Sorted(maps.Keys(chains)) {
			p.warn("%s has rules of others in the chain %s, and where they stand they decide before ours: %s", t.m.path, chain, strings.Join(chains[chain], ", "))
		}
	}
}

// judgeNames tells of names that no row has. That is no fault: the plan may be
// the second one with the same names.
func (p *planner) judgeNames() {
	for _, n := range slices.Concat(p.options.Prune, p.options.Adopt) {
		switch {
		case p.used[n]:
		case !slices.ContainsFunc(menus, func(m menu) bool { return n == m.path || strings.HasPrefix(n, m.path+"/") }):
			p.refuse("%s names no menu that provision looks after: write it as the plan lists foreign rows, such as /ip/pool/default-dhcp", n)
		default:
			p.warn("%s names no foreign row, or none that stands for one of the configuration", n)
		}
	}
}
