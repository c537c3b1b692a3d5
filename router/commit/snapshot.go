package commit

// Snapshot is the router's configuration in a form that can be compared: lines
// by menu.
type Snapshot map[string][]string
