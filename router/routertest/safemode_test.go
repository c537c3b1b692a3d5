package routertest

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestSafeModeKeepsWhatIsReleased(t *testing.T) {
	r, clock := start(t, Config{})
	c := dial(t, r)
	send(t, c, "/safe-mode/take")
	if row := send(t, c, "/safe-mode/print")[0]; row["current"] != "true" {
		t.Errorf("safe mode after take: %v, want current", row)
	}
	addPool(t, c, "a")
	send(t, c, "/safe-mode/release")
	c.Close()
	awaitSessions(t, r, 0)
	clock.Advance(time.Hour)
	if got := pools(r); got != "a" {
		t.Errorf("pools after release and the end of the session: %q, want a", got)
	}
}

func TestSafeModeUnroll(t *testing.T) {
	r, _ := start(t, Config{})
	c := dial(t, r)
	addPool(t, c, "before")
	was := r.Snapshot()
	send(t, c, "/safe-mode/take")
	addPool(t, c, "a")
	addPool(t, c, "b")
	send(t, c, "/ip/pool/set", "=numbers=before", "=name=after")
	send(t, c, "/ip/pool/remove", "=numbers=a")
	must(t, r, "/system/identity/set", "=name=elsewhere") // by somebody else
	send(t, c, "/safe-mode/unroll")
	if now := r.Snapshot(); now != was {
		t.Errorf("after unroll:\n%s\nwant:\n%s", now, was)
	}
	if row := send(t, c, "/safe-mode/print")[0]; row["current"] != "false" {
		t.Errorf("safe mode after unroll: %v, want not current", row)
	}
}

func TestSafeModeOfAClosedSession(t *testing.T) {
	r, clock := start(t, Config{})
	c := dial(t, r)
	send(t, c, "/safe-mode/take")
	addPool(t, c, "a")
	c.Close()
	awaitSessions(t, r, 0)
	clock.Advance(closeDelay - time.Millisecond)
	if got := pools(r); got != "a" {
		t.Errorf("pools just before the roll-back: %q, want a", got)
	}
	clock.Advance(time.Millisecond)
	if got := pools(r); got != "" {
		t.Errorf("pools after the roll-back: %q, want none", got)
	}
}

func TestSafeModeOfACutLink(t *testing.T) {
	for name, cut := range map[string]func(*Faults){
		"closed for the client": func(f *Faults) { f.CutAfter(3) },
		"silent":                func(f *Faults) { f.CutSilentAfter(3) },
	} {
		t.Run(name, func(t *testing.T) {
			r, clock := start(t, Config{})
			c := dial(t, r)
			cut(r.Faults())
			send(t, c, "/safe-mode/take")
			addPool(t, c, "a")
			go c.RunArgs(append([]string{"/ip/pool/add"}, pool("b")...)) // no answer comes
			await(t, "the call that is cut", func() bool { return pools(r) == "a,b" })
			c.Close()
			other := dial(t, r)
			if _, err := other.RunArgs([]string{"/safe-mode/take"}); err == nil {
				t.Error("safe mode was taken from a session that the router believes in")
			}
			clock.Advance(linkTimeout - time.Second)
			if got := pools(r); got != "a,b" {
				t.Errorf("pools just before the roll-back: %q, want a,b", got)
			}
			clock.Advance(time.Second)
			if got := pools(r); got != "" {
				t.Errorf("pools after the roll-back: %q, want none", got)
			}
			send(t, other, "/safe-mode/take")
		})
	}
}

func TestSafeModeStaleHolder(t *testing.T) {
	r, _ := start(t, Config{})
	r.Faults().HoldSafeMode()
	c := dial(t, r)
	if _, err := c.RunArgs([]string{"/safe-mode/take"}); err == nil {
		t.Error("take beside a stale holder worked")
	}
	if row := send(t, c, "/safe-mode/print")[0]; row["current"] != "false" || row["holder"] == "" {
		t.Errorf("safe mode of another: %v, want its holder, and not current", row)
	}
	send(t, c, "/safe-mode/release") // from any session
	send(t, c, "/safe-mode/take")
}

// The history holds 100 actions. What doesn't fit ends safe mode without a
// word, and nothing is undone.
func TestSafeModeOverflow(t *testing.T) {
	r, _ := start(t, Config{})
	c := dial(t, r)
	send(t, c, "/safe-mode/take")
	for i := range historyLimit {
		addPool(t, c, fmt.Sprint("p", i))
	}
	if row := send(t, c, "/safe-mode/print")[0]; row["current"] != "true" {
		t.Fatalf("safe mode after %d actions: %v, want current", historyLimit, row)
	}
	addPool(t, c, "last")
	if row := send(t, c, "/safe-mode/print")[0]; row["current"] != "false" {
		t.Errorf("safe mode after %d actions: %v, want not current", historyLimit+1, row)
	}
	send(t, c, "/safe-mode/unroll")
	if got := len(r.Rows("/ip/pool")); got != historyLimit+1 {
		t.Errorf("%d pools after unroll, want all %d", got, historyLimit+1)
	}
}

func TestSafeModeIsThereFrom718On(t *testing.T) {
	r, _ := start(t, Config{Version: "7.16.2"})
	c := dial(t, r)
	if _, err := c.RunArgs([]string{"/safe-mode/take"}); err == nil || !strings.Contains(err.Error(), "no such command") {
		t.Errorf("take on 7.16: %v, want no such command", err)
	}
}

func TestHistory(t *testing.T) {
	r, _ := start(t, Config{})
	c := dial(t, r)
	addPool(t, c, "a")
	send(t, c, "/safe-mode/take")
	send(t, c, "/ip/pool/set", "=numbers=a", "=name=b")
	rows := send(t, c, "/system/history/print")
	if len(rows) != 2 || rows[0]["action"] != "pool changed" || rows[0]["by"] != "admin" || rows[0]["floating-undo"] != "true" || rows[1]["undoable"] != "true" {
		t.Errorf("history: %v", rows)
	}
	send(t, c, "/undo")
	if got := pools(r); got != "a" {
		t.Errorf("pools after undo: %q, want a", got)
	}
	if !logged(r, "pool added by api:admin@127.0.0.1 (*1 = /ip pool add name=a ranges=192.0.2.10-192.0.2.20)") {
		t.Errorf("the log doesn't tell who added the pool: %v", r.Rows("/log"))
	}
	must(t, r, "/user/set", "=numbers=admin", "=password=hunter2")
	if logged(r, "hunter2") {
		t.Error("a password is in the log")
	}
}
