package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"provision.internal/host"
)

// on7 is a standing admission on ether7, made at t0.
func on7() host.Admission {
	return host.Admission{ID: "a1", Port: "ether7", Name: "n7", Role: "worker", By: "operator:root", Made: t0, Expires: t0.Add(time.Hour)}
}

// stand opens dir at t0 with on7 in it and mac1 Seen.
func stand(t *testing.T, dir string) *Store {
	t.Helper()
	s := openAt(t, dir, t0)
	if err := s.Stand(on7(), "operator:root"); err != nil {
		t.Fatal(err)
	}
	saw(t, s, Sighting{MAC: mac1, UUID: uuid1, Platform: "bios", Time: t0})
	return s
}

func openAt(t *testing.T, dir string, now time.Time) *Store {
	t.Helper()
	s := open(t, dir)
	s.now = func() time.Time { return now }
	return s
}

func TestAdmissionIsTakenOnce(t *testing.T) {
	dir := t.TempDir()
	s := stand(t, dir)
	closed(t, s)
	s = openAt(t, dir, t0)
	if got := s.Admissions(); len(got) != 1 || got[0] != on7() {
		t.Fatalf("after reopening: %+v, want the one that was made", got)
	}
	h, err := s.Take("a1", mac1, "reconciler", "found on ether7")
	if err != nil || h.State != host.Admitted || h.Name != "n7" || h.Role != "worker" || !h.Grant.Open(t0) || !h.Grant.Place || !h.Grant.ByPort ||
		h.Grant.Port != "ether7" || h.Grant.ID == "a1" || h.UUID != uuid1 || !h.Grant.Expires.Equal(t0.Add(time.Hour)) {
		t.Fatalf("Take = %+v %+v, %v; want it admitted with a grant of its own", h, h.Grant, err)
	}
	saw(t, s, Sighting{MAC: mac2, Platform: "bios", Time: t0})
	for range 2 {
		if _, err := s.Take("a1", mac2, "reconciler", ""); !errors.Is(err, host.ErrUnknown) {
			t.Errorf("a second machine: %v, want ErrUnknown", err)
		}
		if n := len(s.Admissions()); n != 0 {
			t.Errorf("%d admissions are left", n)
		}
		closed(t, s)
		s = openAt(t, dir, t0)
	}
	if h, err := s.Host(mac2); err != nil || h.State != host.Seen {
		t.Errorf("%+v, %v; want it untouched", h, err)
	}
}

func TestOneOfManyTakesIt(t *testing.T) {
	s := stand(t, t.TempDir())
	var all sync.WaitGroup
	var mu sync.Mutex
	taken := 0
	for i := range 50 {
		mac := host.MAC{2, 0, 0, 0, 0, byte(i)}
		saw(t, s, Sighting{MAC: mac, Platform: "bios", Time: t0})
		all.Go(func() {
			if _, err := s.Take("a1", mac, "reconciler", ""); err == nil {
				mu.Lock()
				taken++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if taken != 1 {
		t.Errorf("%d machines took one admission", taken)
	}
}

func TestWhoMayNotTakeIt(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(*testing.T, *Store)
		want error
	}{
		{"a machine that was never seen", func(t *testing.T, s *Store) {}, host.ErrGrant},
		{"one that is admitted", func(t *testing.T, s *Store) { admit(t, s, mac2, "n2", "g2") }, host.ErrGrant},
		{"one that is retired", func(t *testing.T, s *Store) {
			saw(t, s, Sighting{MAC: mac2, Time: t0})
			mustChange(t, s, mac2, func(h *host.Host) (err error) { *h, err = h.Advance(host.Retired, t0); return err })
		}, host.ErrGrant},
		{"one that is held", func(t *testing.T, s *Store) {
			admit(t, s, mac2, "", "g2")
			mustChange(t, s, mac2, func(h *host.Host) (err error) { *h, err = h.Hold("another UUID", t0); return err })
		}, host.ErrGrant},
		{"after its expiry", func(t *testing.T, s *Store) {
			saw(t, s, Sighting{MAC: mac2, Time: t0})
			s.now = func() time.Time { return t0.Add(time.Hour) }
		}, host.ErrGrant},
		{"after it was cancelled", func(t *testing.T, s *Store) {
			saw(t, s, Sighting{MAC: mac2, Time: t0})
			if _, err := s.Cancel("a1", "operator:root", "cancelled"); err != nil {
				t.Fatal(err)
			}
		}, host.ErrUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := stand(t, t.TempDir())
			tt.do(t, s)
			before, _ := s.Host(mac2)
			_, err := s.Take("a1", mac2, "reconciler", "")
			after, _ := s.Host(mac2)
			if !errors.Is(err, tt.want) || after.State != before.State || after.Name != before.Name {
				t.Errorf("Take = %v, host %+v; want %v and no change", err, after, tt.want)
			}
		})
	}
}

func mustChange(t *testing.T, s *Store, mac host.MAC, f func(*host.Host) error) {
	t.Helper()
	if _, err := s.Change(mac, "test", "", f); err != nil {
		t.Fatal(err)
	}
}

// A name and a port belong to one machine, be it awaited or there.
func TestAdmissionsReserveNameAndPort(t *testing.T) {
	s := stand(t, t.TempDir())
	admit(t, s, mac2, "n2", "g2")
	for _, tt := range []struct{ port, name, why string }{
		{"ether7", "other", "awaits n7 already"}, {"ether8", "n7", "awaited on port ether7"}, {"ether8", "n2", mac2.String()},
	} {
		a := on7()
		a.ID, a.Port, a.Name = "a2", tt.port, tt.name
		if err := s.Stand(a, "operator:root"); !errors.Is(err, host.ErrExists) || !strings.Contains(err.Error(), tt.why) {
			t.Errorf("%s as %s: %v, want ErrExists because of %q", tt.name, tt.port, err, tt.why)
		}
	}
	_, err := s.Change(mac1, "operator:root", "", func(h *host.Host) error { h.Name = "n7"; return nil })
	if !errors.Is(err, host.ErrExists) {
		t.Errorf("a host takes the name: %v, want ErrExists", err)
	}
	if _, err := s.Cancel("a1", "operator:root", "cancelled"); err != nil {
		t.Fatal(err)
	}
	mustChange(t, s, mac1, func(h *host.Host) error { h.Name = "n7"; return nil })
}

// A copy of the state from before the admission was taken must not let a second
// machine in: not with today's grants.log, and not without one.
func TestRestoredBackupCancelsAdmissions(t *testing.T) {
	for _, tt := range []struct {
		name    string
		restore func(t *testing.T, backup, dir string)
		why     string
	}{
		{"an older provision.db", func(t *testing.T, backup, dir string) { copyFile(t, backup, dir, "provision.db") }, "it was taken by " + mac1.String()},
		{"both files", func(t *testing.T, backup, dir string) {
			copyFile(t, backup, dir, "provision.db")
			copyFile(t, backup, dir, "grants.log")
		}, "put back from a backup or copied"},
		{"grants.log removed", func(t *testing.T, backup, dir string) {
			copyFile(t, backup, dir, "provision.db")
			if err := os.Remove(filepath.Join(dir, "grants.log")); err != nil {
				t.Fatal(err)
			}
		}, "grants.log is missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, backup := t.TempDir(), t.TempDir()
			s := stand(t, dir)
			closed(t, s)
			copyFile(t, dir, backup, "provision.db")
			copyFile(t, dir, backup, "grants.log")
			s = openAt(t, dir, t0)
			if _, err := s.Take("a1", mac1, "reconciler", ""); err != nil {
				t.Fatal(err)
			}
			closed(t, s)
			tt.restore(t, backup, dir)
			s = openAt(t, dir, t0)
			if left := s.Admissions(); len(left) != 0 {
				t.Errorf("%+v is open again", left)
			}
			events, err := s.Events(host.MAC{}, 0, 0)
			if err != nil || !strings.Contains(events[len(events)-1].Cause, tt.why) {
				t.Errorf("the last event is %+v, %v; want it to say %q", events[len(events)-1], err, tt.why)
			}
		})
	}
}

func copyFile(t *testing.T, from, to, name string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(from, name))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(to, name)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A state folder of before there were admissions.
func TestFolderWithoutAdmissions(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	admit(t, s, mac1, "n1", "g1")
	err := s.db.Update(func(tx *bolt.Tx) error {
		old := `{"mac":"` + mac2.String() + `","name":"n2","state":"Ready","since":"2026-03-01T12:00:00Z","grant":{"id":"g2","by":"x","made":"2026-03-01T12:00:00Z","expires":"2026-03-02T12:00:00Z"}}`
		return errors.Join(tx.DeleteBucket(bucketAdmissions), tx.Bucket(bucketHosts).Put(mac2[:], []byte(old)))
	})
	if err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	s = openAt(t, dir, t0)
	h, err := s.Named("n2")
	if err != nil || h.State != host.Ready || !h.InPlace() || h.Port != "" || len(s.Admissions()) != 0 {
		t.Errorf("n2 = %+v, %v; want it as it was", h, err)
	}
	if err := s.Stand(on7(), "operator:root"); err != nil {
		t.Error(err)
	}
}

func TestAsked(t *testing.T) {
	s := open(t, t.TempDir())
	saw(t, s, Sighting{MAC: mac1, Time: t0})
	if h, _ := s.Host(mac1); !h.Asked.IsZero() {
		t.Errorf("an operating system asked for a boot file at %s", h.Asked)
	}
	saw(t, s, Sighting{MAC: mac1, Platform: "bios", Time: t0.Add(time.Hour)})
	saw(t, s, Sighting{MAC: mac1, Time: t0.Add(2 * time.Hour)})
	if h, _ := s.Host(mac1); !h.Asked.Equal(t0.Add(time.Hour)) {
		t.Errorf("Asked = %s, want an hour after %s", h.Asked, t0)
	}
}
