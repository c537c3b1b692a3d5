package dhcp

import (
	"slices"

	"provision.internal/host"
)

// maxGroup bounds the leases of a group and the answers that wait for it, for a
// disk that hangs: some 10 MB.
const maxGroup = 8192

// ledger collects what the disk shall hold, in the order in which it was
// decided. It may be used under Server.mu only.
type ledger struct {
	open *group // not handed to the disk yet; nil when it would be empty
}

// group is leases that become durable together.
type group struct {
	fate    fate
	leases  []host.Lease
	waiting []answer // may be sent when the leases are stored
}

type fate uint8

const (
	pending fate = iota
	stored
	failed
)

// put adds l to the open group and returns that. It returns nil when the disk
// is so far behind that the group is full: then l is lost.
func (l *ledger) put(lease host.Lease) *group {
	if l.open == nil {
		l.open = &group{}
	}
	if len(l.open.leases) >= maxGroup {
		return nil
	}
	l.open.leases = append(l.open.leases, lease)
	return l.open
}

// take closes the open group and returns it; nil when there is nothing to
// store.
func (l *ledger) take() *group {
	g := l.open
	l.open = nil
	return g
}

// await makes a wait for the group of its promise, which is pending. It reports
// false when too many do.
func (a answer) await() bool {
	g := a.after.cover.group
	if len(g.waiting) >= maxGroup {
		return false
	}
	g.waiting = append(g.waiting, a)
	return true
}

// settle notes what became of g's leases and returns the answers that may be
// sent now.
func (g *group) settle(f fate) []answer {
	waiting := g.waiting
	*g = group{fate: f}
	if f == failed {
		return nil
	}
	return slices.DeleteFunc(waiting, func(a answer) bool { return !a.after.stands() })
}
