package store

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"provision.internal/host"
)

// lease returns the nth lease of a test.
func lease(n int) host.Lease {
	return host.Lease{
		MAC:     host.MAC{2, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)},
		Address: netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}),
		Expires: t0.Add(time.Duration(n) * time.Second),
	}
}

func leases(from, to int) []host.Lease {
	var all []host.Lease
	for n := from; n < to; n++ {
		all = append(all, lease(n))
	}
	return all
}

func sameLeases(a, b []host.Lease) bool {
	return slices.EqualFunc(a, b, func(a, b host.Lease) bool {
		return a.MAC == b.MAC && a.Address == b.Address && a.Declined == b.Declined && a.Expires.Equal(b.Expires)
	})
}

func commit(t testing.TB, s *Store, l ...host.Lease) {
	t.Helper()
	if err := s.CommitLeases(l); err != nil {
		t.Fatal(err)
	}
}

func TestLeasesSurviveReopen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	released, declined, six := lease(2), lease(3), lease(4)
	released.Expires = time.Time{}
	declined.Declined = true
	six.Address = netip.MustParseAddr("fd00::4")
	moved := lease(1)
	moved.MAC = mac2
	commit(t, s, lease(1), lease(2), declined)
	commit(t, s, moved, released, six)
	commit(t, s)
	want := []host.Lease{moved, released, declined, six}
	if got := s.Leases(); !sameLeases(got, want) {
		t.Errorf("Leases() = %v, want %v", got, want)
	}
	closed(t, s)
	if got := open(t, dir).Leases(); !sameLeases(got, want) {
		t.Errorf("after reopen Leases() = %v, want %v", got, want)
	}
}

func TestLeasesThatMakeNoSense(t *testing.T) {
	s := open(t, t.TempDir())
	for _, l := range []host.Lease{{MAC: mac1}, {Address: lease(1).Address}} {
		if err := s.CommitLeases([]host.Lease{lease(2), l}); err == nil {
			t.Errorf("CommitLeases(%v) succeeded", l)
		}
	}
	if got := s.Leases(); len(got) != 0 {
		t.Errorf("Leases() = %v, want none: all or nothing", got)
	}
}

// After a crash at any moment the leases are those of the first commits, and
// every commit that was answered is among them.
func TestLeasesAfterACrash(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	path := filepath.Join(dir, "leases.log")
	type state struct {
		size   int
		leases []host.Lease
	}
	states := []state{{int(s.leases.journal.size), nil}}
	for i := range 12 {
		commit(t, s, leases(i*2, i*2+3)...)
		states = append(states, state{int(s.leases.journal.size), s.Leases()})
	}
	closed(t, s)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := states[0].size; cut <= len(data); cut += 7 {
		if err := os.WriteFile(path, data[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		last := 0
		for last+1 < len(states) && states[last+1].size <= cut {
			last++
		}
		l, torn, err := openLeases(dir)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		got := (&Store{leases: l}).Leases()
		if !sameLeases(got, states[last].leases) || torn != writtenIn(data[states[last].size:cut]) {
			t.Fatalf("cut at %d: %d leases, %d torn; want those of commit %d", cut, len(got), torn, last)
		}
		if err := l.close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, data[:len(data)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	events, err := open(t, dir).Events(host.MAC{}, 0, 0)
	if err != nil || len(events) != 1 || !strings.Contains(events[0].Cause, "leases.log") {
		t.Errorf("events = %+v, %v, want one about the repair", events, err)
	}
}

func TestLeasesDamaged(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	commit(t, s, lease(1))
	at := s.leases.journal.size - 3
	commit(t, s, lease(2))
	closed(t, s)
	path := filepath.Join(dir, "leases.log")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[at] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(dir, nil)
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "move the file away") {
		t.Errorf("Open: %v, want ErrDamaged with the file and what to do", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	closed(t, open(t, dir)) // what it said works
}

// Renewals rewrite the same leases for ever: the journal must not grow for ever,
// and nothing may be lost while it is rewritten.
func TestCompaction(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	s.leases.limit = 8 << 10
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for round := range 200 {
				l := lease(worker*10 + round%10)
				l.Expires = t0.Add(time.Duration(round) * time.Minute)
				if err := s.CommitLeases([]host.Lease{l}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	s.leases.compact.Wait()
	want := s.Leases()
	if full := int64(800 * (frameHead + leaseSize)); s.leases.journal.size >= full {
		t.Errorf("leases.log has %d bytes, as many as without compaction (%d)", s.leases.journal.size, full)
	}
	closed(t, s)
	got := open(t, dir).Leases()
	if len(got) != 40 || !sameLeases(got, want) {
		t.Errorf("after reopen: %d leases, want the same 40", len(got))
	}
	for _, l := range got {
		if l.Expires.Before(t0.Add(190 * time.Minute)) {
			t.Errorf("%v is an old lease", l)
		}
	}
}

// A compaction that cannot be done costs nothing but space.
func TestCompactionThatFails(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	// A folder in the way of the new file.
	if err := os.MkdirAll(filepath.Join(dir, "leases.log.new", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.leases.limit = 1 << 10
	for n := range 100 {
		commit(t, s, lease(n%3))
	}
	s.leases.compact.Wait()
	if s.leases.limit <= 1<<10 {
		t.Errorf("limit = %d, want it raised", s.leases.limit)
	}
	closed(t, s)
	if err := os.RemoveAll(filepath.Join(dir, "leases.log.new")); err != nil {
		t.Fatal(err)
	}
	if got := open(t, dir).Leases(); len(got) != 3 {
		t.Errorf("%d leases, want 3", len(got))
	}
}

func TestInterruptedCompactionIsForgotten(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	commit(t, s, lease(1))
	closed(t, s)
	stale := filepath.Join(dir, "leases.log.new")
	if err := os.WriteFile(stale, []byte(journalHeader), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := open(t, dir).Leases(); len(got) != 1 {
		t.Errorf("%d leases, want 1", len(got))
	}
	if _, err := os.Stat(stale); !os.IsNotExist(err) {
		t.Errorf("the new file is still there: %v", err)
	}
}

func FuzzLeases(f *testing.F) {
	f.Add(appendLease(appendLease(nil, lease(1)), host.Lease{MAC: mac1, Address: netip.IPv6Unspecified(), Declined: true}))
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, b []byte) {
		held := heldLeases{}
		if err := held.replay(b); err != nil {
			return
		}
		for address, value := range held {
			l := value.lease(address)
			again := heldLeases{}
			again.put(appendLease(nil, l))
			if got := again[address].lease(address); len(again) != 1 || !sameLeases([]host.Lease{got}, []host.Lease{l}) {
				t.Errorf("%v came back as %v", l, got)
			}
		}
	})
}

// The cost of a commit must not depend on how many leases are held.
func BenchmarkCommitLeases(b *testing.B) {
	for _, held := range []int{100, 100_000} {
		for _, group := range []int{1, 16, 1000} {
			b.Run(fmt.Sprintf("held=%d/group=%d", held, group), func(b *testing.B) {
				s := open(b, b.TempDir())
				for n := 0; n < held; n += 10_000 {
					commit(b, s, leases(n, min(n+10_000, held))...)
				}
				next := 0
				for b.Loop() {
					batch := make([]host.Lease, group)
					for i := range batch {
						batch[i] = lease((next + i) % held)
					}
					next += group
					commit(b, s, batch...)
				}
			})
		}
	}
}

func BenchmarkOpenWith100000Leases(b *testing.B) {
	dir := b.TempDir()
	s := open(b, dir)
	commit(b, s, leases(0, 100_000)...)
	closed(b, s)
	for b.Loop() {
		closed(b, open(b, dir))
	}
}
