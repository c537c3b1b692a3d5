package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provision.internal/host"
)

var (
	mac1 = host.MAC{0x52, 0x54, 0, 0, 0, 1}
	mac2 = host.MAC{0x52, 0x54, 0, 0, 0, 2}
	t0   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// open opens dir and closes it with the test.
func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir, map[host.State]time.Duration{host.Admitted: 24 * time.Hour, host.Installing: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func closed(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// admit gives mac a name and an open grant.
func admit(t testing.TB, s *Store, mac host.MAC, name, grant string) host.Host {
	t.Helper()
	h, err := s.Change(mac, "operator:root", "enroll", func(h *host.Host) (err error) {
		if *h, err = h.Advance(host.Admitted, t0); err != nil {
			return err
		}
		h.Name = name
		h.Grant = &host.Grant{ID: grant, By: "operator:root", Made: t0, Expires: t0.Add(24 * time.Hour)}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// burnIt uses mac's grant for the claim secret.
func burnIt(s *Store, mac host.MAC, secret string) (first bool, err error) {
	_, err = s.Change(mac, "agent", "took the grant", func(h *host.Host) (err error) {
		*h, first, err = h.Burn(host.Claim{Disk: "S1", Secret: secret}, t0.Add(time.Minute))
		return err
	})
	return first, err
}

func TestChangeSurvivesReopen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	want := admit(t, s, mac1, "n1", "g1")
	if want.Deadline != t0.Add(24*time.Hour) {
		t.Errorf("Deadline = %s, want a day after %s", want.Deadline, t0)
	}
	closed(t, s)
	s = open(t, dir)
	for _, get := range []func() (host.Host, error){
		func() (host.Host, error) { return s.Host(mac1) },
		func() (host.Host, error) { return s.Named("n1") },
	} {
		got, err := get()
		if err != nil || got.Grant == nil || got.Grant.ID != "g1" || got.State != host.Admitted || got.Name != "n1" {
			t.Errorf("after reopen: %+v, %v; want n1 Admitted with g1", got, err)
		}
	}
	if _, err := s.Host(mac2); !errors.Is(err, host.ErrUnknown) {
		t.Errorf("Host(unknown) = %v, want ErrUnknown", err)
	}
	if _, err := s.Named("n2"); !errors.Is(err, host.ErrUnknown) {
		t.Errorf("Named(unknown) = %v, want ErrUnknown", err)
	}
}

func TestOpenTwiceIsLocked(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := Open(dir, nil)
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "stop it first") {
		t.Errorf("second Open: %v, want ErrLocked with advice", err)
	}
	closed(t, s)
	closed(t, open(t, dir))
}

func TestChangeRefuses(t *testing.T) {
	s := open(t, t.TempDir())
	admit(t, s, mac1, "n1", "g1")
	boom := errors.New("boom")
	for _, tt := range []struct {
		name string
		mac  host.MAC
		f    func(*host.Host) error
		want error
	}{
		{"f's own error", mac1, func(h *host.Host) error { h.Name = "lost"; return boom }, boom},
		{"a stranger that f does not admit", mac2, func(*host.Host) error { return nil }, host.ErrUnknown},
		{"a step that is not in the table", mac1, func(h *host.Host) error { h.State = host.Ready; return nil }, host.ErrTransition},
		{"another host's name", mac2, func(h *host.Host) (err error) {
			*h, err = h.Advance(host.Admitted, t0)
			h.Name = "n1"
			return err
		}, host.ErrExists},
		{"Installing without a used grant", mac1, func(h *host.Host) (err error) {
			*h, err = h.Advance(host.Installing, t0)
			return err
		}, host.ErrGrant},
		{"Installing with no grant", mac1, func(h *host.Host) (err error) {
			*h, err = h.Advance(host.Installing, t0)
			h.Grant = nil
			return err
		}, host.ErrGrant},
		{"a grant without identifier", mac1, func(h *host.Host) error { h.Grant.ID = ""; return nil }, host.ErrGrant},
	} {
		if _, err := s.Change(tt.mac, "test", "", tt.f); !errors.Is(err, tt.want) {
			t.Errorf("%s: Change = %v, want %v", tt.name, err, tt.want)
		}
	}
	for name, f := range map[string]func(*host.Host) error{
		"another MAC":             func(h *host.Host) error { h.MAC = mac2; return nil },
		"no MAC":                  func(h *host.Host) error { h.MAC = host.MAC{}; return nil },
		"Failed without a reason": func(h *host.Host) error { h.State = host.Failed; return nil },
		"a reason outside Failed": func(h *host.Host) (err error) {
			*h, err = h.Advance(host.Retired, t0)
			h.Failure = &host.Failure{Reason: "x"}
			return err
		},
	} {
		if _, err := s.Change(mac1, "test", "", f); err == nil {
			t.Errorf("%s: Change accepted it", name)
		}
	}
	if h, err := s.Host(mac1); err != nil || h.State != host.Admitted || h.Name != "n1" || h.Grant.ID != "g1" {
		t.Errorf("after refusals: %+v, %v; want it unchanged", h, err)
	}
}

func TestReadersCannotChangeTheStore(t *testing.T) {
	s := open(t, t.TempDir())
	var kept *host.Host
	_, err := s.Change(mac1, "test", "", func(h *host.Host) (err error) {
		*h, err = h.Advance(host.Admitted, t0)
		h.Name = "n1"
		h.Grant = &host.Grant{ID: "g1"}
		h.Inventory = &host.Inventory{Disks: []host.Disk{{Name: "sda"}}}
		kept = h
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	spoil := func(h host.Host) {
		h.Grant.ID = "spoilt"
		h.Inventory.Disks[0].Name = "spoilt"
	}
	spoil(*kept)
	for _, get := range []func() host.Host{
		func() host.Host { h, _ := s.Host(mac1); return h },
		func() host.Host { h, _ := s.Named("n1"); return h },
		func() host.Host { return s.Hosts()[0] },
	} {
		spoil(get())
		if h := get(); h.Grant.ID != "g1" || h.Inventory.Disks[0].Name != "sda" {
			t.Errorf("a reader's change reached the store: %+v %+v", h.Grant, h.Inventory)
		}
	}
}

func TestHostsAreSorted(t *testing.T) {
	s := open(t, t.TempDir())
	admit(t, s, host.MAC{9}, "alpha", "g1")
	admit(t, s, host.MAC{1}, "beta", "g2")
	s.Saw(Sighting{MAC: host.MAC{8}})
	s.Saw(Sighting{MAC: host.MAC{7}})
	if err := s.batcher.flush(s); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, h := range s.Hosts() {
		got = append(got, h.Label())
	}
	if want := "alpha beta 07:00:00:00:00:00 08:00:00:00:00:00"; strings.Join(got, " ") != want {
		t.Errorf("Hosts() = %s, want %s", got, want)
	}
}

func TestRenamedHostFreesItsName(t *testing.T) {
	s := open(t, t.TempDir())
	admit(t, s, mac1, "n1", "g1")
	if _, err := s.Change(mac1, "test", "", func(h *host.Host) error { h.Name = "n2"; return nil }); err != nil {
		t.Fatal(err)
	}
	admit(t, s, mac2, "n1", "g2")
	if h, err := s.Named("n1"); err != nil || h.MAC != mac2 {
		t.Errorf("Named(n1) = %s, %v, want %s", h.MAC, err, mac2)
	}
}

func TestClosedStore(t *testing.T) {
	s := open(t, t.TempDir())
	admit(t, s, mac1, "n1", "g1")
	closed(t, s)
	closed(t, s)
	if _, err := burnIt(s, mac1, "x"); !errors.Is(err, ErrClosed) {
		t.Errorf("Change: %v, want ErrClosed", err)
	}
	for name, err := range map[string]error{
		"Record":       s.Record(host.Event{}),
		"Log":          s.Log(mac1, []string{"x"}),
		"CommitLeases": s.CommitLeases([]host.Lease{lease(1)}),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", name, err)
		}
	}
}

func TestDamagedDatabase(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func([]byte) []byte
	}{
		{"cut short", func(b []byte) []byte { return b[:3*os.Getpagesize()] }},
		{"no database", func(b []byte) []byte { return []byte(strings.Repeat("not a database ", 4096)) }},
		{"pages overwritten", func(b []byte) []byte {
			for i := 2 * os.Getpagesize(); i < len(b); i++ {
				b[i] = 0xa5
			}
			return b
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			for i := range byte(50) {
				s.Saw(Sighting{MAC: host.MAC{2, 0, 0, 0, 0, i}})
			}
			closed(t, s)
			path := filepath.Join(dir, "provision.db")
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, tt.spoil(b), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err = Open(dir, nil)
			if err == nil {
				s.Close()
			}
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "put a backup") || !strings.Contains(err.Error(), path) {
				t.Errorf("Open: %v, want ErrDamaged that names the file and what to do", err)
			}
		})
	}
}
