package store

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"provision.internal/host"
)

var (
	uuid1   = host.UUID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	uuid2   = host.UUID{0xff, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	address = netip.MustParseAddr("10.77.0.100")
)

// saw reports sightings and writes them.
func saw(t *testing.T, s *Store, all ...Sighting) {
	t.Helper()
	for _, c := range all {
		s.Saw(c)
	}
	if err := s.batcher.flush(s); err != nil {
		t.Fatal(err)
	}
}

func TestFirstSight(t *testing.T) {
	s := open(t, t.TempDir())
	saw(t, s,
		Sighting{MAC: mac1, UUID: uuid1, Platform: "bios", Time: t0},
		Sighting{MAC: mac1, Address: address, Time: t0.Add(time.Second)}, // what it does not say stays
		Sighting{})
	h, err := s.Host(mac1)
	if err != nil || h.State != host.Seen || h.UUID != uuid1 || h.Platform != "bios" || h.Address != address || !h.LastSeen.Equal(t0.Add(time.Second)) || h.FirstSeen.IsZero() {
		t.Errorf("host = %+v, %v, want it Seen with all that was told", h, err)
	}
	events, err := s.Events(mac1, 0, 0)
	if err != nil || len(events) != 1 || events[0].To != host.Seen || events[0].Actor != "firmware" {
		t.Errorf("events = %+v, %v, want one", events, err)
	}
	if n := len(s.Hosts()); n != 1 {
		t.Errorf("%d hosts, want 1: a sighting without a MAC is none", n)
	}
}

// The goroutine of Open writes by itself.
func TestSightingsAreWrittenWithinATick(t *testing.T) {
	s := open(t, t.TempDir())
	changed, stop := s.Watch()
	defer stop()
	s.Saw(Sighting{MAC: mac1})
	<-changed
	if _, err := s.Host(mac1); err != nil {
		t.Error(err)
	}
}

func TestCloseWritesWhatIsBatched(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	s.Saw(Sighting{MAC: mac1})
	if err := s.Log(mac1, []string{"last words"}); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	s.Saw(Sighting{MAC: mac2})
	s = open(t, dir)
	events, err := s.Events(mac1, 0, 0)
	if _, missing := s.Host(mac1); err != nil || missing != nil || len(events) != 2 {
		t.Errorf("events = %+v, %v, %v; want the host and its line", events, err, missing)
	}
}

func TestLaterSightings(t *testing.T) {
	s := open(t, t.TempDir())
	saw(t, s, Sighting{MAC: mac1, Address: address, Platform: "bios", Time: t0})
	for _, tt := range []struct {
		name string
		c    Sighting
		seen time.Time
	}{
		{"soon again costs no write", Sighting{MAC: mac1, Time: t0.Add(time.Second)}, t0},
		{"a while later", Sighting{MAC: mac1, Time: t0.Add(2 * time.Minute)}, t0.Add(2 * time.Minute)},
		{"an older one", Sighting{MAC: mac1, Time: t0}, t0.Add(2 * time.Minute)},
	} {
		saw(t, s, tt.c)
		if h, err := s.Host(mac1); err != nil || !h.LastSeen.Equal(tt.seen) || h.Address != address || h.Platform != "bios" {
			t.Errorf("%s: %+v, %v, want LastSeen %s and the rest as it was", tt.name, h, err, tt.seen)
		}
	}
}

// Rule 5: a known MAC on another machine.
func TestAnotherMachine(t *testing.T) {
	s := open(t, t.TempDir())
	admit(t, s, mac1, "n1", "g1")
	saw(t, s, Sighting{MAC: mac1, UUID: uuid1, Time: t0})
	saw(t, s, Sighting{MAC: mac1, UUID: uuid2, Address: address, Time: t0})
	h, err := s.Host(mac1)
	if err != nil || h.State != host.Seen || h.Grant != nil || !strings.Contains(h.Held, uuid2.String()) || h.UUID != uuid1 || h.Address.IsValid() {
		t.Errorf("admitted host = %+v, %v, want it held in Seen without a grant, its identity kept", h, err)
	}

	admit(t, s, mac2, "n2", "g2")
	saw(t, s, Sighting{MAC: mac2, UUID: uuid1, Time: t0})
	if _, err := burnIt(s, mac2, "secret"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		saw(t, s, Sighting{MAC: mac2, UUID: uuid2, Time: t0})
	}
	h, err = s.Host(mac2)
	if err != nil || h.State != host.Installing || h.UUID != uuid1 {
		t.Errorf("installing host = %+v, %v, want it undisturbed", h, err)
	}
	events, err := s.Events(mac2, 0, 0)
	if last := events[len(events)-1]; err != nil || last.Kind != host.KindNotice || len(events) != 3 || !strings.Contains(last.Cause, uuid2.String()) {
		t.Errorf("events = %+v, %v, want one notice for three sightings", events, err)
	}
}

func TestStrangersAreBounded(t *testing.T) {
	s := open(t, t.TempDir())
	s.mu.Lock()
	s.strangers = maxStrangers
	s.mu.Unlock()
	saw(t, s, Sighting{MAC: mac1}, Sighting{MAC: mac2})
	saw(t, s, Sighting{MAC: mac1})
	if n := len(s.Hosts()); n != 0 {
		t.Errorf("%d hosts, want none beyond the bound", n)
	}
	events, err := s.Events(host.MAC{}, 0, 0)
	if err != nil || len(events) != 1 || !strings.Contains(events[0].Cause, "forges") {
		t.Errorf("events = %+v, %v, want one that says so", events, err)
	}
	// Those that an operator admits are none of them.
	admit(t, s, mac1, "n1", "g1")
}

func TestSightingsThatAreNotTakenInTimeAreBounded(t *testing.T) {
	s := open(t, t.TempDir())
	s.stage.Lock() // the disk hangs
	for i := range maxSightings + 100 {
		s.Saw(Sighting{MAC: host.MAC{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)}})
	}
	s.batcher.mu.Lock()
	n := len(s.batcher.sightings)
	s.batcher.mu.Unlock()
	s.stage.Unlock()
	if n > maxSightings {
		t.Errorf("%d sightings are kept, want at most %d", n, maxSightings)
	}
}
