package mirror_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"provision.internal/xbps"
	"provision.internal/xbps/mirror"
)

// worker is a role that needs base, which depends on lib, and extra from nonfree.
func worker() []mirror.Want {
	return []mirror.Want{{For: "role worker", Arch: "x86_64", Folders: []string{"current", "current/nonfree"}, Packages: []string{"base", "extra"}}}
}

func workerSite(t *testing.T, change ...func(*mirror.Config)) (*upstream, *site) {
	t.Helper()
	u := newUpstream(t)
	u.add("current", xbps.Package{Pkgver: "base-1.0_1", Arch: "x86_64", Depends: []string{"lib>=1.0"}}, 100_000)
	u.publish("current", "lib-1.2_1", 50_000)
	u.publish("current", "other-1.0_1", 50_000)
	u.add("current/nonfree", xbps.Package{Pkgver: "extra-1.0_1", Arch: "noarch", Depends: []string{"vlib>=0"}}, 1000)
	u.add("current/nonfree", xbps.Package{Pkgver: "provider-1.0_1", Arch: "x86_64", Provides: []string{"vlib-1_1"}}, 1000)
	s := newSite(t, u, append([]func(*mirror.Config){func(c *mirror.Config) {
		c.Repositories = append(c.Repositories, mirror.Repository{Path: "current/nonfree", Arch: "x86_64"})
	}}, change...)...)
	return u, s
}

func TestCompleteFetchesWhatRolesNeed(t *testing.T) {
	u, s := workerSite(t)
	snap, err := s.Freeze(t.Context(), "golden")
	if err != nil {
		t.Fatal(err)
	}
	var steps []string
	err = s.Complete(t.Context(), snap, worker(), func(p mirror.Progress) {
		steps = append(steps, fmt.Sprintf("%d/%d %d/%d", p.Done, p.Of, p.Bytes, p.Size))
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(steps) != 5 || steps[0] != "0/4 0/152000" || steps[4] != "4/4 152000/152000" {
		t.Errorf("progress %q", steps)
	}
	if packages, _ := s.kept(); packages != 4 {
		t.Errorf("%d packages are kept, want 4", packages)
	}
	u.Close()
	if err := s.Complete(t.Context(), snap, worker(), nil); err != nil {
		t.Errorf("a second time, without upstream: %v", err)
	}
	f, err := s.Repository(snap, "current", "x86_64")
	if err != nil {
		t.Fatal(err)
	}
	file, err := f.Open(t.Context(), f.Index.Packages["lib"])
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if b, err := io.ReadAll(file); err != nil || string(b) != string(u.files["current/lib-1.2_1.x86_64.xbps"]) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestCompleteSaysWhatIsMissing(t *testing.T) {
	u, s := workerSite(t)
	snap, err := s.Freeze(t.Context(), "golden")
	if err != nil {
		t.Fatal(err)
	}
	wants := worker()
	wants[0].Packages = []string{"nothing", "base", "neither"}
	if err := s.Complete(t.Context(), snap, wants, nil); err == nil || !strings.Contains(err.Error(), "role worker on x86_64: nothing: not found in repository pool\nneither: not found") {
		t.Errorf("error %v", err)
	}
	wants = worker()
	wants[0].Arch = "aarch64"
	if err := s.Complete(t.Context(), snap, wants, nil); err == nil || !strings.Contains(err.Error(), "role worker: the snapshot golden has no current for aarch64") {
		t.Errorf("error %v", err)
	}
	delete(u.files, "current/lib-1.2_1.x86_64.xbps")
	if err := s.Complete(t.Context(), snap, worker(), nil); !errors.Is(err, mirror.ErrVanished) || !strings.Contains(err.Error(), "current/lib-1.2_1.x86_64.xbps") {
		t.Errorf("error %v", err)
	}
}

func TestCompleteNeedsRoom(t *testing.T) {
	_, s := workerSite(t, func(c *mirror.Config) { c.Limit = 120_000 })
	snap, err := s.Freeze(t.Context(), "golden")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Complete(t.Context(), snap, worker(), nil); !errors.Is(err, mirror.ErrFull) || !strings.Contains(err.Error(), "raise images.cache.size") {
		t.Errorf("error %v", err)
	}
}
