package routertest

// Faults are what can be made to go wrong. (C)
type Faults struct{}
