package routertest

import (
	"container/heap"
	"sync"
	"time"
)

// Clock is the router's time. A nil Clock is real time. One made by NewClock
// stands still until Advance moves it, so that a test has the nine minutes of
// a dead connection in no time.
type Clock struct {
	advance sync.Mutex // held by whoever moves the clock

	mu     sync.Mutex
	now    time.Time
	timers timers
	last   int // number of the newest timer: of two for one instant the older fires first
}

// NewClock returns a clock that stands at now.
func NewClock(now time.Time) *Clock { return &Clock{now: now.UTC()} }

// Now returns the time that it is on the router, whose zone is UTC.
func (c *Clock) Now() time.Time {
	if c == nil {
		return time.Now().UTC()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Timer is a call that is due later.
type Timer struct {
	real  *time.Timer
	clock *Clock
	at    time.Time
	order int
	place int // in the heap; -1 when it isn't in it
	call  func()
}

// AfterFunc calls f when d has passed: on a goroutine of its own in real time,
// else on the one that advances the clock.
func (c *Clock) AfterFunc(d time.Duration, f func()) *Timer {
	if c == nil {
		return &Timer{real: time.AfterFunc(d, f)}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	t := &Timer{clock: c, at: c.now.Add(max(d, 0)), order: c.last, call: f}
	heap.Push(&c.timers, t)
	return t
}

// After returns a channel that gets the time once d has passed.
func (c *Clock) After(d time.Duration) <-chan time.Time {
	due := make(chan time.Time, 1)
	c.AfterFunc(d, func() { due <- c.Now() })
	return due
}

// Stop takes a timer back. It tells whether that was in time. A nil timer can
// be stopped, too.
func (t *Timer) Stop() bool {
	switch {
	case t == nil:
		return false
	case t.real != nil:
		return t.real.Stop()
	}
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	if t.place < 0 {
		return false
	}
	heap.Remove(&t.clock.timers, t.place)
	return true
}

// Advance moves the clock by d. Whatever falls due on the way is called in
// order, each at its own instant, also what such calls add; when Advance
// returns, they have returned; they must not advance it themselves. It panics for real time, which nobody moves.
func (c *Clock) Advance(d time.Duration) {
	if c == nil {
		panic("routertest: real time can't be advanced: set Config.Clock")
	}
	c.advance.Lock()
	defer c.advance.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	until := c.now.Add(d)
	for len(c.timers) > 0 && !c.timers[0].at.After(until) {
		t := heap.Pop(&c.timers).(*Timer)
		c.now = t.at
		c.mu.Unlock()
		t.call()
		c.mu.Lock()
	}
	c.now = until
}

// timers is a heap by time.
type timers []*Timer

func (h timers) Len() int { return len(h) }

func (h timers) Less(i, j int) bool {
	if !h[i].at.Equal(h[j].at) {
		return h[i].at.Before(h[j].at)
	}
	return h[i].order < h[j].order
}

func (h timers) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *timers) Push(x any) {
	t := x.(*Timer)
	t.place = len(*h)
	*h = append(*h, t)
}

func (h *timers) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.place = -1
	return t
}
