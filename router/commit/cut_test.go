package commit

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"provision.internal/router/routertest"
)

// A cut is one way in which a commit ends early, at call n.
var cuts = []struct {
	name string
	plan func(r *cutRig, n int)
}{
	{"link cut before", func(r *cutRig, n int) { r.router.Faults().CutBefore(n) }},
	{"link cut after", func(r *cutRig, n int) { r.router.Faults().CutAfter(n) }},
	{"silence before", func(r *cutRig, n int) { r.impatient(); r.router.Faults().CutSilentBefore(n) }},
	{"silence after", func(r *cutRig, n int) { r.impatient(); r.router.Faults().CutSilentAfter(n) }},
	{"appliance killed", func(r *cutRig, n int) { r.killAt(n) }},
	{"appliance killed, back after an hour", func(r *cutRig, n int) { r.late = true; r.killAt(n) }},
	{"appliance without power", func(r *cutRig, n int) { r.killAt(n); r.router.Faults().CutBefore(n) }},
	{"appliance without power, back after an hour", func(r *cutRig, n int) {
		r.late, r.ghosts = true, 1
		r.killAt(n)
		r.router.Faults().CutAfter(n)
	}},
}

// Whatever ends a commit, and wherever: once the timers have run and an
// appliance has looked, the router is wholly as before or wholly as planned,
// and the record says which.
func TestCutAtEveryStep(t *testing.T) {
	clean := newCutRig(t)
	first := clean.router.Faults().Calls()
	clean.apply(Confirmed)
	calls := clean.router.Faults().Calls() - first
	after := clean.router.Snapshot()
	if after == clean.before {
		t.Fatal("the plan changes nothing")
	}
	t.Logf("%d calls", calls)
	step := 1
	if testing.Short() {
		step = 7
		t.Log("short: every 7th call only")
	}
	for _, cut := range cuts {
		t.Run(cut.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			count := map[Outcome]int{}
			t.Cleanup(func() { t.Logf("outcomes: %v", count) })
			for n := 1; n <= calls; n += step {
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					r := newCutRig(t)
					cut.plan(r, n)
					outcome := r.survive(after)
					mu.Lock()
					count[outcome]++
					mu.Unlock()
				})
			}
		})
	}
}

// cutRig is a rig whose appliance can be killed.
type cutRig struct {
	*rig
	wire   *wire
	before string
	late   bool // the next appliance comes an hour later
	ghosts int  // sessions that the router goes on believing in when late

	killed chan struct{}
	relict string // folder of the killed one, as it was then
}

func newCutRig(t *testing.T) *cutRig {
	r := &cutRig{rig: newRig(t, routertest.Config{}), killed: make(chan struct{})}
	r.holdSite()
	r.before = r.router.Snapshot()
	r.wire = newWire(t, r.router.Addr())
	r.c.Device.Dialer.Address = r.wire.addr
	r.c.batch = 3
	after := r.c.After
	r.c.After = func(d time.Duration) <-chan time.Time {
		select {
		case <-r.killed:
			runtime.Goexit() // a process that was killed does nothing more
		default:
		}
		return after(d)
	}
	return r
}

// impatient makes a silent router cost little real time.
func (r *cutRig) impatient() { r.c.Device.Dialer.Timeout = 60 * time.Millisecond }

// killAt ends the appliance when the router hears its nth call from now.
func (r *cutRig) killAt(n int) {
	r.relict = r.t.TempDir()
	at := r.router.Faults().Calls() + n
	r.router.Faults().OnCall(func(call int, _ string) {
		if call != at {
			return
		}
		close(r.killed)
		if err := os.CopyFS(r.relict, os.DirFS(r.c.Dir)); err != nil {
			r.t.Error(err)
		}
		r.wire.cut()
	})
}

// survive commits, lets another appliance look, and checks the end.
func (r *cutRig) survive(after string) Outcome {
	r.t.Helper()
	type said struct {
		commit Commit
		err    error
	}
	answer := make(chan said, 1)
	go func() {
		defer close(answer)
		commit, err := r.c.Apply(r.t.Context(), Options{By: "eva"}, nil)
		answer <- said{commit, err}
	}()
	first, alive := <-answer
	dir := r.c.Dir
	if r.relict != "" {
		alive = false // what it still says on its way out, nobody hears
		dir = r.relict
	}
	if r.late {
		if !r.router.AwaitSessions(r.ghosts, 10*time.Second) {
			r.t.Error("the router has not noticed that the appliance is gone")
		}
		r.clock.Advance(time.Hour)
		// Past the point of no return, only an appliance removes the scripts.
		if got := without(r.router.Snapshot(), scripts); got != r.before && got != after {
			r.t.Errorf("an hour later and without an appliance the router is neither as before nor as planned:\n%s", got)
		}
	}
	next := r.committer(dir)
	next.Config = siteAfter()
	next.runUntilSettled(r.t)
	history, err := next.History()
	if err != nil {
		r.t.Fatal(err)
	}
	last := Commit{Outcome: Unchanged} // when it ended before anything was recorded
	if len(history) > 0 {
		last = history[0]
	}
	if alive && first.commit.Outcome != Unknown && first.commit.ID != "" && first.commit.Outcome != last.Outcome {
		r.t.Errorf("Apply told %s, the record says %s", first.commit.Outcome, last.Outcome)
	}
	if alive && (first.err == nil) != (last.Outcome == Confirmed) {
		r.t.Errorf("Apply told %v of a commit that is %s", first.err, last.Outcome)
	}
	switch got := r.router.Snapshot(); {
	case got == after && last.Outcome == Confirmed:
	case got == r.before && slices.Contains([]Outcome{RolledBack, Failed, Unchanged}, last.Outcome):
	default:
		r.t.Errorf("outcome %s (%s), and the router holds\n%s\nbefore it was\n%s", last.Outcome, last.Reason, got, r.before)
	}
	return last.Outcome
}

// without leaves out the lines of a snapshot that are of a menu.
func without(snapshot, menu string) string {
	var b strings.Builder
	for line := range strings.Lines(snapshot) {
		if !strings.HasPrefix(line, menu+" ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// runUntilSettled runs the appliance until nothing is pending.
func (c *Committer) runUntilSettled(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	after := c.After
	c.After = func(d time.Duration) <-chan time.Time {
		if r, err := (journal{c.Dir}).pending(); err == nil && r == nil {
			cancel()
		}
		return after(d)
	}
	if err := c.Run(ctx); err != nil {
		t.Fatal(err)
	}
	c.After = after
	if r, err := (journal{c.Dir}).pending(); err != nil || r != nil {
		t.Fatalf("still pending: %+v, %v", r, err)
	}
}

// wire carries bytes between the appliance and the router until it is cut.
type wire struct {
	addr string
	to   string

	mu    sync.Mutex
	dead  bool
	conns []net.Conn
}

func newWire(t *testing.T, to string) *wire {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: l.Addr().String(), to: to}
	var carrying sync.WaitGroup
	carrying.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			carrying.Go(func() { w.carry(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.cut()
		carrying.Wait()
	})
	return w
}

func (w *wire) carry(c net.Conn) {
	far, err := net.Dial("tcp", w.to)
	if err != nil {
		c.Close()
		return
	}
	w.mu.Lock()
	if w.dead {
		c.Close()
		far.Close()
	}
	w.conns = append(w.conns, c, far)
	w.mu.Unlock()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{c, far}, {far, c}} {
		both.Go(func() {
			io.Copy(way[0], way[1]) // ends with either side
			way[0].Close()
		})
	}
	both.Wait()
}

// cut closes everything for good.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = true
	for _, c := range w.conns {
		c.Close()
	}
}

// A timer that runs while somebody's safe mode is held loses its work when
// that is taken back. It comes back itself, and runs again.
func TestTimerInSomebodysSafeMode(t *testing.T) {
	r := newCutRig(t)
	r.killAt(70) // in the middle of the plan
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.c.Apply(t.Context(), Options{By: "eva"}, nil) // it dies
	}()
	<-done
	if !r.router.AwaitSessions(0, 10*time.Second) {
		t.Fatal("the router has not noticed that the appliance is gone")
	}
	r.clock.Advance(r.c.deadline(Options{}) - 2*time.Minute)
	if r.router.Snapshot() == r.before {
		t.Fatal("nothing is left for the timer to do")
	}
	r.router.Faults().HoldSafeMode()
	r.clock.Advance(cutAfter - time.Minute)
	if got := r.router.Snapshot(); got != r.before {
		t.Fatalf("the timer has not run:\n%s", got)
	}
	r.clock.Advance(time.Hour)
	r.holds(r.before)
}
