package routertest

// factory puts in what a reset router has.
func (r *Router) factory() {}

// coreCommands are the commands that are no verbs on rows.
func (r *Router) coreCommands() map[string]command { return map[string]command{} }
