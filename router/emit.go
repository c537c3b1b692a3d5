package router

import (
	"slices"

	"provision.internal/router/ros"
)

// filtering is the bridge's switch that is turned last: before, a mistake in
// the VLANs cuts nobody off.
const filtering = "vlan-filtering"

// emit writes the operations down in the safe order: what is in the way goes
// first, then rows are added and set menu by menu, then what is not wanted any
// more goes, and VLAN filtering comes last.
func (p *planner) emit() {
	sequences := map[*table]*sequence{}
	for _, t := range p.tables {
		if t.m.ordered {
			sequences[t] = newSequence(t)
		}
	}
	for _, t := range slices.Backward(p.tables) {
		p.remove(t, true, sequences[t])
	}
	var last []Operation
	for _, t := range p.tables {
		changed := t.change(sequences[t])
		if t.m.path == "/interface/bridge" {
			changed, last = filteringLast(changed)
		}
		p.plan.Operations = append(p.plan.Operations, changed...)
	}
	for _, t := range slices.Backward(p.tables) {
		p.remove(t, false, sequences[t])
	}
	p.plan.Operations = append(p.plan.Operations, last...)
}

// remove takes rows from the last to the first, so that none goes before a row
// that stood before it.
func (p *planner) remove(t *table, early bool, seq *sequence) {
	for _, g := range slices.Backward(t.gone) {
		if g.early != early {
			continue
		}
		op := Operation{Kind: Remove, Menu: t.m.path, ID: g.row[".id"], Key: g.key, Name: t.m.nameOf(g.row), Before: t.m.kept(g.row)}
		if seq != nil {
			op.Back = seq.remove(op.ID)
		}
		p.plan.Operations = append(p.plan.Operations, op)
	}
}

// kept is what is needed to make a row again.
func (m *menu) kept(row ros.Row) ros.Row {
	fields := ros.Row{}
	for _, name := range slices.Concat(m.props, restored[m.path], []string{"comment", "name", "disabled"}) {
		if v := row[name]; v != "" {
			fields[name] = canonical(m.path, name, v)
		}
	}
	return fields
}

// change adds and sets rows, and in ordered menus puts them in their places.
func (t *table) change(seq *sequence) []Operation {
	var ops []Operation
	var places []string
	if seq != nil {
		places = seq.anchors(t)
	}
	for i, w := range t.want {
		if w.held {
			continue
		}
		op := Operation{Menu: t.m.path, Key: w.want.Key, Name: t.m.nameOf(with(w.want.Fields, "name", w.want.name(t.m)))}
		if t.m.ordered || t.m.mark == builtIn {
			op.Name = t.m.nameOf(with(t.m.marked(op.Key), "name", op.Key))
		}
		if w.have == nil && t.m.mark != single {
			op.Kind, op.After = Add, w.want.fresh(t.m)
			if seq != nil {
				op.Place, op.Next = places[i], seq.nameOf(places[i])
				seq.insert("+"+op.Key, Reference{Key: op.Key}, op.Place)
			}
			ops = append(ops, op)
			continue
		}
		op.ID = w.have[".id"]
		if t.m.mark == single {
			op.ID = ""
		}
		if before, after := w.changes(t.m); len(after) > 0 {
			set := op
			set.Kind, set.Before, set.After = Set, before, after
			ops = append(ops, set)
		}
		if seq != nil && places[i] != stays {
			op.Kind, op.Place, op.Next = Move, places[i], seq.nameOf(places[i])
			op.Back = seq.move(op.ID, op.Place)
			ops = append(ops, op)
		}
	}
	return ops
}

// filteringLast takes the switch of VLAN filtering out of the operations.
func filteringLast(ops []Operation) (first, last []Operation) {
	for _, op := range ops {
		on, ok := op.After[filtering]
		if !ok {
			first = append(first, op)
			continue
		}
		turn := op
		turn.Kind, turn.Before, turn.After = Set, ros.Row{filtering: "no"}, ros.Row{filtering: on}
		if op.Kind == Add {
			turn.ID = op.After["name"]
		}
		last = append(last, turn)
		delete(op.After, filtering)
		delete(op.Before, filtering)
		if len(op.After) > 0 {
			first = append(first, op)
		}
	}
	return first, last
}
