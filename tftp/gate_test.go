package tftp

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// newTestGate is a gate without a port, for tests in a bubble of their own.
func newTestGate(l limits) *gate { return newGate(nil, l, new(counters)) }

// client is the n-th of many.
func client(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 77, byte(n >> 8), byte(n)}), 2070)
}

// begunNow takes the sessions that the library would read now.
func (g *gate) begunNow() (s []*session) {
	for {
		select {
		case next := <-g.ready:
			s = append(s, next)
		default:
			return s
		}
	}
}

func TestQueueIsServedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGate(limits{share: 2, sessions: 2, queue: 3})
		for n := range 6 {
			g.admit(client(n), request{name: "a"})
		}
		running := g.begunNow()
		if len(running) != 2 || g.count.queued.Load() != 3 || g.count.dropped.Load() != 1 {
			t.Fatalf("%d begun, %d queued, %d dropped; want 2, 3, 1", len(running), g.count.queued.Load(), g.count.dropped.Load())
		}
		for n := 2; n < 5; n++ {
			g.end(running[0], false)
			running = append(running[1:], g.begunNow()...)
			if got := running[len(running)-1].key.client; len(running) != 2 || got != client(n) {
				t.Errorf("after an end %d run, the last for %v; want 2, the last for %v", len(running), got, client(n))
			}
		}
	})
}

// A machine that has given up while it waited gets no session, one that goes on
// asking does.
func TestQueueForgetsWhoGaveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGate(limits{share: 1, sessions: 1, queue: 9})
		for n := range 3 {
			g.admit(client(n), request{name: "a"})
		}
		first := g.begunNow()[0]
		time.Sleep(patience - time.Second)
		g.admit(client(2), request{name: "a"})
		time.Sleep(2 * time.Second)
		g.end(first, false)
		got := g.begunNow()
		if len(got) != 1 || got[0].key.client != client(2) {
			t.Fatalf("%d begun, want the one that asked again", len(got))
		}
		g.admit(client(1), request{name: "a"})
		g.end(got[0], false)
		if got := g.begunNow(); len(got) != 1 || got[0].key.client != client(1) {
			t.Errorf("%d begun; want the forgotten one, which came back", len(got))
		}
	})
}

// The share grows while the server idles, not while it is busy, and even
// then for who has waited long.
func TestShareFollowsTheLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGate(limits{share: 10, sessions: 500, queue: 1000})
		busy := time.NewTicker(pulse / 4)
		defer busy.Stop()
		work := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); <-busy.C {
				g.blocks.Add(10)
			}
		}
		ask := func(from int) {
			for n := from; n < 600; n++ {
				g.admit(client(n), request{name: "a"})
			}
		}
		ask(0)
		work(longWait / 2)
		ask(10) // those that wait repeat themselves
		work(longWait/2 - time.Second)
		if got := len(g.begunNow()); got != 10 {
			t.Errorf("busy: %d begun, want the share of 10", got)
		}
		work(time.Second + 2*pulse)
		if got := len(g.begunNow()); got == 0 {
			t.Error("none begun after the longest wait")
		}
		time.Sleep(time.Second)
		if running, waiting := g.load(); running != 500 || waiting != 100 {
			t.Errorf("idle: %d run and %d wait, want 500, which is the limit, and 100", running, waiting)
		}
		select {
		case <-g.drain():
			t.Error("drained with sessions running")
		default:
		}
	})
}

// What a request means that comes once more.
func TestAskedAgain(t *testing.T) {
	for _, c := range []struct {
		name    string
		before  func(*session) // state when it comes
		aborted bool           // how the running transfer ends
		begins  int
	}{
		{"a repetition", func(*session) {}, false, 0},
		{"after a probe", func(*session) {}, true, 1},
		{"after the last block", func(s *session) { s.ending.Store(true) }, false, 1},
		{"of a reset machine", func(s *session) { time.Sleep(quietTime) }, false, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newTestGate(limits{share: 5, sessions: 5, queue: 5})
				g.admit(client(1), request{name: "a"})
				s := g.begunNow()[0]
				c.before(s)
				g.admit(client(1), request{name: "a", block: 1468})
				g.end(s, c.aborted)
				got := g.begunNow()
				if len(got) != c.begins {
					t.Fatalf("%d transfers begun, want %d", len(got), c.begins)
				}
				if c.begins > 0 && got[0].request.block != 1468 {
					t.Errorf("the transfer has the options of the first request: %+v", got[0].request)
				}
			})
		})
	}
}

// A request whose socket the library could not open gives its session back.
func TestUnhanded(t *testing.T) {
	g := newTestGate(limits{share: 1, sessions: 1, queue: 1})
	g.admit(client(1), request{name: "a"})
	g.admit(client(2), request{name: "a"})
	buf := make([]byte, 516)
	if _, from, err := g.ReadFrom(buf); err != nil || from.String() != client(1).String() {
		t.Fatalf("ReadFrom = %v, %v", from, err)
	}
	if s := g.unhanded(); s == nil || s.key.client != client(1) {
		t.Fatalf("unhanded = %+v", s)
	}
	if _, from, err := g.ReadFrom(buf); err != nil || from.String() != client(2).String() {
		t.Errorf("ReadFrom = %v, %v; want the next client", from, err)
	}
}
