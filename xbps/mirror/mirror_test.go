package mirror_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provision.internal/xbps"
	"provision.internal/xbps/mirror"
)

func TestServesWhatUpstreamHas(t *testing.T) {
	bothFronts(t, func(t *testing.T, behind func(*site)) {
		u := newUpstream(t)
		foo := u.publish("current", "foo-1.0_1", 300_000)
		tiny := u.add("current", xbps.Package{Pkgver: "tiny-1.0_1", Arch: "noarch"}, 5000)
		s := newSite(t, u)
		behind(s)
		const name, tinyName = "current/foo-1.0_1.x86_64.xbps", "current/tiny-1.0_1.noarch.xbps"
		for range 3 {
			s.want("current/x86_64-repodata", u.files["current/x86_64-repodata"])
			s.want(name+".sig2", u.files[name+".sig2"])
			s.want(name, foo)
			s.want(tinyName+".sig2", u.files[tinyName+".sig2"])
			s.want(tinyName, tiny)
		}
		for _, file := range []string{"current/x86_64-repodata", name, name + ".sig2", tinyName, tinyName + ".sig2"} {
			if n := u.times(file); n != 1 {
				t.Errorf("upstream was asked %d times for %s, want once", n, file)
			}
		}
		for file, content := range map[string][]byte{name: foo, tinyName: tiny} {
			a := s.get(file, "Range", "bytes=1000-")
			span := fmt.Sprintf("bytes 1000-%d/%d", len(content)-1, len(content))
			if a.status != http.StatusPartialContent || !bytes.Equal(a.body, content[1000:]) || a.header.Get("Content-Range") != span {
				t.Errorf("a range: status %d, %d bytes, %v", a.status, len(a.body), a.header)
			}
			// A machine that has all of it asks for what is behind its end.
			if a := s.get(file, "Range", fmt.Sprintf("bytes=%d-", len(content))); a.status != http.StatusRequestedRangeNotSatisfiable {
				t.Errorf("a range behind the end: status %d, want 416", a.status)
			}
			res, err := http.Head(s.front.URL + "/" + file)
			if err != nil {
				t.Fatal(err)
			}
			if res.Body.Close(); res.StatusCode != http.StatusOK || res.ContentLength != int64(len(content)) {
				t.Errorf("HEAD %s: %s, %d bytes", file, res.Status, res.ContentLength)
			}
			if a := s.get(file); !strings.Contains(a.header.Get("Cache-Control"), "immutable") || a.header.Get("Content-Type") != "application/octet-stream" {
				t.Errorf("%s: header %v", file, a.header)
			}
		}
		for _, file := range []string{name, tinyName, "current/x86_64-repodata"} {
			a := s.get(file)
			if a.header.Get("Last-Modified") != epoch.Format(http.TimeFormat) || a.header.Get("Content-Length") == "" {
				t.Errorf("%s: header %v", file, a.header)
			}
			if a := s.get(file, "If-Modified-Since", a.header.Get("Last-Modified")); a.status != http.StatusNotModified {
				t.Errorf("%s: status %d for who has it, want 304", file, a.status)
			}
		}
	})
}

func TestRefusesOtherPaths(t *testing.T) {
	u := newUpstream(t)
	u.publish("current", "foo-1.0_1", 10)
	u.files["live/current/void-x86_64-ROOTFS.tar.xz"] = []byte("x")
	u.files["static/xbps-static.tar.xz"] = []byte("x")
	s := newSite(t, u)
	for _, name := range []string{
		"", "current", "current/", "current/x86_64-repodata/", "live/current/void-x86_64-ROOTFS.tar.xz", "static/xbps-static.tar.xz",
		"current/..%2f..%2fx86_64-repodata", "current/%2e%2e/x86_64-repodata", "../x86_64-repodata", "Current/x86_64-repodata", "a/b/c/d/e/x86_64-repodata",
		"current/x86_64%00-repodata", "current/foo.xbps", "current/foo-1.0.x86_64.xbps", "current/foo-1.0_1.x86_64.xbps.sig", "current/.foo-1.0_1.x86_64.xbps",
		"current/bar-1.0_1.x86_64.xbps", "@none/current/x86_64-repodata", "@../current/x86_64-repodata", "@/x86_64-repodata", "current//x86_64-repodata",
	} {
		s.refused(name, http.StatusNotFound)
	}
	for name := range u.asked {
		if strings.HasPrefix(name, "live") || strings.HasPrefix(name, "static") || strings.Contains(name, "bar") {
			t.Errorf("upstream was asked for %s", name)
		}
	}
	if notices := s.texts(); len(notices) != 0 {
		t.Errorf("notices %q of paths that nobody needs", notices)
	}
	res, err := http.Post(s.front.URL+"/current/x86_64-repodata", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.Body.Close(); res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %s", res.Status)
	}
}

func TestUpstreamGone(t *testing.T) {
	u := newUpstream(t)
	foo, bar := u.publish("current", "foo-1.0_1", 1000), u.publish("current", "bar-1.0_1", 1000)
	s := newSite(t, u)
	const fooName, barName = "current/foo-1.0_1.x86_64.xbps", "current/bar-1.0_1.x86_64.xbps"
	s.want("current/x86_64-repodata", u.files["current/x86_64-repodata"])
	s.want(fooName, foo)
	s.want(fooName+".sig2", u.files[fooName+".sig2"])
	if st := s.Status(); st.Err != nil || !st.Asked || st.Upstream != u.URL {
		t.Errorf("status %+v, want an upstream that answers", st)
	}
	u.misbehave(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		http.Error(w, "maintenance", http.StatusServiceUnavailable)
		return true
	})
	for range 2 {
		s.later(time.Hour)
		s.want("current/x86_64-repodata", u.files["current/x86_64-repodata"])
		s.want(fooName, foo)
		s.want(fooName+".sig2", u.files[fooName+".sig2"])
		s.refused(barName, http.StatusBadGateway)
		s.restart()
	}
	s.refused(barName, http.StatusBadGateway)
	if st := s.Status(); st.Err == nil || !strings.Contains(st.Err.Error(), "503") {
		t.Errorf("status %+v, want it to say that upstream does not answer", st)
	}
	u.misbehave(nil)
	s.want(barName, bar)
	if st := s.Status(); st.Err != nil {
		t.Errorf("status %+v, want an upstream that answers again", st)
	}
}

func TestVanishedPackage(t *testing.T) {
	u := newUpstream(t)
	u.publish("current", "foo-1.0_1", 1000)
	s := newSite(t, u)
	delete(u.files, "current/foo-1.0_1.x86_64.xbps")
	s.refused("current/foo-1.0_1.x86_64.xbps", http.StatusNotFound)
	if !s.told("current/foo-1.0_1.x86_64.xbps: upstream no longer has it") {
		t.Errorf("notices %q", s.texts())
	}
}

func TestDamagedPackageIsFetchedAgain(t *testing.T) {
	bothFronts(t, func(t *testing.T, behind func(*site)) {
		u := newUpstream(t)
		foo := u.publish("current", "foo-1.0_1", 200_000)
		s := newSite(t, u)
		behind(s)
		const name = "current/foo-1.0_1.x86_64.xbps"
		s.want(name, foo)
		for i, damage := range []func(file string) error{
			func(file string) error { return os.Truncate(file, 100) },
			func(file string) error { // same size, same time
				bad := bytes.Clone(foo)
				bad[7]++
				if err := os.WriteFile(file, bad, 0o644); err != nil {
					return err
				}
				return os.Chtimes(file, time.Time{}, epoch)
			},
		} {
			files, err := filepath.Glob(filepath.Join(s.cfg.Dir, "packages", strings.Repeat("?", 64)))
			if err != nil || len(files) != 1 {
				t.Fatal(files, err)
			}
			if err := damage(files[0]); err != nil {
				t.Fatal(err)
			}
			s.restart()
			s.want(name, foo)
			if n := u.times(name); n != i+2 {
				t.Errorf("upstream was asked %d times, want %d", n, i+2)
			}
			if !s.told("foo-1.0_1.x86_64.xbps was damaged") {
				t.Errorf("notices %q", s.texts())
			}
		}
		// A signature is checked whenever it is read.
		files, err := filepath.Glob(filepath.Join(s.cfg.Dir, "packages", "*.sig2"))
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		if err := os.WriteFile(files[0], []byte("nonsense"), 0o644); err != nil {
			t.Fatal(err)
		}
		s.want(name+".sig2", u.files[name+".sig2"])
	})
}

// A small package is held to its hash when it is read into memory, also where nothing else shows that it was written to.
// From there it is served whatever happens to the disk.
func TestSmallPackageIsReadOnce(t *testing.T) {
	u := newUpstream(t)
	foo := u.publish("current", "foo-1.0_1", 5000)
	s := newSite(t, u)
	s.want(fooFile, foo) // as it arrives
	files, err := filepath.Glob(filepath.Join(s.cfg.Dir, "packages", strings.Repeat("?", 64)))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	damage := func() {
		t.Helper()
		bad := bytes.Clone(foo)
		bad[7]++
		if err := os.WriteFile(files[0], bad, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(files[0], time.Time{}, epoch); err != nil {
			t.Fatal(err)
		}
	}
	damage()
	s.want(fooFile, foo)
	if n := u.times(fooFile); n != 2 || !s.told("foo-1.0_1.x86_64.xbps was damaged") {
		t.Errorf("upstream was asked %d times, want 2; notices %q", n, s.texts())
	}
	s.want(fooFile, foo)
	damage()
	s.want(fooFile, foo)
	if n := u.times(fooFile); n != 2 {
		t.Errorf("upstream was asked %d times for what is in memory, want 2", n)
	}
}

func TestDamagedIndexIsFetchedAgain(t *testing.T) {
	u := newUpstream(t)
	foo := u.publish("current", "foo-1.0_1", 1000)
	s := newSite(t, u)
	const name = "current/x86_64-repodata"
	s.want(name, u.files[name])
	files, err := filepath.Glob(filepath.Join(s.cfg.Dir, "indexes", "*"))
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if err := os.Truncate(file, 90); err != nil {
			t.Fatal(err)
		}
	}
	s.restart()
	s.want(name, u.files[name])
	s.want("current/foo-1.0_1.x86_64.xbps", foo)
}

func TestOneProcessOnly(t *testing.T) {
	s := newSite(t, newUpstream(t))
	if m, err := mirror.Open(s.cfg); err == nil || !strings.Contains(err.Error(), "in use by another provision") {
		t.Errorf("opened twice: %v, %v", m, err)
	}
}
