package routertest

import (
	"slices"
	"sync"
	"time"
)

// Faults are what can be made to go wrong. Calls are counted from when a fault
// is asked for, from 1, over all connections; logins are not counted.
type Faults struct {
	router *Router

	mu      sync.Mutex
	calls   int
	delay   time.Duration
	planned []plannedFault
	watch   func(n int, command string)
}

// plannedFault is what happens to one call.
type plannedFault struct {
	call int
	fault
}

// fault is what happens to a call on its way.
type fault struct {
	delay                time.Duration
	cutBefore, cutAfter  bool
	silentBefore, silent bool // nothing is heard of it, and nothing closes
	fatal                string
	garbage              []byte
}

// next counts a call and tells what is to go wrong with it.
func (f *Faults) next(command string) fault {
	if command == "/login" {
		return fault{}
	}
	f.mu.Lock()
	f.calls++
	n, watch := f.calls, f.watch
	now := fault{delay: f.delay}
	f.planned = slices.DeleteFunc(f.planned, func(p plannedFault) bool {
		if p.call != n {
			return false
		}
		p.delay = f.delay
		now = p.fault
		return true
	})
	f.mu.Unlock()
	if watch != nil {
		watch(n, command)
	}
	return now
}

func (f *Faults) plan(n int, what fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.planned = append(f.planned, plannedFault{f.calls + n, what})
}

// CutBefore has the link cut when the nth call arrives: it isn't executed. The
// client's connection dies; the router notices nothing until the time for that
// has passed on its clock.
func (f *Faults) CutBefore(n int) { f.plan(n, fault{cutBefore: true}) }

// CutAfter has the link cut after the nth call was executed, before its answer.
func (f *Faults) CutAfter(n int) { f.plan(n, fault{cutAfter: true}) }

// CutSilentBefore is CutBefore, but the client's connection stays open, too:
// it just never hears again.
func (f *Faults) CutSilentBefore(n int) { f.plan(n, fault{silentBefore: true}) }

// CutSilentAfter is CutAfter, but the client's connection stays open, too.
func (f *Faults) CutSilentAfter(n int) { f.plan(n, fault{silent: true}) }

// FatalAt has the router answer the nth call with !fatal and the text, and
// close the connection. The call is executed.
func (f *Faults) FatalAt(n int, text string) { f.plan(n, fault{fatal: text}) }

// GarbageAt has the nth call, which is executed, answered by bytes that are no
// sentence: a length prefix that the protocol has reserved.
func (f *Faults) GarbageAt(n int) {
	f.plan(n, fault{garbage: []byte{0xF8, 0xFF, 0xFF, 0xFF, 0xFF, '!', 'r', 'e', 0}})
}

// Delay has each call wait for d, in real time, before it is executed.
func (f *Faults) Delay(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay = d
}

// OnCall has watch called before each call is executed, with its number since
// the router was made; nil ends that. It may use the router.
func (f *Faults) OnCall(watch func(n int, command string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watch = watch
}

// Calls is how many calls have arrived since the router was made, without
// logins.
func (f *Faults) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// HoldSafeMode leaves safe mode with a session whose client is long gone. The
// router notices that after its time; until then, nobody can take safe mode.
func (f *Faults) HoldSafeMode() {
	r := f.router
	r.locked(func() {
		s := r.console()
		s.via = "winbox"
		r.sessions[s] = true
		r.dynamics.safe = safeMode{holder: s}
		r.lose(s)
	})
}

// Blackhole leaves all sessions that there are without answers: nothing is
// heard and nothing closes. New ones can be made.
func (f *Faults) Blackhole() {
	r := f.router
	r.locked(func() {
		for s := range r.sessions {
			if s.conn != nil {
				r.deafen(s.conn)
			}
		}
	})
}

// Reboot restarts the router, as a power cut does.
func (f *Faults) Reboot() { f.router.locked(f.router.reboot) }
