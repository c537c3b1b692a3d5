package routertest

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// record is a row as the API shows it: property to value, ".id" among them.
type record = map[string]string

// row is one item of a table. It is never altered once it is in a table: an
// alteration puts another row with the same id in its place, so that the old
// one is all that undo needs.
type row struct {
	id     int
	fields map[string]string // what is set, in printed form; references as ids
	// origin names why a dynamic row exists; empty for configured rows.
	origin string
	// builtin rows came with the device and can't be removed.
	builtin bool
}

func (r *row) clone() *row {
	c := *r
	c.fields = maps.Clone(r.fields)
	return &c
}

func (r *row) dynamic() bool { return r.origin != "" }

// on tells whether the row is in force.
func (r *row) on() bool { return r.fields["disabled"] != "true" }

// counter gives ids, shared by the kinds of interfaces. It never goes back.
type counter struct{ last int }

func (c *counter) next() int { c.last++; return c.last }

// table holds the rows of one menu in their order.
type table struct {
	*menu
	ids  *counter
	rows []*row
}

// find returns the row with the id and its position; nil and -1 without one.
func (t *table) find(id int) (*row, int) {
	at := slices.IndexFunc(t.rows, func(r *row) bool { return r.id == id })
	if at < 0 {
		return nil, -1
	}
	return t.rows[at], at
}

// named returns the row whose name property is name; nil without one.
func (t *table) named(name string) *row {
	for _, r := range t.rows {
		if t.nameKey() != "" && r.fields[t.nameKey()] == name {
			return r
		}
	}
	return nil
}

// value is what a row has for a property: what was set, or the default.
func (t *table) value(r *row, name string) string {
	if kept, ok := r.fields[name]; ok {
		return kept
	}
	if p := t.byName[name]; p != nil && p.has {
		return p.preset
	}
	return ""
}

// insert gives fields a row at the end without history: for what the router
// does on its own.
func (t *table) insert(fields map[string]string, origin string) *row {
	added := &row{id: t.ids.next(), fields: fields, origin: origin}
	t.rows = append(t.rows, added)
	return added
}

// formatID writes an id as the router does: *1F.
func formatID(id int) string { return "*" + strings.ToUpper(strconv.FormatInt(int64(id), 16)) }

// parseID reads "*1F", in either case.
func parseID(text string) (int, bool) {
	digits, ok := strings.CutPrefix(text, "*")
	if !ok {
		return 0, false
	}
	id, err := strconv.ParseInt(digits, 16, 63)
	return int(id), err == nil && id >= 0
}
