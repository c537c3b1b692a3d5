package routertest

import (
	"slices"
	"strconv"
)

func historyCommands() map[string]command {
	return map[string]command{
		"/system/history/print": {params: printParams, needs: "read", run: (*Router).printHistory},
		"/undo":                 {run: (*Router).undoLast},
	}
}

// recorded hears of each change that came into the history.
func (r *Router) recorded(c *change) {
	r.dynamics.actions++
	c.number = r.dynamics.actions
	if len(r.history) > historyLimit {
		r.history = slices.Delete(r.history, 0, len(r.history)-historyLimit)
	}
	r.float(c)
	r.logChange(c)
}

// printHistory shows the history, the newest first.
func (r *Router) printHistory(c *call) ([]record, error) {
	t := r.tables["/system/history"]
	t.rows = nil
	for _, h := range slices.Backward(r.history) {
		floats := slices.Contains(r.dynamics.safe.floating, h)
		t.rows = append(t.rows, &row{id: h.number, fields: map[string]string{
			"action": r.noun(h.menu) + " " + pastOf(h.what), "by": h.by.user, "policy": "write",
			"time": h.time.Format(stamp), "redo": r.commandOf(h),
			"undoable": strconv.FormatBool(!floats), "floating-undo": strconv.FormatBool(floats), "redoable": "false",
		}})
	}
	return r.print(c)
}

// undoLast takes the last change back.
func (r *Router) undoLast(*call) ([]record, error) {
	if len(r.history) == 0 {
		return nil, trap(categoryGeneral, "failure: nothing to undo")
	}
	last := r.history[len(r.history)-1]
	r.history = r.history[:len(r.history)-1]
	safe := &r.dynamics.safe
	safe.floating = slices.DeleteFunc(safe.floating, func(c *change) bool { return c == last })
	r.undo(last)
	return nil, nil
}
