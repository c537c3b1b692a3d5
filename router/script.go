package router

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"provision.internal/router/ros"
)

// Inverse is a RouterOS script that takes every operation back, in reverse
// order. It may run after any part of the plan and more than once: each
// statement looks first whether there is something to take back, and its failure
// ends no other.
func (p Plan) Inverse() string {
	var b strings.Builder
	for _, op := range backwards(p.Operations) {
		for _, statement := range op.inverse() {
			b.WriteString(":do { " + statement + " } on-error={}\n")
		}
	}
	return b.String()
}

// backwards is the order of an inverse. Moves that follow each other go from the
// last place to the first: then what each is put before is in its place already,
// whatever of the moves has been done.
func backwards(ops []Operation) []Operation {
	all := slices.Clone(ops)
	slices.Reverse(all)
	for at := 0; at < len(all); {
		end := at + 1
		for all[at].Kind == Move && end < len(all) && all[end].Kind == Move && all[end].Menu == all[at].Menu {
			end++
		}
		slices.SortStableFunc(all[at:end], func(a, b Operation) int { return b.Was - a.Was })
		at = end
	}
	return all
}

func (o Operation) inverse() []string {
	m := menuOf(o.Menu)
	switch o.Kind {
	case Add:
		return []string{o.Menu + " remove " + ours(m, o.Key)}
	case Set:
		return o.setBack(m)
	case Move:
		return []string{strings.TrimSpace(o.Menu + " move " + item(o.ID) + " " + o.Back.expression(m))}
	case Remove:
		return []string{o.addBack(m)}
	}
	return nil
}

// ours finds the row with a mark.
func ours(m *menu, key string) string { return "[find where " + pairs(m.marked(key), " and ") + "]" }

// expression finds the row; it is empty for the end of the menu.
func (r Reference) expression(m *menu) string {
	switch {
	case r.Key != "":
		return ours(m, r.Key)
	case r.ID != "":
		return item(r.ID)
	}
	return ""
}

// setBack works by the id, which a set does not change, unless the same plan has
// added the row.
func (o Operation) setBack(m *menu) []string {
	row := ""
	if o.ID != "" {
		row = " " + item(o.ID)
	}
	var statements []string
	fields := ros.Row{}
	for _, name := range slices.Sorted(maps.Keys(o.Before)) {
		switch value := o.Before[name]; {
		case value == "" && m.unsets(name):
			statements = append(statements, o.Menu+" unset"+row+" value-name="+name)
		case strings.HasPrefix(value, "*"):
			// It refers to a row that is gone, which the router may refuse: that
			// must not take the other fields along.
			statements = append(statements, o.Menu+" set"+row+" "+pairs(ros.Row{name: value}, ""))
		default:
			fields[name] = value
		}
	}
	if len(fields) > 0 {
		statements = append(statements, o.Menu+" set"+row+" "+pairs(fields, " "))
	}
	return statements
}

// addBack makes a removed row again, unless it is still there or has been made
// again already.
func (o Operation) addBack(m *menu) string {
	add := o.Menu + " add " + pairs(o.Before, " ")
	if next := o.Back.expression(m); next != "" {
		// The next row may be gone as well: the end is then as near as it gets.
		add = ":do { " + add + " place-before=" + next + " } on-error={ " + add + " }"
	}
	return fmt.Sprintf(":if ([:len [%[1]s find where .id=%[2]s]] = 0 and [:len [%[1]s find where %[3]s]] < %[4]d) do={ %[5]s }",
		o.Menu, item(o.ID), pairs(o.likeness(m), " and "), o.Twins+1, add)
}

// likeness is by what a removed row is known after it has been made again, with
// another id: its mark, what is unique of it, or all of it.
func (o Operation) likeness(m *menu) ros.Row {
	switch {
	case o.Key != "":
		return m.marked(o.Key)
	case len(m.unique) == 0:
		return o.Before
	}
	like := ros.Row{}
	for _, name := range m.unique[0] {
		like[name] = o.Before[name]
	}
	return like
}

// pairs are properties with their values, quoted.
func pairs(fields ros.Row, between string) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		all = append(all, name+"="+Quote(fields[name]))
	}
	return strings.Join(all, between)
}
