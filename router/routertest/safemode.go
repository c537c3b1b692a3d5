package routertest

import (
	"slices"
	"strconv"
)

// safeMode is RouterOS's own way back: while a session holds it, the changes
// of all sessions float; when that session ends without releasing it, they are
// undone.
type safeMode struct {
	holder   *session
	floating []*change
}

// historyLimit is how many actions the history, and thus safe mode, holds.
const historyLimit = 100

// safeModeSince is the release from which on the API has /safe-mode.
var safeModeSince = version{7, 18, 0}

// safeModeCommands are there from 7.18 on.
func (r *Router) safeModeCommands() map[string]command {
	if !r.version.atLeast(safeModeSince) {
		return nil
	}
	return map[string]command{
		"/safe-mode/take":    {run: (*Router).takeSafeMode},
		"/safe-mode/release": {run: (*Router).releaseSafeMode},
		"/safe-mode/unroll":  {run: (*Router).unrollSafeMode},
		"/safe-mode/print":   {params: printParams, needs: "read", run: (*Router).printSafeMode},
	}
}

// takeSafeMode gives the session safe mode, unless another one has it, be it
// only one that the router still believes in. The words of the refusal are
// our own. [?]
func (r *Router) takeSafeMode(c *call) ([]record, error) {
	safe := &r.dynamics.safe
	if safe.holder == c.session {
		return nil, nil
	}
	if safe.holder != nil {
		return nil, trap(categoryGeneral, "failure: safe mode is held by %s", safe.holder.who())
	}
	safe.holder = c.session
	return nil, nil
}

// releaseSafeMode keeps the changes and ends safe mode, whoever holds it.
// Without a holder there is nothing to do, which isn't an error: a client that
// has lost safe mode without noticing isn't told here. [?]
func (r *Router) releaseSafeMode(*call) ([]record, error) {
	r.dynamics.safe = safeMode{}
	return nil, nil
}

// unrollSafeMode undoes the changes and ends safe mode.
func (r *Router) unrollSafeMode(*call) ([]record, error) {
	r.rollBack()
	return nil, nil
}

// printSafeMode tells whether the asking session holds safe mode, and who does.
// How holder and timeout are written was not seen. [?]
func (r *Router) printSafeMode(c *call) ([]record, error) {
	safe := r.dynamics.safe
	rec := record{"current": strconv.FormatBool(safe.holder != nil && safe.holder == c.session)}
	if safe.holder != nil {
		rec["holder"] = safe.holder.who()
		rec["timeout"] = formatDuration(linkTimeout)
	}
	return []record{rec}, nil
}

// float notes a change that was made while safe mode is held. When there are
// more than the history holds, safe mode ends without a word, and nothing is
// undone.
func (r *Router) float(c *change) {
	safe := &r.dynamics.safe
	if safe.holder == nil {
		return
	}
	safe.floating = append(safe.floating, c)
	if len(safe.floating) > historyLimit {
		*safe = safeMode{}
	}
}

// rollBack undoes what was changed in safe mode, the last first, and ends it.
func (r *Router) rollBack() {
	floating := r.dynamics.safe.floating
	r.dynamics.safe = safeMode{}
	for _, c := range slices.Backward(floating) {
		r.undo(c)
		r.history = slices.DeleteFunc(r.history, func(h *change) bool { return h == c })
	}
}
