package routertest

import (
	"slices"
	"testing"
	"time"
)

var noon = time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)

func TestClockFiresInOrder(t *testing.T) {
	c := NewClock(noon)
	var fired []string
	note := func(name string) func() {
		return func() { fired = append(fired, name+"@"+c.Now().Sub(noon).String()) }
	}
	c.AfterFunc(3*time.Second, note("third"))
	c.AfterFunc(time.Second, func() {
		note("first")()
		c.AfterFunc(time.Second, note("second")) // falls due within the same Advance
		c.AfterFunc(time.Hour, note("never"))
	})
	c.AfterFunc(3*time.Second, note("fourth"))
	stopped := c.AfterFunc(2*time.Second, note("stopped"))
	if !stopped.Stop() {
		t.Error("Stop of a timer that is due later = false, want true")
	}
	due := c.After(4 * time.Second)

	c.Advance(4 * time.Second)
	want := []string{"first@1s", "second@2s", "third@3s", "fourth@3s"}
	if !slices.Equal(fired, want) {
		t.Errorf("fired %q, want %q", fired, want)
	}
	if at := <-due; !at.Equal(noon.Add(4 * time.Second)) {
		t.Errorf("After(4s) gave %v", at)
	}
	if stopped.Stop() {
		t.Error("a second Stop = true, want false")
	}
}

func TestNilClockIsRealTime(t *testing.T) {
	var c *Clock
	before := time.Now()
	if now := c.Now(); now.Before(before) {
		t.Errorf("Now() = %v, before %v", now, before)
	}
	<-c.After(time.Millisecond)
	if !c.AfterFunc(time.Hour, func() {}).Stop() {
		t.Error("Stop of a timer in an hour = false, want true")
	}
}
