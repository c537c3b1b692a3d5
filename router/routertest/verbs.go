package routertest

import (
	"slices"
	"strings"
)

// verb is a command that menus share.
type verb struct {
	params []string // beside the properties of the menu
	reads  bool
	run    func(r *Router, c *call) ([]record, error)
}

// policy is what a session needs to use the verb on the menu.
func (v verb) policy(t *table) string {
	switch {
	case v.reads:
		return "read"
	case strings.HasPrefix(t.path, "/user"):
		return "policy"
	}
	return "write"
}

var printParams = []string{
	".proplist", "count-only", "detail", "stats", "terse", "brief", "value-list", "as-value",
	"without-paging", "show-ids",
}

// sharedVerbs are the verbs on rows, by name.
func sharedVerbs() map[string]verb {
	return map[string]verb{
		"print":   {params: printParams, reads: true, run: (*Router).print},
		"getall":  {params: printParams, reads: true, run: (*Router).print},
		"listen":  {params: []string{".proplist"}, reads: true, run: (*Router).print},
		"find":    {reads: true, run: (*Router).find},
		"get":     {params: []string{".id", "number", "numbers", "value-name"}, reads: true, run: (*Router).get},
		"add":     {params: []string{"copy-from"}, run: (*Router).add},
		"set":     {params: []string{".id", "numbers"}, run: (*Router).set},
		"unset":   {params: []string{".id", "numbers", "value-name"}, run: (*Router).unset},
		"remove":  {params: []string{".id", "numbers"}, run: (*Router).remove},
		"enable":  {params: []string{".id", "numbers"}, run: (*Router).enable},
		"disable": {params: []string{".id", "numbers"}, run: (*Router).disable},
		"comment": {params: []string{".id", "numbers", "comment"}, run: (*Router).comment},
		"move":    {params: []string{".id", "numbers", "destination"}, run: (*Router).move},
	}
}

// targets resolves .id or numbers: ids, names and lists of both. In a menu of
// one row it is that row.
func (r *Router) targets(c *call) ([]*row, error) {
	if c.table.kind == "single" {
		return c.table.rows[:1], nil
	}
	text, ok := c.get(".id")
	for _, other := range []string{"numbers", "number"} {
		if !ok {
			text, ok = c.get(other)
		}
	}
	if !ok {
		return nil, trap(categoryMissing, "missing =.id=")
	}
	var rows []*row
	if text == "" {
		return nil, nil // an empty list, as [find] gives: nothing to do
	}
	for name := range strings.SplitSeq(text, ",") {
		found := r.lookUp(c.table, name)
		if found == nil {
			return nil, errNoItem
		}
		if !slices.Contains(rows, found) {
			rows = append(rows, found)
		}
	}
	return rows, nil
}

// lookUp finds a row by its id or name; nil without one.
func (r *Router) lookUp(t *table, name string) *row {
	if t.path == "/interface" {
		ref, err := refKind{[]string{t.path}}.parse(r, "interface", name)
		if err != nil {
			return nil
		}
		i, _ := r.interfaceByID(ref)
		return i.row
	}
	if id, ok := parseID(name); ok {
		found, _ := t.find(id)
		return found
	}
	return t.named(name)
}

// add makes a row and gives its id.
func (r *Router) add(c *call) ([]record, error) {
	t := c.table
	fields := map[string]string{}
	if from, ok := c.get("copy-from"); ok {
		model := r.lookUp(t, from)
		if model == nil {
			return nil, errNoItem
		}
		for name, value := range model.fields {
			if p := t.byName[name]; p != nil && !p.flag("ro") {
				fields[name] = value
			}
		}
	}
	if err := r.assign(t, fields, c.args); err != nil {
		return nil, err
	}
	if err := r.fill(c, fields); err != nil {
		return nil, err
	}
	if err := missing(t, fields); err != nil {
		return nil, err
	}
	at := len(t.rows)
	if before, ok := c.get("place-before"); ok {
		mark := r.lookUp(t, before)
		if mark == nil {
			return nil, errNoItem
		}
		_, at = t.find(mark.id)
	}
	added := &row{fields: fields}
	if err := r.check(t, nil, added); err != nil {
		return nil, err
	}
	added.id = t.ids.next()
	r.change(c.session, t.path, "add", edit{menu: t.path, after: added, to: at})
	return []record{{"ret": formatID(added.id)}}, nil
}

// assign puts the properties among the arguments into fields. An empty value
// of a property that may be unset unsets it.
func (r *Router) assign(t *table, fields map[string]string, args []arg) error {
	for _, a := range args {
		p := t.byName[a.name]
		if p == nil || p.flag("ro") {
			continue // an argument of the verb: do has refused unknown ones
		}
		if a.value == "" && p.flag("unset") {
			delete(fields, a.name)
			continue
		}
		kept, err := p.kind.parse(r, p.label(), a.value)
		if err != nil {
			return err
		}
		fields[a.name] = kept
	}
	return nil
}

// missing refuses a row without the properties that it needs.
func missing(t *table, fields map[string]string) error {
	var names []string
	for _, p := range t.props {
		if _, ok := fields[p.name]; !ok && p.flag("required") {
			names = append(names, p.name)
		}
	}
	if names == nil {
		return nil
	}
	return trap(categoryMissing, "missing value(s) of argument(s) %s", strings.Join(names, " "))
}

// set alters rows: all of them or, when one refuses, none.
func (r *Router) set(c *call) ([]record, error) {
	return nil, r.alter(c, "set", func(fields map[string]string) error {
		return r.assign(c.table, fields, c.args)
	})
}

// alter gives each of the call's rows other fields.
func (r *Router) alter(c *call, what string, f func(fields map[string]string) error) error {
	rows, err := r.targets(c)
	if err != nil {
		return err
	}
	var edits []edit
	for _, old := range rows {
		if old.dynamic() {
			return trap(categoryGeneral, "failure: can not change dynamic%s", dynamicNoun[c.menu])
		}
		altered := old.clone()
		if err := f(altered.fields); err != nil {
			return err
		}
		if err := r.check(c.table, old, altered); err != nil {
			return err
		}
		_, at := c.table.find(old.id)
		edits = append(edits, edit{menu: c.table.path, before: old, after: altered, at: at, to: at})
	}
	r.change(c.session, c.table.path, what, edits...)
	return nil
}

// dynamicNoun is what the refusal to alter a dynamic row calls it.
var dynamicNoun = map[string]string{"/ip/dhcp-server/lease": " lease"}

// unset takes the value of a property away.
func (r *Router) unset(c *call) ([]record, error) {
	name, ok := c.get("value-name")
	if !ok {
		return nil, trap(categoryMissing, "missing value(s) of argument(s) value-name")
	}
	p := c.table.byName[name]
	if p == nil || !p.flag("unset") {
		return nil, noMatch("value-name")
	}
	return nil, r.alter(c, "unset", func(fields map[string]string) error {
		delete(fields, name)
		return nil
	})
}

func (r *Router) enable(c *call) ([]record, error)  { return nil, r.turn(c, "enable", "false") }
func (r *Router) disable(c *call) ([]record, error) { return nil, r.turn(c, "disable", "true") }

func (r *Router) turn(c *call, what, disabled string) error {
	return r.alter(c, what, func(fields map[string]string) error {
		fields["disabled"] = disabled
		return nil
	})
}

// comment sets the comment, as set does.
func (r *Router) comment(c *call) ([]record, error) {
	return nil, r.alter(c, "comment", func(fields map[string]string) error {
		return r.assign(c.table, fields, c.args)
	})
}

// remove takes rows away: all of them or, when one refuses, none.
func (r *Router) remove(c *call) ([]record, error) {
	rows, err := r.targets(c)
	if err != nil {
		return nil, err
	}
	var edits []edit
	for _, old := range rows {
		if old.dynamic() {
			return nil, trap(categoryGeneral, "failure: can not remove dynamic%s", dynamicNoun[c.menu])
		}
		if old.builtin {
			return nil, trap(categoryGeneral, "failure: can not remove builtin")
		}
		if err := r.checkRemove(c.menu, old); err != nil {
			return nil, err
		}
		edits = append(edits, edit{menu: c.table.path, before: old})
	}
	// The positions are those of the moment at which each row goes.
	for i := range edits {
		_, at := c.table.find(edits[i].before.id)
		for _, earlier := range edits[:i] {
			if _, was := c.table.find(earlier.before.id); was < at {
				at--
			}
		}
		edits[i].at = at
	}
	r.change(c.session, c.table.path, "remove", edits...)
	return nil, nil
}

// move puts rows, as one block in the order given, before another; to the end
// without one or when it does not exist, as seen on 7.23.
func (r *Router) move(c *call) ([]record, error) {
	rows, err := r.targets(c)
	if err != nil {
		return nil, err
	}
	var mark *row
	if destination, ok := c.get("destination"); ok {
		mark = r.lookUp(c.table, destination)
	}
	if mark != nil && slices.Contains(rows, mark) {
		return nil, trap(categoryGeneral, "failure: can not move object before itself")
	}
	// Each edit is carried out on the order that the one before has left.
	order := slices.Clone(c.table.rows)
	var edits []edit
	for _, one := range rows {
		at := slices.Index(order, one)
		order = slices.Delete(order, at, at+1)
		to := len(order)
		if mark != nil {
			to = slices.Index(order, mark)
		}
		order = slices.Insert(order, to, one)
		edits = append(edits, edit{menu: c.table.path, before: one, after: one, at: at, to: to})
	}
	r.change(c.session, c.table.path, "move", edits...)
	return nil, nil
}
