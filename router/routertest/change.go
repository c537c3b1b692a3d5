package routertest

import (
	"slices"
	"time"
)

// edit is what happens to one row: before is nil when it is added, after when
// it is removed; at is its position before, to the one after.
type edit struct {
	menu          string
	before, after *row
	at, to        int
}

// change is one action of somebody: the unit of history and undo.
type change struct {
	number int // in the order of time
	by     *session
	what   string // "add", "set", "remove", "move" or a command of its own
	menu   string
	edits  []edit
	time   time.Time
	// revert, when not nil, takes back what no edit holds.
	revert func()
}

// change is the one way to alter configuration: it applies the edits, notes
// them in the history, and lets everything that depends on them follow.
func (r *Router) change(s *session, menu, what string, edits ...edit) {
	if len(edits) == 0 {
		return
	}
	c := &change{by: s, what: what, menu: menu, edits: edits, time: r.clock.Now()}
	for _, e := range edits {
		r.put(e)
	}
	r.history = append(r.history, c)
	r.changed(menus(edits)...)
	r.recorded(c)
}

// undo takes a change back. Rows return with their ids.
func (r *Router) undo(c *change) {
	for _, e := range slices.Backward(c.edits) {
		r.put(edit{menu: e.menu, before: e.after, after: e.before, at: e.to, to: e.at})
	}
	if c.revert != nil {
		c.revert()
	}
	r.changed(menus(c.edits)...)
}

// put carries one edit out.
func (r *Router) put(e edit) {
	t := r.tables[e.menu]
	if e.before != nil {
		if _, at := t.find(e.before.id); at >= 0 {
			t.rows = slices.Delete(t.rows, at, at+1)
		}
	}
	if e.after != nil {
		t.rows = slices.Insert(t.rows, min(max(e.to, 0), len(t.rows)), e.after)
	}
}

// changed lets dynamic rows, sessions and watchers follow what was altered.
func (r *Router) changed(menus ...string) {
	r.derive()
	for _, menu := range menus {
		r.touch(menu)
	}
	r.followAll()
}

// menus lists the menus of edits, each once.
func menus(edits []edit) []string {
	var list []string
	for _, e := range edits {
		if !slices.Contains(list, e.menu) {
			list = append(list, e.menu)
		}
	}
	return list
}
