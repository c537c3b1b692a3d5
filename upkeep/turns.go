package upkeep

import (
	"context"
	"slices"
	"sync"
)

// turns keeps hosts from being configured twice at the same time: each host is
// one holder's, and the next one's in the order of arrival.
type turns struct {
	mu     sync.Mutex
	queues map[string][]*turn // by host; the first one has it
}

// turn is a place in a host's queue.
type turn struct {
	host   string
	holder string        // for a person
	come   chan struct{} // closed when it is this one's
}

// join takes the last place of a host's queue.
func (t *turns) join(host, holder string) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.add(host, holder)
}

// try takes a host that nobody has; else it returns who has it.
func (t *turns) try(host, holder string) (_ *turn, has string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if q := t.queues[host]; len(q) > 0 {
		return nil, q[0].holder
	}
	return t.add(host, holder), ""
}

func (t *turns) add(host, holder string) *turn {
	if t.queues == nil {
		t.queues = map[string][]*turn{}
	}
	one := &turn{host: host, holder: holder, come: make(chan struct{})}
	t.queues[host] = append(t.queues[host], one)
	if len(t.queues[host]) == 1 {
		close(one.come)
	}
	return one
}

// wait returns when it is one's turn, or with the reason why ctx has ended. When
// somebody else has the host, holder is told who.
func (t *turns) wait(ctx context.Context, one *turn, holder func(string)) error {
	t.mu.Lock()
	first := t.queues[one.host][0]
	t.mu.Unlock()
	if first != one {
		holder(first.holder)
	}
	select {
	case <-one.come:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// leave gives a place up, whether it was one's turn or not.
func (t *turns) leave(one *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.queues[one.host]
	i := slices.Index(q, one)
	q = slices.Delete(q, i, i+1)
	if len(q) == 0 {
		delete(t.queues, one.host)
		return
	}
	t.queues[one.host] = q
	if i == 0 {
		close(q[0].come)
	}
}
