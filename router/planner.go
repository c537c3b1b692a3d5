package router

import (
	"fmt"
	"slices"
	"strings"

	"provision.internal/router/ros"
)

// Plan compares what shall be with what is. A plan with refusals must not be
// carried out. c must be valid.
func (c Config) Plan(in Inputs, actual State, o Options) Plan {
	p := &planner{cfg: c, actual: actual, options: o, used: map[string]bool{}}
	p.plan.Warnings = c.Warnings("router")
	p.judgeVersion()
	p.judgeMode()
	p.judgePorts()
	desired := c.Desired(in, actual.Version)
	for i := range menus {
		if m := &menus[i]; m.has(actual.Version) {
			p.compare(m, desired)
		}
	}
	p.judgeSession()
	p.judgeNewPorts()
	p.judgeChains()
	p.judgeNames()
	p.emit()
	return p.plan
}

// planner makes one plan.
type planner struct {
	cfg     Config
	actual  State
	options Options
	used    map[string]bool // names of options.Prune and Adopt that some row has

	tables []*table
	plan   Plan
}

func (p *planner) refuse(format string, args ...any) {
	p.plan.Refusals = append(p.plan.Refusals, fmt.Sprintf(format, args...))
}

func (p *planner) warn(format string, args ...any) {
	p.plan.Warnings = append(p.plan.Warnings, fmt.Sprintf(format, args...))
}

// table is one menu as it is and as it shall be.
type table struct {
	m    *menu
	rows []ros.Row // as they are, in order
	want []pair
	gone []leaving
}

// pair is a row that shall be, with the one that is to become it; nil for a new
// one.
type pair struct {
	want Row
	have ros.Row
	held bool // left for a second plan
}

// leaving is a row to remove.
type leaving struct {
	row   ros.Row
	key   string // empty for a foreign row
	early bool   // before anything is added, because it is in the way
}

// compare finds for each row that shall be the one that stands for it.
func (p *planner) compare(m *menu, desired []Row) {
	t := &table{m: m, rows: p.actual.Rows[m.path]}
	for _, d := range desired {
		if d.Menu == m.path {
			t.want = append(t.want, pair{want: d})
		}
	}
	p.tables = append(p.tables, t)
	switch m.mark {
	case single:
		if len(t.want) > 0 && len(t.rows) > 0 {
			t.want[0].have = t.rows[0]
		}
		return
	case builtIn:
		p.compareBuiltIn(t)
		return
	}
	free := slices.Clone(t.rows)
	for _, props := range m.unique { // rows of ours that have what must be unique
		t.pair(&free, func(w Row, row ros.Row) bool {
			_, ours := m.keyOf(row)
			return ours && m.equal(props, w.Fields, row)
		})
	}
	t.pair(&free, func(w Row, row ros.Row) bool {
		key, ours := m.keyOf(row)
		return ours && key == w.Key
	})
	t.pair(&free, func(w Row, row ros.Row) bool {
		_, clashes := m.clash(with(w.Fields, "name", w.name(m)), row)
		return clashes && p.named(p.options.Adopt, m, row)
	})
	for _, row := range free {
		p.leftOver(t, row)
	}
	p.unclash(t)
}

// pair gives each row that shall be and has none yet the first free one that
// fits.
func (t *table) pair(free *[]ros.Row, fits func(Row, ros.Row) bool) {
	for i := range t.want {
		w := &t.want[i]
		if w.have != nil {
			continue
		}
		if at := slices.IndexFunc(*free, func(row ros.Row) bool { return fits(w.want, row) }); at >= 0 {
			w.have = (*free)[at]
			*free = slices.Delete(*free, at, at+1)
		}
	}
}

// name is the row's name on the router, which may hold its mark.
func (r Row) name(m *menu) string {
	if m.mark == byName {
		return nameMark + r.Key
	}
	return r.Fields["name"]
}

// leftOver deals with a row that stands for none of those that shall be.
func (p *planner) leftOver(t *table, row ros.Row) {
	m := t.m
	if key, ours := m.keyOf(row); ours {
		t.gone = append(t.gone, leaving{row: row, key: key})
		return
	}
	if p.named(p.options.Prune, m, row) {
		t.gone = append(t.gone, leaving{row: row, early: true})
		return
	}
	f := Foreign{Menu: m.path, ID: row[".id"], Name: m.nameOf(row), Fields: m.shown(row)}
	for _, w := range t.want {
		props, clashes := m.clash(with(w.want.Fields, "name", w.want.name(m)), row)
		if !clashes {
			continue
		}
		f.Conflict = w.want.Key
		if w.have != nil && m.equal(props, w.want.Fields, w.have) { // the router bears both
			p.warn("%s %s is not ours, and has the same %s as %s of the configuration: --prune %[1]s/%[2]s removes it", m.path, f.Name, strings.Join(props, " and "), w.want.Key)
			break
		}
		adopt := fmt.Sprintf("--adopt %s/%s takes it over as it is and changes what differs, ", m.path, f.Name)
		if w.have != nil {
			adopt = "" // another row has been taken for it already
		}
		p.refuse("%s %s is there and not ours, and has the same %s as %s of the configuration: %s--prune %[1]s/%[2]s removes it first",
			m.path, f.Name, strings.Join(props, " and "), w.want.Key, adopt)
		break
	}
	p.plan.Foreign = append(p.plan.Foreign, f)
}

// shown is what people see of a row: what may be declared and is set.
func (m *menu) shown(row ros.Row) ros.Row {
	fields := ros.Row{}
	for _, name := range append(slices.Clone(m.props), "comment") {
		if v := row[name]; v != "" {
			fields[name] = spelled(m.path, name, v)
		}
	}
	return fields
}

// compareBuiltIn is for rows that the router has by itself.
func (p *planner) compareBuiltIn(t *table) {
	if len(t.want) == 0 {
		return
	}
	var there []pair
	for _, w := range t.want {
		at := slices.IndexFunc(t.rows, func(row ros.Row) bool { return row["name"] == w.want.Key })
		switch {
		case at >= 0:
			there = append(there, pair{want: w.want, have: t.rows[at]})
		case w.want.Fields["disabled"] != "yes":
			p.refuse("router.services.%s: RouterOS %s has no such service", w.want.Key, p.actual.Version)
		}
	}
	for _, row := range t.rows {
		if !slices.ContainsFunc(there, func(w pair) bool { return w.want.Key == row["name"] }) {
			there = append(there, pair{want: disabledService(row["name"]), have: row})
		}
	}
	t.want = there
}

// changes are the declared fields in which the row is not as it shall be, as
// they are and as they shall be.
func (w pair) changes(m *menu) (before, after ros.Row) {
	before, after = ros.Row{}, ros.Row{}
	differs := func(name, value string) {
		before[name], after[name] = spelled(m.path, name, w.have[name]), value
	}
	for name, value := range w.want.Fields {
		if !same(m.path, name, w.have[name], value) {
			differs(name, value)
		}
	}
	for name, value := range m.marked(w.want.Key) {
		if w.have[name] != value {
			differs(name, value)
		}
	}
	if m.disables && Canonical(m.path, "disabled", w.have["disabled"]) == "yes" {
		differs("disabled", "no")
	}
	return before, after
}

// fresh is all that a new row is made of.
func (r Row) fresh(m *menu) ros.Row {
	fields := m.marked(r.Key)
	for _, more := range []ros.Row{r.Fields, r.First} {
		for name, value := range more {
			if value != "" && (name != "log" || value != "no") {
				fields[name] = value
			}
		}
	}
	return fields
}
