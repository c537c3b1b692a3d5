package routertest

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

func TestCuts(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault func(*Faults)
		want  string // pools afterwards
	}{
		{"before", func(f *Faults) { f.CutBefore(2) }, "a"},
		{"after", func(f *Faults) { f.CutAfter(2) }, "a,b"},
		{"fatal", func(f *Faults) { f.FatalAt(2, "out of memory") }, "a,b"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, clock := start(t, Config{})
			test.fault(r.Faults())
			c := dial(t, r)
			addPool(t, c, "a")
			if _, err := c.RunArgs(append([]string{"/ip/pool/add"}, pool("b")...)); err == nil {
				t.Error("the call was answered as if nothing was wrong")
			}
			c.Close()
			if got := pools(r); got != test.want {
				t.Errorf("pools: %q, want %q", got, test.want)
			}
			clock.Advance(linkTimeout)
			awaitSessions(t, r, 0)
			addPool(t, dial(t, r), "c") // the router serves others
		})
	}
}

func TestGarbage(t *testing.T) {
	r, _ := start(t, Config{})
	raw, _ := dialTo(t, r.Addr())
	r.Faults().GarbageAt(1)
	if _, err := raw.Write(appendSentence(nil, "/system/identity/print")); err != nil {
		t.Fatal(err)
	}
	var first [1]byte
	if _, err := raw.Read(first[:]); err != nil || first[0] != 0xF8 {
		t.Errorf("the answer begins with %#x (%v), want the reserved prefix 0xf8", first[0], err)
	}
}

func TestCutSessionCountsUntilItsTime(t *testing.T) {
	r, clock := start(t, Config{MaxSessions: 1})
	r.Faults().CutBefore(1)
	c := dial(t, r)
	if _, err := c.RunArgs([]string{"/system/identity/print"}); err == nil {
		t.Fatal("the cut call was answered")
	}
	if _, err := net.Dial("tcp", r.Addr()); err != nil {
		t.Fatal(err)
	}
	if !refuses(r) {
		t.Error("a second session was made with max-sessions=1, while the router believes in the first")
	}
	clock.Advance(linkTimeout)
	awaitSessions(t, r, 0)
	dial(t, r)
}

// refuses tells whether the router refuses a new session.
func refuses(r *Router) bool {
	raw, err := net.Dial("tcp", r.Addr())
	if err != nil {
		return true
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(5 * time.Second))
	_, err = raw.Read(make([]byte, 1))
	return errors.Is(err, io.EOF) || err != nil && !errors.Is(err, net.ErrClosed) && !isTimeout(err)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func TestSilence(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault func(*Router)
		want  string
	}{
		{"before the call", func(r *Router) { r.Faults().CutSilentBefore(1) }, ""},
		{"after the call", func(r *Router) { r.Faults().CutSilentAfter(1) }, "a"},
		{"all sessions", func(r *Router) { r.Faults().Blackhole() }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, clock := start(t, Config{})
			c := dial(t, r)
			test.fault(r)
			done := make(chan error, 1)
			go func() {
				_, err := c.RunArgs(append([]string{"/ip/pool/add"}, pool("a")...))
				done <- err
			}()
			await(t, "the call", func() bool { return r.Faults().Calls() == 1 })
			select {
			case err := <-done:
				t.Errorf("the call ended: %v", err)
			case <-time.After(50 * time.Millisecond):
			}
			if got := pools(r); got != test.want {
				t.Errorf("pools: %q, want %q", got, test.want)
			}
			clock.Advance(linkTimeout)
			if err := <-done; err == nil {
				t.Error("the call was answered after all")
			}
			awaitSessions(t, r, 0)
		})
	}
}

func TestOnCall(t *testing.T) {
	r, _ := start(t, Config{})
	c := dial(t, r)
	var heard []string
	r.Faults().OnCall(func(n int, command string) {
		heard = append(heard, command)
		if n == 2 {
			must(t, r, "/ip/pool/add", pool("b")...) // it may use the router
		}
	})
	send(t, c, "/system/identity/print")
	if _, err := c.RunArgs(append([]string{"/ip/pool/add"}, pool("b")...)); err == nil {
		t.Error("the name that the watcher has taken was free")
	}
	if len(heard) != 2 || heard[1] != "/ip/pool/add" {
		t.Errorf("heard %q", heard)
	}
}

// Whoever takes its own address away hears nothing any more, and is not told.
func TestBlackholeOfAnAddress(t *testing.T) {
	r, clock := start(t, Config{})
	must(t, r, "/interface/bridge/add", "=name=br0")
	must(t, r, "/ip/address/add", "=address=192.0.2.1/24", "=interface=br0")
	must(t, r, "/interface/bridge/port/add", "=bridge=br0", "=interface=ether2")
	addr, err := r.ListenFor("127.0.0.1:0", "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	_, c := dialTo(t, addr)
	send(t, c, "/safe-mode/take")
	addPool(t, c, "a")
	done := make(chan error, 1)
	go func() {
		_, err := c.RunArgs([]string{"/ip/address/remove", "=numbers=*1"})
		done <- err
	}()
	await(t, "the removal", func() bool { return len(r.Rows("/ip/address")) == 0 })
	select {
	case err := <-done:
		t.Errorf("the removal of the session's own address ended: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	// Safe mode brings it back, once the router knows.
	clock.Advance(linkTimeout)
	if rows := r.Rows("/ip/address"); len(rows) != 1 || pools(r) != "" {
		t.Errorf("after the roll-back: addresses %v, pools %q; want the address and no pool", rows, pools(r))
	}
	<-done
	_, again := dialTo(t, addr)
	send(t, again, "/system/identity/print")
}

// A way that comes back in time lets the router hear what has happened since.
func TestAWayComesBack(t *testing.T) {
	r, clock := start(t, Config{})
	must(t, r, "/ip/address/add", "=address=192.0.2.1/24", "=interface=ether2")
	addr, err := r.ListenFor("127.0.0.1:0", "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	_, stays := dialTo(t, addr)
	_, goes := dialTo(t, addr)
	send(t, goes, "/safe-mode/take")
	addPool(t, goes, "a")
	must(t, r, "/ip/address/disable", "=numbers=*1")
	goes.Close()
	clock.Advance(time.Minute)
	if got := pools(r); got != "a" {
		t.Errorf("pools while the way is gone: %q, want a", got)
	}
	await(t, "the router's end of the closed session", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.conns) == 1
	})
	must(t, r, "/ip/address/enable", "=numbers=*1") // rolled back as well
	awaitSessions(t, r, 1)
	clock.Advance(closeDelay)
	if got := pools(r); got != "" {
		t.Errorf("pools after the goodbye arrived: %q, want none", got)
	}
	must(t, r, "/ip/address/print")
	send(t, stays, "/system/identity/print")
}
