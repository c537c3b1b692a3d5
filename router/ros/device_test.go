package ros

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestTurnsAreInOrderAndAlone(t *testing.T) {
	address, pin := listen(t, func(p *peer) {
		for p.sentence() != nil {
			p.say("!done")
		}
	})
	d := &Device{Dialer: Dialer{Address: address, User: "admin", Pin: pin}}
	var wg sync.WaitGroup
	var holders atomic.Int32
	for range 10 {
		wg.Go(func() {
			err := d.Exclusive(t.Context(), "x", func(c *Conn) error {
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d have the turn at once", n)
				}
				defer holders.Add(-1)
				_, err := c.Run(t.Context(), "/x")
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()

	synctest.Test(t, func(t *testing.T) {
		d := &Device{}
		var order []int
		if err := d.take(t.Context(), "first"); err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			go func() {
				if err := d.take(t.Context(), "x"); err != nil {
					t.Error(err)
				}
				order = append(order, i)
				d.pass()
			}()
			synctest.Wait()
		}
		d.pass()
		synctest.Wait()
		if len(order) != 20 || !slices.IsSorted(order) {
			t.Errorf("turns came in the order %v", order)
		}
	})
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &Device{}
		if err := d.take(t.Context(), "commit 7"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := d.Exclusive(ctx, "move ether7", func(*Conn) error { t.Error("f is called"); return nil })
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `"commit 7" has held for 1m0s`) || !strings.HasPrefix(err.Error(), "move ether7: ") {
			t.Errorf("Exclusive = %v, want who holds the router, and how long", err)
		}
		d.pass()
		if err := d.take(t.Context(), "after"); err != nil {
			t.Errorf("after the holder passed: %v", err)
		}
	})
}

// The turn may come in the instant of the cancel: nobody may lose it.
func TestCancelAtTheTurnLosesNone(t *testing.T) {
	for range 300 {
		d := &Device{}
		if err := d.take(t.Context(), "first"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if d.take(ctx, "second") == nil {
				d.pass()
			}
		})
		wg.Go(cancel)
		d.pass()
		wg.Wait()
		if d.held {
			t.Fatal("nobody has the turn, and it cannot be taken")
		}
	}
}
