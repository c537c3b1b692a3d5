package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"provision.internal/host"
)

// backup copies files of the state folder and returns how to put them back.
func backup(t *testing.T, dir string, names ...string) (restore func()) {
	t.Helper()
	kept := map[string][]byte{}
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		kept[name] = b
	}
	return func() {
		t.Helper()
		for name, b := range kept {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path+".restored", b, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".restored", path); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestGrantIsBurnedOnce(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	admit(t, s, mac1, "n1", "g1")
	if first, err := burnIt(s, mac1, "secret"); !first || err != nil {
		t.Fatalf("burn = %v, %v, want the first", first, err)
	}
	for range 2 {
		if first, err := burnIt(s, mac1, "secret"); first || err != nil {
			t.Errorf("repeat by the same claim = %v, %v, want it accepted as a repeat", first, err)
		}
		if _, err := burnIt(s, mac1, "other"); !errors.Is(err, host.ErrGrant) {
			t.Errorf("another claim: %v, want ErrGrant", err)
		}
		closed(t, s)
		s = open(t, dir)
	}
}

// A used grant cannot be brought back by any change of the host.
func TestUsedGrantStaysUsed(t *testing.T) {
	s := open(t, t.TempDir())
	admit(t, s, mac1, "n1", "g1")
	admit(t, s, mac2, "n2", "g2")
	if _, err := burnIt(s, mac1, "secret"); err != nil {
		t.Fatal(err)
	}
	reopened := func(h *host.Host) (err error) {
		if h.State == host.Installing {
			if *h, err = h.Fail("x", t0); err != nil {
				return err
			}
		}
		h.Grant = &host.Grant{ID: "g1", Expires: t0.Add(1e12)}
		return nil
	}
	for name, change := range map[string]struct {
		mac host.MAC
		f   func(*host.Host) error
	}{
		"the mark is wiped off": {mac1, func(h *host.Host) error {
			h.Grant.Burned = time.Time{}
			return nil
		}},
		"it comes back after a failure": {mac1, reopened},
		"another host gets it":          {mac2, reopened},
		"another claim takes it over":   {mac1, func(h *host.Host) error { h.Grant.Claim = host.DigestOf("other"); return nil }},
		"it is used again": {mac1, func(h *host.Host) (err error) {
			h.State = host.Admitted
			*h, err = h.Advance(host.Installing, t0.Add(1e9))
			return err
		}},
	} {
		if _, err := s.Change(change.mac, "test", "", change.f); !errors.Is(err, host.ErrGrant) && !errors.Is(err, host.ErrTransition) {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
}

func TestConcurrentClaims(t *testing.T) {
	s := open(t, t.TempDir())
	admit(t, s, mac1, "n1", "g1")
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for i := range 32 {
		wg.Go(func() {
			if first, err := burnIt(s, mac1, fmt.Sprint("secret", i)); err == nil && first {
				mu.Lock()
				won++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d claims burned the grant, want 1", won)
	}
}

// provision.db of before the burn comes back, by a crash or from a backup:
// grants.log knows better. The same agent may go on; nobody else can.
func TestOlderDatabaseOpensNoUsedGrant(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	admit(t, s, mac1, "n1", "g1")
	admit(t, s, mac2, "n2", "g2")
	closed(t, s)
	restore := backup(t, dir, "provision.db")
	s = open(t, dir)
	if _, err := burnIt(s, mac1, "secret"); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	restore()
	s = open(t, dir)
	h, err := s.Host(mac1)
	if err != nil || h.State != host.Installing || h.Grant.Open(t0) || h.Deadline.IsZero() {
		t.Errorf("n1 = %s %+v, %v; want Installing with a used grant and a deadline", h.State, h.Grant, err)
	}
	if _, err := burnIt(s, mac1, "other"); !errors.Is(err, host.ErrGrant) {
		t.Errorf("another claim: %v, want ErrGrant", err)
	}
	if first, err := burnIt(s, mac1, "secret"); first || err != nil {
		t.Errorf("the same claim: %v, %v, want a repeat", first, err)
	}
	if h, err := s.Host(mac2); err != nil || !h.Grant.Open(t0) {
		t.Errorf("n2 = %+v, %v, want its grant open: it was never used", h, err)
	}
	events, err := s.Events(mac1, 0, 0)
	if err != nil || !strings.Contains(events[len(events)-1].Cause, "grants.log") {
		t.Errorf("events = %+v, %v, want the last to name grants.log", events, err)
	}
}

// Whatever else was put back, no open grant is trusted.
func TestRestoredFilesOpenNoGrant(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files []string
		after func(dir string) error
		held  string
	}{
		{"the whole folder", []string{"provision.db", "grants.log"}, nil, "put back"},
		{"an older grants.log", []string{"grants.log"}, nil, "grants.log"},
		{"no grants.log", nil, func(dir string) error { return os.Remove(filepath.Join(dir, "grants.log")) }, "grants.log"},
		{"an older provision.db without grants.log", []string{"provision.db"}, func(dir string) error { return os.Remove(filepath.Join(dir, "grants.log")) }, "grants.log"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			admit(t, s, mac1, "n1", "g1")
			admit(t, s, mac2, "n2", "g2")
			closed(t, s)
			restore := backup(t, dir, tt.files...)
			s = open(t, dir)
			if _, err := burnIt(s, mac1, "secret"); err != nil {
				t.Fatal(err)
			}
			closed(t, s)
			restore()
			if tt.after != nil {
				if err := tt.after(dir); err != nil {
					t.Fatal(err)
				}
			}
			s = open(t, dir)
			for _, h := range s.Hosts() {
				if h.Grant.Open(t0) {
					t.Errorf("%s = %s with an open grant %+v", h.Label(), h.State, h.Grant)
				}
			}
			if h, err := s.Named("n2"); err != nil || h.State != host.Seen || !strings.Contains(h.Held, tt.held) || !strings.Contains(h.Held, "provision enroll") {
				t.Errorf("n2 = %s, held %q, %v; want it in Seen, held for %q", h.State, h.Held, err, tt.held)
			}
			// The folder is trusted again from here.
			admit(t, s, mac2, "n2", "g3")
			closed(t, s)
			if h, err := open(t, dir).Named("n2"); err != nil || !h.Grant.Open(t0) {
				t.Errorf("n2 = %+v, %v, want its new grant kept", h, err)
			}
		})
	}
}

func TestUnusedGrantSurvivesReopen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	admit(t, s, mac1, "n1", "g1")
	for range 3 {
		closed(t, s)
		s = open(t, dir)
		if h, err := s.Host(mac1); err != nil || !h.Grant.Open(t0) {
			t.Fatalf("host = %+v, %v, want its grant open", h, err)
		}
	}
}

// A burn whose database write gets lost, and only that: power went between the
// two.
func TestCrashBetweenBurnAndDatabase(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	admit(t, s, mac1, "n1", "g1")
	if err := s.appendBurns([]burn{{Grant: "g1", MAC: mac1, Disk: "S1", Claim: host.DigestOf("secret"), Time: t0}}); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	s = open(t, dir)
	if _, err := burnIt(s, mac1, "other"); !errors.Is(err, host.ErrGrant) {
		t.Errorf("another claim: %v, want ErrGrant", err)
	}
	if _, err := burnIt(s, mac1, "secret"); err != nil {
		t.Errorf("the same claim: %v, want it to go on", err)
	}
	if h, err := s.Host(mac1); err != nil || h.State != host.Installing || h.Grant.Disk != "S1" {
		t.Errorf("host = %+v, %v, want Installing on S1", h, err)
	}
}

func TestDamagedGrants(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	admit(t, s, mac1, "n1", "g1")
	if _, err := burnIt(s, mac1, "secret"); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	path := filepath.Join(dir, "grants.log")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(journalHeader)+frameHead] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, nil); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("Open: %v, want ErrDamaged with the file and what follows", err)
	}
}
