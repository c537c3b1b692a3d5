package router

import "slices"

// unclash orders the changes of a menu so that no row takes what must be unique
// before the row that has it gives it up.
func (p *planner) unclash(t *table) {
	for i := range t.gone {
		if slices.ContainsFunc(t.want, func(w pair) bool { return w.clashes(t.m, t.gone[i].row) }) {
			t.gone[i].early = true
		}
	}
	if t.m.ordered {
		return
	}
	var done []pair
	rest := slices.Clone(t.want)
	for len(rest) > 0 {
		at := slices.IndexFunc(rest, func(w pair) bool { return !w.waits(t.m, rest) })
		if at < 0 {
			p.refuse("%s: %s and %s exchange what must be unique: do it in two steps, over a value that is free", t.m.path, rest[0].want.Key, rest[1].want.Key)
			return
		}
		done = append(done, rest[at])
		rest = slices.Delete(rest, at, at+1)
	}
	t.want = done
}

// clashes reports whether w as it shall be cannot stand beside a row.
func (w pair) clashes(m *menu, row map[string]string) bool {
	_, clashes := m.clash(with(w.want.Fields, "name", w.want.name(m)), row)
	return clashes
}

// waits reports whether one of the others has what w takes.
func (w pair) waits(m *menu, others []pair) bool {
	return slices.ContainsFunc(others, func(o pair) bool {
		return o.have != nil && o.have[".id"] != w.have[".id"] && w.clashes(m, o.have)
	})
}
