package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provision.internal/xbps/mirror"
)

func TestSnapshotServesWhatWas(t *testing.T) {
	u := newUpstream(t)
	old := u.publish("current", "foo-1.0_1", 1000)
	extra := u.publish("current/nonfree", "extra-1.0_1", 1000)
	s := newSite(t, u, func(c *mirror.Config) {
		c.Repositories = append(c.Repositories, mirror.Repository{Path: "current/nonfree", Arch: "x86_64"})
	})
	index := u.files[indexFile]
	golden, err := s.Freeze(t.Context(), "golden")
	if err != nil {
		t.Fatal(err)
	}
	if golden.Automatic || len(golden.Indexes) != 2 {
		t.Errorf("snapshot %+v", golden)
	}
	for _, name := range []string{"golden", "Golden", "../x", "", "a/b", "@a"} {
		if _, err := s.Freeze(t.Context(), name); err == nil {
			t.Errorf("froze %q", name)
		}
	}
	s.want("@golden/"+fooFile, old)
	s.want("@golden/current/nonfree/extra-1.0_1.x86_64.xbps", extra)

	// Months later upstream has moved on and dropped what it had.
	s.later(100 * 24 * time.Hour)
	fresh := u.publish("current", "foo-2.0_1", 1000)
	u.index("current", epoch.Add(99*24*time.Hour))
	delete(u.files, fooFile)
	delete(u.files, fooFile+".sig2")
	const freshFile = "current/foo-2.0_1.x86_64.xbps"
	for range 2 {
		s.want("@golden/"+indexFile, index)
		s.want("@golden/"+fooFile, old)
		s.want("@golden/"+fooFile+".sig2", s.get(fooFile+".sig2").body)
		s.refused("@golden/"+freshFile, http.StatusNotFound)
		s.want(indexFile, u.files[indexFile])
		s.want(freshFile, fresh)
		s.restart()
	}
	if err := s.Remove("golden"); err != nil {
		t.Fatal(err)
	}
	s.refused("@golden/"+indexFile, http.StatusNotFound)
	if err := s.Remove("golden"); !errors.Is(err, mirror.ErrUnknown) {
		t.Errorf("removed twice: %v", err)
	}
}

func TestAutomaticSnapshots(t *testing.T) {
	u := newUpstream(t)
	inUse := ""
	s := newSite(t, u, func(c *mirror.Config) { c.InUse = func() []string { return []string{inUse} } })
	if _, err := s.Newest(); !errors.Is(err, mirror.ErrNone) {
		t.Errorf("newest of none: %v", err)
	}
	if _, err := s.Snapshot(t.Context()); !errors.Is(err, mirror.ErrVanished) {
		t.Errorf("snapshot of nothing: %v", err)
	}
	var made []string
	for i := range 8 {
		at := epoch.Add(time.Duration(i) * 24 * time.Hour)
		u.publish("current", fmt.Sprintf("foo-1.%d_1", i), 10)
		u.index("current", at)
		s.later(24 * time.Hour)
		var names [2]string
		for j := range names {
			snap, err := s.Snapshot(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			names[j] = snap.Name
		}
		if names[0] != names[1] || !strings.HasPrefix(names[0], "202603") || len(names[0]) != len("20260301-01234567") {
			t.Errorf("snapshots %q of the same content", names)
		}
		made = append(made, names[0])
		if newest, err := s.Newest(); err != nil || newest.Name != names[0] {
			t.Errorf("newest is %s, %v; want %s", newest.Name, err, names[0])
		}
		switch i {
		case 1:
			inUse = made[1]
		case 2:
			if _, err := s.Freeze(t.Context(), "named"); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := []string{made[7], made[6], made[5], "named", made[1]}
	check := func() {
		t.Helper()
		var got []string
		for _, snap := range s.Snapshots() {
			got = append(got, snap.Name)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("snapshots %q, want the newest three, the named one and the one in use: %q", got, want)
		}
	}
	check()
	s.restart()
	check()
	if err := s.Remove(inUse); !errors.Is(err, mirror.ErrInUse) {
		t.Errorf("removed the one in use: %v", err)
	}
	// One index and its table for each content that is left.
	files, err := filepath.Glob(filepath.Join(s.cfg.Dir, "indexes", "*"))
	if err != nil || len(files) != 2*len(want) {
		t.Errorf("%d files of indexes, %v; want %d", len(files), err, 2*len(want))
	}
}

// A snapshot is of one instant although its indexes are fetched one after the other.
func TestSnapshotIsOfOneInstant(t *testing.T) {
	u := newUpstream(t)
	u.publish("current", "foo-1.0_1", 10)
	u.publish("current/nonfree", "extra-1.0_1", 10)
	s := newSite(t, u, func(c *mirror.Config) {
		c.Repositories = append(c.Repositories, mirror.Repository{Path: "current/nonfree", Arch: "x86_64"})
	})
	asked := 0
	u.misbehave(func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
		if asked++; asked == 2 { // both change after the first has been fetched
			u.publish("current", "foo-1.1_1", 10)
			u.index("current", epoch.Add(time.Hour))
		}
		return false
	})
	snap, err := s.Freeze(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	s.want("@one/"+indexFile, u.files[indexFile])
	if !snap.Indexes[indexFile].Modified.Equal(epoch.Add(time.Hour)) {
		t.Errorf("snapshot %+v", snap)
	}
}

func TestFreezeWithoutUpstream(t *testing.T) {
	u := newUpstream(t)
	u.publish("current", "foo-1.0_1", 10)
	s := newSite(t, u)
	if _, err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	u.Close()
	if snap, err := s.Freeze(t.Context(), "late"); err != nil || !snap.Time.Equal(epoch.Add(24*time.Hour)) {
		t.Errorf("froze %+v, %v; want the last snapshot under its name", snap, err)
	}
	fresh := newSite(t, u)
	if _, err := fresh.Freeze(t.Context(), "none"); err == nil {
		t.Error("froze nothing")
	}
}

func TestBrokenSnapshotFile(t *testing.T) {
	s := newSite(t, newUpstream(t))
	for name, text := range map[string]string{
		"cut":   `{"name":"cut"`,
		"other": `{"name":"../x","indexes":{"current/x86_64-repodata":{"sha256":"` + strings.Repeat("0", 64) + `"}}}`,
		"path":  `{"name":"path","indexes":{"../../etc/passwd":{"sha256":"` + strings.Repeat("0", 64) + `"}}}`,
		"hash":  `{"name":"hash","indexes":{"current/x86_64-repodata":{"sha256":"../../etc/passwd"}}}`,
		"empty": `{"name":"empty"}`,
	} {
		cfg := s.cfg
		cfg.Dir = t.TempDir()
		if err := os.MkdirAll(filepath.Join(cfg.Dir, "snapshots"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(cfg.Dir, "snapshots", name+".json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if m, err := mirror.Open(cfg); err == nil || !strings.Contains(err.Error(), "move the file away") {
			t.Errorf("%s: opened %v, %v", name, m, err)
		}
	}
}

func TestRunMakesSnapshots(t *testing.T) {
	u := newUpstream(t)
	u.publish("current", "foo-1.0_1", 10)
	s := newSite(t, u)
	done := make(chan error)
	ctx, stop := context.WithCancel(t.Context())
	go func() { done <- s.Run(ctx) }()
	for end := time.Now().Add(10 * time.Second); len(s.Snapshots()) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no snapshot came")
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestOffline(t *testing.T) {
	s := newSite(t, newUpstream(t), func(c *mirror.Config) { c.Upstream = (*url.URL)(nil) })
	s.refused(indexFile, http.StatusNotFound)
	if st := s.Status(); st.Upstream != "" || st.Err != nil {
		t.Errorf("status %+v", st)
	}
}
