package web_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"provision.internal/host"
	"provision.internal/web"
)

func TestEventsSelect(t *testing.T) {
	a := start(t, t.TempDir(), nil)
	a.seen(t, mac1, mac2)
	for i := range 5 {
		if err := a.store.Record(host.Event{MAC: mac1, Kind: host.KindNotice, Cause: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		q    web.Query
		want []uint64
	}{
		{"all", web.Query{}, []uint64{1, 2, 3, 4, 5, 6, 7}},
		{"after", web.Query{After: 5}, []uint64{6, 7}},
		{"last", web.Query{Tail: 2}, []uint64{6, 7}},
		{"more than there are", web.Query{Tail: 20}, []uint64{1, 2, 3, 4, 5, 6, 7}},
		{"one host", web.Query{Host: mac2.String()}, []uint64{2}},
		{"one host's last", web.Query{Host: mac1.String(), Tail: 1}, []uint64{7}},
		{"since tomorrow", web.Query{Since: time.Now().Add(24 * time.Hour)}, nil},
	} {
		events, err := a.Events(t.Context(), c.q)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		var ids []uint64
		for _, e := range events {
			ids = append(ids, e.ID)
		}
		if !slices.Equal(ids, c.want) {
			t.Errorf("%s: Events(%+v) = %v, want %v", c.name, c.q, ids, c.want)
		}
	}
	_, err := a.Events(t.Context(), web.Query{Host: "nobody"})
	wantCode(t, err, web.CodeUnknown)
}

var errEnough = errors.New("enough")

// The command line waits for Ready in this stream: it must see every event once
// and in order, and a host's value only after the event that led to it, while
// the daemon is stopped and started again under it.
func TestFollowGoesOnOverARestart(t *testing.T) {
	dir := t.TempDir()
	a := start(t, dir, nil)
	a.seen(t, mac1)
	var lost atomic.Int32
	reached := make(chan host.State, 100)
	done := make(chan error, 1)
	var ids []uint64
	go func() {
		var told []host.State
		done <- a.Follow(t.Context(), web.Query{Host: mac1.String()}, func(u web.Update) error {
			if e := u.Event; e != nil {
				ids = append(ids, e.ID)
				if e.Kind == host.KindState {
					told = append(told, e.To)
				}
			}
			if u.Host != nil {
				// It may be behind: events that came meanwhile are sent with it.
				if !slices.Contains(told, u.Host.State) {
					return fmt.Errorf("the host is %s before its event; those so far led to %q", u.Host.State, told)
				}
				reached <- u.Host.State
				if u.Host.State == host.Ready {
					return errEnough
				}
			}
			return nil
		}, func(error) { lost.Add(1) })
	}()
	wait := func(st host.State) {
		t.Helper()
		for {
			select {
			case got := <-reached:
				if got == st {
					return
				}
			case err := <-done:
				t.Fatalf("Follow ended with %v before %s", err, st)
			}
		}
	}
	wait(host.Seen)
	if _, err := a.Enroll(t.Context(), web.Enroll{Name: "node1", MAC: mac1, Role: "worker"}); err != nil {
		t.Fatal(err)
	}
	wait(host.Admitted)
	a.stop()
	a = start(t, dir, nil)
	a.to(t, mac1, host.Installing, host.Installed, host.Booted)
	wait(host.Booted)
	a.to(t, mac1, host.Joined, host.Configured, host.Ready)
	if err := <-done; !errors.Is(err, errEnough) {
		t.Fatalf("Follow = %v, want it to end at Ready", err)
	}
	if lost.Load() != 1 {
		t.Errorf("the loss of the connection was told %d times, want once", lost.Load())
	}
	if want := []uint64{1, 2, 3, 4, 5, 6, 7, 8}; !slices.Equal(ids, want) {
		t.Errorf("events %v, want %v", ids, want)
	}
}

func TestFollowNoticesASilentDaemon(t *testing.T) {
	a := start(t, t.TempDir(), func(s *web.Server) { s.Beat = time.Hour })
	a.seen(t, mac1)
	a.Silence = 50 * time.Millisecond
	lost := make(chan error, 10)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- a.Follow(ctx, web.Query{}, func(web.Update) error { return nil }, func(err error) { lost <- err })
	}()
	if err := <-lost; !errors.Is(err, web.ErrUnreachable) {
		t.Errorf("lost(%v), want ErrUnreachable", err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Follow = %v, want context.Canceled", err)
	}
}
