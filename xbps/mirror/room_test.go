package mirror_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"provision.internal/xbps/mirror"
)

func TestLimitDropsWhatNoIndexNames(t *testing.T) {
	u := newUpstream(t)
	const size = 100_000
	s := newSite(t, u, func(c *mirror.Config) { c.Limit = 4*size + size/2 })
	name := func(i int) string { return fmt.Sprintf("current/foo-1.%d_1.x86_64.xbps", i) }
	content := map[int][]byte{}
	for i := range 8 {
		content[i] = u.publish("current", fmt.Sprintf("foo-1.%d_1", i), size)
		at := epoch.Add(time.Duration(i) * time.Hour)
		u.mu.Lock()
		u.dates[name(i)] = at
		u.mu.Unlock()
		u.index("current", at)
		s.later(time.Hour)
		if i == 1 {
			if _, err := s.Freeze(t.Context(), "kept"); err != nil {
				t.Fatal(err)
			}
		}
		s.want(name(i), content[i])
	}
	// The one of the snapshot, the live one, and the youngest of the others.
	if packages, _ := s.kept(); packages != 4 {
		t.Errorf("%d packages are kept, want 4", packages)
	}
	u.misbehave(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		http.Error(w, "", http.StatusServiceUnavailable)
		return true
	})
	s.restart()
	s.want("@kept/"+name(1), content[1])
	s.want(name(7), content[7])
	s.refused(name(0), http.StatusNotFound)
	if st := s.Status(); st.Used > st.Limit {
		t.Errorf("status %+v", st)
	}
}

// What the snapshots name is never dropped: beyond it packages are passed through.
func TestFullCachePassesThrough(t *testing.T) {
	u := newUpstream(t)
	const size = 100_000
	s := newSite(t, u, func(c *mirror.Config) { c.Limit = 2*size + size/2 })
	name := func(i int) string { return fmt.Sprintf("current/foo%d-1.0_1.x86_64.xbps", i) }
	content := map[int][]byte{}
	for i := range 4 {
		content[i] = u.publish("current", fmt.Sprintf("foo%d-1.0_1", i), size)
	}
	for range 2 {
		for i := range 4 {
			s.want(name(i), content[i])
			s.want(name(i)+".sig2", u.files[name(i)+".sig2"])
		}
	}
	if packages, _ := s.kept(); packages != 2 {
		t.Errorf("%d packages are kept, want 2", packages)
	}
	for i, want := range []int{1, 1, 2, 2} {
		if got := u.times(name(i)); got != want {
			t.Errorf("upstream was asked %d times for %s, want %d", got, name(i), want)
		}
	}
	if !s.told("the package mirror is full") || s.Status().Counters["passed through"] != 4 {
		t.Errorf("notices %q, status %+v", s.texts(), s.Status())
	}
	_, incoming := s.kept()
	if incoming != 0 {
		t.Errorf("%d files of passed packages were left", incoming)
	}
}
