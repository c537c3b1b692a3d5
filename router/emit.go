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
		if t.m.placed {
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
		t.rows = slices.DeleteFunc(slices.Clone(t.rows), func(row ros.Row) bool { return row[".id"] == op.ID })
		op.Twins = op.twins(t)
		p.plan.Operations = append(p.plan.Operations, op)
	}
}

// twins counts the rows left that Inverse takes for the removed one.
func (o Operation) twins(t *table) int {
	like, n := o.likeness(t.m), 0
	for _, row := range t.rows {
		alike := true
		for name, value := range like {
			alike = alike && spelled(t.m.path, name, row[name]) == value
		}
		if alike {
			n++
		}
	}
	return n
}

// kept is what is needed to make a row again.
func (m *menu) kept(row ros.Row) ros.Row {
	fields := ros.Row{}
	for _, name := range slices.Concat(m.props, restored[m.path], []string{"comment", "name", "disabled"}) {
		if v := row[name]; v != "" {
			fields[name] = spelled(m.path, name, v)
		}
	}
	return fields
}

// change adds and sets rows, and in ordered menus puts them in their places.
func (t *table) change(seq *sequence) []Operation {
	var ops []Operation
	places := make([]string, len(t.want))
	if t.m.ordered {
		places = seq.anchors(t)
		ops = seq.moves(t, places)
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
				op.Place, op.Next = places[i], seq.names[places[i]]
				seq.add(op.Key, op.Place)
			}
			ops = append(ops, op)
			continue
		}
		op.ID = w.have[".id"]
		if t.m.mark == single {
			op.ID = ""
		}
		if before, after := w.changes(t.m); len(after) > 0 {
			op.Kind, op.Before, op.After = Set, before, after
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
