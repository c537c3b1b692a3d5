package mirror_test

import (
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"strings"
	"testing"
	"time"

	"provision.internal/xbps"
)

const indexFile = "current/x86_64-repodata"

func TestIndexIsRevalidated(t *testing.T) {
	u := newUpstream(t)
	u.publish("current", "foo-1.0_1", 10)
	s := newSite(t, u)
	s.want(indexFile, u.files[indexFile])
	bar := u.publish("current", "bar-1.0_1", 10)
	u.index("current", epoch.Add(time.Hour))
	s.refused("current/bar-1.0_1.x86_64.xbps", http.StatusNotFound) // the kept index is young enough
	s.later(10 * time.Minute)
	s.want(indexFile, u.files[indexFile])
	s.want("current/bar-1.0_1.x86_64.xbps", bar)
	s.later(10 * time.Minute)
	before := len(u.files)
	u.misbehave(func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
		if r.Header.Get("If-Modified-Since") != epoch.Add(time.Hour).Format(http.TimeFormat) {
			t.Errorf("%s was asked for without the date of the kept one", r.URL.Path)
		}
		return false
	})
	s.want(indexFile, u.files[indexFile])
	if len(u.files) != before {
		t.Error("upstream changed")
	}
}

// A machine that read its index before an update still gets what that index names.
func TestSupersededPackageIsServed(t *testing.T) {
	u := newUpstream(t)
	old := u.publish("current", "foo-1.0_1", 1000)
	s := newSite(t, u)
	if _, err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.want(fooFile, old)
	u.publish("current", "foo-1.1_1", 1000)
	u.index("current", epoch.Add(time.Hour))
	delete(u.files, fooFile)
	s.later(time.Hour)
	s.want(indexFile, u.files[indexFile])
	s.want(fooFile, old)
}

func TestIndexThatGoesBackIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		back   func(u *upstream)
		notice string // empty: it is no replay
	}{
		"an older date": {func(u *upstream) {
			u.publish("current", "new-1.0_1", 10)
			u.index("current", epoch.Add(-time.Hour))
			// As servers do that take the header for an exact date.
			u.misbehave(func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
				r.Header.Del("If-Modified-Since")
				return false
			})
		}, "index current/x86_64-repodata: the index went back in time: it is of 2026-03-01T11:00:00Z, the kept one of 2026-03-01T12:00:00Z"},
		"older versions": {func(u *upstream) {
			u.publish("current", "foo-1.9_1", 10)
			u.publish("current", "bar-1.9_1", 10)
			u.publish("current", "baz-2.1_1", 10)
			u.index("current", epoch.Add(time.Hour))
		}, "the index went back in time: 2 packages are older than in the kept one, 1 are newer"},
		"one package taken back": {func(u *upstream) {
			u.add("current", xbps.Package{Pkgver: "foo-1.9_1", Arch: "x86_64", Reverts: []string{"2.0_1"}}, 10)
			u.index("current", epoch.Add(time.Hour))
		}, ""},
		"newer versions": {func(u *upstream) {
			u.publish("current", "foo-1.9_1", 10)
			u.publish("current", "bar-2.9_1", 10)
			u.index("current", epoch.Add(time.Hour))
		}, ""},
		"fewer packages": {func(u *upstream) {
			delete(u.indexes["current"], "foo")
			u.index("current", epoch.Add(time.Hour))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t)
			for _, pkgver := range []string{"foo-2.0_1", "bar-2.0_1", "baz-2.0_1"} {
				u.publish("current", pkgver, 10)
			}
			s := newSite(t, u)
			kept := u.files[indexFile]
			s.want(indexFile, kept)
			c.back(u)
			s.later(time.Hour)
			if c.notice == "" {
				s.want(indexFile, u.files[indexFile])
				return
			}
			s.want(indexFile, kept)
			s.restart()
			s.want(indexFile, kept)
			if !s.told(c.notice) {
				t.Errorf("notices %q, want %q", s.texts(), c.notice)
			}
			if _, err := s.Snapshot(t.Context()); err == nil {
				t.Error("a snapshot was made of it")
			}
			// What is newer than the kept one is taken again.
			for _, pkgver := range []string{"foo-2.1_1", "bar-2.1_1", "baz-2.1_1"} {
				u.publish("current", pkgver, 10)
			}
			u.index("current", epoch.Add(2*time.Hour))
			s.later(time.Hour)
			s.want(indexFile, u.files[indexFile])
		})
	}
}

func TestIndexThatCannotBeTrusted(t *testing.T) {
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := xbps.Key{Public: &other.PublicKey}.Fingerprint()
	for name, c := range map[string]struct {
		change func(u *upstream)
		notice string
	}{
		"a key that rotated": {func(u *upstream) {
			u.key = other
			u.publish("current", "foo-1.1_1", 10)
		}, "the key is not trusted: " + fingerprint + "; put its file among the trusted keys if it is right; compare the fingerprint with what voidlinux.org publishes, then put the key's file with the others into the folder images.keys, and start provision again"},
		"no index":     {func(u *upstream) { u.files[indexFile] = []byte("<html>") }, "repository index"},
		"half of one":  {func(u *upstream) { u.files[indexFile] = u.files[indexFile][:100] }, "repository index"},
		"a huge index": {func(u *upstream) { u.files[indexFile] = make([]byte, 65<<20) }, "more than 64 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t)
			foo := u.publish("current", "foo-1.0_1", 10)
			fresh := newSite(t, u)
			s := newSite(t, u)
			kept := u.files[indexFile]
			s.want(indexFile, kept)
			c.change(u)
			u.mu.Lock()
			u.dates[indexFile] = epoch.Add(time.Hour)
			u.mu.Unlock()
			s.later(time.Hour)
			s.want(indexFile, kept)
			s.want(fooFile, foo)
			fresh.refused(indexFile, http.StatusBadGateway)
			for _, s := range []*site{s, fresh} {
				if !s.told(c.notice) {
					t.Errorf("notices %q, want %q", s.texts(), c.notice)
				}
			}
		})
	}
}

func TestNoticeIsGivenOnce(t *testing.T) {
	u := newUpstream(t)
	u.publish("current", "foo-1.0_1", 10)
	s := newSite(t, u)
	s.want(indexFile, u.files[indexFile])
	delete(u.files, fooFile)
	for range 5 {
		s.refused(fooFile, http.StatusNotFound)
	}
	if len(s.texts()) != 1 {
		t.Errorf("notices %q, want one", s.texts())
	}
	s.later(2 * time.Hour)
	s.refused(fooFile, http.StatusNotFound)
	if len(s.texts()) != 2 || !strings.Contains(s.texts()[1], "no longer has it") {
		t.Errorf("notices %q, want a second one later", s.texts())
	}
}
