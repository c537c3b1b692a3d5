package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"provision.internal/host"
)

func texts(events []host.Event) []string {
	var all []string
	for _, e := range events {
		all = append(all, e.Cause+e.Line)
	}
	return all
}

func TestEvents(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	admit(t, s, mac1, "n1", "g1")
	for i, mac := range []host.MAC{mac1, mac2, {}, mac1} {
		if err := s.Record(host.Event{MAC: mac, Kind: host.KindNotice, Actor: "test", Cause: fmt.Sprint("e", i)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, reopened := range []bool{false, true} {
		if reopened {
			closed(t, s)
			s = open(t, dir)
		}
		for _, tt := range []struct {
			mac   host.MAC
			after uint64
			limit int
			want  []string
		}{
			{host.MAC{}, 0, 0, []string{"enroll", "e0", "e1", "e2", "e3"}},
			{host.MAC{}, 2, 0, []string{"e1", "e2", "e3"}},
			{host.MAC{}, 0, 2, []string{"enroll", "e0"}},
			{host.MAC{}, 5, 0, nil},
			{host.MAC{}, ^uint64(0), 0, nil},
			{mac1, 0, 0, []string{"enroll", "e0", "e3"}},
			{mac1, 2, 1, []string{"e3"}},
			{mac2, 0, 0, []string{"e1"}},
			{host.MAC{9}, 0, 0, nil},
		} {
			got, err := s.Events(tt.mac, tt.after, tt.limit)
			if err != nil || !slices.Equal(texts(got), tt.want) {
				t.Errorf("Events(%s, %d, %d) = %q, %v, want %q", tt.mac, tt.after, tt.limit, texts(got), err, tt.want)
			}
		}
	}
	got, err := s.Events(mac1, 0, 1)
	if err != nil || got[0].From != "" || got[0].To != host.Admitted || got[0].Host != "n1" || got[0].Actor != "operator:root" || got[0].Time.IsZero() {
		t.Errorf("event of the admission = %+v, %v", got, err)
	}
}

func TestEventsHaveNoGaps(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			mac := host.MAC{2, 0, 0, 0, 0, byte(i)}
			admit(t, s, mac, fmt.Sprint("n", i), fmt.Sprint("g", i))
			if err := s.Record(host.Event{MAC: mac, Kind: host.KindNotice}); err != nil {
				t.Error(err)
			}
			if err := s.Log(mac, []string{"a", "b"}); err != nil {
				t.Error(err)
			}
			// Refused changes must not use numbers up.
			if _, err := s.Change(mac, "test", "", func(*host.Host) error { return errors.New("no") }); err == nil {
				t.Error("the change succeeded")
			}
		})
	}
	wg.Wait()
	closed(t, s)
	s = open(t, dir)
	events, err := s.Events(host.MAC{}, 0, 0)
	if err != nil || len(events) != 80 {
		t.Fatalf("%d events, %v, want 80", len(events), err)
	}
	for i, e := range events {
		if e.ID != uint64(i+1) {
			t.Fatalf("event %d has ID %d", i+1, e.ID)
		}
	}
}

func TestLogIsBatchedAndOrdered(t *testing.T) {
	s := open(t, t.TempDir())
	s.now = func() time.Time { return t0 }
	var want []string
	for i := range 50 {
		line := fmt.Sprint("line ", i)
		want = append(want, line)
		if err := s.Log(mac1, []string{line}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.batcher.flush(s); err != nil {
		t.Fatal(err)
	}
	got, err := s.Events(mac1, 0, 0)
	if err != nil || !slices.Equal(texts(got), want) {
		t.Errorf("lines = %q, %v, want all in order", texts(got), err)
	}
	if !got[0].Time.Equal(t0) || got[0].Kind != host.KindLog {
		t.Errorf("event = %+v, want a log line of the time it was said", got[0])
	}
}

func TestLogWaitsWhenTheDiskDoesNotKeepUp(t *testing.T) {
	s := open(t, t.TempDir())
	s.batcher.mu.Lock()
	s.batcher.lines = make([]host.Event, maxLines)
	s.batcher.mu.Unlock()
	if err := s.Log(mac1, []string{"one more"}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Events(mac1, 0, 0)
	if err != nil || !slices.Equal(texts(got), []string{"one more"}) {
		t.Errorf("lines = %q, %v, want it durable when Log returned", texts(got), err)
	}
}

func TestWatch(t *testing.T) {
	s := open(t, t.TempDir())
	changed, stop := s.Watch()
	admit(t, s, mac1, "n1", "g1")
	admit(t, s, mac2, "n2", "g2")
	<-changed
	select {
	case <-changed:
		t.Error("signals did not merge")
	default:
	}
	stop()
	if err := s.Record(host.Event{}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
		t.Error("a signal after stop")
	default:
	}
}

func TestUnchangedHostIsNotWritten(t *testing.T) {
	s := open(t, t.TempDir())
	admit(t, s, mac1, "n1", "g1")
	changed, stop := s.Watch()
	defer stop()
	if _, err := s.Change(mac1, "test", "", func(h *host.Host) error { h.Name = strings.Clone(h.Name); return nil }); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
		t.Error("a change that changes nothing was committed")
	default:
	}
}

func BenchmarkChange(b *testing.B) {
	s := open(b, b.TempDir())
	n := int64(0)
	for b.Loop() {
		n++
		_, err := s.Change(mac1, "bench", "", func(h *host.Host) (err error) {
			if h.State == "" {
				*h, err = h.Advance(host.Seen, t0)
			}
			h.Progress.Done = n
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkChangeOfManyHosts shows what changes at the same time share.
func BenchmarkChangeOfManyHosts(b *testing.B) {
	s := open(b, b.TempDir())
	var next sync.Mutex
	hosts := 0
	b.SetParallelism(500)
	b.RunParallel(func(pb *testing.PB) {
		next.Lock()
		hosts++
		mac := host.MAC{2, 0, 0, 0, byte(hosts >> 8), byte(hosts)}
		next.Unlock()
		n := int64(0)
		for pb.Next() {
			n++
			_, err := s.Change(mac, "bench", "", func(h *host.Host) (err error) {
				if h.State == "" {
					*h, err = h.Advance(host.Seen, t0)
				}
				h.Progress.Done = n
				return err
			})
			if err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkHost(b *testing.B) {
	s := open(b, b.TempDir())
	_, err := s.Change(mac1, "bench", "", func(h *host.Host) (err error) {
		*h, err = h.Advance(host.Admitted, t0)
		h.Grant = &host.Grant{ID: "g1"}
		h.Inventory = &host.Inventory{Disks: make([]host.Disk, 4), NICs: make([]host.NIC, 4)}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Host(mac1); err != nil {
			b.Fatal(err)
		}
	}
}
