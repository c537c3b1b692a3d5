package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"provision.internal/host"
)

// smallDisk mounts a disk of size bytes.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a small disk")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprint("size=", size)); err != nil {
		t.Skipf("cannot mount a small disk here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all space of dir and returns how to give it back.
func fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			break
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// A full disk: errors that say so, nothing lost, and it goes on when there is
// space again.
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, 4<<20)
	s := open(t, dir)
	admit(t, s, mac1, "n1", "g1")
	commit(t, s, leases(0, 10)...)
	empty := fill(t, dir)

	var full error
	for n := 10; full == nil && n < 60_000; n += 500 { // there is room ahead for some
		full = s.CommitLeases(leases(n, n+500))
	}
	if !errors.Is(full, syscall.ENOSPC) || !strings.Contains(full.Error(), "free space for "+dir) {
		t.Errorf("CommitLeases: %v, want ENOSPC with what to do", full)
	}
	held := s.Leases()

	full = nil
	for i := 0; full == nil && i < 1000; i++ {
		_, full = s.Change(host.MAC{2, 1, 0, 0, byte(i >> 8), byte(i)}, "test", "", func(h *host.Host) (err error) {
			*h, err = h.Advance(host.Seen, t0)
			h.Inventory = &host.Inventory{CPU: strings.Repeat("x", 10_000)}
			return err
		})
	}
	if !errors.Is(full, syscall.ENOSPC) || !strings.Contains(full.Error(), "nothing is lost") {
		t.Errorf("Change: %v, want ENOSPC with what to do", full)
	}
	hosts := s.Hosts()
	events, err := s.Events(host.MAC{}, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	// Late writes wait for space.
	if err := s.Log(mac1, []string{strings.Repeat("y", 100_000)}); err != nil {
		t.Fatal(err)
	}
	if err := s.batcher.flush(s); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("flush: %v, want ENOSPC", err)
	}

	empty()
	commit(t, s, lease(60_000))
	if err := s.batcher.flush(s); err != nil {
		t.Errorf("flush with space: %v", err)
	}
	if first, err := burnIt(s, mac1, "secret"); !first || err != nil {
		t.Errorf("burn with space: %v, %v", first, err)
	}
	closed(t, s)
	s = open(t, dir)
	if got := s.Leases(); !sameLeases(got, append(held, lease(60_000))) {
		t.Errorf("after reopen: %d leases, want %d", len(got), len(held)+1)
	}
	if got := s.Hosts(); len(got) != len(hosts) {
		t.Errorf("after reopen: %d hosts, want %d", len(got), len(hosts))
	}
	after, err := s.Events(host.MAC{}, 0, 0)
	if err != nil || len(after) != len(events)+2 {
		t.Errorf("after reopen: %d events, %v; want %d: the late line and the burn", len(after), err, len(events)+2)
	}
	for i, e := range after {
		if e.ID != uint64(i+1) {
			t.Fatalf("event %d has ID %d: a failed write used numbers up", i+1, e.ID)
		}
	}
}

// The use of a grant is on the disk although the database is not: the grant
// stays used, and its claim may try again.
func TestBurnOnADiskThatFillsUp(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	admit(t, s, mac1, "n1", "g1")
	if err := s.db.Close(); err != nil { // every write of it fails from here
		t.Fatal(err)
	}
	if first, err := burnIt(s, mac1, "secret"); err == nil {
		t.Fatalf("burn = %v without a database", first)
	}
	if h, err := s.Host(mac1); err != nil || h.State != host.Admitted {
		t.Errorf("host = %s, %v, want it as it was", h.State, err)
	}
	if _, err := burnIt(s, mac1, "other"); !errors.Is(err, host.ErrGrant) {
		t.Errorf("another claim: %v, want ErrGrant", err)
	}
	s.Close()
	s = open(t, dir)
	if first, err := burnIt(s, mac1, "secret"); err != nil {
		t.Errorf("the same claim after a restart: %v, %v", first, err)
	}
}

// What was staged on a change that could not be written is void with it.
func TestFailedBatchTakesNothingAlong(t *testing.T) {
	s := open(t, t.TempDir())
	admit(t, s, mac1, "n1", "g1")
	h, b, err := s.stageChange(mac1, "test", "", func(h *host.Host) error { h.Node = "a"; return nil })
	if err != nil || h.Node != "a" {
		t.Fatal(h, err)
	}
	b.events = append(b.events, host.Event{Time: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}) // JSON has no such year
	if err := s.commitBatch(b); err == nil {
		t.Fatal("the batch was written")
	}
	if h, err := s.Host(mac1); err != nil || h.Node != "" {
		t.Errorf("host = %+v, %v, want it without the failed change", h, err)
	}
	h, err = s.Change(mac1, "test", "", func(h *host.Host) error { h.Node += "b"; return nil })
	if err != nil || h.Node != "b" {
		t.Errorf("Change = %+v, %v, want it on what was committed", h, err)
	}
}
