package dhcp

import (
	"container/heap"
	"time"
)

// list is a queue of bindings that any of them can leave in the middle. A
// binding is in one list at most.
type list struct {
	head, tail *binding
	n          int
}

type links struct{ prev, next *binding }

func (l *list) len() int        { return l.n }
func (l *list) front() *binding { return l.head }

func (l *list) pushBack(b *binding) {
	b.prev, b.next = l.tail, nil
	if l.tail != nil {
		l.tail.next = b
	} else {
		l.head = b
	}
	l.tail = b
	l.n++
}

func (l *list) pushFront(b *binding) {
	b.prev, b.next = nil, l.head
	if l.head != nil {
		l.head.prev = b
	} else {
		l.tail = b
	}
	l.head = b
	l.n++
}

func (l *list) remove(b *binding) {
	if b.prev != nil {
		b.prev.next = b.next
	} else {
		l.head = b.next
	}
	if b.next != nil {
		b.next.prev = b.prev
	} else {
		l.tail = b.prev
	}
	b.links = links{}
	l.n--
}

// expiries finds the bindings that are due. Its keys may be too early, never
// too late: a renewal, which only moves a binding's end away, leaves its key
// alone, so that it costs the same with any number of leases.
type expiries []*binding

// expiry is the place of a binding in expiries; index is -1 outside of it.
type expiry struct {
	key   time.Time
	index int
}

// set notes that b.until has changed.
func (e *expiries) set(b *binding) {
	switch {
	case b.index < 0:
		b.key = b.until
		heap.Push((*byKey)(e), b)
	case b.until.Before(b.key):
		b.key = b.until
		heap.Fix((*byKey)(e), b.index)
	}
}

// pop returns the binding that ended first of those whose end is not after now, or
// nil. It may have left its timed state since.
func (e *expiries) pop(now time.Time) *binding {
	for len(*e) > 0 && !(*e)[0].key.After(now) {
		b := (*e)[0]
		if b.state >= offered && b.until.After(b.key) {
			b.key = b.until
			heap.Fix((*byKey)(e), 0)
			continue
		}
		heap.Pop((*byKey)(e))
		return b
	}
	return nil
}

// byKey implements heap.Interface.
type byKey []*binding

func (h byKey) Len() int           { return len(h) }
func (h byKey) Less(i, j int) bool { return h[i].key.Before(h[j].key) }
func (h byKey) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *byKey) Push(x any) {
	b := x.(*binding)
	b.index = len(*h)
	*h = append(*h, b)
}

func (h *byKey) Pop() any {
	old := *h
	b := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	b.index = -1
	return b
}
