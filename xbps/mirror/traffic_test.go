package mirror_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"provision.internal/xbps/mirror"
)

// installs has machines fetch all packages of a snapshot, each in an order of its own and
// again until it has them, as the agent does, and returns how many attempts failed.
func (s *site) installs(machines int, want map[string][]byte) (failed int) {
	s.t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range machines {
		wg.Go(func() {
			names := make([]string, 0, len(want))
			for name := range want {
				names = append(names, name, name+".sig2")
			}
			rand.New(rand.NewPCG(uint64(i), 1)).Shuffle(len(names), func(a, b int) { names[a], names[b] = names[b], names[a] })
			for _, name := range names {
				for attempt := 0; ; attempt++ {
					a, err := fetch(s.t.Context(), s.front.URL+"/@golden/"+name)
					if err == nil && a.status == http.StatusOK && !a.short {
						if body, ok := want[name]; ok && !bytes.Equal(a.body, body) {
							s.t.Errorf("machine %d has a wrong %s", i, name)
						}
						break
					}
					mu.Lock()
					failed++
					mu.Unlock()
					if attempt > 500 {
						s.t.Errorf("machine %d never got %s: status %d, %v", i, name, a.status, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	return failed
}

// stock publishes packages and freezes them.
func stock(t *testing.T, n int) (u *upstream, s *site, want map[string][]byte, total uint64) {
	t.Helper()
	u = newUpstream(t)
	want = map[string][]byte{}
	for i := range n {
		size := 1000 + i*i*300
		want[fmt.Sprintf("current/p%d-1.0_1.x86_64.xbps", i)] = u.publish("current", fmt.Sprintf("p%d-1.0_1", i), size)
		total += uint64(size)
	}
	s = newSite(t, u, func(c *mirror.Config) { c.Revalidate = 1 << 40 })
	if _, err := s.Freeze(t.Context(), "golden"); err != nil {
		t.Fatal(err)
	}
	return u, s, want, total
}

// Twenty machines install at once while every transfer from upstream is cut in its middle: nobody notices, and
// each byte is fetched once.
func TestTwentyInstallsWithBrokenTransfers(t *testing.T) {
	bothFronts(t, func(t *testing.T, behind func(*site)) {
		u, s, want, total := stock(t, 40)
		behind(s)
		u.misbehave(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
			if isPackage(r) && r.Header.Get("Range") == "" {
				cut(w, body, 0, len(body)/2)
			}
			return false
		})
		if failed := s.installs(20, want); failed != 0 {
			t.Errorf("%d requests failed", failed)
		}
		counters := s.Status().Counters
		if counters["bytes fetched"] != total || counters["fetched"] != uint64(len(want)) {
			t.Errorf("counters %v, want %d files with %d bytes fetched", counters, len(want), total)
		}
		for name := range want {
			if n := u.times(name + ".sig2"); n != 1 {
				t.Errorf("%s.sig2 was fetched %d times", name, n)
			}
		}
	})
}

// Upstream goes away in the middle of it all, and comes back: the machines ask again and end with all packages
// right; what was kept before is not fetched again.
func TestTwentyInstallsWithAnOutage(t *testing.T) {
	u, s, want, _ := stock(t, 40)
	var mu sync.Mutex
	asked := 0
	u.misbehave(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
		if !isPackage(r) {
			return false
		}
		mu.Lock()
		asked++
		down := asked > 15 && asked < 120
		mu.Unlock()
		if down && r.Header.Get("Range") == "" && len(body) > 100_000 {
			cut(w, body, 0, len(body)/2)
		}
		if down {
			http.Error(w, "down", http.StatusServiceUnavailable)
		}
		return down
	})
	failed := s.installs(20, want)
	if failed == 0 {
		t.Error("no machine noticed the outage")
	}
	for name := range want {
		// As many whole answers as it takes.
		if n := u.times(name); n > 2 {
			t.Errorf("%s was fetched %d times", name, n)
		}
	}
	if packages, incoming := s.kept(); packages != len(want) || incoming != 0 {
		t.Errorf("%d packages are kept and %d files left", packages, incoming)
	}
}

// Closing ends what is under way, and waits for it.
func TestCloseEndsTransfers(t *testing.T) {
	u, s, _ := one(t)
	begun := make(chan struct{})
	u.misbehave(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
		if isPackage(r) {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			_, _ = w.Write(body[:1000])
			w.(http.Flusher).Flush()
			close(begun)
			<-r.Context().Done()
		}
		return isPackage(r)
	})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan answer, 1)
	go func() {
		a, err := fetch(ctx, s.front.URL+"/"+fooFile)
		if err != nil {
			t.Error(err)
		}
		done <- a
	}()
	<-begun
	if err := s.Mirror.Close(); err != nil {
		t.Error(err)
	}
	if a := <-done; !a.short && a.status < 500 {
		t.Errorf("status %d, %d bytes, short %t: want less than all", a.status, len(a.body), a.short)
	}
	_, incoming := s.kept()
	if incoming != 0 {
		t.Errorf("%d files were left", incoming)
	}
	a := s.get(strings.Replace(fooFile, "foo", "bar", 1))
	if a.status != http.StatusNotFound {
		t.Errorf("after Close: status %d", a.status)
	}
}
