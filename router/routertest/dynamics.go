package routertest

// dynamics is the state of safe mode, history, scripts and timers.
type dynamics struct{}

// dynamicCommands are the commands of safe mode, history, scripts and backups.
func (r *Router) dynamicCommands() map[string]command { return map[string]command{} }

// recorded hears of each change that came into the history.
func (r *Router) recorded(c *change) {}

// followSessions ends, or leaves without answers, the sessions whose way to
// the router is gone.
func (r *Router) followSessions() {}
