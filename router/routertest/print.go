package routertest

import (
	"slices"
	"strconv"
	"strings"
)

// print shows rows: those that the queries let through, with the properties
// that .proplist names, or only their count.
func (r *Router) print(c *call) ([]record, error) {
	rows, err := r.selected(c)
	if err != nil {
		return nil, err
	}
	if _, ok := c.get("count-only"); ok {
		return []record{{"ret": strconv.Itoa(len(rows))}}, nil
	}
	list, ok := c.get(".proplist")
	if !ok {
		return rows, nil
	}
	wanted := strings.Split(list, ",")
	for _, rec := range rows {
		for name := range rec {
			if !slices.Contains(wanted, name) {
				delete(rec, name)
			}
		}
	}
	return rows, nil
}

// selected shows the rows of the call's menu that its queries let through.
func (r *Router) selected(c *call) ([]record, error) {
	matches, err := compileQuery(c.args)
	if err != nil {
		return nil, err
	}
	var shown []record
	for _, rec := range r.view(c.menu) {
		if matches(rec) {
			shown = append(shown, rec)
		}
	}
	return shown, nil
}

// view lists the rows that a menu shows: its own and, in /interface, those of
// every kind of interface.
func (r *Router) view(menu string) []record {
	var rows []record
	if menu == "/interface" {
		for _, path := range interfaceMenus {
			for _, one := range r.tables[path].rows {
				rows = append(rows, r.showInterface(iface{one, path}))
			}
		}
		return rows
	}
	t := r.tables[menu]
	for _, one := range t.rows {
		rows = append(rows, r.show(t, one))
	}
	return rows
}

// show makes what print shows of a row.
func (r *Router) show(t *table, one *row) record {
	rec := record{}
	if t.kind != "single" {
		rec[".id"] = formatID(one.id)
	}
	for _, p := range t.props {
		if p.flag("secret") {
			continue
		}
		kept, set := one.fields[p.name]
		switch {
		case !set && p.has:
			kept = p.preset
		case !set:
			continue
		}
		rec[p.name] = p.kind.show(r, kept)
	}
	if t.flag("dynamic") {
		rec["dynamic"] = strconv.FormatBool(one.dynamic())
	}
	r.compute(t, one, rec)
	return rec
}

// find gives the ids of the rows that the queries let through.
func (r *Router) find(c *call) ([]record, error) {
	rows, err := r.selected(c)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(rows))
	for i, rec := range rows {
		ids[i] = rec[".id"]
	}
	return []record{{"ret": strings.Join(ids, ";")}}, nil
}

// get gives one property of one row, or all of them as a list.
func (r *Router) get(c *call) ([]record, error) {
	if number, ok := c.get("number"); ok {
		c.args = append(c.args, arg{".id", number})
	}
	rows, err := r.targets(c)
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 {
		return nil, errNoItem
	}
	rec := r.show(c.table, rows[0])
	if c.menu == "/interface" {
		i, _ := r.interfaceByID(formatID(rows[0].id))
		rec = r.showInterface(i)
	}
	name, ok := c.get("value-name")
	if !ok {
		var pairs []string
		for _, name := range sortedNames(rec) {
			pairs = append(pairs, name+"="+rec[name])
		}
		return []record{{"ret": strings.Join(pairs, ";")}}, nil
	}
	if name != ".id" && c.table.byName[name] == nil {
		return nil, noMatch("value-name")
	}
	return []record{{"ret": rec[name]}}, nil
}

// sortedNames lists a record's properties, the id first.
func sortedNames(rec record) []string {
	names := make([]string, 0, len(rec))
	for name := range rec {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if (a == ".id") != (b == ".id") {
			if a == ".id" {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	return names
}
