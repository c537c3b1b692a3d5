package router

import (
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
	for _, op := range slices.Backward(p.Operations) {
		for _, statement := range op.inverse() {
			b.WriteString(":do { " + statement + " } on-error={}\n")
		}
	}
	return b.String()
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
		if value := o.Before[name]; value != "" || !m.unsets(name) {
			fields[name] = value
			continue
		}
		statements = append(statements, o.Menu+" unset"+row+" value-name="+name)
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
	same := pairs(o.Before, " and ")
	if o.Key != "" {
		same = pairs(m.marked(o.Key), " and ")
	} else if len(m.unique) > 0 {
		known := ros.Row{}
		for _, name := range m.unique[0] {
			known[name] = o.Before[name]
		}
		same = pairs(known, " and ")
	}
	return ":if ([:len [" + o.Menu + " find where .id=" + item(o.ID) + "]] = 0 and [:len [" + o.Menu + " find where " + same + "]] = 0) do={ " + add + " }"
}

// pairs are properties with their values, quoted.
func pairs(fields ros.Row, between string) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		all = append(all, name+"="+Quote(fields[name]))
	}
	return strings.Join(all, between)
}
