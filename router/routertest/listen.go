package routertest

import (
	"maps"
	"slices"
)

// listener follows the rows of a menu for a client.
type listener struct {
	menu string
	args []arg
	seen map[string]record // by id
}

// listen begins to report the changes of a menu under the command's tag, until
// /cancel. Rows that were there before are not reported.
func (c *conn) listen(a *answerWriter, menu string, args []arg) {
	rows, err := c.router.do(c.session, menu, "print", args)
	if err != nil {
		a.finish(nil, err, false)
		return
	}
	l := &listener{menu: menu, args: args, seen: map[string]record{}}
	for _, rec := range rows {
		l.seen[rec[".id"]] = rec
	}
	c.listeners[a.tag] = l
}

// tellListeners reports what has changed since it was last called.
func (c *conn) tellListeners() {
	for tag, l := range c.listeners {
		rows, err := c.router.do(c.session, l.menu, "print", l.args)
		if err != nil {
			continue // the right to read was taken away
		}
		a := &answerWriter{reply: &reply{tag: tag}}
		now := map[string]record{}
		for _, rec := range rows {
			now[rec[".id"]] = rec
			if !maps.Equal(rec, l.seen[rec[".id"]]) {
				a.row(rec)
			}
		}
		for _, id := range slices.Sorted(maps.Keys(l.seen)) {
			if now[id] == nil {
				a.row(record{".id": id, ".dead": "yes"})
			}
		}
		l.seen = now
		if len(a.lines) > 0 {
			c.queue(a.reply)
			c.flush()
		}
	}
}

// cancel ends the listening of a tag, or of all.
func (c *conn) cancel(a *answerWriter, args []arg) {
	var wanted string
	for _, one := range args {
		if one.name == "tag" {
			wanted = one.value
		}
	}
	for tag := range c.listeners {
		if wanted != "" && tag != wanted {
			continue
		}
		delete(c.listeners, tag)
		stopped := &answerWriter{reply: &reply{tag: tag}}
		stopped.finish(nil, errInterrupted, false)
		c.queue(stopped.reply)
	}
	a.say("!done")
}
